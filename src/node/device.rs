//! Devices and their addresses.

use super::Origin;
use nfwhy_parsers::iproute::Scope;
use nfwhy_parsers::iproute::link::{LinkInfo, Peer};
use std::net::IpAddr;

/// A device's place in [`super::Node::devices`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DevId(pub u16);

/// A network device.
#[derive(Clone, Debug)]
pub struct Device {
    /// ifindex; 0 where the device is known only because a route or rule names it.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Other names.
    pub altnames: Vec<String>,
    /// `veth`, `vxlan`, `ipip`, `dummy`, ... where captured.
    pub kind: Option<String>,
    /// `link/TYPE`.
    pub link_type: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// Flags as `ip` prints them.
    pub flags: Vec<String>,
    /// Group name or number.
    pub group: Option<String>,
    /// MTU.
    pub mtu: Option<u32>,
    /// The bridge, bond or VRF it belongs to.
    pub master: Option<DevId>,
    /// Lower device or peer.
    pub peer: Peer<'static>,
    /// Details of the kind.
    pub info: LinkInfo<'static>,
    /// XDP program, as printed.
    pub xdp: Option<String>,
    /// Addresses in the order of the kernel's list, both families.
    pub addrs: Vec<Addr>,
    /// Where it was read.
    pub origin: Origin,
    /// Whether the device itself was captured, not only its name.
    pub known: bool,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addr {
    /// The address.
    pub local: IpAddr,
    /// The peer's; equal to `local` where there is none (the kernel's `ifa_address`).
    pub peer: IpAddr,
    /// Prefix length.
    pub prefix_len: u8,
    /// Scope.
    pub scope: Scope,
    /// IPv4 secondary.
    pub secondary: bool,
    /// IPv6 tentative and not optimistic.
    pub tentative: bool,
    /// IPv6 deprecated.
    pub deprecated: bool,
    /// IPv6 temporary.
    pub temporary: bool,
    /// IPv6 optimistic.
    pub optimistic: bool,
    /// `noprefixroute`: no connected route was made for it.
    pub noprefixroute: bool,
    /// IPv4 broadcast address.
    pub broadcast: Option<IpAddr>,
    /// Where it was read.
    pub origin: Origin,
}

impl Device {
    /// A device of which nothing is known but its name.
    pub fn named(name: &str) -> Self {
        Self {
            index: 0,
            name: name.to_owned(),
            altnames: Vec::new(),
            kind: None,
            link_type: None,
            mac: None,
            flags: Vec::new(),
            group: None,
            mtu: None,
            master: None,
            peer: Peer::None,
            info: LinkInfo::default(),
            xdp: None,
            addrs: Vec::new(),
            origin: Origin::default(),
            known: false,
        }
    }

    /// Whether it is loopback (`IFF_LOOPBACK`).
    pub fn is_loopback(&self) -> bool {
        self.has_flag("LOOPBACK") || (self.flags.is_empty() && self.name == "lo")
    }

    /// Whether it is administratively up; `None` where not captured.
    pub fn is_up(&self) -> Option<bool> {
        // `ip -br addr` shows no flags.
        (self.known && !self.flags.is_empty()).then(|| self.has_flag("UP"))
    }

    /// Whether it is a VRF.
    pub fn is_vrf(&self) -> bool {
        self.kind.as_deref() == Some("vrf")
    }

    /// Whether it is a bridge.
    pub fn is_bridge(&self) -> bool {
        self.kind.as_deref() == Some("bridge")
    }

    /// Whether `ip` shows the flag.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    /// The tunnel kind that changes how a packet leaves, for display (`ipip`, `vxlan`, ...).
    pub fn tunnel(&self) -> Option<&str> {
        let k = self.kind.as_deref().or(self.link_type.as_deref())?;
        match k {
            "tunnel" => Some("ipip"),
            "ipip" | "vxlan" | "gre" | "gretap" | "sit" | "geneve" | "wireguard" | "ip6tnl"
            | "ip6gre" | "vti" => Some(k),
            _ => None,
        }
    }
}
