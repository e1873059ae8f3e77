use super::*;
use crate::common::Proto;
use crate::tcpdump::{self, Way, What};

/// The same packets as `tcpdump-both.txt`, recorded at the same time.
const ANY: &[u8] = include_bytes!("../../tests/data/any.pcap");
const SLL: &[u8] = include_bytes!("../../tests/data/sll.pcap");
const ETHERNET: &[u8] = include_bytes!("../../tests/data/va.pcap");
const NANO: &[u8] = include_bytes!("../../tests/data/vb-nano.pcap");
const TEXT: &str = include_str!("../../tests/data/tcpdump-both.txt");

/// What both tell of a packet.
fn told(p: &Packet) -> String {
    let flags = p.tcp().map(|t| (t.flags, t.stamp));
    let what = match p.what {
        What::Echo { reply, id, seq } => format!("echo {reply} {id} {seq}"),
        // Text tells the port of some errors only.
        What::Error { kind, about } => format!("{kind:?} {:?}", about.dst),
        _ => String::new(),
    };
    let way = p.way;
    let proto = p.proto;
    format!(
        "{} {:?} > {} {:?} {proto:?} {flags:?} {what} {way:?} {}",
        p.src, p.sport, p.dst, p.dport, p.depth
    )
}

#[test]
fn a_capture_holds_what_tcpdump_printed_of_it() {
    let text = tcpdump::parse(TEXT);
    let text: Vec<&Packet> = text.iter().flat_map(|s| &s.packets).collect();
    let any = read(ANY, u32::MAX);
    assert_eq!(any.problems, []);
    // The text's device by name, the capture's by number.
    let a: Vec<String> = any.packets.iter().map(told).collect();
    assert!(text.len() > 50, "{}", text.len());
    for t in text {
        assert!(a.contains(&told(t)), "{}", told(t));
    }
    assert!(any.packets.iter().all(|p| matches!(p.dev, Dev::Index(_))));
}

#[test]
fn link_types_give_the_same_packets() {
    let ends = |c: &Capture, keep: &dyn Fn(&Packet) -> bool| -> Vec<String> {
        let ours = |p: &&Packet| p.tcp().is_some() && keep(p);
        let list = c.packets.iter().filter(ours);
        list.map(|p| format!("{} {} {:?}", p.src, p.dst, p.tcp()))
            .collect()
    };
    let (any, sll) = (read(ANY, u32::MAX), read(SLL, u32::MAX));
    let all = |_: &Packet| true;
    assert_eq!(ends(&any, &all), ends(&sll, &all));
    assert!(
        sll.packets
            .iter()
            .all(|p| p.dev == Dev::Unknown && p.way.is_some())
    );
    let (va, vb) = (read(ETHERNET, u32::MAX), read(NANO, u32::MAX));
    for (one, name) in [(&va, 3), (&vb, 5)] {
        let of = |p: &Packet| p.dev == Dev::Index(name);
        assert_eq!(ends(&any, &of), ends(one, &all));
        assert!(one.packets.iter().all(|p| p.way.is_none()));
    }
    // Times of both units.
    let first = |c: &Capture| c.packets[0].time.expect("a time");
    let apart = first(&vb).since(first(&va)).expect("both have a day");
    assert!(apart.abs() < 60_000_000_000, "{apart}");
}

#[test]
fn the_text_of_a_capture_reads_back_as_it() {
    for bytes in [ANY, SLL, ETHERNET, NANO] {
        let c = read(bytes, u32::MAX);
        let text = as_text(&c);
        assert_eq!(text.lines().count(), c.count as usize);
        let again = tcpdump::parse(&text);
        let again: Vec<Packet> = again.into_iter().flat_map(|s| s.packets).collect();
        assert_eq!(again, c.packets);
    }
}

#[test]
fn a_bound_is_said() {
    let c = read(ANY, 3);
    assert_eq!(c.count, 3);
    assert_eq!(c.problems.len(), 1);
    assert!(
        c.problems[0].1.contains("first 3 packets"),
        "{:?}",
        c.problems
    );
}

#[test]
fn a_cut_file_gives_what_is_before_the_cut() {
    let whole = read(ANY, u32::MAX);
    for end in (0..ANY.len()).step_by(7) {
        let c = read(&ANY[..end], u32::MAX);
        assert!(whole.packets.starts_with(&c.packets), "{end}");
        assert!(c.count <= whole.count);
    }
    let c = read(&ANY[..ANY.len() - 1], u32::MAX);
    assert_eq!(c.problems.len(), 1);
    assert_eq!(c.count + 1, whole.count);
}

/// IPv4 with UDP of 1 byte, from 10.0.0.1:1000 to 10.0.0.2:53.
fn datagram() -> Vec<u8> {
    let mut d = vec![
        0x45, 0, 0, 29, 0, 7, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    d.extend([0x03, 0xe8, 0, 53, 0, 9, 0, 0, 0xff]);
    d
}

fn ethernet(kind: u16, inner: &[u8]) -> Vec<u8> {
    let mut f = vec![0; 12];
    f.extend(kind.to_be_bytes());
    f.extend(inner);
    f
}

/// An IPv4 packet of a protocol around another.
fn around(proto: u8, inner: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + inner.len())
        .expect("short")
        .to_be_bytes();
    let mut d = vec![0x45, 0, length[0], length[1], 0, 9, 0, 0, 64, proto, 0, 0];
    d.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    d.extend(inner);
    d
}

/// A pcap file, in either order of bytes.
fn file(big: bool, nano: bool, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let n = |x: u32| {
        if big {
            x.to_be_bytes()
        } else {
            x.to_le_bytes()
        }
    };
    let mut f = Vec::new();
    f.extend(n(if nano { 0xa1b2_3c4d } else { 0xa1b2_c3d4 }));
    f.extend(n(0x0002_0004));
    f.extend([0; 8]);
    f.extend(n(65535));
    f.extend(n(link));
    for d in frames {
        let length = u32::try_from(d.len()).expect("short");
        for x in [1_700_000_000, 5, length, length] {
            f.extend(n(x));
        }
        f.extend(d);
    }
    f
}

#[track_caller]
fn check(link: u32, frame: &[u8], ends: &[&str]) {
    for (big, nano) in [(false, false), (true, false), (false, true), (true, true)] {
        let bytes = file(big, nano, link, &[frame.to_vec()]);
        assert!(is_capture(&bytes));
        let c = read(&bytes, 10);
        assert_eq!(c.problems, []);
        let found: Vec<String> = c
            .packets
            .iter()
            .map(|p| format!("{} {:?} {} {:?}", p.src, p.sport, p.dst, p.dport))
            .collect();
        assert_eq!(found, ends, "link type {link}");
        let ns = 1_700_000_000_000_000_000 + if nano { 5 } else { 5000 };
        assert_eq!(c.packets[0].time.map(|t| t.ns), Some(ns));
    }
}

const ENDS: &str = "10.0.0.1 Some(1000) 10.0.0.2 Some(53)";
const OUTER: &str = "192.0.2.1 None 192.0.2.2 None";

#[test]
fn links_without_a_device_here() {
    for link in [12, 14, 101] {
        check(link, &datagram(), &[ENDS]);
    }
    check(1, &ethernet(0x0800, &datagram()), &[ENDS]);
    let mut tagged = vec![0, 5, 0x08, 0];
    tagged.extend(datagram());
    check(1, &ethernet(0x8100, &tagged), &[ENDS]);
    let mut twice = vec![0, 6, 0x81, 0];
    twice.extend(tagged);
    check(1, &ethernet(0x88a8, &twice), &[ENDS]);
}

#[test]
fn tunnels_have_their_packets_in_them() {
    check(101, &around(4, &datagram()), &[OUTER, ENDS]);
    let mut gre = vec![0x20, 0, 0x08, 0, 0, 0, 0, 1];
    gre.extend(datagram());
    check(101, &around(47, &gre), &[OUTER, ENDS]);
    let mut vxlan = vec![0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 16, 0, 0];
    vxlan.extend(ethernet(0x0800, &datagram()));
    check(
        101,
        &around(17, &vxlan),
        &["192.0.2.1 Some(49152) 192.0.2.2 Some(4789)", ENDS],
    );
    // No deeper than is sensible.
    let mut many = datagram();
    for _ in 0..20 {
        many = around(4, &many);
    }
    let c = read(&file(false, false, 101, &[many]), 10);
    assert_eq!(c.packets.len(), 5);
}

#[test]
fn fragments_have_ports_only_in_the_first() {
    let mut later = datagram();
    later[7] = 1;
    check(101, &later, &["10.0.0.1 None 10.0.0.2 None"]);
}

#[test]
fn pcapng_names_devices() {
    for big in [false, true] {
        let n4 = |x: u32| {
            if big {
                x.to_be_bytes()
            } else {
                x.to_le_bytes()
            }
        };
        let n2 = |x: u16| {
            if big {
                x.to_be_bytes()
            } else {
                x.to_le_bytes()
            }
        };
        let block = |kind: u32, body: &[u8]| {
            let length = u32::try_from(12 + body.len()).expect("short");
            [&n4(kind), &n4(length), body, &n4(length)].concat()
        };
        let section = [&n4(0x1a2b_3c4d)[..], &n2(1), &n2(0), &[0xff; 8]].concat();
        let option = |code: u16, value: &[u8]| {
            let mut o = [
                &n2(code)[..],
                &n2(u16::try_from(value.len()).expect("short")),
                value,
            ]
            .concat();
            o.resize(o.len().div_ceil(4) * 4, 0);
            o
        };
        let interface = [
            &n2(101)[..],
            &n2(0),
            &n4(0),
            &option(2, b"ens4"),
            &option(9, &[9]),
            &option(0, &[]),
        ]
        .concat();
        let ns: u64 = 1_700_000_000_123_456_789;
        let data = datagram();
        let length = u32::try_from(data.len()).expect("short");
        let mut packet = [
            &n4(0)[..],
            &n4(u32::try_from(ns >> 32).expect("half")),
            &n4(u32::try_from(ns & 0xffff_ffff).expect("half")),
            &n4(length),
            &n4(length),
            &data,
        ]
        .concat();
        packet.resize(packet.len().div_ceil(4) * 4, 0);
        let mut simple = [&n4(length)[..], &data].concat();
        simple.resize(simple.len().div_ceil(4) * 4, 0);
        let f = [
            block(0x0a0d_0d0a, &section),
            block(1, &interface),
            block(6, &packet),
            block(3, &simple),
            block(99, b"else"),
        ]
        .concat();
        assert!(is_capture(&f));
        let c = read(&f, 10);
        assert_eq!(c.problems, []);
        assert_eq!((c.count, c.packets.len()), (2, 2));
        assert_eq!(c.packets[0].dev, Dev::Name("ens4".into()));
        assert_eq!(c.packets[0].time.map(|t| t.ns), i64::try_from(ns).ok());
        assert_eq!(c.packets[1].time, None);
    }
}

#[test]
fn other_links_are_named_once() {
    let c = read(&file(false, false, 105, &[vec![0; 40], vec![0; 40]]), 10);
    assert_eq!(c.count, 2);
    assert_eq!(c.problems.len(), 1, "{:?}", c.problems);
    assert!(c.problems[0].1.contains("105"));
}

#[test]
fn ways_of_cooked_captures() {
    let mut f = vec![0, 4, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0];
    f.extend(datagram());
    let c = read(&file(false, false, 113, &[f]), 10);
    assert_eq!(c.packets[0].way, Some(Way::Out));
    assert_eq!(c.packets[0].proto, Some(Proto::UDP));
}
