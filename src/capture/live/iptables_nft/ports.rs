//! Matches of `tcp` and `udp` without `x_tables`: several expressions make one.

use crate::capture::live::xt::{self, Words};

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    pub(super) not: bool,
    pub(super) lo: u16,
    pub(super) hi: u16,
}

impl Ports {
    pub(super) fn one(not: bool, port: u16) -> Self {
        Self {
            not,
            lo: port,
            hi: port,
        }
    }

    /// What a comparison leaves of all ports (`port_match_single_to_range` in iptables/nft-ruleparse.c, which does not see that nothing is below 0 or
    /// above 65535).
    pub(super) fn compared(op: u32, port: u16) -> Option<Self> {
        let none = Self {
            not: true,
            lo: 0,
            hi: u16::MAX,
        };
        let from = |lo: Option<u16>, hi: Option<u16>| match (lo, hi) {
            (Some(lo), Some(hi)) => Self { not: false, lo, hi },
            _ => none,
        };
        Some(match op {
            0 => Self::one(false, port),
            1 => Self::one(true, port),
            2 => from(Some(0), port.checked_sub(1)),
            3 => from(Some(0), Some(port)),
            4 => from(port.checked_add(1), Some(u16::MAX)),
            5 => from(Some(port), Some(u16::MAX)),
            _ => return None,
        })
    }
}

/// Whether it is one port, other than 0: two ranges, or port 0, are never compared at once (`add_nft_tcpudp` in iptables/nft.c).
pub(super) fn is_one(lo: u16, hi: u16) -> bool {
    lo == hi && lo != 0
}

/// `-m tcp` or `-m udp`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transport {
    udp: bool,
    pub(super) sport: Option<Ports>,
    pub(super) dport: Option<Ports>,
    /// Whether it is inverted, mask, value.
    pub(super) flags: Option<(bool, u8, u8)>,
    /// Both ports are compared at once, so that it fits unless both are these.
    pub(super) joined: bool,
}

impl Transport {
    pub(super) fn new(udp: bool) -> Self {
        Self {
            udp,
            sport: None,
            dport: None,
            flags: None,
            joined: false,
        }
    }

    /// ` -m tcp`
    pub(super) fn name(&self) -> &'static str {
        if self.udp { " -m udp" } else { " -m tcp" }
    }

    /// Appends it; gives where the second of two unwanted ports begins, if they are not compared at once.
    pub(super) fn print(&self, w: &mut Words<'_>) -> Option<usize> {
        w.out.push_str(self.name());
        let mut middle = None;
        for (option, ports) in [("--sport", self.sport), ("--dport", self.dport)] {
            if option == "--dport" {
                middle = Some(w.out.len());
            }
            if let Some(p) = ports {
                xt::ports(w, p.not, option, (p.lo, p.hi));
            }
        }
        if let Some((not, mask, value)) = self.flags {
            xt::flags(w, not, mask, value);
        }
        let unwanted = |p: Option<Ports>| p.is_some_and(|p| p.not && is_one(p.lo, p.hi));
        let both = unwanted(self.sport) && unwanted(self.dport);
        middle.filter(|_| both && !self.joined)
    }
}
