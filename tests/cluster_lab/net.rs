//! Nodes of a cluster in network namespaces: their `ext0` are ports of one bridge, at which a client is too; `ext1` is a VXLAN between them;
//! the far ends of `pod0` and `pod1` are pods.

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::lab::frame::{TCP, Wire};
use super::lab::sh;

/// A device at whose far end packets come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Far {
    /// The client's.
    Client,
    /// A pod's: of which node, behind which of its devices.
    Pod(usize, usize),
}

/// The client's hardware address, which is also that of its router.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// The hardware address of a node's device: 0 is `ext0`, 1 `ext1`, 2 and 3 the pods'.
pub fn mac(node: usize, dev: usize) -> [u8; 6] {
    let n = |i: usize| u8::try_from(i).unwrap_or(0) + 1;
    [2, 0, 0, n(node), 0, n(dev)]
}

/// The same in words.
pub fn mac_text(m: [u8; 6]) -> String {
    m.map(|b| format!("{b:02x}")).join(":")
}

/// Everything of the lab that is not a node's state: errors and resets that nodes make of themselves, and whoever might listen.
const RULES: &str = "\
table inet lab {
 chain answers {
  type filter hook output priority -2000000000; policy accept;
  udp dport 4789 accept
  meta l4proto { 4, 41, 47 } accept
  drop
 }
 chain delivered {
  type filter hook input priority 2147483647; policy accept;
  udp dport 4789 accept
  meta l4proto { 4, 41, 47 } accept
  drop
 }
}
table inet labct {
 chain on {
  ct state new
 }
}
";

/// The namespaces, and a socket at the far ends.
#[derive(Debug)]
pub struct Net {
    nodes: Vec<File>,
    wire: OwnedFd,
    ends: HashMap<Far, LinkAddr>,
    by_index: HashMap<usize, Far>,
}

fn this_ns() -> File {
    File::open("/proc/thread-self/ns/net").expect("the thread's own namespace")
}

fn new_ns() -> File {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
    this_ns()
}

fn write(path: &str, value: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/{path}"), value);
}

fn batch(lines: &str) {
    sh::must(&["ip", "-batch", "-"], lines);
}

impl Net {
    /// Fresh nodes with their devices. `dual`: with IPv6.
    pub fn new(count: usize, dual: bool) -> Self {
        let off = if dual { "0" } else { "1" };
        let world = new_ns();
        for key in ["all", "default"] {
            write(&format!("ipv6/conf/{key}/disable_ipv6"), "1");
        }
        let handle = format!("/proc/{}/fd/{}", std::process::id(), world.as_raw_fd());
        let mut nodes = Vec::new();
        for i in 0..count {
            nodes.push(new_ns());
            for (path, value) in [
                ("ipv6/conf/all/disable_ipv6", off),
                ("ipv6/conf/default/disable_ipv6", off),
                ("ipv6/conf/default/accept_dad", "0"),
                ("ipv6/conf/default/router_solicitations", "0"),
                ("ipv6/conf/default/accept_ra", "0"),
                ("ipv4/conf/all/send_redirects", "0"),
                ("ipv4/conf/default/send_redirects", "0"),
            ] {
                write(path, value);
            }
            let mut lines = String::from("link set lo up\n");
            for (d, (dev, far)) in [
                ("ext0", format!("w{i}")),
                ("pod0", format!("p{i}0")),
                ("pod1", format!("p{i}1")),
            ]
            .into_iter()
            .enumerate()
            {
                let m = mac_text(mac(i, if d == 0 { 0 } else { d + 1 }));
                lines += &format!("link add {dev} address {m} type veth peer name {far}\n");
                lines += &format!("link set {far} netns {handle}\n");
                if d > 0 {
                    lines += &format!("link set {dev} arp off\n");
                }
            }
            batch(&lines);
            sh::must(&["nft", "-f", "-"], RULES);
        }
        setns(&world, CloneFlags::CLONE_NEWNET).expect("back to the far ends");
        let mut lines = String::from(
            "link add br0 type bridge stp_state 0 mcast_snooping 0\nlink add cli type veth peer name clifar\nlink set cli master br0\n",
        );
        let mut names = vec![("clifar".to_owned(), Far::Client)];
        for i in 0..count {
            lines += &format!("link set w{i} master br0\nlink set w{i} up\n");
            for d in 0..2 {
                lines += &format!("link set p{i}{d} up\n");
                names.push((format!("p{i}{d}"), Far::Pod(i, d)));
            }
        }
        lines += "link set br0 up\nlink set cli up\nlink set clifar up\n";
        batch(&lines);
        let wire = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("a packet socket");
        let _ = setsockopt(&wire, sockopt::RcvBufForce, &(8 << 20));
        let mut ends = HashMap::new();
        let mut by_index = HashMap::new();
        for a in nix::ifaddrs::getifaddrs().expect("the far ends") {
            let Some(l) = a.address.and_then(|s| s.as_link_addr().copied()) else {
                continue;
            };
            if let Some((_, far)) = names.iter().find(|(n, _)| *n == a.interface_name) {
                ends.insert(*far, l);
                by_index.insert(l.ifindex(), *far);
            }
        }
        Self {
            nodes,
            wire,
            ends,
            by_index,
        }
    }

    /// Puts the thread into a node's namespace.
    pub fn enter(&self, node: usize) {
        setns(&self.nodes[node], CloneFlags::CLONE_NEWNET).expect("the node's namespace");
    }

    /// Sends a packet from a far end to a device's hardware address.
    pub fn inject(&self, far: Far, to: [u8; 6], w: &Wire) {
        for frame in w.frames(to, CLIENT_MAC) {
            let _ = sendto(
                self.wire.as_raw_fd(),
                &frame,
                &self.ends[&far],
                MsgFlags::empty(),
            );
        }
    }

    /// Packets with a number that came to a far end, each with the hardware address that sent it.
    pub fn seen(&self, id: u32) -> Vec<(Far, [u8; 6], Wire)> {
        let mut out = Vec::new();
        let mut buf = [0u8; 4096];
        while let Ok((n, Some(from))) = recvfrom::<LinkAddr>(self.wire.as_raw_fd(), &mut buf) {
            let Some(far) = self.by_index.get(&from.ifindex()) else {
                continue;
            };
            // What the bridge floods to all is not for the client.
            if *far == Far::Client && buf[..6] != CLIENT_MAC {
                continue;
            }
            let mut by = [0; 6];
            by.copy_from_slice(&buf[6..12]);
            if let Some(w) = buf.get(14..n).and_then(Wire::parse)
                && (w.id == id || w.id == 0 && w.proto == TCP && id != 0)
                && by != CLIENT_MAC
            {
                out.push((*far, by, w));
            }
        }
        out
    }

    /// Sends a packet and waits for it to come out; patiently where it should.
    pub fn send(
        &self,
        far: Far,
        to: [u8; 6],
        w: &Wire,
        patient: bool,
    ) -> Vec<(Far, [u8; 6], Wire)> {
        let _ = self.seen(0);
        self.inject(far, to, w);
        for wait in [0, 100, 300, 1000, 5000, 20_000, 100_000] {
            if wait > 300 && !patient {
                break;
            }
            if wait > 0 {
                std::thread::sleep(Duration::from_micros(wait));
            }
            let seen = self.seen(w.id);
            if !seen.is_empty() {
                return seen;
            }
        }
        Vec::new()
    }

    /// Waits until the nodes' devices pass packets (`linkwatch_event` in `net/core/link_watch.c`).
    pub fn settle(&self) {
        for node in 0..self.nodes.len() {
            self.enter(node);
            for _ in 0..200 {
                let links = sh::must(&["ip", "-o", "link"], "");
                if links.matches("state UP").count() >= 3 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
