//! Who answers ARP and neighbour discovery: the model beside the running kernel. Nodes with random devices, addresses, routes, policy
//! rules and settings stand in network namespaces; questions go in by the far ends of their devices, and what comes back is compared.
//! `NFWHY_LAB_NODES` and `NFWHY_LAB_SEED` make the run longer or another; `NFWHY_LAB=require` fails where no namespaces can be
//! made, `NFWHY_LAB=off` skips.

#![expect(clippy::print_stderr, reason = "a run tells its figures")]

#[path = "lab/prng.rs"]
#[allow(dead_code, reason = "shared with the large lab")]
mod prng;
#[path = "lab/sh.rs"]
mod sh;
#[path = "lab/wanted.rs"]
#[allow(dead_code, reason = "shared with the large lab")]
mod wanted;

use nfwhy::capture::Snapshot;
use nfwhy::node::Node;
use nfwhy::sim::{Question, Said, neighbour};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendto, socket,
};
use prng::Prng;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

const DEVICES: [&str; 3] = ["ext0", "ext1", "pod0"];

/// Settings of IPv4 devices that have a say.
const KEYS4: [&str; 11] = [
    "arp_ignore",
    "arp_filter",
    "proxy_arp",
    "proxy_arp_pvlan",
    "forwarding",
    "rp_filter",
    "accept_local",
    "route_localnet",
    "drop_gratuitous_arp",
    "medium_id",
    "send_redirects",
];
const KEYS6: [&str; 3] = ["forwarding", "proxy_ndp", "disable_ipv6"];

fn mac_of(dev: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, u8::try_from(dev).unwrap_or(0) + 1]
}

const ASKER_MAC: [u8; 6] = [2, 0, 0, 0, 9, 9];

/// A node in the namespace of the calling thread, and a socket at the far ends.
struct Lab {
    wire: OwnedFd,
    peers: Vec<LinkAddr>,
    by_index: HashMap<usize, usize>,
}

fn this_ns() -> fs::File {
    fs::File::open("/proc/thread-self/ns/net").expect("the thread's own namespace")
}

fn put(path: &str, value: &str) {
    let _ = fs::write(format!("/proc/sys/net/{path}"), value);
}

impl Lab {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace for the far ends");
        let far = this_ns();
        put("ipv6/conf/all/disable_ipv6", "1");
        put("ipv6/conf/default/disable_ipv6", "1");
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace for the node");
        let node = this_ns();
        put("ipv6/conf/default/accept_dad", "0");
        put("ipv6/conf/default/router_solicitations", "0");
        let handle = format!("/proc/{}/fd/{}", std::process::id(), far.as_raw_fd());
        let mut batch = String::from("link set lo up\n");
        for (i, dev) in DEVICES.iter().enumerate() {
            let _ = writeln!(
                batch,
                "link add {dev} address 02:00:00:00:00:{:02x} type veth peer name far{i}",
                mac_of(i)[5]
            );
            let _ = writeln!(batch, "link set far{i} netns {handle}");
        }
        // Not every kernel has dummies.
        batch += "link add dum0 type veth peer name dum1\nlink set dum0 arp off\n";
        sh::must(&["ip", "-batch", "-"], &batch);
        setns(&far, CloneFlags::CLONE_NEWNET).expect("to the far ends");
        let mut up = String::new();
        for i in 0..DEVICES.len() {
            let _ = writeln!(up, "link set far{i} up");
        }
        sh::must(&["ip", "-batch", "-"], &up);
        let wire = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("a packet socket");
        let mut found: HashMap<String, LinkAddr> = HashMap::new();
        for a in nix::ifaddrs::getifaddrs().expect("the far ends' addresses") {
            if let Some(l) = a.address.and_then(|s| s.as_link_addr().copied()) {
                found.insert(a.interface_name, l);
            }
        }
        let mut peers = Vec::new();
        let mut by_index = HashMap::new();
        for i in 0..DEVICES.len() {
            let l = found[&format!("far{i}")];
            by_index.insert(l.ifindex(), i);
            peers.push(l);
        }
        setns(&node, CloneFlags::CLONE_NEWNET).expect("back to the node");
        let mut up = String::from("link set dum0 up\nlink set dum1 up\n");
        for dev in DEVICES {
            let _ = writeln!(up, "link set {dev} up");
        }
        sh::must(&["ip", "-batch", "-"], &up);
        let lab = Self {
            wire,
            peers,
            by_index,
        };
        for f in ["ipv4", "ipv6"] {
            for dev in DEVICES {
                // What is answered for others is answered at once.
                put(&format!("{f}/neigh/{dev}/proxy_delay"), "0");
            }
        }
        lab.wait_for_carrier();
        lab
    }

    /// A device passes packets only some time after it was set up (`linkwatch_event` in `net/core/link_watch.c`).
    fn wait_for_carrier(&self) {
        let mut frame = [0u8; 60];
        frame[12..14].copy_from_slice(&[0x88, 0xb5]);
        for _ in 0..1000 {
            for dev in 0..DEVICES.len() {
                self.send(dev, &frame);
            }
            let counts = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
            let live = |dev: &str| {
                counts.lines().any(|l| {
                    let mut words = l.split([':', ' ']).filter(|w| !w.is_empty());
                    words.next() == Some(dev) && words.nth(1).is_some_and(|n| n != "0")
                })
            };
            if DEVICES.iter().all(|d| live(d))
                && sh::must(&["ip", "-o", "link"], "")
                    .matches("state UP")
                    .count()
                    == DEVICES.len() + 2
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the devices do not come up");
    }

    fn send(&self, dev: usize, frame: &[u8]) {
        let _ = sendto(
            self.wire.as_raw_fd(),
            frame,
            &self.peers[dev],
            MsgFlags::empty(),
        );
    }

    /// Answers that came since the last call: device, address, to whom.
    fn answers(&self, into: &mut BTreeSet<(usize, IpAddr, IpAddr)>) -> bool {
        let mut some = false;
        let mut buf = [0u8; 2048];
        while let Ok((n, Some(from))) = recvfrom::<LinkAddr>(self.wire.as_raw_fd(), &mut buf) {
            let Some(dev) = self.by_index.get(&from.ifindex()) else {
                continue;
            };
            if let Some((target, asker)) = answer(&buf[..n]) {
                some = true;
                into.insert((*dev, target, asker));
            }
        }
        some
    }

    fn ask(&self, asked: &[Asked], patience: u32) -> BTreeSet<(usize, IpAddr, IpAddr)> {
        let mut got = BTreeSet::new();
        self.answers(&mut BTreeSet::new());
        for q in asked {
            self.send(q.dev, &q.frame());
        }
        let mut quiet = 0;
        while quiet < patience {
            if self.answers(&mut got) {
                quiet = 0;
            } else {
                quiet += 1;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        got
    }
}

/// The address of an ARP reply or a neighbour advertisement, and to whom it is sent.
fn answer(frame: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let four = |at: usize| -> Option<IpAddr> {
        let b: [u8; 4] = frame.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::V4(Ipv4Addr::from(b)))
    };
    let six = |at: usize| -> Option<IpAddr> {
        let b: [u8; 16] = frame.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::V6(Ipv6Addr::from(b)))
    };
    match frame.get(12..14)? {
        [8, 6] if frame.get(20..22)? == [0, 2] => Some((four(28)?, four(38)?)),
        // Next header ICMPv6, type 136.
        [0x86, 0xdd] if *frame.get(20)? == 58 && *frame.get(54)? == 136 => {
            Some((six(62)?, six(38)?))
        }
        _ => None,
    }
}

/// A question, as it goes in.
#[derive(Clone, Debug)]
struct Asked {
    dev: usize,
    target: IpAddr,
    asker: IpAddr,
}

impl Asked {
    fn frame(&self) -> Vec<u8> {
        let mut f = Vec::new();
        match (self.asker, self.target) {
            (IpAddr::V4(sip), IpAddr::V4(tip)) => {
                f.extend(mac_of(self.dev));
                f.extend(ASKER_MAC);
                f.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
                f.extend(ASKER_MAC);
                f.extend(sip.octets());
                f.extend([0; 6]);
                f.extend(tip.octets());
            }
            (IpAddr::V6(src), IpAddr::V6(target)) => {
                let t = target.octets();
                f.extend([0x33, 0x33, 0xff, t[13], t[14], t[15]]);
                f.extend(ASKER_MAC);
                f.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
                let group = Ipv6Addr::new(
                    0xff02,
                    0,
                    0,
                    0,
                    0,
                    1,
                    0xff00 | u16::from(t[13]),
                    u16::from(t[14]) << 8 | u16::from(t[15]),
                );
                f.extend(src.octets());
                f.extend(group.octets());
                let mut icmp = vec![135, 0, 0, 0, 0, 0, 0, 0];
                icmp.extend(t);
                icmp.extend([1, 1]);
                icmp.extend(ASKER_MAC);
                let mut sum = 32u32 + 58;
                let bytes = src.octets().into_iter().chain(group.octets());
                let all: Vec<u8> = bytes.chain(icmp.iter().copied()).collect();
                for c in all.chunks(2) {
                    sum += u32::from(c[0]) << 8 | u32::from(c[1]);
                }
                while sum >> 16 != 0 {
                    sum = (sum & 0xffff) + (sum >> 16);
                }
                icmp[2..4].copy_from_slice(&(!u16::try_from(sum).unwrap_or(0)).to_be_bytes());
                f.extend(icmp);
            }
            _ => unreachable!("families are not mixed here"),
        }
        f
    }
}

/// Makes the node's state; lines that the kernel refuses are no part of it.
fn draw(r: &mut Prng) {
    let mut lines: Vec<String> = Vec::new();
    for (line, percent) in [
        ("addr add 10.1.0.1/24 dev ext0", 92),
        ("addr add 10.2.0.1/24 dev ext1", 85),
        ("addr add 10.3.0.1/24 dev pod0", 40),
        ("addr add 10.1.0.2/24 dev ext0", 40),
        ("addr add 10.1.7.1/32 dev ext0", 30),
        ("addr add 10.1.0.100/32 dev dum0", 60),
        ("addr add 10.2.0.100/32 dev dum0", 40),
        ("addr add 10.9.9.9/32 dev lo", 50),
        ("addr add 10.1.0.101/32 dev lo", 30),
        ("addr add 10.9.8.8/32 dev ext1 scope host", 20),
        ("addr add 10.1.0.77/24 dev ext0 scope host", 15),
        ("addr add 10.1.0.78/24 dev ext0 scope link", 15),
        ("addr add 10.4.0.1 peer 10.4.0.2/30 dev ext1", 20),
        ("addr add 10.4.1.1 peer 10.4.2.2/32 dev ext1", 20),
        ("addr add 169.254.1.1/32 dev pod0 scope link", 20),
        ("-6 addr add fd01::1/64 dev ext0 nodad", 90),
        ("-6 addr add fd02::1/64 dev ext1 nodad", 70),
        ("-6 addr add fd01::100/128 dev dum0 nodad", 60),
        ("-6 addr add fd01::101/128 dev lo nodad", 40),
        ("-6 addr add fd03::1/128 dev pod0 nodad", 40),
        ("route add default via 10.1.0.254", 70),
        ("route add default via 10.2.0.254 metric 50", 25),
        ("route add 10.3.0.10 dev pod0", 60),
        ("route add 10.1.0.200 dev pod0", 40),
        ("route add 10.2.0.200 dev ext0", 25),
        ("route add 198.51.100.0/24 via 10.2.0.254", 50),
        ("route add 198.51.100.0/25 dev ext0", 20),
        ("route add blackhole 10.8.0.0/24", 40),
        ("route add prohibit 10.8.1.0/24", 30),
        ("route add throw 10.8.2.0/24", 30),
        ("route add local 10.96.0.0/24 dev lo", 12),
        ("route add broadcast 10.97.0.1 dev ext0", 10),
        ("route add local 10.98.0.1 dev ext0 table 100", 12),
        ("route add default via 10.2.0.254 table 100", 25),
        ("route add 10.1.0.0/24 dev ext1 table 100", 20),
        ("rule add from 10.1.0.0/24 lookup 100", 12),
        ("rule add to 10.1.0.0/24 lookup 100", 8),
        ("rule add iif ext1 lookup 100", 10),
        ("rule add iif lo lookup 100", 8),
        ("rule add ipproto tcp lookup 100", 6),
        ("rule add fwmark 0x1 lookup 100", 6),
        ("rule add to 10.98.0.1 lookup 100", 15),
        ("neigh add proxy 10.1.0.201 dev ext0", 40),
        ("neigh add proxy 198.51.100.9 dev ext0", 40),
        ("neigh add proxy 10.3.0.10 dev ext1", 30),
        ("-6 neigh add proxy fd01::201 dev ext0", 40),
        ("-6 neigh add proxy fd01::201 dev ext1", 20),
        ("-6 route add fd01::200 dev pod0", 40),
        ("link set pod0 arp off", 5),
    ] {
        if r.chance(percent) {
            lines.push(line.to_owned());
        }
    }
    if r.chance(20) {
        let n = lines.len();
        lines.swap(0, n / 8);
    }
    let mut plain = String::new();
    let mut six = String::new();
    for l in &lines {
        match l.strip_prefix("-6 ") {
            Some(l) => six += &format!("{l}\n"),
            None => plain += &format!("{l}\n"),
        }
    }
    sh::run(&["ip", "-force", "-batch", "-"], &plain);
    sh::run(&["ip", "-6", "-force", "-batch", "-"], &six);
    put("ipv4/ip_forward", r.one(&["0", "1", "1", "1"]));
    put("ipv6/conf/all/forwarding", r.one(&["0", "1", "1"]));
    for (key, values, all, one) in [
        ("arp_ignore", &["0", "1", "2", "3", "4", "8"][..], 30, 30),
        ("arp_filter", &["1"][..], 12, 15),
        ("proxy_arp", &["1"][..], 15, 25),
        ("proxy_arp_pvlan", &["1"][..], 8, 12),
        ("forwarding", &["0"][..], 0, 8),
        ("rp_filter", &["0", "1", "2"][..], 40, 30),
        ("accept_local", &["1"][..], 8, 10),
        ("route_localnet", &["1"][..], 8, 10),
        ("drop_gratuitous_arp", &["1"][..], 10, 10),
        ("medium_id", &["-1", "1", "2"][..], 0, 12),
        ("send_redirects", &["0"][..], 40, 50),
    ] {
        if r.chance(all) {
            put(&format!("ipv4/conf/all/{key}"), r.pick(values));
        }
        for dev in DEVICES {
            if r.chance(one) {
                put(&format!("ipv4/conf/{dev}/{key}"), r.pick(values));
            }
        }
    }
    for dev in ["all", "ext0", "ext1", "pod0"] {
        if r.chance(30) {
            put(&format!("ipv6/conf/{dev}/proxy_ndp"), "1");
        }
    }
}

/// The ordinary commands' output, as files.
fn capture() -> Vec<(&'static str, String)> {
    let ip = |line: &[&str]| sh::must(line, "");
    let mut sysctl = String::new();
    let mut read = |path: String| {
        if let Ok(v) = fs::read_to_string(format!("/proc/sys/net/{path}")) {
            let key = path.replace('/', ".");
            let _ = writeln!(sysctl, "net.{key} = {}", v.trim());
        }
    };
    read("ipv4/ip_forward".into());
    for dev in [
        "all", "default", "lo", "dum0", "dum1", "ext0", "ext1", "pod0",
    ] {
        for key in KEYS4 {
            read(format!("ipv4/conf/{dev}/{key}"));
        }
        for key in KEYS6 {
            read(format!("ipv6/conf/{dev}/{key}"));
        }
    }
    vec![
        ("ip-addr", ip(&["ip", "-d", "addr"])),
        ("ip-route", ip(&["ip", "route", "show", "table", "all"])),
        (
            "ip-6-route",
            ip(&["ip", "-6", "route", "show", "table", "all"]),
        ),
        ("ip-rule", ip(&["ip", "rule"])),
        ("ip-6-rule", ip(&["ip", "-6", "rule"])),
        ("ip-neigh", ip(&["ip", "neigh", "show", "proxy"])),
        ("ip-6-neigh", ip(&["ip", "-6", "neigh", "show", "proxy"])),
        ("sysctl", sysctl),
    ]
}

/// Questions worth asking.
fn questions(r: &mut Prng) -> Vec<Asked> {
    let targets4 = [
        "10.1.0.1",
        "10.1.0.2",
        "10.1.0.77",
        "10.1.0.78",
        "10.1.0.100",
        "10.1.0.101",
        "10.1.0.200",
        "10.1.0.201",
        "10.1.0.254",
        "10.1.0.255",
        "10.1.7.1",
        "10.2.0.1",
        "10.2.0.100",
        "10.2.0.200",
        "10.3.0.1",
        "10.3.0.10",
        "10.4.0.1",
        "10.4.0.2",
        "10.4.1.1",
        "10.8.0.1",
        "10.8.1.1",
        "10.8.2.1",
        "10.9.8.8",
        "10.9.9.9",
        "10.96.0.5",
        "10.97.0.1",
        "10.98.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "198.51.100.9",
        "198.51.100.200",
        "224.0.0.5",
        "8.8.8.8",
    ];
    let askers4 = [
        "10.1.0.50",
        "10.1.0.50",
        "10.1.0.50",
        "10.2.0.50",
        "10.2.0.50",
        "10.3.0.10",
        "10.4.0.2",
        "10.4.2.2",
        "198.51.100.1",
        "0.0.0.0",
        "10.1.0.1",
        "10.8.0.7",
        "127.0.0.9",
        "224.0.0.1",
        "10.1.0.255",
        "172.31.0.9",
    ];
    let targets6 = [
        "fd01::1",
        "fd01::",
        "fd02::1",
        "fd02::",
        "fd01::100",
        "fd01::101",
        "fd03::1",
        "fd01::200",
        "fd01::201",
        "fd01::fe",
    ];
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    while out.len() < 60 {
        let dev = r.below(DEVICES.len());
        let (target, asker): (IpAddr, IpAddr) = if r.chance(20) {
            (ip(r.pick(&targets6)), ip("fe80::9:9"))
        } else if r.chance(4) {
            let a = ip(r.pick(&targets4));
            (a, a)
        } else {
            (ip(r.pick(&targets4)), ip(r.pick(&askers4)))
        };
        if seen.insert((dev, target, asker)) {
            out.push(Asked { dev, target, asker });
        }
    }
    out
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What the model says: every possible verdict.
fn told(node: &Node<'_>, q: &Asked) -> Vec<Said> {
    let dev = node.device_by_name(DEVICES[q.dev]).expect("it is there");
    let asker = Some(q.asker);
    neighbour(
        node,
        Question {
            target: q.target,
            asker,
            dev,
        },
    )
}

#[test]
fn who_answers_as_the_kernel_does() {
    let here = this_ns();
    let goes_on = wanted::goes_on(|| {
        sh::missing(&[&["ip", "-V"]]).or_else(|| {
            let tried = unshare(CloneFlags::CLONE_NEWNET);
            let why = tried.err()?;
            Some(format!("no network namespaces for this user: {why}"))
        })
    });
    if !goes_on {
        return;
    }
    let nodes = wanted::knob("NFWHY_LAB_NODES", 25);
    let first = wanted::knob("NFWHY_LAB_SEED", 1);
    let (mut asked, mut answered, mut bad) = (0, 0, Vec::new());
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for seed in first..first + nodes {
        let mut r = Prng::new(seed);
        let lab = Lab::new();
        draw(&mut r);
        let files = capture();
        let mut snapshot = Snapshot::default();
        for (name, text) in &files {
            snapshot.add((*name).to_owned(), text.clone().into_bytes());
        }
        let node = Node::new(&snapshot);
        let all = questions(&mut r);
        let got = lab.ask(&all, 5);
        for q in &all {
            let to_all: IpAddr = q.asker;
            let heard =
                |set: &BTreeSet<(usize, IpAddr, IpAddr)>| set.contains(&(q.dev, q.target, to_all));
            let mut kernel = heard(&got);
            let said = told(&node, q);
            // Everything was captured, so there is one answer.
            let agrees = |kernel: bool| matches!(said.as_slice(), [s] if s.answers == Some(kernel));
            if !agrees(kernel) {
                // Slow is not silent.
                kernel = heard(&lab.ask(std::slice::from_ref(q), 60));
            }
            asked += 1;
            answered += u32::from(kernel);
            for s in said.iter().take(1) {
                let name = format!("{:?}", s.why);
                let name = name.split([' ', '{', '(']).next().unwrap_or_default();
                *kinds.entry(name.to_owned()).or_default() += 1;
            }
            if !agrees(kernel) {
                let mut text = String::new();
                for (name, part) in files.iter().filter(|_| bad.is_empty()) {
                    let _ = writeln!(text, "# {name}\n{part}");
                }
                bad.push(format!(
                    "seed {seed}: {} asks for {} at {}: the kernel {}, told {said:?}\n{text}",
                    q.asker,
                    q.target,
                    DEVICES[q.dev],
                    if kernel { "answers" } else { "is silent" },
                ));
            }
        }
    }
    setns(&here, CloneFlags::CLONE_NEWNET).expect("back");
    eprintln!(
        "{nodes} nodes, {asked} questions, {answered} answered, {} differ",
        bad.len()
    );
    eprintln!("{kinds:?}");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    assert!(answered > 0 || nodes < 5, "nobody answered anything");
}
