//! What Linux 6.1 answered and what `ipvsadm -ln` (1.31) printed for it, in the machine of `tests/ipvs_kernel.rs`.

use super::super::attr::attrs;
use super::super::socket::Request;
use super::decode::{self, Server, Service};
use super::{ATTR_DEST, ATTR_SERVICE, GET_DEST, NESTED, VERSION};
use nfwhy_parsers::common::Span;
use nfwhy_parsers::ipvs::{self, VirtualService};
use proptest::prelude::*;

/// Lines: `S` a service, then for each service `R`, the request for its real servers, and `D`, one of them.
const DUMP: &str = include_str!("../../../../tests/data/live/ipvs.hex");
const LISTED: &str = include_str!("../../../../tests/data/live/ipvs.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(text, 16).expect("digits")
    };
    hex.as_bytes().chunks(2).map(byte).collect()
}

fn lines(kind: char) -> Vec<Vec<u8>> {
    DUMP.lines()
        .filter_map(|l| l.strip_prefix(kind))
        .map(bytes)
        .collect()
}

/// The payload of the attribute that a message consists of.
fn content(body: &[u8], kind: u16) -> Vec<u8> {
    let mut all = attrs(body.get(4..).unwrap_or_default());
    let found = all.find(|(k, _)| *k == kind);
    found.map(|(_, v)| v.to_vec()).unwrap_or_default()
}

fn services() -> Vec<(Service, Vec<Server>)> {
    let mut known: Vec<Service> = lines('S')
        .iter()
        .map(|b| Service::of(&content(b, ATTR_SERVICE)).expect("a service"))
        .collect();
    known.reverse();
    let mut out: Vec<(Service, Vec<Server>)> = Vec::new();
    for line in DUMP.lines() {
        if line.starts_with('R') {
            out.push((
                known.pop().expect("as many requests as services"),
                Vec::new(),
            ));
        } else if let Some(hex) = line.strip_prefix('D') {
            let (service, servers) = out.last_mut().expect("a request before");
            let server = Server::of(&content(&bytes(hex), ATTR_DEST), service);
            servers.push(server.expect("a real server"));
        }
    }
    out
}

fn plain(text: &str) -> Vec<VirtualService<'_>> {
    let parsed = ipvs::parse(text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    let mut all = parsed.value;
    for s in &mut all {
        (s.line, s.span) = (0, Span::default());
        for r in &mut s.servers {
            (r.line, r.span) = (0, Span::default());
        }
        s.servers.sort_by_key(|r| (r.addr, r.port));
    }
    // The tool sorts by the sign of a difference of 32 bits, which may wrap.
    all.sort_by_key(|s| format!("{:?}", s.key));
    all
}

#[test]
fn services_print_as_ipvsadm_prints_them() {
    let mut info = vec![GET_DEST, VERSION, 0, 0];
    let numbers = Request::default()
        .attr(1, &0x0001_0201_u32.to_ne_bytes())
        .attr(2, &4096_u32.to_ne_bytes());
    info.extend_from_slice(numbers.body());
    let text = decode::list(&info, services());
    assert_eq!(text.lines().next(), LISTED.lines().next());
    assert_eq!(plain(&text), plain(LISTED));
    let sorted = |t: &str| {
        let mut all: Vec<String> = t.lines().map(|l| l.trim_end().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(&text), sorted(LISTED));
}

#[test]
fn real_servers_are_asked_for_by_their_service() {
    let asked: Vec<Vec<u8>> = services()
        .iter()
        .map(|(s, _)| {
            Request::generic(GET_DEST, VERSION)
                .attr(ATTR_SERVICE | NESTED, s.identity().body())
                .body()
                .to_vec()
        })
        .collect();
    assert_eq!(asked, lines('R'));
}

/// No service of the lab has these.
#[test]
fn options_that_are_rare() {
    let service = |more: Request| {
        let mut all = Request::default()
            .attr(1, &10_u16.to_ne_bytes())
            .attr(5, &7_u32.to_ne_bytes())
            .text(6, "mh")
            .body()
            .to_vec();
        all.extend_from_slice(more.body());
        Service::of(&all).expect("a service")
    };
    let flags: Vec<u8> = [0x1d_u32, u32::MAX]
        .iter()
        .flat_map(|n| n.to_ne_bytes())
        .collect();
    let s = service(
        Request::default()
            .attr(7, &flags)
            .attr(8, &360_u32.to_ne_bytes())
            .attr(9, &64_u32.to_ne_bytes())
            .text(11, "sip"),
    );
    let v6 = "fd00::1"
        .parse::<std::net::Ipv6Addr>()
        .expect("an address")
        .octets();
    let server = Request::default()
        .attr(1, &v6)
        .attr(2, &0_u16.to_be_bytes())
        .attr(3, &2_u32.to_ne_bytes())
        .attr(4, &3_u32.to_ne_bytes())
        .attr(11, &10_u16.to_ne_bytes())
        .attr(13, &[1])
        .attr(14, &6080_u16.to_be_bytes())
        .attr(15, &1_u16.to_ne_bytes());
    let server = Server::of(server.body(), &s).expect("a real server");
    let text = decode::list(&[], vec![(s, vec![server])]);
    let want = "FWM  7 IPv6 mh (mh-fallback,mh-port) persistent 360 mask 64 pe sip ops
  -> [fd00::1]:0                  Tunnel  gue:6080:csum 3      0          0         
";
    assert!(text.ends_with(want), "{text}");
    let parsed = ipvs::parse(&text);
    assert!(parsed.diagnostics.is_empty(), "{:?}", parsed.diagnostics);
    assert_eq!(
        parsed.value[0].servers[0].rest.as_deref(),
        Some("gue:6080:csum")
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(service in proptest::collection::vec(any::<u8>(), 0..80), server in proptest::collection::vec(any::<u8>(), 0..80)) {
        let known = &services()[0].0;
        let servers = Server::of(&server, known).into_iter().collect();
        let all = Service::of(&service).map(|s| (s, servers)).into_iter().collect();
        let _ = decode::list(&service, all);
    }

    #[test]
    fn no_bent_message_panics(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let known = &services()[0].0;
        for (kind, attribute) in [('S', ATTR_SERVICE), ('D', ATTR_DEST)] {
            let all = lines(kind);
            let mut bytes = content(&all[which.index(all.len())], attribute);
            let i = at.index(bytes.len());
            bytes[i] = value;
            let servers = Server::of(&bytes, known).into_iter().collect();
            let all = Service::of(&bytes).map(|s| (s, servers)).into_iter().collect();
            let _ = decode::list(&[], all);
        }
    }
}
