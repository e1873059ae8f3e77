//! What `ext1` is, and how it is set.

use super::super::lab::prng::Prng;
use super::draw::{UNDERLAY, UNDERLAY6};
use super::net::{mac, mac_text};

/// Kinds of tunnel devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// With entries of the forwarding database for the other nodes.
    Vxlan,
    /// The same over IPv6.
    Vxlan6,
    /// Its far end is the route's gateway, as Calico has it.
    Ipip,
    /// Between two nodes.
    Gre,
    /// Its far ends are in the neighbour table.
    GreMany,
    /// IPv6 in IPv4, between two nodes.
    Sit,
    /// Both in IPv6, between two nodes.
    Ip6tnl,
}

impl Tunnel {
    /// Any that needs a module which the emulator's kernel has.
    pub fn by_module(r: &mut Prng) -> Self {
        r.one(&[Self::Gre, Self::GreMany, Self::Sit, Self::Ip6tnl])
    }

    /// Between two nodes, each of which names the other.
    pub fn is_pair(self) -> bool {
        matches!(self, Self::Gre | Self::Sit | Self::Ip6tnl)
    }

    /// UDP.
    pub fn is_vxlan(self) -> bool {
        matches!(self, Self::Vxlan | Self::Vxlan6)
    }

    /// Whether the outer packet is IPv6.
    pub fn over6(self) -> bool {
        matches!(self, Self::Vxlan6 | Self::Ip6tnl)
    }

    /// Whether packets of a family may go through.
    pub fn carries(self, v6: bool) -> bool {
        match self {
            Self::Sit => v6,
            Self::Ipip => !v6,
            _ => true,
        }
    }

    /// What a rule asks to know the outer packet.
    pub fn header(self) -> &'static [&'static str] {
        match self {
            Self::Vxlan | Self::Vxlan6 => &["-p udp -m udp --dport 4789"],
            Self::Ipip => &["-p 4"],
            Self::Gre | Self::GreMany => &["-p 47"],
            Self::Sit => &["-p 41"],
            Self::Ip6tnl => &["-p 4", "-p 41"],
        }
    }

    /// What follows `link add ext1`.
    pub fn link(self, r: &mut Prng, i: usize) -> String {
        let own = if self.over6() {
            UNDERLAY6[i]
        } else {
            UNDERLAY[i]
        };
        let other = if self.over6() {
            UNDERLAY6[1 - i.min(1)]
        } else {
            UNDERLAY[1 - i.min(1)]
        };
        let local = if r.chance(50) { own } else { "any" };
        let kind = match self {
            Self::Vxlan | Self::Vxlan6 => {
                let lower = if r.chance(30) { " dev ext0" } else { "" };
                format!(
                    "address {} type vxlan id 7 dstport 4789 local {own}{lower} nolearning",
                    mac_text(mac(i, 1))
                )
            }
            Self::Ipip => format!("type ipip local {local} remote any"),
            Self::Gre => format!("type gre local {local} remote {other}"),
            Self::GreMany => format!("type gre local {own}"),
            Self::Sit => format!("type sit local {local} remote {other}"),
            Self::Ip6tnl => {
                let limit = if r.chance(50) { " encaplimit none" } else { "" };
                format!("type ip6tnl mode any local {own} remote {other}{limit}")
            }
        };
        format!("{kind}{}", self.settings(r))
    }

    /// What the device says of its outer packets; often nothing.
    fn settings(self, r: &mut Prng) -> String {
        let mut out = String::new();
        let (tos, ttl) = match self {
            Self::Ip6tnl => ("tclass", "hoplimit"),
            _ => ("tos", "ttl"),
        };
        if r.chance(50) {
            out += &format!(
                " {tos} {}",
                r.one(&["inherit", "inherit", "0x10", "0x28", "0xb8"])
            );
        }
        if r.chance(50) {
            let n = match self {
                // The word is not known there.
                Self::Ip6tnl => r.one(&["0", "64", "5"]),
                _ => r.one(&["inherit", "inherit", "64", "5"]),
            };
            out += &format!(" {ttl} {n}");
        }
        if self.is_vxlan() && r.chance(40) {
            out += r.pick(&[" df set", " df unset", " df inherit"]);
        }
        out
    }
}
