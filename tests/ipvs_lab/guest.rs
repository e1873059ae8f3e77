//! Inside the emulated machine: makes each scenario, sends its packets, hands out what it saw.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, connect,
    sendto, setsockopt, socket, sockopt,
};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::frame::{ICMP, ICMPV6, SCTP, TCP, UDP, Wire};
use super::node::{Counters, Node, mac_of};
use super::places::UPLINK;
use super::probes::{self, From, Probe, unwrapped};
use super::record::{Course, Live, Record, Seen};
use super::scenario::Scenario;
use super::sh;
use super::watch::At;

/// Makes the scenarios of these seeds and writes their records.
pub fn run(seeds: impl Iterator<Item = u64>, test: &str, mut out: File) {
    // No namespace is given up: the end of one may wait for ever for a device that a real server's route still holds, and with it
    // every new one (`cleanup_net`, `netdev_wait_allrefs_any`).
    let mut nodes = Vec::new();
    for seed in seeds {
        let s = Scenario::draw(seed);
        let node = Node::new(&s);
        let record = scenario(&s, &node, test);
        nodes.push(node);
        let line = serde_json::to_string(&record).expect("a record is JSON");
        writeln!(out, "{line}").expect("the record goes out");
    }
    out.flush().expect("the last record goes out");
}

/// Set in a copy of this program that reads its namespace: where to.
pub const READ: &str = "NFWHY_IPVS_READ";

/// Reads the namespace.
pub fn read(to: &Path) {
    let reading = nfwhy::capture::live::Reading::of_this_namespace(None);
    let outputs = reading.outputs.into_iter();
    // In one piece: the rest of it would miss services where many namespaces have some.
    let mut piece = vec![0; 1 << 16];
    let said = File::open("/proc/thread-self/net/ip_vs").and_then(|mut f| f.read(&mut piece));
    piece.truncate(said.unwrap_or(0));
    let live = Live {
        outputs: outputs.map(|o| (o.name.to_owned(), o.text)).collect(),
        unread: reading.unread,
        remarks: reading.remarks,
        file: String::from_utf8_lossy(&piece).into_owned(),
    };
    let text = serde_json::to_string(&live).expect("a reading is JSON");
    std::fs::write(to, text).expect("the reading goes out");
}

/// What nfwhy reads where no command can be found: a process of its own, as the search path is a process's.
fn live(test: &str) -> Live {
    let to = std::env::temp_dir().join("reading");
    let said = std::process::Command::new("/proc/self/exe")
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("PATH", "/nonexistent")
        .env(READ, &to)
        .output()
        .expect("this program runs");
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "reading: {complaint}");
    let text = std::fs::read_to_string(&to).expect("the reading");
    std::fs::remove_file(&to).expect("it is there");
    serde_json::from_str(&text).expect("a reading is JSON")
}

fn scenario(s: &Scenario, node: &Node, test: &str) -> Record {
    warm_up(s, node);
    let mut before = Node::counters(s);
    let mut record = Record {
        seed: s.seed,
        complaints: node.complaints.clone(),
        files: Node::capture(s),
        listing: sh::must(&["ipvsadm", "-l", "-n"], ""),
        live: live(test),
        commands: Node::commands(s),
        courses: Vec::new(),
    };
    let tunnels = s.ipvs.iter().any(|l| l.contains(" -i "));
    for p in &s.probes {
        if tunnels {
            // Outer packets belong to connections that many packets share.
            let _ = sh::run(&["conntrack", "-F"], "");
            warm_up(s, node);
            before = Node::counters(s);
        }
        let mut course = Course {
            first: send(s, node, p),
            ..Course::default()
        };
        if let Some(r) = probes::reply(p, &course.first, s.tunnelled()) {
            if !probes::unanswered(p) {
                course.reply = Some(send(s, node, &r));
            }
            if p.wire.id % 9 == 1 {
                let family = if s.places.v6 { "ipv6" } else { "ipv4" };
                course.table = Some(sh::run(&["conntrack", "-L", "-f", family], "").out);
            }
            course.later = probes::later(p).map(|l| send(s, node, &l));
        }
        // Reading the counters takes longer than all else.
        let after = Node::counters(s);
        course.hits = difference(&before, &after);
        before = after;
        record.courses.push(course);
    }
    record
}

/// The simulator takes a tunnel's own connection as known; both ends have spoken.
fn warm_up(s: &Scenario, node: &Node) {
    if !s.devices.contains(&"tunl0") {
        return;
    }
    for (far, pod) in s.places.far_nodes.iter().zip(s.places.far_pods) {
        let echo = |id: u32| Wire {
            src: pod,
            dst: s.places.own,
            proto: ICMP,
            sport: 1,
            dport: 0,
            icmp: (8, 0),
            flags: 0,
            seq: 0,
            ack: 0,
            tos: 0,
            ttl: 63,
            id,
            payload: 16,
            split: false,
        };
        for from_node in [false, true] {
            if from_node {
                let mut out = echo(2);
                (out.src, out.dst) = (s.places.own, pod);
                let _ = locally(&Probe {
                    from: From::Local {
                        mark: 0,
                        bound: false,
                    },
                    wire: out,
                });
            } else {
                inject(s, node, UPLINK, Some(*far), &echo(1));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn difference(before: &Counters, after: &Counters) -> Vec<super::record::Counted> {
    after
        .iter()
        .filter_map(|(k, n)| {
            let d = n - before.get(k).copied().unwrap_or(0);
            (d != 0).then(|| (k.0.clone(), k.1.clone(), k.2, d))
        })
        .collect()
}

fn inject(s: &Scenario, node: &Node, dev: usize, by: Option<IpAddr>, wire: &Wire) {
    let mut packet = wire.packet();
    if let (Some(IpAddr::V4(from)), IpAddr::V4(to)) = (by, s.places.node[1]) {
        packet = wrapped(from.octets(), to.octets(), &packet);
    }
    let mut frame = mac_of(dev).to_vec();
    frame.extend([2, 0, 0, 0, 8, 1]);
    frame.extend(if s.places.v6 { [0x86, 0xdd] } else { [8, 0] });
    frame.extend(packet);
    node.inject(dev, &frame);
}

/// IP in IP.
fn wrapped(from: [u8; 4], to: [u8; 4], inner: &[u8]) -> Vec<u8> {
    let [hi, lo] = u16::try_from(20 + inner.len()).unwrap_or(0).to_be_bytes();
    let mut head = vec![0x45, 0, hi, lo, 0, 1, 0x40, 0, 64, 4, 0, 0];
    head.extend(from);
    head.extend(to);
    let mut sum: u32 = head
        .chunks(2)
        .map(|c| u32::from(c[0]) << 8 | u32::from(c[1]))
        .sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let check = !u16::try_from(sum).unwrap_or(0);
    head[10..12].copy_from_slice(&check.to_be_bytes());
    head.extend(inner);
    head
}

fn send(s: &Scenario, node: &Node, p: &Probe) -> Seen {
    let _ = (node.frames(), node.watch.seen());
    let mut seen = Seen::default();
    match p.from {
        From::Device(dev) => inject(s, node, dev, None, &p.wire),
        From::Tunnel(by) => inject(s, node, UPLINK, Some(by), &p.wire),
        From::Local { .. } => seen.error = locally(p).err().map(|e| e as i32),
        From::Raw => seen.error = raw(&p.wire).err().map(|e| e as i32),
    }
    for wait in [0, 300, 2000, 5000] {
        std::thread::sleep(Duration::from_micros(wait));
        gather(node, p, &mut seen);
        if !(seen.left.is_empty() && seen.delivered.is_empty() && seen.answers.is_empty())
            || seen.error.is_some()
        {
            break;
        }
    }
    seen
}

/// Whether this is the packet in question, wherever it is: what else the node says (listener reports and the like) is not.
fn ours(p: &Probe, w: &Wire) -> bool {
    w.proto == p.wire.proto
        && match w.proto {
            TCP | UDP | SCTP => true,
            ICMP => matches!(w.icmp.0, 0 | 8),
            ICMPV6 => matches!(w.icmp.0, 128 | 129),
            _ => false,
        }
}

fn gather(node: &Node, p: &Probe, seen: &mut Seen) {
    for (dev, bytes) in node.frames() {
        if unwrapped(&bytes).is_some_and(|(w, _)| ours(p, &w)) {
            seen.left.push((dev, bytes));
        }
    }
    for (at, mark, bytes) in node.watch.seen() {
        let Some(w) = Wire::parse(&bytes) else {
            continue;
        };
        match at {
            At::Answer => seen.answers.push(bytes),
            At::Delivered if ours(p, &w) => seen.delivered.push((mark, bytes)),
            At::Sent if ours(p, &w) => seen.mark = Some(mark),
            _ => {}
        }
    }
}

fn storage(ip: IpAddr, port: u16) -> SockaddrStorage {
    match SocketAddr::new(ip, port) {
        SocketAddr::V4(a) => a.into(),
        SocketAddr::V6(a) => a.into(),
    }
}

/// As a process would.
fn locally(p: &Probe) -> Result<(), Errno> {
    let (w, From::Local { mark, bound }) = (&p.wire, &p.from) else {
        return Ok(());
    };
    let v4 = w.dst.is_ipv4();
    let family = if v4 {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let (kind, proto) = match w.proto {
        TCP => (SockType::Stream, SockProtocol::Tcp),
        UDP => (SockType::Datagram, SockProtocol::Udp),
        ICMP => (SockType::Raw, SockProtocol::Icmp),
        _ => (SockType::Raw, SockProtocol::IcmpV6),
    };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd: OwnedFd = socket(family, kind, flags, proto)?;
    setsockopt(&fd, sockopt::Mark, mark)?;
    let any: IpAddr = if v4 {
        [0u8; 4].into()
    } else {
        [0u16; 8].into()
    };
    let ports = matches!(w.proto, TCP | UDP);
    let (sport, dport) = if ports { (w.sport, w.dport) } else { (0, 0) };
    bind(
        fd.as_raw_fd(),
        &storage(if *bound { w.src } else { any }, sport),
    )?;
    let to = storage(w.dst, dport);
    if w.proto == TCP {
        return match connect(fd.as_raw_fd(), &to) {
            Err(Errno::EINPROGRESS) | Ok(()) => Ok(()),
            Err(e) => Err(e),
        };
    }
    // The header is the kernel's, save for ICMP.
    let packet = w.packet();
    let head = if v4 { 20 } else { 40 };
    let skip = if ports { head + 8 } else { head };
    sendto(fd.as_raw_fd(), &packet[skip..], &to, MsgFlags::empty()).map(|_| ())
}

/// With headers of its own (`IP_HDRINCL`), by a socket bound to the packet's source.
fn raw(w: &Wire) -> Result<(), Errno> {
    let family = if w.dst.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    // IPPROTO_RAW has it switched on.
    let fd: OwnedFd = socket(
        family,
        SockType::Raw,
        SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    bind(fd.as_raw_fd(), &storage(w.src, 0))?;
    let to = storage(w.dst, 0);
    sendto(fd.as_raw_fd(), &w.packet(), &to, MsgFlags::empty()).map(|_| ())
}
