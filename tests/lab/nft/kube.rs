//! A table in the manner of kube-proxy's nftables mode.

use super::super::pool;
use super::super::prng::Prng;
use super::super::spec::Rule;
use super::native::{NamedSet, Table};

struct Maker {
    t: Table,
}

impl Maker {
    fn chain(&mut self, name: &str) {
        self.t.chains.push((name.to_owned(), None));
    }

    fn base(&mut self, name: &str, kind: &str, hook: &str, priority: &str) {
        let base = format!("type {kind} hook {hook} priority {priority};");
        self.t.chains.push((name.to_owned(), Some(base)));
    }

    fn rule(&mut self, chain: &str, text: &str) {
        self.t.rules.push(Rule {
            chain: chain.to_owned(),
            text: text.to_owned(),
        });
    }

    fn set(&mut self, head: &str, body: &str) {
        self.t.sets.push(NamedSet {
            head: head.to_owned(),
            body: body.to_owned(),
            elements: Vec::new(),
        });
    }

    fn add(&mut self, head: &str, element: String) {
        if let Some(s) = self.t.sets.iter_mut().find(|s| s.head == head) {
            s.elements.push(element);
        }
    }
}

/// The table of one family. `affinity`: some Services have client affinity, whose sets keep state.
pub fn make(r: &mut Prng, v6: bool, affinity: bool) -> Table {
    let (family, ip, addr) = if v6 {
        ("ip6", "ip6", "ipv6_addr")
    } else {
        ("ip", "ip", "ipv4_addr")
    };
    let mut m = Maker {
        t: Table {
            family,
            name: "kube-proxy".into(),
            sets: Vec::new(),
            chains: Vec::new(),
            rules: Vec::new(),
        },
    };
    frame(&mut m, r, ip, addr);
    let (pods, vips): (&[&str], &[&str]) = if v6 {
        (&pool::POD6, &pool::VIP6)
    } else {
        (&pool::POD4, &pool::VIP4)
    };
    let cidr = if v6 { "fd03::/16" } else { "10.3.0.0/16" };
    let own: &[&str] = if v6 {
        &["fd01::1", "fd02::1"]
    } else {
        &["10.1.0.1", "10.2.0.1"]
    };
    for vip in vips {
        m.add("set cluster-ips", (*vip).to_owned());
    }
    for a in own.iter().take(1 + r.below(2)) {
        m.add("set nodeport-ips", (*a).to_owned());
    }
    for (i, (vip, port)) in [(0, 80), (0, 443), (1, 53), (1, 8080)]
        .into_iter()
        .enumerate()
    {
        let (vip, proto) = (vips[vip], if port == 53 { "udp" } else { "tcp" });
        let svc = format!("service-A{i}-ns/svc{i}/{proto}/p{port}");
        let ends = r.below(4);
        let node_port = r.chance(50).then(|| r.one(&[30080, 5000]));
        if ends == 0 {
            let verdict = r.pick(&["goto reject-chain", "drop", "goto reject-chain"]);
            m.add(
                "map no-endpoint-services",
                format!("{vip} . {proto} . {port} comment \"ns/svc{i}:p\" : {verdict}"),
            );
            if let Some(p) = node_port {
                add_once(
                    &mut m,
                    "map no-endpoint-nodeports",
                    &format!("{proto} . {p}"),
                    verdict,
                );
            }
            continue;
        }
        m.chain(&svc);
        m.add(
            "map service-ips",
            format!("{vip} . {proto} . {port} : goto {svc}"),
        );
        if r.chance(25) {
            let fw = format!("firewall-A{i}-ns/svc{i}/{proto}/p{port}");
            m.chain(&fw);
            let from = if v6 { "2001:db8::/32" } else { "192.0.2.0/24" };
            m.rule(
                &fw,
                &format!("{ip} saddr != {{ {cidr}, {from} }} counter drop"),
            );
            m.add(
                "map firewall-ips",
                format!("{vip} . {proto} . {port} comment \"ns/svc{i}:p\" : goto {fw}"),
            );
        }
        if let Some(p) = node_port {
            let ext = format!("external-A{i}-ns/svc{i}/{proto}/p{port}");
            m.chain(&ext);
            add_once(
                &mut m,
                "map service-nodeports",
                &format!("{proto} . {p}"),
                &format!("goto {ext}"),
            );
            if r.chance(50) {
                m.rule(&ext, "counter jump mark-for-masquerade");
            } else {
                m.rule(
                    &ext,
                    &format!(
                        "{ip} saddr {cidr} counter goto {svc} comment \"short-circuit pod traffic\""
                    ),
                );
                m.rule(&ext, "fib saddr type local counter jump mark-for-masquerade comment \"masquerade local traffic\"");
                m.rule(&ext, &format!("fib saddr type local counter goto {svc} comment \"short-circuit local traffic\""));
            }
            if r.chance(80) {
                m.rule(&ext, &format!("counter goto {svc}"));
            }
        }
        m.rule(
            &svc,
            &format!("{ip} daddr {vip} {proto} dport {port} {ip} saddr != {cidr} counter jump mark-for-masquerade"),
        );
        let sticky = affinity && r.chance(50);
        let mut arms = Vec::new();
        for e in 0..ends {
            let pod = pods[(i + e) % pods.len()];
            let name = format!(
                "A{i}{e}-ns/svc{i}/{proto}/p{port}__{}/8080",
                pod.replace(':', ".")
            );
            let end = format!("endpoint-{name}");
            m.chain(&end);
            m.rule(
                &end,
                &format!("{ip} saddr {pod} counter jump mark-for-masquerade"),
            );
            if sticky {
                let set = format!("affinity-{name}");
                m.set(
                    &format!("set {set}"),
                    &format!("type {addr}; size 65535; flags dynamic,timeout; timeout 3h;"),
                );
                m.rule(&end, &format!("update @{set} {{ {ip} saddr }} counter"));
                m.rule(&svc, &format!("{ip} saddr @{set} counter goto {end}"));
                if r.chance(40) {
                    let client = pool::addr(r, v6);
                    m.add(&format!("set {set}"), client.to_owned());
                }
            }
            let to = if port == 53 { 53 } else { 8080 };
            let to = if v6 {
                format!("[{pod}]:{to}")
            } else {
                format!("{pod}:{to}")
            };
            m.rule(&end, &format!("meta l4proto {proto} counter dnat to {to}"));
            arms.push(format!("{e} : goto {end}"));
        }
        m.rule(
            &svc,
            &format!(
                "counter numgen random mod {ends} vmap {{ {} }}",
                arms.join(", ")
            ),
        );
    }
    m.t
}

fn add_once(m: &mut Maker, head: &str, key: &str, verdict: &str) {
    let had = m.t.sets.iter().find(|s| s.head == head);
    if had.is_some_and(|s| !s.elements.iter().any(|e| e.starts_with(key))) {
        m.add(head, format!("{key} : {verdict}"));
    }
}

/// What is there whatever Services there are.
fn frame(m: &mut Maker, r: &mut Prng, ip: &str, addr: &str) {
    m.set(
        "set cluster-ips",
        &format!("type {addr}; comment \"Active ClusterIPs\";"),
    );
    m.set(
        "set nodeport-ips",
        &format!("type {addr}; comment \"IPs that accept NodePort traffic\";"),
    );
    for map in ["no-endpoint-services", "service-ips", "firewall-ips"] {
        m.set(
            &format!("map {map}"),
            &format!("type {addr} . inet_proto . inet_service : verdict;"),
        );
    }
    for map in ["no-endpoint-nodeports", "service-nodeports"] {
        m.set(
            &format!("map {map}"),
            "type inet_proto . inet_service : verdict;",
        );
    }
    for (name, kind, hook, priority) in [
        ("filter-prerouting", "filter", "prerouting", "dstnat - 10"),
        ("filter-input", "filter", "input", "-110"),
        ("filter-forward", "filter", "forward", "-110"),
        ("filter-output", "filter", "output", "-110"),
        ("filter-output-post-dnat", "filter", "output", "-90"),
        ("nat-prerouting", "nat", "prerouting", "dstnat"),
        ("nat-output", "nat", "output", "-100"),
        ("nat-postrouting", "nat", "postrouting", "srcnat"),
    ] {
        m.base(name, kind, hook, priority);
    }
    for c in [
        "cluster-ips-check",
        "firewall-check",
        "mark-for-masquerade",
        "masquerading",
        "nodeport-endpoints-check",
        "reject-chain",
        "service-endpoints-check",
        "services",
    ] {
        m.chain(c);
    }
    let range = if ip == "ip6" {
        "fd96::/108"
    } else {
        "10.96.0.0/12"
    };
    for (chain, text) in [
        (
            "filter-prerouting",
            "ct state new counter jump firewall-check",
        ),
        (
            "filter-input",
            "ct state new counter jump nodeport-endpoints-check",
        ),
        (
            "filter-input",
            "ct state new counter jump service-endpoints-check",
        ),
        (
            "filter-forward",
            "ct state new counter jump service-endpoints-check",
        ),
        (
            "filter-forward",
            "ct state new counter jump cluster-ips-check",
        ),
        (
            "filter-output",
            "ct state new counter jump service-endpoints-check",
        ),
        ("filter-output", "ct state new counter jump firewall-check"),
        (
            "filter-output-post-dnat",
            "ct state new counter jump cluster-ips-check",
        ),
        ("nat-prerouting", "counter jump services"),
        ("nat-output", "counter jump services"),
        ("nat-postrouting", "counter jump masquerading"),
        ("reject-chain", "counter reject"),
        (
            "mark-for-masquerade",
            "counter meta mark set meta mark or 0x4000",
        ),
        ("masquerading", "meta mark & 0x4000 == 0 counter return"),
        ("masquerading", "counter meta mark set meta mark xor 0x4000"),
    ] {
        m.rule(chain, text);
    }
    m.rule(
        "masquerading",
        r.pick(&["counter masquerade fully-random", "counter masquerade"]),
    );
    m.rule("cluster-ips-check", &format!("{ip} daddr @cluster-ips counter reject comment \"Reject traffic to invalid ports of ClusterIPs\""));
    m.rule(
        "cluster-ips-check",
        &format!(
            "{ip} daddr {range} counter drop comment \"Drop traffic to unallocated ClusterIPs\""
        ),
    );
    m.rule(
        "firewall-check",
        &format!("counter {ip} daddr . meta l4proto . th dport vmap @firewall-ips"),
    );
    m.rule(
        "nodeport-endpoints-check",
        &format!(
            "{ip} daddr @nodeport-ips counter meta l4proto . th dport vmap @no-endpoint-nodeports"
        ),
    );
    m.rule(
        "service-endpoints-check",
        &format!("counter {ip} daddr . meta l4proto . th dport vmap @no-endpoint-services"),
    );
    m.rule(
        "services",
        &format!("counter {ip} daddr . meta l4proto . th dport vmap @service-ips"),
    );
    m.rule(
        "services",
        &format!(
            "{ip} daddr @nodeport-ips counter meta l4proto . th dport vmap @service-nodeports"
        ),
    );
}
