//! The node itself: what the kernel says over netlink, getsockopt, /proc and /sys, written as the ordinary commands would print it.
//!
//! Live state and captured text meet at the text: every source here prints what the command of the same name prints, and the parsers
//! read that. So a live answer and the answer from a capture of the same moment cannot differ, and a capture is these texts in a folder.
//!
//! Reading changes nothing: no table is instantiated, no module is loaded, no counter moves.

mod attr;
mod calico;
mod conntrack;
mod fallback;
mod ipset;
mod iptables_nft;
mod ipvs;
mod legacy;
mod nf_tables;
mod procfs;
mod programs;
mod route;
mod socket;
mod sockopt;
mod sysctl;
mod xt;

use super::Unread;
use nfwhy_parsers::recognise::Kind;
pub(super) use route::addresses;
use std::fmt::Display;
use std::net::IpAddr;

/// A text as a command prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Name of its file in a capture: `iptables-save`, `ip-addr`.
    pub name: &'static str,
    /// The command that prints the like.
    pub command: &'static str,
    /// How it is parsed.
    pub kind: Kind,
    /// The text; empty where the command prints nothing, which is known then.
    pub text: String,
}

/// What the node told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Texts.
    pub outputs: Vec<Output>,
    /// What is not among them.
    pub unread: Vec<Unread>,
    /// Remarks on what was read: a blob that had no decoder, a table that was read by a command.
    pub remarks: Vec<String>,
}

impl Reading {
    /// Reads the network namespace of the calling thread; of the flows that conntrack knows those that can matter to packets with these
    /// sources and destinations, or all.
    pub fn of_this_namespace(packets: Option<&[(IpAddr, IpAddr)]>) -> Self {
        procfs::with(|| Self::of_this_thread(packets))
    }

    fn of_this_thread(packets: Option<&[(IpAddr, IpAddr)]>) -> Self {
        let mut reading = Self::default();
        route::read(&mut reading);
        sysctl::read(&mut reading);
        legacy::read(&mut reading);
        nf_tables::read(&mut reading);
        ipset::read(&mut reading);
        ipvs::read(&mut reading);
        conntrack::read_for(&mut reading, packets);
        programs::read(&mut reading);
        calico::read(&mut reading);
        reading
    }

    /// Of the network namespace of the calling thread, the rule set of `nf_tables` alone.
    pub fn of_nf_tables() -> Self {
        let mut reading = Self::default();
        nf_tables::read(&mut reading);
        reading
    }

    fn put(&mut self, name: &'static str, command: &'static str, kind: Kind, text: String) {
        self.outputs.push(Output {
            name,
            command,
            kind,
            text,
        });
    }

    fn cannot(&mut self, what: &str, why: &impl Display, command: &'static str) {
        self.unread.push(Unread {
            what: what.into(),
            why: why.to_string(),
            command: command.into(),
        });
    }
}

/// Whether a module of the kernel is there, loaded or built in; asking by netlink for one that is not would load it
/// (`request_module` in `nfnetlink_rcv_msg`, `genl_family_find` and others).
///
/// `symbol` is one of its functions: a module that is built in and has no parameters shows nowhere but among the kernel's symbols.
fn has_module(name: &str, symbol: &str) -> bool {
    // A kernel without modules cannot load any. Where procfs is not mounted nothing tells, and the kernel is asked.
    let Ok(loaded) = std::fs::read_to_string(procfs::path("modules")) else {
        return true;
    };
    let first_word = |line: &str, word: &str| line.split(' ').next() == Some(word);
    if loaded.lines().any(|l| first_word(l, name))
        || std::path::Path::new("/sys/module").join(name).is_dir()
    {
        return true;
    }
    std::fs::read_to_string(procfs::path("kallsyms")).is_ok_and(|symbols| {
        symbols
            .lines()
            .any(|l| l.split(' ').nth(2).is_some_and(|s| first_word(s, symbol)))
    })
}
