//! Network namespaces: the node under test and the far ends of its devices.

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use super::sh;

/// The devices of every node, in the order of their creation: two uplinks and two pods.
pub const DEVICES: [&str; 4] = ["ext0", "ext1", "pod0", "pod1"];

/// The hardware address of a node's device.
pub fn mac_of(dev: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, u8::try_from(dev).unwrap_or(0) + 1]
}

/// A frame that left the node.
#[derive(Clone, Debug)]
pub struct Frame {
    /// By which of [`DEVICES`].
    pub dev: usize,
    /// The whole Ethernet frame.
    pub bytes: Vec<u8>,
}

/// A node's namespace, which the calling thread is in until it makes another, and a socket at the far ends.
#[derive(Debug)]
pub struct Netns {
    wire: OwnedFd,
    peers: Vec<LinkAddr>,
    by_index: HashMap<usize, usize>,
}

fn this_ns() -> File {
    File::open("/proc/thread-self/ns/net").expect("the thread's own namespace")
}

impl Netns {
    /// A fresh node with its devices up, and no state beyond that. The thread stays in it.
    pub fn new() -> Result<Self, String> {
        let step = |what: &'static str| move |e: Errno| format!("{what}: {e}");
        unshare(CloneFlags::CLONE_NEWNET).map_err(step("a namespace for the far ends"))?;
        let far = this_ns();
        // The far ends only listen: nothing of theirs may answer or announce itself.
        for key in ["all", "default"] {
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{key}/disable_ipv6"), "1");
        }
        unshare(CloneFlags::CLONE_NEWNET).map_err(step("a namespace for the node"))?;
        let node = this_ns();
        for (path, value) in [
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            // Every error is to be seen, not only the first of a second. Not by icmp_ratelimit=0: that empties the bucket
            // which `ip_error` (net/ipv4/route.c) shares.
            ("ipv4/icmp_ratemask", "0"),
            ("ipv4/icmp_msgs_per_sec", "1000000"),
            ("ipv4/icmp_msgs_burst", "1000000"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            let _ = std::fs::write(format!("/proc/sys/net/{path}"), value);
        }
        let mut batch = String::from("link set lo up\n");
        for (i, dev) in DEVICES.iter().enumerate() {
            let m = mac_of(i);
            // No neighbour resolution: every next hop is at once reachable (`arp_constructor`, `ndisc_constructor`: NUD_NOARP).
            batch += &format!(
                "link add {dev} address 02:00:00:00:00:{:02x} type veth peer name far{i}\n",
                m[5]
            );
            batch += &format!("link set {dev} arp off\n");
        }
        sh::must(&["ip", "-batch", "-"], &batch);
        let mut moves = String::new();
        let handle = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
        for i in 0..DEVICES.len() {
            moves += &format!("link set far{i} netns {handle}\n");
        }
        sh::must(&["ip", "-batch", "-"], &moves);
        setns(&far, CloneFlags::CLONE_NEWNET).map_err(step("enter the far ends"))?;
        let mut up = String::new();
        for i in 0..DEVICES.len() {
            up += &format!("link set far{i} up\n");
        }
        sh::must(&["ip", "-batch", "-"], &up);
        let wire = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .map_err(step("a packet socket"))?;
        let _ = setsockopt(&wire, sockopt::RcvBufForce, &(8 << 20));
        let mut found: HashMap<String, LinkAddr> = HashMap::new();
        for a in nix::ifaddrs::getifaddrs().map_err(step("the far ends' addresses"))? {
            if let Some(l) = a.address.and_then(|s| s.as_link_addr().copied()) {
                found.insert(a.interface_name, l);
            }
        }
        let mut peers = Vec::new();
        let mut by_index = HashMap::new();
        for i in 0..DEVICES.len() {
            let l = found
                .get(&format!("far{i}"))
                .copied()
                .ok_or("a far end has no link address")?;
            by_index.insert(l.ifindex(), i);
            peers.push(l);
        }
        setns(&node, CloneFlags::CLONE_NEWNET).map_err(step("enter the node"))?;
        let mut up = String::new();
        for dev in DEVICES {
            up += &format!("link set {dev} up\n");
        }
        sh::must(&["ip", "-batch", "-"], &up);
        let made = Self {
            wire,
            peers,
            by_index,
        };
        made.wait_for_carrier()?;
        Ok(made)
    }

    /// A device passes packets only some time after it was set up (`linkwatch_event` in `net/core/link_watch.c`). A frame of no
    /// known protocol shows it: the device counts it.
    fn wait_for_carrier(&self) -> Result<(), String> {
        let mut frame = [0u8; 60];
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        for _ in 0..500 {
            for dev in 0..DEVICES.len() {
                let _ = self.inject(dev, &frame);
            }
            let counts = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
            let live = |dev: &str| {
                counts.lines().any(|l| {
                    let mut words = l.split([':', ' ']).filter(|w| !w.is_empty());
                    words.next() == Some(dev) && words.nth(1).is_some_and(|n| n != "0")
                })
            };
            let links = sh::must(&["ip", "-o", "link"], "");
            let up = links.matches("state UP").count() == DEVICES.len();
            if up && DEVICES.iter().all(|d| live(d)) {
                let _ = self.frames();
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Err("the devices do not come up".into())
    }

    /// Puts a frame on the wire towards one of the node's devices.
    pub fn inject(&self, dev: usize, frame: &[u8]) -> Result<(), Errno> {
        sendto(
            self.wire.as_raw_fd(),
            frame,
            &self.peers[dev],
            MsgFlags::empty(),
        )
        .map(|_| ())
    }

    /// What came out of the node since the last call.
    pub fn frames(&self) -> Vec<Frame> {
        let mut out = Vec::new();
        let mut buf = [0u8; 4096];
        while let Ok((n, Some(from))) = recvfrom::<LinkAddr>(self.wire.as_raw_fd(), &mut buf) {
            let Some(dev) = self.by_index.get(&from.ifindex()) else {
                continue;
            };
            out.push(Frame {
                dev: *dev,
                bytes: buf[..n].to_vec(),
            });
        }
        out
    }
}

/// Why no lab can be made here; `None` where it can.
pub fn obstacle() -> Option<String> {
    let here = this_ns();
    let tried = unshare(CloneFlags::CLONE_NEWNET);
    match tried {
        Ok(()) => setns(&here, CloneFlags::CLONE_NEWNET)
            .err()
            .map(|e| format!("no way back from a network namespace: {e}")),
        Err(e) => Some(format!("no network namespaces for this user: {e}")),
    }
}
