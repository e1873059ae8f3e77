//! `ip addr` and `ip link` as text. Lines and their words: `print_linkinfo` and `print_linktype` in iproute2 ip/ipaddress.c.

use super::{Link, Outer, Peer, address};
use crate::common::{Diagnostic, Parsed, Text};
use crate::iproute::words::{Line, Words, lines, not_understood, number};
use std::borrow::Cow;

/// Names of `oper_states` in iproute2 ip/ipaddress.c.
const STATES: &[&str] = &[
    "UNKNOWN",
    "NOTPRESENT",
    "DOWN",
    "LOWERLAYERDOWN",
    "TESTING",
    "DORMANT",
    "UP",
];

/// Reads the lines.
pub(super) fn parse(source: &str) -> Parsed<Vec<Link<'_>>> {
    let mut out: Parsed<Vec<Link<'_>>> = Parsed::default();
    let mut brief = None;
    for line in lines(source) {
        let Some(line) = uncommented(line) else {
            continue;
        };
        for part in line.parts() {
            if read_line(part, &mut out.value, &mut out.diagnostics) == Form::Brief {
                brief.get_or_insert(part);
            }
        }
    }
    for l in &mut out.value {
        // `ip` prints only `nolearning` (`vxlan_print_opt` in ip/iplink_vxlan.c); the port shows that the line is whole.
        if l.kind.as_deref() == Some("vxlan") && l.info.dstport.is_some() {
            l.info.learning.get_or_insert(true);
        }
    }
    if let Some(line) = brief {
        out.diagnostics.push(
            line.warning("the brief form has no index, and of addresses neither scope nor flags")
                .help("ip addr; ip -d link"),
        );
    }
    out
}

/// The line; without `# ` where one stands before a device's first line; `None` for other comments.
fn uncommented(line: Line<'_>) -> Option<Line<'_>> {
    if !line.text.starts_with('#') {
        return Some(line);
    }
    let text = line.text.trim_start_matches(['#', ' ', '\t']);
    let first = text.split_whitespace().next()?;
    index(first)?;
    Some(Line {
        start: line.start + line.text.len() - text.len(),
        text,
        ..line
    })
}

/// `12:`
fn index(word: &str) -> Option<u32> {
    word.strip_suffix(':')?.parse().ok()
}

#[derive(PartialEq)]
enum Form {
    Usual,
    Brief,
}

fn read_line<'a>(
    line: Line<'a>,
    links: &mut Vec<Link<'a>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Form {
    let mut words = line.words();
    let Some(first) = words.next() else {
        return Form::Usual;
    };
    if let Some(index) = index(first) {
        if !device(line, index, &mut words, links, diagnostics) {
            diagnostics.push(not_understood(&line, "device"));
        }
        return Form::Usual;
    }
    if first == "..." || first == "[...]" || first == "(...)" {
        diagnostics.push(
            line.warning("the listing is cut here")
                .help("devices or addresses may be missing; capture it whole"),
        );
        return Form::Usual;
    }
    if words.peek().is_some_and(|w| STATES.contains(&w)) && !line.text.starts_with(' ') {
        links.push(brief(line, first, &mut words, diagnostics));
        return Form::Brief;
    }
    match links.last_mut() {
        Some(link) => {
            if !detail(line, first, &mut words, link, diagnostics) {
                diagnostics.push(not_understood(&line, "line of a device"));
            }
        }
        None => diagnostics.push(not_understood(&line, "device")),
    }
    Form::Usual
}

/// `up0`, `up0@up1`, `up0@if5`, `tunl0@NONE`.
fn name_and_peer(word: &str) -> (Text<'_>, Peer<'_>) {
    let Some((name, peer)) = word.split_once('@') else {
        return (Cow::Borrowed(word), Peer::None);
    };
    let peer = match peer.strip_prefix("if").and_then(|n| n.parse().ok()) {
        Some(n) => Peer::Index(n),
        None if peer == "NONE" => Peer::Unbound,
        None => Peer::Name(Cow::Borrowed(peer)),
    };
    (Cow::Borrowed(name), peer)
}

fn flags(word: &str) -> Option<Vec<Text<'_>>> {
    let inner = word.strip_prefix('<')?;
    let inner = inner.strip_suffix('>').unwrap_or(inner);
    Some(
        inner
            .split(',')
            .filter(|f| !f.is_empty())
            .map(Cow::Borrowed)
            .collect(),
    )
}

/// A line that starts with an index: a device, or with `-o` one of its addresses.
fn device<'a>(
    line: Line<'a>,
    index: u32,
    words: &mut Words<'a>,
    links: &mut Vec<Link<'a>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let Some(name) = words.next() else {
        return false;
    };
    let Some(name) = name.strip_suffix(':') else {
        // `ip -o addr`: `2: eth0    inet 10.0.0.1/24 ...`, without the device's own line.
        let Some(first) = words.next() else {
            return false;
        };
        if links.last().is_none_or(|l| l.index != index) {
            let mut l = Link::new(line.no, line.span());
            l.index = index;
            (l.name, l.peer) = name_and_peer(name);
            l.shows_addresses = true;
            links.push(l);
        }
        return match links.last_mut() {
            Some(link) => detail(line, first, words, link, diagnostics),
            None => false,
        };
    };
    let mut l = Link::new(line.no, line.span());
    l.index = index;
    (l.name, l.peer) = name_and_peer(name);
    // Only `ip link` prints the link mode (`do_link` in `print_linkinfo`).
    l.shows_addresses = true;
    while let Some(key) = words.next() {
        match key {
            "mtu" => l.mtu = words.value(key, diagnostics, number),
            "master" => l.master = words.text(key, diagnostics),
            "state" => l.state = words.text(key, diagnostics),
            "group" => l.group = words.text(key, diagnostics),
            "mode" => {
                l.shows_addresses = false;
                words.text(key, diagnostics);
            }
            // `ip -4 addr` leaves the link/ line out, and so this stands here.
            "link-netns" | "link-netnsid" => l.peer_netns = words.text(key, diagnostics),
            "qdisc" | "qlen" | "event" | "protodown" => {
                words.text(key, diagnostics);
            }
            _ if key.starts_with('<') => l.flags = flags(key).unwrap_or_default(),
            // `xdpgeneric`, `xdp/id:12`
            _ if key.starts_with("xdp") => {
                l.xdp = Some(match key.split_once("/id:") {
                    Some((mode, id)) => Cow::Owned(format!("{mode} id {id}")),
                    None => Cow::Borrowed(key),
                });
            }
            _ => {}
        }
    }
    links.push(l);
    true
}

/// A line below a device's first; false where it is not understood.
fn detail<'a>(
    line: Line<'a>,
    first: &'a str,
    words: &mut Words<'a>,
    link: &mut Link<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    match first {
        "inet" | "inet6" => {
            link.shows_addresses = true;
            match address::read(line.no, line.span(), words, diagnostics) {
                Some(a) => link.addresses.push(a),
                None => return false,
            }
        }
        "altname" => link.altnames.extend(words.text(first, diagnostics)),
        "alias" | "valid_lft" | "vf" | "RX" | "TX" | "RX:" | "TX:" => {}
        _ if first.starts_with("link/") => hardware(first, words, link, diagnostics),
        _ if first.starts_with("prog/xdp") => {
            if words.eat("id") {
                let id = words.next().unwrap_or_default();
                let mode = link.xdp.as_deref().unwrap_or(&first["prog/".len()..]);
                let mode = mode.split(' ').next().unwrap_or_default();
                link.xdp = Some(Cow::Owned(format!("{mode} id {id}")));
            }
        }
        _ if first.ends_with("_slave") => {
            link.slave_kind = first.strip_suffix("_slave").map(Cow::Borrowed);
            while let Some(key) = words.next() {
                match key {
                    "hairpin" => link.info.hairpin = words.next().map(|w| w == "on"),
                    "table" => link.info.table = words.next().and_then(number),
                    _ => {}
                }
            }
        }
        // Counters below `RX:` and `TX:`.
        _ if first.starts_with(|c: char| c.is_ascii_digit()) => {
            return line
                .text
                .split_whitespace()
                .all(|w| w.starts_with(|c: char| c.is_ascii_digit()) && !w.contains([':', '/']));
        }
        _ if link.kind.is_none() && line.text.starts_with([' ', '\t']) && is_kind(first) => {
            kind(first, words, link);
        }
        _ => return false,
    }
    true
}

/// Whether the word can be the name of a link kind: lower case, digits and `_`.
fn is_kind(word: &str) -> bool {
    word.bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// `link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff link-netnsid 0 promiscuity 0 ...`; `link/none` has no address.
fn hardware<'a>(
    first: &'a str,
    words: &mut Words<'a>,
    link: &mut Link<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    link.link_type = first.strip_prefix("link/").map(Cow::Borrowed);
    if words.peek().is_some_and(|w| w.contains([':', '.'])) {
        link.address = words.next().map(Cow::Borrowed);
    }
    while let Some(key) = words.next() {
        match key {
            "link-netns" | "link-netnsid" => link.peer_netns = words.text(key, diagnostics),
            "brd" | "peer" | "permaddr" => {
                words.text(key, diagnostics);
            }
            _ => {}
        }
    }
}

/// The line of the kind. What follows its own words belongs to the device again: `addrgenmode`, `numtxqueues`.
fn kind<'a>(first: &'a str, words: &mut Words<'a>, link: &mut Link<'a>) {
    link.kind = Some(Cow::Borrowed(first));
    let (start, mut end) = (words.word_end(), words.word_end());
    let has_id = link.kind_has_id();
    let address = |w: &str| w.parse().ok();
    let info = &mut link.info;
    while let Some(key) = words.next() {
        if matches!(key, "addrgenmode" | "numtxqueues") {
            break;
        }
        match key {
            "id" if has_id => info.id = words.next().and_then(number),
            "local" => info.local = words.next().and_then(address),
            "remote" => info.remote = words.next().and_then(address),
            "group" if first == "vxlan" => info.remote = words.next().and_then(address),
            "dev" => info.dev = words.next().map(Cow::Borrowed),
            "dstport" => info.dstport = words.next().and_then(|w| w.parse().ok()),
            "learning" if first == "vxlan" => info.learning = Some(true),
            "nolearning" => info.learning = Some(false),
            "table" => info.table = words.next().and_then(number),
            "external" => info.external = true,
            "tos" | "tclass" => info.tos = words.next().and_then(Outer::read),
            "ttl" | "hoplimit" => info.ttl = words.next().and_then(Outer::read),
            "nf_call_iptables" => info.nf_call_iptables = words.next().map(|w| w != "0"),
            "nf_call_ip6tables" => info.nf_call_ip6tables = words.next().map(|w| w != "0"),
            _ => {}
        }
        end = words.word_end();
    }
    let rest = words.slice(start, end).trim();
    info.rest = (!rest.is_empty()).then_some(Cow::Borrowed(rest));
}

/// `eth0@if5  UP  10.0.0.1/24 fe80::1/64` or `eth0  UP  02:00:00:00:00:01 <BROADCAST,UP>`.
fn brief<'a>(
    line: Line<'a>,
    first: &'a str,
    words: &mut Words<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Link<'a> {
    let mut l = Link::new(line.no, line.span());
    (l.name, l.peer) = name_and_peer(first);
    l.state = words.next().map(Cow::Borrowed);
    let mut ahead = words.clone();
    let flags_at = [ahead.next(), ahead.next()]
        .iter()
        .position(|w| w.is_some_and(|w| w.starts_with('<')));
    if let Some(at) = flags_at {
        if at == 1 {
            l.address = words.next().map(Cow::Borrowed);
        }
        l.flags = words.next().and_then(flags).unwrap_or_default();
        return l;
    }
    l.shows_addresses = true;
    while let Some(word) = words.next() {
        if word == "metric" {
            let metric = words.value(word, diagnostics, number);
            if let Some(a) = l.addresses.last_mut() {
                a.metric = metric;
            }
        } else if let Some(a) = address::head(line.no, line.span(), word, words, diagnostics) {
            l.addresses.push(a);
        } else {
            diagnostics.push(words.warning(format!("`{word}` is no address")));
        }
    }
    l
}
