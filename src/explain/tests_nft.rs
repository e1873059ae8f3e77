//! Findings where nftables decides, for nodes small enough to read.

use super::{explain, service_refused, tries};
use crate::capture::Snapshot;
use crate::cli::PacketSpec;
use crate::node::Node;
use crate::sample::{ADDR, SYSCTL};
use crate::sim::simulate;
use crate::trace::Reason;

const ROUTE: &str = "\
default via 192.0.2.1 dev eth0
10.7.0.5 dev veth7 scope link
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
local 192.0.2.10 dev eth0 table local proto kernel scope host src 192.0.2.10
";

/// kube-proxy's nftables mode, as far as these Services need it.
const KUBE: &str = r#"
table ip kube-proxy {
	set cluster-ips {
		type ipv4_addr
		elements = { 10.96.0.7, 10.96.0.8 }
	}

	map no-endpoint-services {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.8 . tcp . 80 comment "ops/agent:http" : drop,
			     198.51.100.8 . tcp . 80 comment "shop/api:http" : drop }
	}

	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.7 . tcp . 80 : goto service-ULMVA6XW-shop/web/tcp/http,
			     198.51.100.7 . tcp . 80 : goto external-ULMVA6XW-shop/web/tcp/http }
	}

	chain external-ULMVA6XW-shop/web/tcp/http {
		jump mark-for-masquerade
		goto service-ULMVA6XW-shop/web/tcp/http
	}

	chain service-ULMVA6XW-shop/web/tcp/http {
		meta l4proto tcp dnat to 10.7.0.5:8080
	}

	chain mark-for-masquerade {
		meta mark set meta mark | 0x00004000
	}

	chain cluster-ips-check {
		ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"
		ip daddr 10.96.0.0/16 drop comment "Drop traffic to unallocated ClusterIPs"
	}

	chain service-endpoints-check {
		ip daddr . meta l4proto . th dport vmap @no-endpoint-services
	}

	chain filter-forward {
		type filter hook forward priority -110; policy accept;
		ct state new jump service-endpoints-check
		ct state new jump cluster-ips-check
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr . meta l4proto . th dport vmap @service-ips
	}

	chain nat-postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & 0x00004000 == 0x00000000 return
		masquerade fully-random
	}
}
"#;

/// What is said of a packet.
struct Said {
    /// The first finding's code and title.
    first: (String, String),
    others: Vec<String>,
    help: Vec<String>,
    tries: Vec<String>,
    /// The Service that a refusing rule is about.
    refused: Option<String>,
}

fn said(files: &[(&str, &str)], src: &str, dst: &str, iif: &str) -> Said {
    let mut s = Snapshot::default();
    let base = [
        ("ip-addr.txt", ADDR),
        ("ip-route.txt", ROUTE),
        ("sysctl.txt", SYSCTL),
        (
            "ip-rule.txt",
            "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n",
        ),
    ];
    for (name, text) in base.iter().chain(files) {
        s.add((*name).to_owned(), text.as_bytes().to_vec());
    }
    let node = Node::new(&s);
    let (dst, dport) = dst.split_once(':').unwrap_or((dst, "80"));
    let spec: PacketSpec = serde_json::from_str(&format!(
        r#"{{"src":"{src}","sport":40000,"dst":"{dst}","dport":{dport},"iif":"{iif}"}}"#
    ))
    .expect("a packet");
    let packet = spec.resolve(&node).expect("an understood packet");
    let trace = simulate(&node, &packet).expect("an answer");
    let findings = explain(&node, &trace);
    let first = findings.first().expect("a finding");
    let refused = trace.outcomes.first().and_then(|o| match o.reason {
        Reason::Rule(hit) => service_refused(&node, &packet, hit),
        _ => None,
    });
    Said {
        first: (first.code.name().to_owned(), first.title.clone()),
        others: findings.iter().skip(1).map(|f| f.title.clone()).collect(),
        help: findings.iter().flat_map(|f| f.help.clone()).collect(),
        tries: tries(&node, &trace).into_iter().map(|t| t.change).collect(),
        refused,
    }
}

fn outside(files: &[(&str, &str)], dst: &str) -> Said {
    said(files, "203.0.113.7", dst, "eth0")
}

fn is(s: &Said, code: &str, title: &str) {
    assert_eq!(s.first, (code.to_owned(), title.to_owned()));
}

#[test]
fn the_chain_that_marks_is_named_and_the_setting_that_changes_it() {
    let s = outside(&[("nft.txt", KUBE)], "198.51.100.7");
    is(
        &s,
        "client-ip-lost",
        "the pod sees 192.0.2.10, not 203.0.113.7: ip kube-proxy nat-postrouting:2 rewrites the source because ip kube-proxy external-ULMVA6XW-shop/web/tcp/http:1 set mark 0x4000",
    );
    assert!(
        s.help[0].starts_with("externalTrafficPolicy: Local on shop/web"),
        "{:?}",
        s.help
    );
    assert_eq!(s.tries, ["externalTrafficPolicy: Local"]);
}

#[test]
fn one_map_holds_what_both_policies_drop() {
    let s = outside(&[("nft.txt", KUBE)], "198.51.100.8");
    is(
        &s,
        "no-local-endpoints",
        "dropped: shop/api:http has no endpoint on this node and its externalTrafficPolicy is Local (ip kube-proxy service-endpoints-check:1)",
    );
    assert_eq!(s.refused.as_deref(), Some("shop/api:http"));
    assert_eq!(s.tries, Vec::<String>::new());
    let s = said(&[("nft.txt", KUBE)], "10.7.0.5", "10.96.0.8", "veth7");
    is(
        &s,
        "no-local-endpoints",
        "dropped: ops/agent:http has no endpoint on this node and its internalTrafficPolicy is Local (ip kube-proxy service-endpoints-check:1)",
    );
}

#[test]
fn a_wrong_port_and_a_wrong_address_of_the_service_network() {
    let s = outside(&[("nft.txt", KUBE)], "10.96.0.7:8080");
    is(
        &s,
        "unserved",
        "no Service takes tcp 8080 at 10.96.0.7 (it has shop/web:http tcp 80): rejected by ip kube-proxy cluster-ips-check:1",
    );
    assert_eq!(s.help, ["ask for tcp 80, or add the port to the Service"]);
    let s = outside(&[("nft.txt", KUBE)], "10.96.9.9");
    is(
        &s,
        "unserved",
        "no Service has the address 10.96.9.9, which is of the Service network: dropped by ip kube-proxy cluster-ips-check:2",
    );
}

#[test]
fn the_order_of_a_maps_elements_does_not_show() {
    let web = "10.96.0.7 . tcp . 80 : goto service-ULMVA6XW-shop/web/tcp/http";
    let dns = "10.96.0.7 . udp . 53 : goto service-ULMVA6XX-shop/web/udp/dns";
    for both in [format!("{web}, {dns}"), format!("{dns}, {web}")] {
        let s = outside(
            &[("nft.txt", &KUBE.replacen(web, &both, 1))],
            "10.96.0.7:8080",
        );
        is(
            &s,
            "unserved",
            "no Service takes tcp 8080 at 10.96.0.7 (it has shop/web:http tcp 80 and shop/web:dns udp 53): rejected by ip kube-proxy cluster-ips-check:1",
        );
    }
}

const ACCEPTS: &str = "\
# Generated by iptables-save v1.8.9 on Sun Nov  2 10:00:00 2025
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -j KUBE-FORWARD
-A KUBE-FORWARD -p tcp -j ACCEPT
COMMIT
# Completed on Sun Nov  2 10:00:00 2025
";

#[test]
fn an_accept_of_iptables_does_not_save_from_the_policy_of_a_native_table() {
    let firewall = "\
table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		tcp dport 22 accept
	}
}
";
    let files = [("iptables-save.txt", ACCEPTS), ("nft.txt", firewall)];
    let s = outside(&files, "10.7.0.5:8080");
    is(
        &s,
        "dropped-by-policy",
        "dropped by the policy DROP of inet filter forward: no rule there accepted it",
    );
    assert_eq!(
        s.help,
        [
            "accept it there, `nft add rule inet filter forward ip daddr 10.7.0.5 tcp dport 8080 accept`, and in the file that the table is loaded from",
            "filter KUBE-FORWARD:1 (kube-proxy) accepts the packet, which ends the chains of its own table only: those of table inet filter run as well, and drop it",
        ]
    );
}

#[test]
fn an_accept_of_another_hook_is_no_comfort_and_is_not_told() {
    let both = "\
table inet guard {
	chain pre {
		type filter hook prerouting priority raw; policy accept;
		tcp dport 8080 accept
	}
}
table inet list {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip saddr 203.0.113.0/24 counter packets 3 bytes 180 drop
	}
}
";
    let s = outside(&[("nft.txt", both)], "10.7.0.5:8080");
    is(&s, "dropped-by-rule", "dropped by inet list forward:1");
    assert_eq!(s.help, Vec::<String>::new());
    let same = both.replace("prerouting priority raw", "forward priority -5");
    let s = outside(&[("nft.txt", &same)], "10.7.0.5:8080");
    assert_eq!(
        s.help,
        [
            "inet guard pre:1 accepts the packet, which ends the chains of its own table only: those of table inet list run as well, and drop it"
        ]
    );
}

#[test]
fn the_end_of_a_pods_chain_is_its_policies() {
    let calico = r#"
table ip calico {
	chain filter-cali-tw-veth7 {
		counter packets 0 bytes 0 drop comment "cali:aaaaaaaaaaaaaaaa; End of tier default. Drop if no policies passed packet"
	}

	chain filter-cali-fw-veth7 {
		tcp dport 25 counter packets 0 bytes 0 drop comment "cali:aaaaaaaaaaaaaaab; Mail is not for pods"
		counter packets 0 bytes 0 drop comment "cali:aaaaaaaaaaaaaaac; Drop if no profiles matched"
	}

	chain filter-FORWARD {
		type filter hook forward priority filter; policy accept;
		iifname "veth7" goto filter-cali-fw-veth7
		oifname "veth7" goto filter-cali-tw-veth7
	}

	chain raw-PREROUTING {
		type filter hook prerouting priority raw; policy accept;
		iifname "veth7" meta mark set meta mark | 0x00040000
		meta mark & 0x00040000 == 0x00040000 fib saddr . iif oif 0 drop comment "cali:aaaaaaaaaaaaaaad;"
	}
}
"#;
    let files = [("nft.txt", calico)];
    let s = outside(&files, "10.7.0.5:5432");
    is(
        &s,
        "dropped-by-rule",
        "dropped: no ingress policy of the pod behind veth7 admits 203.0.113.7 to tcp 5432 (ip calico filter-cali-tw-veth7:1)",
    );
    assert!(
        s.help[0].contains("kubectl get networkpolicy"),
        "{:?}",
        s.help
    );
    let s = said(&files, "10.7.0.5", "203.0.113.7:443", "veth7");
    is(
        &s,
        "dropped-by-rule",
        "dropped: no egress policy of the pod behind veth7 allows tcp 443 to 203.0.113.7 (ip calico filter-cali-fw-veth7:2)",
    );
    let s = said(&files, "10.7.0.5", "203.0.113.7:25", "veth7");
    is(
        &s,
        "dropped-by-rule",
        "dropped by ip calico filter-cali-fw-veth7:1: Mail is not for pods",
    );
    assert!(
        s.help[0].starts_with("the rule is Calico's"),
        "{:?}",
        s.help
    );
    let s = said(&files, "198.18.0.7", "203.0.113.7", "veth7");
    is(
        &s,
        "dropped-by-rule",
        "dropped: the way back to 198.18.0.7 is not by the device it comes from (ip calico raw-PREROUTING:2)",
    );
}

#[test]
fn chains_of_kube_proxy_that_are_half_in_either_backend() {
    let half = |generated: &str, table: &str, hook: &str, chain: &str| {
        format!(
            "\
# Generated by {generated} on Sun Nov  2 10:00:00 2025
*{table}
:{hook} ACCEPT [0:0]
:{chain} - [0:0]
-A {hook} -j {chain}
-A {chain} -p tcp -m mark --mark 0x0/0x4000
COMMIT
# Completed on Sun Nov  2 10:00:00 2025
"
        )
    };
    let legacy = half("iptables-save v1.8.9", "nat", "PREROUTING", "KUBE-SERVICES");
    let nft = half(
        "iptables-nft-save v1.8.9 (nf_tables)",
        "filter",
        "FORWARD",
        "KUBE-FORWARD",
    );
    let s = outside(
        &[("legacy.txt", &legacy), ("nft.txt", &nft)],
        "10.7.0.5:8080",
    );
    let have: Vec<&String> = std::iter::once(&s.first.1).chain(&s.others).collect();
    let want = "kube-proxy's chains are half in the one and half in the other iptables and both are hit: nat KUBE-SERVICES:1 in iptables-legacy, filter KUBE-FORWARD:1 in iptables-nft";
    assert!(have.iter().any(|t| *t == want), "{have:?}");
}

#[test]
fn a_copy_of_kube_proxy_in_the_other_backend_is_told_with_whose_endpoint_it_is() {
    let copy = |generated: &str, address: &str, endpoint: &str| {
        format!(
            "\
# Generated by {generated} on Sun Nov  2 10:00:00 2025
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-SERVICES -d {address}/32 -p tcp -j DNAT --to-destination {endpoint}
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
COMMIT
# Completed on Sun Nov  2 10:00:00 2025
"
        )
    };
    let legacy = copy("iptables-save v1.8.9", "10.96.0.7", "10.7.0.5:8080");
    let nft = copy(
        "iptables-nft-save v1.8.9 (nf_tables)",
        "10.96.0.9",
        "10.7.0.5:9090",
    );
    let files = [("legacy.txt", legacy.as_str()), ("nft.txt", nft.as_str())];
    for (dst, told) in [
        (
            "10.96.0.7",
            "nat KUBE-SERVICES:1 in iptables-legacy, nat KUBE-POSTROUTING:1 in iptables-nft; the endpoint is that of iptables-legacy",
        ),
        (
            "10.96.0.9",
            "nat KUBE-POSTROUTING:1 in iptables-legacy, nat KUBE-SERVICES:1 in iptables-nft; the endpoint is that of iptables-nft, for iptables-legacy translates no such packet",
        ),
    ] {
        let s = outside(&files, dst);
        let want = format!("kube-proxy's chains exist twice and both are hit: {told}");
        let have: Vec<&String> = std::iter::once(&s.first.1).chain(&s.others).collect();
        assert!(have.contains(&&want), "{have:?}");
        assert!(
            s.help.iter().any(|h| h.starts_with("of two nat tables")),
            "{:?}",
            s.help
        );
    }
}
