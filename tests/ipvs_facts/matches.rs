//! Rules that ask for what IPVS knows of a packet (`-m ipvs`).

use super::common::{check, walk_one};
use super::{REPLY, TO_V, VIP, counted, node};

/// `ipvs_mt` asks `ip_vs_conn_out_get` for the packet turned round: it finds requests that carry the client's address still, those
/// of NAT by the real server and the others by the virtual address. Replies it never finds. `--ipvs` beside others says nothing.
#[test]
fn the_ipvs_match_finds_requests_before_masquerading() {
    let rules = "-A POSTROUTING -m ipvs --vaddr 172.19.100.2 --vdir ORIGINAL
-A POSTROUTING -m ipvs --ipvs --vport 80
-A POSTROUTING -m ipvs ! --vmethod MASQ
-A POSTROUTING -m ipvs ! --vportctl 443
-A POSTROUTING -m ipvs --ipvs
";
    let names = [1, 2, 3, 4, 5].map(|n| format!("mangle/POSTROUTING/{n}"));
    let names = names.each_ref().map(String::as_str);
    for (method, route) in [("Masq", false), ("Route", true)] {
        let s = node(
            VIP,
            &format!("TCP 172.19.100.2:80 rr\n-> 10.233.98.39:80 {method} 1"),
        )
        .table("mangle", rules)
        .snapshot();
        let first = walk_one(&s, TO_V, None);
        assert_eq!(
            counted(&s, &first, &names),
            [true, true, route, true, true],
            "{method}"
        );
        if !route {
            let reply = walk_one(&s, REPLY, first.conn.as_ref());
            assert_eq!(
                counted(&s, &reply, &names),
                [false, false, false, false, true]
            );
        }
    }
}

/// `ipvs_mt`: each option, said and inverted, of a request on its way to its real server.
#[test]
fn the_ipvs_match_by_option() {
    let services = "TCP 172.19.100.2:80 rr persistent 300\n-> 10.233.98.39:80 Masq 1";
    for (matches, fits) in [
        ("--ipvs", true),
        ("! --ipvs", false),
        ("--vproto 6", true),
        ("--vproto 17", false),
        ("! --vproto 17", true),
        ("--vaddr 172.19.100.2", true),
        ("--vaddr 172.19.100.3", false),
        ("! --vaddr 172.19.100.0/24", false),
        ("--vport 80", true),
        ("--vport 81", false),
        ("! --vport 80", false),
        ("! --vport 81", true),
        ("--vdir ORIGINAL", true),
        ("--vdir REPLY", false),
        ("--vmethod MASQ", true),
        ("--vmethod GATE", false),
        ("! --vmethod MASQ", false),
        ("! --vmethod IPIP", true),
        ("--vportctl 80", true),
        ("--vportctl 81", false),
        ("! --vportctl 81", true),
        ("--vaddr 172.19.100.2 --vport 81", false),
        ("--vaddr 172.19.100.3 --vport 80", false),
        // Beside others the flag alone is not enough.
        ("--ipvs --vproto 6", true),
        ("--ipvs --vproto 17", false),
        ("--ipvs --vaddr 172.19.100.3", false),
        ("--ipvs --vport 81", false),
        ("--ipvs --vdir REPLY", false),
        ("--ipvs --vmethod GATE", false),
        ("--ipvs --vportctl 81", false),
    ] {
        let s = node(VIP, services)
            .table("mangle", &format!("-A POSTROUTING -m ipvs {matches}"))
            .snapshot();
        let key = if fits { "hit" } else { "no" };
        let end = format!("forwarded {key}=mangle/POSTROUTING/1");
        check(&s, TO_V, &[&end]);
    }
}

/// A server of a Service of all ports keeps the port that was asked for (`ip_vs_conn_fill_param` of a persistent service's packets).
#[test]
fn a_rule_that_asks_for_the_service_finds_connections_of_all_ports() {
    let s = node(
        VIP,
        "TCP 172.19.100.2:0 rr persistent 300\n-> 10.233.98.39:0 Masq 1",
    )
    .table(
        "mangle",
        "-A POSTROUTING -m ipvs --vaddr 172.19.100.2/32\n-A POSTROUTING -m ipvs --vaddr 172.19.100.3/32",
    )
    .snapshot();
    let hits = "forwarded hit=mangle/POSTROUTING/1 no=mangle/POSTROUTING/2";
    check(&s, TO_V, &[hits]);
}
