//! Translation of addresses.

use super::super::words::{Words, dec};
use crate::capture::live::attr::Numbers as _;
use nfwhy_parsers::Family;

const ADDRESSES: u32 = 1;
const PORTS: u32 = 2;
const RANDOM: u32 = 4;
const PERSISTENT: u32 = 8;
const RANDOM_FULLY: u32 = 0x10;
const OFFSET: u32 = 0x20;

/// What a packet is translated to.
pub(in crate::capture::live) struct Range<'a> {
    /// `NF_NAT_RANGE_*`
    pub(in crate::capture::live) flags: u32,
    /// First and last address, in 4 or 16 bytes.
    pub(in crate::capture::live) addrs: (&'a [u8], &'a [u8]),
    /// First and last port.
    pub(in crate::capture::live) ports: (u16, u16),
    /// What the first port stands for.
    pub(in crate::capture::live) base: u16,
}

impl<'a> Range<'a> {
    /// `struct nf_nat_ipv4_multi_range_compat` in revision 0 of IPv4, else `struct nf_nat_range` and `struct nf_nat_range2`.
    fn parse(family: Family, revision: u32, b: &'a [u8]) -> Option<Self> {
        Some(match (family, revision) {
            (Family::V4, 0) => Self {
                flags: b.u32(4)?,
                addrs: (b.get(8..12)?, b.get(12..16)?),
                ports: (b.be16(16)?, b.be16(18)?),
                base: 0,
            },
            (Family::V6, 0) | (_, 1 | 2) => Self {
                flags: b.u32(0)?,
                addrs: (b.get(4..20)?, b.get(20..36)?),
                ports: (b.be16(36)?, b.be16(38)?),
                base: if revision == 2 { b.be16(40)? } else { 0 },
            },
            _ => return None,
        })
    }

    /// The options of `DNAT`, `SNAT`, `MASQUERADE` or `REDIRECT` (`__NAT_print` in `libxt_NAT.c`).
    pub(in crate::capture::live) fn print(&self, w: &mut Words<'_>, target: &str) -> Option<()> {
        let (option, colon) = match target {
            "DNAT" => ("--to-destination", true),
            "SNAT" => ("--to-source", true),
            _ => ("--to-ports", false),
        };
        let (addresses, ports) = (self.flags & ADDRESSES != 0, self.flags & PORTS != 0);
        if addresses || ports {
            w.raw(option);
            w.out.push(' ');
        }
        if addresses {
            let brackets = w.is_v6() && ports;
            if brackets {
                w.out.push('[');
            }
            w.addr(self.addrs.0)?;
            if self.addrs.0 != self.addrs.1 {
                w.out.push('-');
                w.addr(self.addrs.1)?;
            }
            if brackets {
                w.out.push(']');
            }
        }
        if ports {
            if colon || addresses {
                w.out.push(':');
            }
            dec(w.out, self.ports.0.into());
            if self.ports.0 != self.ports.1 {
                w.out.push('-');
                dec(w.out, self.ports.1.into());
            }
            if self.flags & OFFSET != 0 {
                w.out.push('/');
                dec(w.out, self.base.into());
            }
        }
        w.switch(self.flags & RANDOM != 0, "--random");
        w.switch(self.flags & RANDOM_FULLY != 0, "--random-fully");
        w.switch(self.flags & PERSISTENT != 0, "--persistent");
        Some(())
    }
}

pub(super) fn nat(w: &mut Words<'_>, target: &str, revision: u32, b: &[u8]) -> Option<()> {
    Range::parse(w.family, revision, b)?.print(w, target)
}

/// Bits that are the same in the first and the last address are the network.
pub(super) fn netmap(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (first, last) = Range::parse(w.family, 0, b)?.addrs;
    let mut mask = [0u8; 16];
    for (to, (a, b)) in mask.iter_mut().zip(first.iter().zip(last)) {
        *to = !(a ^ b);
    }
    w.raw("--to");
    w.net(first, &mask)
}

/// `struct ip6t_npt_tginfo`
pub(super) fn npt(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    for (name, addr, len) in [
        ("--src-pfx ", b.get(..16)?, b.u8(32)?),
        ("--dst-pfx ", b.get(16..32)?, b.u8(33)?),
    ] {
        if len != 0 || addr.iter().any(|byte| *byte != 0) {
            w.raw(name);
            w.addr(addr)?;
            w.out.push('/');
            dec(w.out, len.into());
        }
    }
    Some(())
}
