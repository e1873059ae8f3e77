//! Packets that were seen.

use super::{DevId, FileId, Node, Origin};
use nfwhy_parsers::tcpdump::{Dev, Packet, Section};

/// What one run of a capturing program saw.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// The file.
    pub file: FileId,
    /// Of a binary capture: lines are packets' numbers, and nothing tells its filter.
    pub binary: bool,
    /// The packets, and how they were captured.
    pub section: Section,
}

impl Traffic {
    /// Where a packet was read.
    pub fn origin(&self, p: &Packet) -> Origin {
        Origin {
            file: self.file,
            line: p.line,
        }
    }

    /// Whether it was captured in another network namespace than the node's.
    pub fn is_elsewhere(&self) -> bool {
        let c = self.section.command.as_ref();
        c.is_some_and(|c| c.elsewhere.is_some())
    }

    /// The one device that was listened at, by name; `None` = all, or not known.
    pub fn only_dev(&self) -> Option<&str> {
        self.section.dev().filter(|d| *d != "any")
    }

    /// The name of the device at which a packet was seen.
    pub fn dev_name<'a>(&'a self, node: &'a Node<'_>, p: &'a Packet) -> Option<&'a str> {
        match &p.dev {
            Dev::Name(n) => Some(n),
            Dev::Index(i) => node
                .devices
                .iter()
                .find(|d| d.index == *i)
                .map(|d| d.name.as_str()),
            Dev::Unknown => self.only_dev(),
        }
    }

    /// The device at which a packet was seen, where it is one of the node's.
    pub fn dev(&self, node: &Node<'_>, p: &Packet) -> Option<DevId> {
        node.device_by_name(self.dev_name(node, p)?)
    }
}
