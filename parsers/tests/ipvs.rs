//! `ipvsadm -ln`, `ipvsadm-save -n`, `/proc/net/ip_vs`.
//!
//! The samples were written after `print_service_entry` of ipvsadm 1.31 and `ip_vs_info_seq_show` of the kernel.

use nfwhy_parsers::common::{Family, Proto};
use nfwhy_parsers::ipvs::{Forwarding, VirtualKey, VirtualService, parse};
use proptest::prelude::*;

const LIST: &str = include_str!("data/ipvs-list.txt");
const SAVE: &str = include_str!("data/ipvs-save.txt");
const PROC: &str = include_str!("data/ipvs-proc.txt");
const STATS: &str = include_str!("data/ipvs-stats.txt");

#[track_caller]
fn clean(text: &str) -> Vec<VirtualService<'_>> {
    let p = parse(text);
    assert_eq!(p.diagnostics, [], "in {text}");
    p.value
}

fn addr(proto: Proto, a: &str, port: u16) -> VirtualKey {
    VirtualKey::Addr {
        proto,
        addr: a.parse().expect("an address"),
        port,
    }
}

/// Diagnostics as `line: text pointed at: message`.
fn problems(text: &str) -> Vec<String> {
    let p = parse(text);
    p.diagnostics
        .iter()
        .map(|d| format!("{}: {}: {}", d.line, d.span.of(text), d.message))
        .collect()
}

/// The services in short: key, scheduler, servers as address, port, method, weight.
fn short(services: &[VirtualService<'_>]) -> Vec<String> {
    services
        .iter()
        .map(|s| {
            let servers: Vec<String> = s
                .servers
                .iter()
                .map(|r| format!("{} {} {:?} {:?}", r.addr, r.port, r.method, r.weight))
                .collect();
            format!(
                "{:?} {} {:?} {:?} {:?} {:?} {} {servers:?}",
                s.key, s.scheduler, s.flags, s.persistent, s.netmask, s.pe, s.ops
            )
        })
        .collect()
}

#[test]
fn listing() {
    let s = clean(LIST);
    assert_eq!(s.len(), 8);
    assert!(s.iter().all(|s| s.complete));
    assert_eq!(s[0].key, addr(Proto::TCP, "192.0.2.1", 443));
    assert_eq!(
        (s[0].persistent, s[0].netmask, s[0].line),
        (Some(10800), None, 4)
    );
    assert_eq!(s[0].servers[1].weight, Some(0));
    assert_eq!(
        (s[0].servers[0].active, s[0].servers[0].inactive),
        (Some(3), Some(0))
    );
    assert_eq!(s[1].flags, ["sh-fallback", "sh-port"]);
    assert_eq!(s[2].netmask, "255.255.0.0".parse().ok());
    let methods: Vec<Forwarding> = s[2].servers.iter().map(|r| r.method).collect();
    assert_eq!(
        methods,
        [Forwarding::Local, Forwarding::Tunnel, Forwarding::Route]
    );
    assert_eq!(s[3].key, addr(Proto::TCP, "2001:db8:96::1", 443));
    assert_eq!(s[3].netmask, "ffff:ffff:ffff:ffff::".parse().ok());
    assert_eq!((s[4].pe.as_deref(), s[4].ops), (Some("sip"), true));
    assert_eq!(s[5].key, addr(Proto::SCTP, "192.0.2.13", 5060));
    assert_eq!(
        s[6].key,
        VirtualKey::Fwmark {
            mark: 1,
            family: Family::V4
        }
    );
    assert_eq!(
        s[7].key,
        VirtualKey::Fwmark {
            mark: 4_000_000_000,
            family: Family::V6
        }
    );
    assert_eq!((s[7].ops, s[7].scheduler.as_ref()), (true, "wrr"));
}

#[test]
fn saved_commands_say_the_same_as_the_listing() {
    let (list, save) = (clean(LIST), clean(SAVE));
    // Local is not saved: the kernel finds it anew.
    let without_local: String = LIST
        .split_inclusive('\n')
        .filter(|l| !l.contains(" Local "))
        .collect();
    assert_eq!(short(&parse(&without_local).value), short(&save));
    assert_eq!(list.len(), save.len());
    let gue = save[2].servers.first().expect("a server");
    assert_eq!(
        gue.rest.as_deref(),
        Some("--tun-type gue --tun-port 6080 --tun-nocsum")
    );
    assert_eq!(save[2].servers[1].rest.as_deref(), Some("-x 10 -y 5"));
}

#[test]
fn long_options_and_defaults() {
    let s = clean(
        "ipvsadm --add-service --tcp-service 192.0.2.1:80 --scheduler sh --persistent --sched-flags sh-port\n\
         ipvsadm --add-server --tcp-service 192.0.2.1:80 --real-server 10.0.0.1 --masquerading\n\
         -A -u 192.0.2.2:53\n-a -u 192.0.2.2:53 -r 10.0.0.2:5353\n\
         -A -f 0x10\n-a -f 16 -r 10.0.0.3\n-A -t [2001:db8::1]:80 -s rr -o\n",
    );
    assert_eq!((s[0].persistent, s[0].flags.len()), (Some(300), 1));
    assert_eq!(
        (s[0].servers[0].port, s[0].servers[0].method),
        (80, Forwarding::Masq)
    );
    assert_eq!(
        (
            s[1].scheduler.as_ref(),
            s[1].servers[0].method,
            s[1].servers[0].weight
        ),
        ("wlc", Forwarding::Route, Some(1))
    );
    assert_eq!(
        (s[2].key, s[2].servers[0].port),
        (
            VirtualKey::Fwmark {
                mark: 16,
                family: Family::V4
            },
            0
        )
    );
    assert!(s[3].ops);
}

/// The kernel's file shows a firewall mark without its family: the real servers tell it, and what the mask meant.
#[test]
fn a_mark_of_ipv6_has_a_prefix_length_for_a_mask() {
    let text = "IP Virtual Server version 1.2.1 (size=4096)\n\
        Prot LocalAddress:Port Scheduler Flags\n  \
        -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n\
        TCP  C0000201:01BB rr\n\
        FWM  00000010 rr persistent 2700000 40000000\n  \
        -> [2001:0db8:0001:0000:0000:0000:0000:0005]:192B      Masq    1      0          0\n";
    let p = parse(text);
    // The one is that the clock's rate is assumed.
    assert_eq!(p.diagnostics.len(), 1, "{:?}", p.diagnostics);
    let key = VirtualKey::Fwmark {
        mark: 16,
        family: Family::V6,
    };
    let mask = "ffff:ffff:ffff:ffff::".parse().ok();
    assert_eq!((p.value[1].key, p.value[1].netmask), (key, mask));
}

#[test]
fn the_kernels_own_file_is_hexadecimal() {
    let p = parse(PROC);
    let s = &p.value;
    assert_eq!(s.len(), 4);
    assert_eq!(s[0].key, addr(Proto::TCP, "192.0.2.1", 443));
    assert_eq!((s[0].persistent, s[0].netmask), (Some(10800), None));
    assert_eq!(
        (s[0].servers[0].addr.to_string(), s[0].servers[0].port),
        ("10.10.1.5".into(), 6443)
    );
    assert_eq!(s[1].key, addr(Proto::TCP, "2001:db8:96::1", 443));
    assert_eq!(s[1].netmask, "ffff:ffff:ffff:ffff::".parse().ok());
    assert_eq!(s[1].servers[0].port, 6443);
    assert!(s[2].ops);
    assert_eq!(
        s[3].key,
        VirtualKey::Fwmark {
            mark: 16,
            family: Family::V6
        }
    );
    let messages: Vec<&str> = p.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        ["the kernel prints persistence in clock ticks; 250 per second are assumed"]
    );
}

#[test]
fn statistics_have_no_weights() {
    let p = parse(STATS);
    assert_eq!(p.value.len(), 1);
    let weights: Vec<Option<u32>> = p.value[0].servers.iter().map(|s| s.weight).collect();
    assert_eq!(weights, [None, None]);
    assert!(p.value[0].complete);
    assert_eq!(p.diagnostics.len(), 1);
}

#[test]
fn other_columns() {
    let head = |t: &str| {
        format!(
            "IP Virtual Server version 1.2.1 (size=4096)\n{t}\n  -> RemoteAddress:Port\nTCP  192.0.2.1:80 rr\n"
        )
    };
    let text = head("Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn")
        + "  -> 10.0.0.1:80    100  50  3  4\n";
    let p = parse(&text);
    let s = &p.value[0].servers[0];
    assert_eq!(
        (s.weight, s.active, s.rest.as_deref()),
        (None, Some(3), Some("-x 100 -y 50"))
    );
    let text = head("Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn")
        + "  -> 10.0.0.1:80    7  1  3  4\n";
    let p = parse(&text);
    assert_eq!(p.value[0].servers[0].weight, Some(7));
    let text = head("Prot LocalAddress:Port Scheduler Flags").replace(
        "  -> RemoteAddress:Port\n",
        "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn\n",
    ) + "  -> 10.0.0.1:80   Tunnel  gue:6080:n    5  1  2\n  -> 10.0.0.2:80   Masq    n/a    6  1  2\n";
    let s = clean(&text);
    assert_eq!(
        (s[0].servers[0].weight, s[0].servers[0].rest.as_deref()),
        (Some(5), Some("gue:6080:n"))
    );
    assert_eq!(
        (s[0].servers[1].weight, s[0].servers[1].rest.as_deref()),
        (Some(6), None)
    );
}

#[test]
fn names_instead_of_numbers() {
    let s = clean(
        "TCP  192.0.2.1:https rr\n  -> 10.0.0.1:sun-sr-https        Masq    1      0          0\n",
    );
    assert_eq!(
        (s[0].key, s[0].servers[0].port),
        (addr(Proto::TCP, "192.0.2.1", 443), 6443)
    );
    assert_eq!(
        problems("TCP  kubernetes.default.svc.clust rr\n  -> 10.0.0.1:80  Masq 1 0 0\n"),
        [
            "1: kubernetes.default.svc.clust: `kubernetes.default.svc.clust` is no address with a port; ipvsadm cuts long names",
            "2: 10.0.0.1:80  Masq 1 0 0: a real server of a service that was not read",
        ]
    );
    assert_eq!(
        problems("TCP  192.0.2.1:80 rr\n  -> node-1.internal.example.com:h Masq 1 0 0\n"),
        [
            "2: node-1.internal.example.com:h Masq 1 0 0: `node-1.internal.example.com:h` is no address with a port",
        ]
    );
    assert_eq!(
        problems("TCP  192.0.2.1:80 rr\n  -> node-1.internal.example.com: Masq 1 0 0\n"),
        [
            "2: node-1.internal.example.com: Masq 1 0 0: `node-1.internal.example.com:` is a name that ipvsadm cut at 28 characters",
        ]
    );
}

#[test]
fn cut_services_know_it() {
    let check = |text: &str, complete: bool, servers: usize| {
        let p = parse(text);
        let s = p.value.first().expect("a service");
        assert_eq!(
            (s.complete, s.servers.len()),
            (complete, servers),
            "in {text}"
        );
        assert_eq!(p.diagnostics.is_empty(), complete, "in {text}");
    };
    check(
        "TCP  192.0.2.1:80 rr\n  -> 10.0.0.1:80  Masq 1 0 0\n",
        true,
        1,
    );
    check(
        "TCP  192.0.2.1:80 rr\n  -> 10.0.0.1:80  Masq 1 0 0\n  ...\n",
        false,
        1,
    );
    check("TCP  192.0.2.1:80 rr\n  -> 10.0.0.1:80  Masq 1\n", false, 0);
    check("TCP  192.0.2.1:80 rr\n  -> 10.0.0.1:80\n", false, 0);
    check("TCP  192.0.2.1:80 rr\n  -> 10.0...\n", false, 0);
    check("TCP  192.0.2.1:80\n", false, 0);
    check("TCP  192.0.2.1:80 rr persist\n", false, 0);
    check(
        "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w\n",
        false,
        0,
    );
    check(
        "-A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r node -m -w 1\n",
        false,
        0,
    );
}

#[test]
fn lines_that_are_not_understood_are_reported() {
    assert_eq!(
        problems("node# ipvsadm -ln\nIP Virtual Server version 1.2.1 (size=4096)\n"),
        ["1: node# ipvsadm -ln: not a line of `ipvsadm -ln` or `ipvsadm-save -n`"]
    );
    assert_eq!(
        problems("-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1\n"),
        [
            "1: -a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 1: a real server of a service that was not added before"
        ]
    );
    assert_eq!(
        problems("-A -t 192.0.2.1:80 -s rr --shiny\n"),
        ["1: --shiny: `--shiny` is no option of `ipvsadm-save`"]
    );
    assert_eq!(problems("IPVS connection entries\npro expire state       source\nTCP 14:58  ESTABLISHED 10.0.0.1:5 192.0.2.1:80 10.0.0.2:80\n").len(), 2);
}

#[test]
fn cut_lines_never_panic() {
    for sample in [LIST, SAVE, PROC, STATS] {
        for (i, _) in sample.char_indices() {
            let text = &sample[..i];
            let p = parse(text);
            assert!(
                p.diagnostics
                    .iter()
                    .all(|d| d.span.end as usize <= text.len())
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lines_of_the_grammar_in_any_order(lines in prop::collection::vec(prop::sample::select(vec![
        "TCP  1.2.3.4:80 rr", "TCP  01020304:0050 rr ops persistent 5", "FWM  1 IPv6", "FWM", "  -> [::1]:5 Masq 1 2 3", "->", "  -> 1.2.3.4:5 Route",
        "-A -t", "-A", "-a -f 1 -6 -r [::1", "-A -f -1", "-A -t [::1]:0 -p -M 129", "-a -t [::1]:0 -r", "UDP  [::1]: rr (a,,b mask",
        "Prot LocalAddress:Port CPS", "  -> RemoteAddress:Port Forward", "...", "", "ipvsadm -A -u ::1 -s x", "ü",
    ]), 0..24)) {
        let text = lines.join("\n");
        let p = parse(&text);
        prop_assert!(p.value.iter().all(|s| s.line > 0 && !s.span.of(&text).is_empty()));
    }
}
