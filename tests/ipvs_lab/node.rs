//! A namespace made as a scenario says, the far ends of its devices, and what the ordinary commands print of it.

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto,
    setsockopt, socket, sockopt,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::places::WIRED;
use super::scenario::Scenario;
use super::sh;
use super::watch::Watch;

/// Packets per rule: table, chain, index.
pub type Counters = BTreeMap<(String, String, usize), u64>;

/// The node, which the calling thread is in, and a socket at the far ends.
#[derive(Debug)]
pub struct Node {
    /// The namespaces, which last as long as this does.
    _spaces: [File; 2],
    wire: OwnedFd,
    peers: Vec<LinkAddr>,
    /// The lab's log.
    pub watch: Watch,
    /// What tools said against the scenario.
    pub complaints: Vec<String>,
}

/// The hardware address of a device by its index.
pub fn mac_of(dev: usize) -> [u8; 6] {
    [2, 0, 0, 0, 9, u8::try_from(dev).unwrap_or(0)]
}

fn here() -> File {
    File::open("/proc/thread-self/ns/net").expect("the thread's namespace")
}

fn write(path: &str, value: &str) -> bool {
    std::fs::write(format!("/proc/sys/net/{path}"), value).is_ok()
}

impl Node {
    /// Makes it. The thread stays in its namespace.
    pub fn new(s: &Scenario) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace for the far ends");
        let far = here();
        for key in ["all", "default"] {
            write(&format!("ipv6/conf/{key}/disable_ipv6"), "1");
        }
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace for the node");
        let node = here();
        for (path, value) in [
            ("ipv6/conf/default/accept_dad", "0"),
            ("ipv6/conf/default/router_solicitations", "0"),
            ("ipv6/conf/default/accept_ra", "0"),
            ("ipv4/conf/all/send_redirects", "0"),
            ("ipv4/conf/default/send_redirects", "0"),
            // Every error message is to be seen.
            ("ipv4/icmp_ratemask", "0"),
            ("ipv4/icmp_msgs_per_sec", "1000000"),
            ("ipv4/icmp_msgs_burst", "1000000"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            write(path, value);
        }
        let handle = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
        let mut batch = String::from("link set lo up\n");
        for dev in &s.devices {
            batch += &match *dev {
                "kube-ipvs0" => "link add kube-ipvs0 type dummy\n".to_owned(),
                "tunl0" => {
                    "link add tunl0 type ipip local any remote any\nlink set tunl0 up\n".to_owned()
                }
                _ => {
                    let i = WIRED.iter().position(|w| w == dev).unwrap_or(0);
                    // No neighbour is looked for: every next hop can be reached (NUD_NOARP).
                    format!(
                        "link add {dev} address 02:00:00:00:09:{i:02x} type veth peer name far{i}\n\
                         link set {dev} arp off\n\
                         link set far{i} netns {handle}\n"
                    )
                }
            };
        }
        sh::must(&["ip", "-batch", "-"], &batch);
        setns(&far, CloneFlags::CLONE_NEWNET).expect("enter the far ends");
        let mut up = String::new();
        for i in 0..WIRED.len() {
            up += &format!(
                "link set far{i} up
"
            );
        }
        sh::must(&["ip", "-batch", "-"], &up);
        let wire = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("a packet socket");
        let _ = setsockopt(&wire, sockopt::RcvBufForce, &(4 << 20));
        let links: BTreeMap<String, LinkAddr> = nix::ifaddrs::getifaddrs()
            .expect("the far ends' addresses")
            .filter_map(|a| Some((a.interface_name, *a.address?.as_link_addr()?)))
            .collect();
        let peers = (0..WIRED.len())
            .map(|i| links[&format!("far{i}")])
            .collect();
        setns(&node, CloneFlags::CLONE_NEWNET).expect("enter the node");
        let watch = Watch::new();
        let mut made = Self {
            _spaces: [far, node],
            wire,
            peers,
            watch,
            complaints: Vec::new(),
        };
        made.fill(s);
        made
    }

    fn tell(&mut self, line: &[&str], input: &str) {
        let said = sh::run(line, input);
        if !said.ok {
            self.complaints
                .push(format!("{line:?}: {}", said.err.trim()));
        }
    }

    fn fill(&mut self, s: &Scenario) {
        for (path, value) in &s.sysctls {
            if !write(path, value) {
                self.complaints.push(format!("{path} cannot be set"));
            }
        }
        let mut up = String::new();
        for d in WIRED {
            up += &format!("link set {d} up\n");
        }
        let family = if s.places.v6 { "-6" } else { "-4" };
        let lines: Vec<String> =
            s.ip.iter()
                .map(|l| {
                    if s.places.v6 && l.starts_with("addr") {
                        format!("{l} nodad")
                    } else {
                        l.clone()
                    }
                })
                .collect();
        self.tell(
            &["ip", family, "-force", "-batch", "-"],
            &(up + &lines.join("\n") + "\n"),
        );
        self.tell(&["ipset", "restore"], &(s.sets.join("\n") + "\n"));
        self.tell(&[&s.tool("restore")], &s.rules);
        self.tell(&["ipvsadm", "-R"], &(s.ipvs.join("\n") + "\n"));
        self.wait_for_carrier();
    }

    /// A device passes packets some time after it was set up (`linkwatch_event` in `net/core/link_watch.c`).
    fn wait_for_carrier(&self) {
        for _ in 0..200 {
            let links = sh::must(&["ip", "-o", "link"], "");
            if links.matches("state UP").count() == WIRED.len() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.frames();
    }

    /// Puts a frame on the wire towards a device.
    pub fn inject(&self, dev: usize, frame: &[u8]) {
        sendto(
            self.wire.as_raw_fd(),
            frame,
            &self.peers[dev],
            MsgFlags::empty(),
        )
        .expect("put a frame on the wire");
    }

    /// IP packets that left since the last call, by device.
    pub fn frames(&self) -> Vec<(usize, Vec<u8>)> {
        let mut out = Vec::new();
        let mut buf = [0; 4096];
        while let Ok((n, Some(at))) = recvfrom::<LinkAddr>(self.wire.as_raw_fd(), &mut buf) {
            let dev = self.peers.iter().position(|p| p.ifindex() == at.ifindex());
            if let Some(dev) = dev
                && let Some(packet) = buf[..n].get(14..)
            {
                out.push((dev, packet.to_vec()));
            }
        }
        out
    }

    /// The node by the ordinary commands: file names and contents.
    pub fn capture(s: &Scenario) -> Vec<(String, String)> {
        let mut files = Vec::new();
        let mut add = |name: &str, line: &[&str]| files.push((name.to_owned(), sh::must(line, "")));
        let name = if s.places.v6 {
            "ip6tables-save.txt"
        } else {
            "iptables-save.txt"
        };
        add(name, &[&s.tool("save")]);
        add("ipset.txt", &["ipset", "save"]);
        if s.saved {
            add("ipvsadm-save.txt", &["ipvsadm", "-S", "-n"]);
        } else {
            add("ipvsadm.txt", &["ipvsadm", "-l", "-n"]);
        }
        add("ip-addr.txt", &["ip", "-d", "addr"]);
        if s.places.v6 {
            add(
                "ip-6-route.txt",
                &["ip", "-6", "route", "show", "table", "all"],
            );
            add("ip-6-rule.txt", &["ip", "-6", "rule"]);
        } else {
            add("ip-route.txt", &["ip", "route", "show", "table", "all"]);
            add("ip-rule.txt", &["ip", "rule"]);
        }
        files.push(("sysctl.txt".into(), settings()));
        files
    }

    /// All that a live reading has and a packet's way may depend on, by the ordinary commands.
    pub fn commands(s: &Scenario) -> Vec<(String, String)> {
        let mut files = Vec::new();
        for (name, line) in [
            ("nft.txt", &["nft", "list", "ruleset"][..]),
            ("ipset.txt", &["ipset", "save"]),
            ("ipvsadm.txt", &["ipvsadm", "-l", "-n"]),
            ("ip-addr.txt", &["ip", "-d", "addr"]),
            ("ip-route.txt", &["ip", "route", "show", "table", "all"]),
            (
                "ip-6-route.txt",
                &["ip", "-6", "route", "show", "table", "all"],
            ),
            ("ip-rule.txt", &["ip", "rule"]),
            ("ip-6-rule.txt", &["ip", "-6", "rule"]),
            ("ip-neigh.txt", &["ip", "neigh"]),
            ("conntrack.txt", &["conntrack", "-L"]),
            ("conntrack-6.txt", &["conntrack", "-L", "-f", "ipv6"]),
        ] {
            files.push((name.to_owned(), sh::must(line, "")));
        }
        // It fails at secrets that are not set.
        let all = sh::run(&["/bin/busybox", "sysctl", "-a"], "");
        files.push(("sysctl.txt".into(), all.out));
        let tool = s.tool("save");
        files.push((format!("{tool}.txt"), sh::must(&[&tool], "")));
        files.retain(|(_, text)| !text.trim().is_empty());
        files
    }

    /// Packets counted so far.
    pub fn counters(s: &Scenario) -> Counters {
        let text = sh::must(&[&s.tool("save"), "-c"], "");
        let mut out = Counters::new();
        let mut table = "";
        let mut next: BTreeMap<&str, usize> = BTreeMap::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
                next.clear();
            }
            let Some((count, rest)) = line.strip_prefix('[').and_then(|l| l.split_once(':')) else {
                continue;
            };
            let Some((_, rule)) = rest.split_once("] -A ") else {
                continue;
            };
            let chain = rule.split(' ').next().unwrap_or_default();
            let at = next.entry(chain).or_default();
            out.insert(
                (table.to_owned(), chain.to_owned(), *at),
                count.parse().unwrap_or(0),
            );
            *at += 1;
        }
        out
    }
}

/// The settings that bear on a packet, as `sysctl` prints them.
fn settings() -> String {
    let mut out = String::new();
    let mut add = |path: &str| {
        if let Ok(v) = std::fs::read_to_string(format!("/proc/sys/net/{path}")) {
            out += &format!("net.{} = {}\n", path.replace('/', "."), v.trim());
        }
    };
    add("ipv4/ip_forward");
    add("netfilter/nf_conntrack_tcp_loose");
    for key in [
        "conntrack",
        "sloppy_tcp",
        "sloppy_sctp",
        "snat_reroute",
        "nat_icmp_send",
        "expire_nodest_conn",
        "conn_reuse_mode",
    ] {
        add(&format!("ipv4/vs/{key}"));
    }
    for dev in ["all", "default", "lo", "tunl0", "kube-ipvs0"]
        .into_iter()
        .chain(WIRED)
    {
        for key in [
            "accept_local",
            "forwarding",
            "route_localnet",
            "rp_filter",
            "src_valid_mark",
        ] {
            add(&format!("ipv4/conf/{dev}/{key}"));
        }
        for key in ["disable_ipv6", "forwarding"] {
            add(&format!("ipv6/conf/{dev}/{key}"));
        }
    }
    out
}
