//! Who is where: the addresses of one family.

use std::net::IpAddr;

/// The node's devices that have a far end, by the index used everywhere here.
pub const WIRED: [&str; 4] = ["ens3", "ens4", "cali1", "cali2"];
/// Index of the uplink with the default route.
pub const UPLINK: usize = 1;

/// Addresses of one family.
#[derive(Clone, Debug)]
pub struct Places {
    /// IPv6.
    pub v6: bool,
    /// Prefix length of a single address.
    pub host: u8,
    /// Prefix length of a link.
    pub link: u8,
    /// The node on ens3 and on ens4.
    pub node: [IpAddr; 2],
    /// Routers on ens3 and ens4.
    pub routers: [IpAddr; 2],
    /// A client behind the router of ens4, on the link of ens4, on the link of ens3.
    pub clients: [IpAddr; 3],
    /// Pods behind cali1 and cali2.
    pub pods: [IpAddr; 2],
    /// This node's pods, all pods.
    pub pod_nets: [&'static str; 2],
    /// Pods of two other nodes, with their networks, and these nodes.
    pub far_pods: [IpAddr; 2],
    /// Networks of the far pods.
    pub far_nets: [&'static str; 2],
    /// The other nodes.
    pub far_nodes: [IpAddr; 2],
    /// A network to which there is no way, and an address of it.
    pub nowhere: (&'static str, IpAddr),
    /// Cluster addresses.
    pub cluster: [IpAddr; 4],
    /// Load balancer addresses.
    pub balancer: [IpAddr; 4],
    /// External addresses.
    pub external: [IpAddr; 2],
    /// The address of tunl0, or of lo.
    pub own: IpAddr,
}

fn a(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

impl Places {
    /// Those of a family.
    pub fn of(v6: bool) -> Self {
        if v6 {
            return Self {
                v6,
                host: 128,
                link: 64,
                node: [a("fd10:1::142"), a("fd10:4::142")],
                routers: [a("fd10:1::1"), a("fd10:4::1")],
                clients: [a("fd10:6::91"), a("fd10:4::77"), a("fd10:1::9")],
                pods: [a("fd33:98::39"), a("fd33:98::40")],
                pod_nets: ["fd33:98::/64", "fd33::/16"],
                far_pods: [a("fd33:110::33"), a("fd33:125::24")],
                far_nets: ["fd33:110::/64", "fd33:125::/64"],
                far_nodes: [a("fd10:4::141"), a("fd10:4::143")],
                nowhere: ("fd99::/64", a("fd99::5")),
                cluster: [a("fd96::10"), a("fd96::11"), a("fd96::12"), a("fd96::1")],
                balancer: [a("fd72::1"), a("fd72::2"), a("fd72::3"), a("fd72::4")],
                external: [a("fd73::1"), a("fd73::2")],
                own: a("fd55::1"),
            };
        }
        Self {
            v6,
            host: 32,
            link: 24,
            node: [a("10.20.1.142"), a("10.20.4.142")],
            routers: [a("10.20.1.1"), a("10.20.4.1")],
            clients: [a("10.20.6.91"), a("10.20.4.77"), a("10.20.1.9")],
            pods: [a("10.200.98.39"), a("10.200.98.40")],
            pod_nets: ["10.200.98.0/24", "10.200.0.0/16"],
            far_pods: [a("10.200.110.33"), a("10.200.125.24")],
            far_nets: ["10.200.110.0/24", "10.200.125.0/24"],
            far_nodes: [a("10.20.4.141"), a("10.20.4.143")],
            nowhere: ("10.99.0.0/24", a("10.99.0.5")),
            cluster: [
                a("10.96.3.10"),
                a("10.96.3.11"),
                a("10.96.7.12"),
                a("10.96.0.1"),
            ],
            balancer: [
                a("172.22.9.1"),
                a("172.22.9.2"),
                a("172.22.9.3"),
                a("172.22.9.4"),
            ],
            external: [a("198.51.100.7"), a("198.51.100.8")],
            own: a("10.200.98.0"),
        }
    }

    /// The addresses at which node ports are served.
    pub fn node_ports(&self) -> [IpAddr; 4] {
        let lo = a(if self.v6 { "::1" } else { "127.0.0.1" });
        [self.node[0], self.node[1], self.own, lo]
    }

    /// An address as `ip` wants it for a single host.
    pub fn single(&self, addr: IpAddr) -> String {
        format!("{addr}/{}", self.host)
    }
}
