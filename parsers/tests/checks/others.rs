//! ipset, IPVS, conntrack, sysctl, and what a file is.

use super::{place, reports};
use nfwhy_parsers::ipset::IpSet;
use nfwhy_parsers::recognise::Kind;
use nfwhy_parsers::{
    Family, Proto, Span, conntrack as c, ipset as i, ipvs as v, programs as p, sysctl as s,
};
use std::net::{IpAddr, SocketAddr};

/// Without what a print does not keep.
fn bare<'a>(set: &IpSet<'a>) -> IpSet<'a> {
    let mut set = set.clone();
    (set.line, set.span) = (0, Span::default());
    (set.listed, set.declared_entries, set.complete) = (false, None, true);
    for m in &mut set.members {
        m.line = 0;
    }
    set
}

pub fn ipset(text: &str) {
    let parsed = i::parse(text);
    reports(text, &parsed.diagnostics);
    for set in &parsed.value {
        place(text, set.line, set.span);
        for m in &set.members {
            place(text, m.line, Span::new(text.len(), text.len()));
        }
        let printed = set.to_string();
        if parsed.diagnostics.is_empty() {
            let again = i::parse(&printed);
            assert_eq!(again.diagnostics, [], "printed {printed:?}");
            let bared: Vec<_> = again.value.iter().map(bare).collect();
            assert_eq!(bared, [bare(set)], "printed {printed:?}");
            assert_eq!(again.value[0].to_string(), printed);
        }
    }
}

pub fn speaker(text: &str) {
    let log = nfwhy_parsers::speaker::parse(text);
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    for e in &log.events {
        assert!((1..=lines).contains(&e.line), "{e:?}");
        assert!(
            text.lines()
                .nth(e.line as usize - 1)
                .is_some_and(|l| l.contains("\"event\""))
        );
    }
    assert!(log.events.windows(2).all(|w| w[0].line < w[1].line));
}

pub fn tcpdump(text: &str) {
    use nfwhy_parsers::tcpdump::packet::Head;
    use nfwhy_parsers::tcpdump::{Packet, parse};
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    for s in parse(text) {
        assert!(s.packets.windows(2).all(|w| w[0].line <= w[1].line));
        for p in s.packets {
            assert!((1..=lines).contains(&p.line), "{p:?}");
            // What is within a tunnel is printed behind what is around it.
            let alone = Packet {
                line: 1,
                depth: 0,
                ..p
            };
            let printed = format!("{}{alone}", Head(&alone));
            let again: Vec<Packet> = parse(&printed)
                .into_iter()
                .flat_map(|s| s.packets)
                .collect();
            assert_eq!(again, [alone], "printed {printed:?}");
        }
    }
}

#[allow(dead_code, reason = "not every test asks for it")]
pub fn pcap(bytes: &[u8]) {
    use nfwhy_parsers::pcap::{as_text, is_capture, read};
    let c = read(bytes, 1000);
    assert!(c.count <= 1000);
    assert!(c.packets.windows(2).all(|w| w[0].line <= w[1].line));
    assert!(c.problems.iter().all(|(at, _)| *at <= bytes.len()));
    // Whoever asks first gets the same.
    let _ = is_capture(bytes);
    let text = as_text(&c);
    assert_eq!(text.lines().count(), c.count as usize);
    let again = nfwhy_parsers::tcpdump::parse(&text);
    let again: Vec<_> = again.into_iter().flat_map(|s| s.packets).collect();
    assert_eq!(again, c.packets, "printed {text:?}");
}

pub fn arping(text: &str) {
    let out = nfwhy_parsers::arping::parse(text);
    let lines = u32::try_from(text.lines().count()).unwrap_or(u32::MAX);
    for r in &out.replies {
        assert!((1..=lines).contains(&r.line), "{r:?}");
        // As the other program prints it.
        let printed = format!("Unicast reply from {} [{}]  0.7ms", r.ip, r.mac);
        let again = nfwhy_parsers::arping::parse(&printed);
        assert_eq!(again.replies.len(), 1, "{printed}");
        assert_eq!((again.replies[0].ip, &again.replies[0].mac), (r.ip, &r.mac));
    }
}

pub fn programs(text: &str) {
    let parsed = p::parse(text);
    reports(text, &parsed.diagnostics);
    for x in &parsed.value {
        place(text, x.line, x.span);
        let section = if matches!(x.hook, p::Hook::Xdp(_)) {
            "xdp"
        } else {
            "tc"
        };
        let printed = format!("{section}:\n{x}\n");
        let again = p::parse(&printed);
        assert_eq!(again.diagnostics, [], "printed {printed:?}");
        let bare = |x: &p::Program<'_>| p::Program {
            line: 0,
            span: Span::default(),
            ..x.clone().into_owned()
        };
        let bared: Vec<_> = again.value.iter().map(bare).collect();
        assert_eq!(bared, [bare(x)], "printed {printed:?}");
    }
}

/// The service as `ipvsadm-save -n` writes it.
fn saved(service: &v::VirtualService<'_>) -> String {
    let key = match service.key {
        v::VirtualKey::Addr { proto, addr, port } => {
            let option = match proto {
                Proto::TCP => "-t",
                Proto::UDP => "-u",
                _ => "--sctp-service",
            };
            format!("{option} {}", SocketAddr::new(addr, port))
        }
        v::VirtualKey::Fwmark { mark, family } => {
            let v6 = if family == Family::V6 { " -6" } else { "" };
            format!("-f {mark}{v6}")
        }
    };
    let mut out = format!("-A {key} -s {}", service.scheduler);
    if !service.flags.is_empty() {
        out += &format!(" -b {}", service.flags.join(","));
    }
    if let Some(seconds) = service.persistent {
        out += &format!(" -p {seconds}");
    }
    match service.netmask {
        Some(IpAddr::V4(mask)) => out += &format!(" -M {mask}"),
        Some(IpAddr::V6(mask)) => out += &format!(" -M {}", mask.to_bits().leading_ones()),
        None => {}
    }
    if let Some(pe) = &service.pe {
        out += &format!(" --pe {pe}");
    }
    out += if service.ops { " -o\n" } else { "\n" };
    for server in &service.servers {
        let method = match server.method {
            v::Forwarding::Masq => "-m",
            v::Forwarding::Tunnel => "-i",
            // A local one has no option: the kernel tells its own addresses.
            v::Forwarding::Route | v::Forwarding::Local => "-g",
        };
        let real = SocketAddr::new(server.addr, server.port);
        let weight = server.weight.unwrap_or(1);
        let rest = options(server).unwrap_or_default();
        out += &format!("-a {key} -r {real} {method} -w {weight} {rest}\n");
    }
    out
}

/// Options that have no field; a listing has one word in their place.
fn options<'s>(server: &'s v::RealServer<'_>) -> Option<&'s str> {
    let rest = server.rest.as_deref()?;
    (rest.contains(' ') || matches!(rest, "--tun-nocsum" | "--tun-csum" | "--tun-remcsum"))
        .then_some(rest)
}

/// Without what `ipvsadm-save` does not write.
fn as_saved<'a>(service: &v::VirtualService<'a>) -> v::VirtualService<'a> {
    let mut service = service.clone();
    (service.line, service.span, service.complete) = (0, Span::default(), true);
    for server in &mut service.servers {
        (server.line, server.span) = (0, Span::default());
        (server.active, server.inactive) = (None, None);
        server.weight.get_or_insert(1);
        server.rest = options(server).map(|o| o.to_owned().into());
        if server.method == v::Forwarding::Local {
            server.method = v::Forwarding::Route;
        }
    }
    service
}

pub fn ipvs(text: &str) {
    let parsed = v::parse(text);
    reports(text, &parsed.diagnostics);
    for service in &parsed.value {
        place(text, service.line, service.span);
        for server in &service.servers {
            place(text, server.line, server.span);
        }
        // Some listings have no column for it.
        if service.scheduler.is_empty() {
            continue;
        }
        let printed = saved(service);
        let again = v::parse(&printed);
        assert_eq!(again.diagnostics, [], "printed {printed:?}");
        let again: Vec<_> = again.value.iter().map(as_saved).collect();
        assert_eq!(again, [as_saved(service)], "printed {printed:?}");
    }
}

/// The flow as `conntrack -L` writes it.
fn listed(flow: &c::Flow<'_>) -> String {
    let tuple = |tuple: &c::Tuple, packets: Option<u64>| {
        let mut out = format!(" src={} dst={}", tuple.src, tuple.dst);
        for (name, port) in [("sport", tuple.sport), ("dport", tuple.dport)] {
            if let Some(port) = port {
                out += &format!(" {name}={port}");
            }
        }
        if let Some((ty, code, id)) = tuple.icmp {
            out += &format!(" type={ty} code={code} id={id}");
        }
        if let Some(packets) = packets {
            out += &format!(" packets={packets} bytes=0");
        }
        out
    };
    let mut out = format!("name {}", flow.proto.0);
    if let Some(timeout) = flow.timeout {
        out += &format!(" {timeout}");
    }
    if let Some(state) = &flow.state {
        out += &format!(" {state}");
    }
    out += &tuple(&flow.orig, flow.packets.map(|p| p.0));
    out += if flow.unreplied { " [UNREPLIED]" } else { "" };
    out += &tuple(&flow.reply, flow.packets.map(|p| p.1));
    out += if flow.assured { " [ASSURED]" } else { "" };
    out += if flow.offload { " [OFFLOAD]" } else { "" };
    out += &format!(
        " mark={} zone-orig={} zone-reply={}",
        flow.mark, flow.zone_orig, flow.zone_reply
    );
    if let Some(helper) = &flow.helper {
        out += &format!(" helper={helper}");
    }
    out
}

pub fn conntrack(text: &str) {
    let parsed = c::parse(text);
    reports(text, &parsed.diagnostics);
    for flow in &parsed.value {
        place(text, flow.line, flow.span);
        for tuple in [flow.orig, flow.reply] {
            assert_eq!(Family::of(tuple.src), flow.family);
            assert_eq!(Family::of(tuple.dst), flow.family);
        }
        let printed = listed(flow);
        let again = c::parse(&printed);
        assert_eq!(again.diagnostics, [], "printed {printed:?}");
        let mut again = again.value;
        for x in &mut again {
            (x.line, x.span) = (flow.line, flow.span);
        }
        assert_eq!(again, std::slice::from_ref(flow), "printed {printed:?}");
    }
}

pub fn sysctl(text: &str) {
    let parsed = s::parse(text);
    reports(text, &parsed.diagnostics);
    for setting in &parsed.value {
        place(text, setting.line, setting.span);
        assert!(!setting.path().is_empty());
        let printed = format!("{} = {}", setting.key, setting.value);
        let again = s::parse(&printed);
        assert_eq!(again.diagnostics, [], "printed {printed:?}");
        let again: Vec<_> = again.value.iter().map(|x| (x.key, x.value)).collect();
        assert_eq!(again, [(setting.key, setting.value)]);
    }
}

pub fn recognise(bytes: &[u8]) {
    let kind = nfwhy_parsers::recognise::recognise(bytes);
    assert!(
        kind != Kind::Binary
            || std::str::from_utf8(bytes).is_err()
            || bytes.iter().any(|b| *b < b' ' || *b >= 0x7f)
    );
}

pub fn calico_bpf(text: &str) {
    use nfwhy_parsers::calico_bpf as b;
    let parsed = b::parse("", text);
    reports(text, &parsed.diagnostics);
    let m = &parsed.value;
    let mut places = Vec::new();
    places.extend(m.frontends.iter().map(|x| (x.line, x.span)));
    places.extend(m.backends.iter().map(|x| (x.line, x.span)));
    places.extend(m.affinities.iter().map(|x| (x.line, x.span)));
    places.extend(m.routes.iter().map(|x| (x.line, x.span)));
    places.extend(m.flows.iter().map(|x| (x.line, x.span)));
    places.extend(m.modes.iter().map(|x| (x.line, x.span)));
    for (line, span) in places {
        place(text, line, span);
    }
    let printed = m.to_string();
    let again = b::parse("", &printed);
    assert_eq!(again.diagnostics, [], "printed {printed:?}");
    assert_eq!(again.value.to_string(), printed);
}

pub fn cilium(text: &str) {
    use nfwhy_parsers::cilium as c;
    let parsed = c::parse(text);
    reports(text, &parsed.diagnostics);
    let l = &parsed.value;
    let mut places = Vec::new();
    places.extend(l.rows.iter().map(|x| (x.line, x.span)));
    places.extend(l.ranges.iter().map(|x| (x.line, x.span)));
    places.extend(l.numbers.iter().map(|x| (x.line, x.span)));
    places.extend(l.endpoints.iter().map(|x| (x.line, x.span)));
    places.extend(l.prefixes.iter().map(|x| (x.line, x.span)));
    places.extend(l.settings.iter().map(|x| (x.line, x.span)));
    for (line, span) in places {
        place(text, line, span);
    }
    let printed = l.to_string();
    let again = c::parse(&printed);
    // Backends that the map lacks are told again, and nothing else.
    assert_eq!(
        again.diagnostics.len(),
        parsed.diagnostics.len(),
        "printed {printed:?}"
    );
    assert_eq!(again.value.to_string(), printed);
}
