//! One line of `tcpdump`.

use super::packet::{About, Dev, Error, FLAGS, Packet, Tcp, Time, Way, What};
use super::port;
use crate::common::Proto;
use crate::speaker::nanoseconds;
use std::net::IpAddr;

/// What stands before a packet's headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    pub time: Option<Time>,
    dev: Option<&'a str>,
    pub way: Option<Way>,
    /// The kind of packet is told by the link's header (`-e`).
    told: bool,
    pub rest: &'a str,
}

impl Head<'_> {
    pub fn dev(&self) -> Dev {
        match self.dev {
            None => Dev::Unknown,
            Some(d) => match d.strip_prefix('#').and_then(|n| n.parse().ok()) {
                Some(i) => Dev::Index(i),
                None => Dev::Name(d.to_owned()),
            },
        }
    }
}

/// A packet's headers.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// The packet, and what is within it.
    Packets(Vec<Packet>),
    /// The ends stand on the next line.
    Begins(Packet),
}

/// Longest text that a time, a device or an address has.
const LONGEST: usize = 80;
/// Tunnels in each other.
const DEPTH: u8 = 4;

fn word(text: &str) -> (&str, &str) {
    text.split_once(' ')
        .map_or((text, ""), |(w, r)| (w, r.trim_start()))
}

/// The head of a line without blanks around it.
pub(super) fn head(text: &str) -> Option<Head<'_>> {
    let mut h = Head {
        time: None,
        dev: None,
        way: None,
        told: false,
        rest: text,
    };
    // `-#` numbers the packets.
    let (first, rest) = word(text);
    if !first.is_empty() && first.bytes().all(|b| b.is_ascii_digit()) && first.len() < 12 {
        h.rest = rest;
    }
    if let Some((t, rest)) = time(h.rest) {
        h.time = Some(t);
        h.rest = rest;
    } else {
        h.rest = text;
    }
    let (first, rest) = word(h.rest);
    let (second, behind) = word(rest);
    if let Some(w) = Way::parse(first) {
        // Cooked captures of old, with `-e`.
        h.way = Some(w);
        h.rest = rest;
    } else if is_device(first) || first.starts_with('#') {
        if let Some(w) = Way::parse(second) {
            (h.dev, h.way, h.rest) = (Some(first), Some(w), behind);
        } else if second == "?" {
            (h.dev, h.rest) = (Some(first), behind);
        }
    }
    if let Some(at) = h.rest.find("ethertype ") {
        // VLANs have an ethertype each.
        let mut inner = h.rest.get(at..)?;
        while let Some(next) = inner.get(1..).and_then(|i| Some(i.find("ethertype ")? + 1)) {
            inner = inner.get(next..)?;
        }
        let (kind, rest) = inner.split_once(", ")?;
        let kind = kind.strip_prefix("ethertype ")?;
        if !kind.starts_with("IPv4 ") && !kind.starts_with("IPv6 ") {
            h.rest = if kind.starts_with("ARP ") {
                "ARP, "
            } else {
                rest
            };
            return Some(h);
        }
        let rest = match rest
            .strip_prefix("length ")
            .and_then(|r| r.split_once(": "))
        {
            Some((n, r)) if n.bytes().all(|b| b.is_ascii_digit()) => r,
            _ => rest,
        };
        h.told = true;
        h.rest = rest;
        return Some(h);
    }
    let told = is_layer(word(h.rest).0) || h.time.is_some() || h.way.is_some();
    told.then_some(h)
}

fn is_layer(w: &str) -> bool {
    matches!(w, "IP" | "IP6" | "ARP," | "ARP" | "RARP,")
}

/// Whether a word that stands for a device is read as one.
pub(crate) fn is_device(name: &str) -> bool {
    let odd = name.is_empty()
        || name.len() > LONGEST
        || name.contains(char::is_whitespace)
        || name.ends_with([':', ','])
        || name.bytes().all(|b| b.is_ascii_digit())
        || name.starts_with('#');
    !odd && !is_layer(name) && Way::parse(name).is_none() && time(name).is_none()
}

/// Whether a packet is one of ARP.
pub(super) fn is_arp(rest: &str) -> bool {
    rest.starts_with("ARP") || rest.starts_with("RARP") || rest.starts_with("arp ")
}

/// The time at a text's beginning, and what is behind it.
fn time(text: &str) -> Option<(Time, &str)> {
    let (first, rest) = word(text);
    if first.len() > LONGEST {
        return None;
    }
    if first.len() == 10 && first.as_bytes().get(4) == Some(&b'-') {
        let (clock, rest) = word(rest);
        let ns = nanoseconds(&format!("{first}T{clock}Z"))?;
        let ns = i64::try_from(ns).ok()?;
        return Some((Time { dated: true, ns }, rest));
    }
    let (whole, fraction) = first.split_once('.').unwrap_or((first, ""));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !fraction.is_empty() && !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos = match fraction {
        "" => 0,
        f => f.parse::<i64>().ok()? * 10_i64.pow(u32::try_from(9 - f.len()).ok()?),
    };
    let seconds = |s: i64| s.checked_mul(1_000_000_000)?.checked_add(nanos);
    if digits(whole) && whole.len() >= 9 && !fraction.is_empty() {
        let ns = seconds(whole.parse().ok()?)?;
        return Some((Time { dated: true, ns }, rest));
    }
    let mut parts = whole.split(':');
    let two = |t: Option<&str>| -> Option<i64> {
        let t = t.filter(|t| t.len() == 2 && digits(t))?;
        t.parse().ok()
    };
    let (h, m, s) = (two(parts.next())?, two(parts.next())?, two(parts.next())?);
    if parts.next().is_some() || h > 23 || m > 59 || s > 60 {
        return None;
    }
    let ns = seconds(h * 3600 + m * 60 + s)?;
    Some((Time { dated: false, ns }, rest))
}

/// The packet behind a head.
pub(super) fn body(head: &Head<'_>) -> Option<Body> {
    network(head.rest, head.told, 0)
}

/// `IP (ttl 64, ...) a > b: ...`
fn network(text: &str, told: bool, depth: u8) -> Option<Body> {
    let rest = match word(text) {
        ("IP" | "IP6", rest) => rest,
        _ if told => text,
        _ => return None,
    };
    let mut about = Packet::between(IpAddr::from([0; 4]), IpAddr::from([0; 4]));
    about.depth = depth;
    let rest = match parenthesis(rest) {
        Some((inner, rest)) => {
            header(inner, &mut about);
            rest.trim_start()
        }
        None => rest,
    };
    if rest.is_empty() {
        return (about.proto.is_some() || about.ttl.is_some()).then_some(Body::Begins(about));
    }
    let mut list = conversation(rest, depth, about.proto)?;
    if let Some(p) = list.first_mut() {
        p.id = about.id;
        p.ttl = about.ttl;
        p.proto = about.proto.or(p.proto);
    }
    Some(Body::Packets(list))
}

/// `(...)` at a text's beginning, and what is behind it.
fn parenthesis(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let mut depth = 1;
    for (i, c) in inner.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((inner.get(..i)?, inner.get(i + 1..)?));
        }
    }
    None
}

/// `tos 0x0, ttl 64, id 9901, offset 0, flags [DF], proto TCP (6), length 60`
fn header(text: &str, p: &mut Packet) {
    for part in text.split(", ") {
        let (key, value) = word(part);
        match key {
            "ttl" | "hlim" => p.ttl = value.parse().ok(),
            "id" => p.id = value.parse().ok(),
            "proto" | "next-header" => {
                let number = value
                    .rsplit_once('(')
                    .and_then(|(_, n)| n.split(')').next()?.parse().ok());
                p.proto = number.map(Proto);
            }
            _ => {}
        }
    }
}

/// `a > b: ...` on a line of its own.
pub(super) fn ends(text: &str) -> Option<Vec<Packet>> {
    conversation(text, 0, None)
}

fn conversation(text: &str, depth: u8, proto: Option<Proto>) -> Option<Vec<Packet>> {
    let (from, rest) = text.split_once(" > ")?;
    let (to, rest) = match rest.split_once(": ") {
        Some(x) => x,
        None => (rest.strip_suffix(':')?, ""),
    };
    let (src, sport) = end(from)?;
    let (dst, dport) = end(to)?;
    if src.is_ipv4() != dst.is_ipv4() {
        return None;
    }
    let mut p = Packet {
        proto,
        sport,
        dport,
        depth,
        ..Packet::between(src, dst)
    };
    let inner = content(rest, &mut p);
    let mut list = vec![p];
    if let Some(text) = inner.filter(|_| depth < DEPTH)
        && let Some(Body::Packets(more)) = network(text, false, depth + 1)
    {
        list.extend(more);
    }
    Some(list)
}

/// `10.0.0.1.443`, `2001:db8::1.443`, or an address alone.
fn end(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if text.len() > LONGEST {
        return None;
    }
    if let Ok(ip) = text.parse() {
        return Some((ip, None));
    }
    let (ip, name) = text.rsplit_once('.')?;
    // A port with a name that is not known is one all the same.
    Some((ip.parse().ok()?, port(name)))
}

fn after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.find(key).and_then(|i| text.get(i + key.len()..))
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let n = text
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..n)?.parse().ok()
}

/// What is behind the ends; gives back what is within a tunnel.
fn content<'a>(text: &'a str, p: &mut Packet) -> Option<&'a str> {
    let mut rest = text;
    // `[udp sum ok]`, and IPv6's extensions.
    loop {
        if let Some(r) = rest.strip_prefix('[')
            && let Some((_, r)) = r.split_once("] ")
        {
            rest = r;
        } else if let Some(r) = ["HBH ", "DSTOPT "]
            .iter()
            .find_map(|k| rest.strip_prefix(k))
        {
            rest = r;
        } else {
            break;
        }
    }
    p.length = after(rest, "length ").and_then(number);
    if let Some(r) = rest.strip_prefix("Flags [") {
        tcp(r, p);
        return None;
    }
    if let Some(r) = rest.strip_prefix("ICMP6, ") {
        p.proto = Some(Proto::ICMPV6);
        icmp6(r, p);
        return None;
    }
    if let Some(r) = rest.strip_prefix("ICMP ") {
        p.proto = p.proto.or(Some(if p.src.is_ipv4() {
            Proto::ICMP
        } else {
            Proto::ICMPV6
        }));
        return icmp(r, p);
    }
    if rest.starts_with("IP ") || rest.starts_with("IP6 ") {
        p.proto = p
            .proto
            .or(Some(Proto(if rest.starts_with("IP6 ") { 41 } else { 4 })));
        return Some(rest);
    }
    if rest.starts_with("GREv") {
        p.proto = p.proto.or(Some(Proto(47)));
        return after(rest, ": ").filter(|r| r.starts_with("IP"));
    }
    let (first, _) = word(rest);
    let named = match first.trim_end_matches(',') {
        "UDP" | "VXLAN" | "Geneve" => Some(Proto::UDP),
        "tcp" => Some(Proto::TCP),
        "sctp" => Some(Proto::SCTP),
        "ESP(" => Some(Proto(50)),
        _ if p.sport.is_some() || p.dport.is_some() => Some(Proto::UDP),
        _ => None,
    };
    p.proto = p.proto.or(named);
    // The latter of a binary capture.
    if first == "VXLAN," || first.starts_with("other") {
        return after(rest, ": ").filter(|r| r.starts_with("IP"));
    }
    None
}

/// Whether what is within a packet stands on the next line.
pub(super) fn is_udp_tunnel(p: &Packet) -> bool {
    p.proto == Some(Proto::UDP) && matches!(p.dport, Some(4789 | 8472 | 6081))
}

/// `S.], seq 1:302, ack 1, win 2053, options [nop,nop,TS val 1 ecr 2], length 301`
fn tcp(text: &str, p: &mut Packet) {
    p.proto = Some(Proto::TCP);
    let mut t = Tcp::default();
    let Some((flags, rest)) = text.split_once(']') else {
        return;
    };
    if flags != "none" {
        for c in flags.chars() {
            t.flags |= FLAGS.iter().find(|(f, _)| *f == c).map_or(0, |(_, b)| *b);
        }
    }
    // Options may quote anything; they stand behind the numbers.
    let plain = rest.split(", options [").next().unwrap_or(rest);
    t.seq = after(plain, ", seq ").and_then(number);
    t.ack = after(plain, ", ack ").and_then(number);
    t.stamp = after(rest, "TS val ").and_then(|r| {
        let value = number(r)?;
        Some((value, number(after(r, " ecr ")?)?))
    });
    p.what = What::Tcp(t);
}

fn echo(text: &str, p: &mut Packet) -> bool {
    let reply = match (
        text.strip_prefix("echo request"),
        text.strip_prefix("echo reply"),
    ) {
        (Some(_), _) => false,
        (_, Some(_)) => true,
        _ => return false,
    };
    let field = |k: &str| after(text, k).and_then(number);
    if let (Some(id), Some(seq)) = (field(", id "), field(", seq ")) {
        p.what = What::Echo { reply, id, seq };
    }
    true
}

/// Behind `ICMP `; gives back nothing, for what it is about is no packet of its own.
fn icmp<'a>(text: &'a str, p: &mut Packet) -> Option<&'a str> {
    if echo(text, p) {
        return None;
    }
    if let Some(r) = text.strip_prefix("error ") {
        let (kind, rest) = Error::parse(r)?;
        let quoted = rest
            .strip_prefix(" about ")
            .and_then(|t| network(t, false, DEPTH));
        let about = match quoted {
            Some(Body::Packets(list)) => list.first().map(|q| About {
                src: Some(q.src),
                dst: Some(q.dst),
                proto: q.proto,
                sport: q.sport,
                dport: q.dport,
            }),
            _ => None,
        };
        error(p, kind, about.unwrap_or_default());
        return None;
    }
    let kind = if text.contains(" need to frag") {
        Error::TooBig
    } else if text.contains("unreachable") {
        Error::Unreachable
    } else if text.starts_with("time exceeded") {
        Error::Exceeded
    } else if text.starts_with("redirect") || text.starts_with("parameter problem") {
        Error::Other
    } else {
        return None;
    };
    error(p, kind, told(text, p.dst));
    None
}

/// An error's length tells nothing.
fn error(p: &mut Packet, kind: Error, about: About) {
    p.length = None;
    p.what = What::Error { kind, about };
}

/// `10.2.0.2 udp port 99 unreachable`, `host 10.2.0.2 unreachable`: the address, and the port where one is told. The error goes to whom
/// the packet came from.
fn told(text: &str, to: IpAddr) -> About {
    let mut about = About {
        src: Some(to),
        ..About::default()
    };
    let words: Vec<&str> = text.split([' ', ',']).take(16).collect();
    let same = |a: &IpAddr| a.is_ipv4() == to.is_ipv4();
    about.dst = words.iter().find_map(|w| w.parse().ok().filter(same));
    let port = words.windows(3).find_map(|w| match w {
        [proto, "port", n] => Some((Proto::parse(proto)?, n.parse().ok()?)),
        _ => None,
    });
    if let Some((proto, n)) = port {
        (about.proto, about.dport) = (Some(proto), Some(n));
    }
    if about.dst.is_none() {
        about.src = None;
    }
    about
}

/// Behind `ICMP6, `.
fn icmp6(text: &str, p: &mut Packet) {
    if echo(text, p) {
        return;
    }
    let kind = if text.starts_with("destination unreachable") {
        Error::Unreachable
    } else if text.starts_with("packet too big") {
        Error::TooBig
    } else if text.starts_with("time exceeded") {
        Error::Exceeded
    } else {
        return;
    };
    error(p, kind, told(text, p.dst));
}
