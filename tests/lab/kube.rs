//! Rule sets in the manner of kube-proxy: marks, services, endpoints by statistic, hairpins, and masquerade at the end.

use super::prng::Prng;
use super::spec::{Backend, Rule, Table};

/// The filter and nat tables of one family.
pub fn make(r: &mut Prng, backend: Backend, v6: bool) -> Vec<Table> {
    let mut nat = table(
        "nat",
        backend,
        v6,
        &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
    );
    let mut filter = table("filter", backend, v6, &["INPUT", "FORWARD", "OUTPUT"]);
    for chain in [
        "KUBE-SERVICES",
        "KUBE-NODEPORTS",
        "KUBE-MARK-MASQ",
        "KUBE-POSTROUTING",
    ] {
        nat.chains.push((chain.into(), None));
    }
    for chain in ["KUBE-FORWARD", "KUBE-FIREWALL", "KUBE-SERVICES"] {
        filter.chains.push((chain.into(), None));
    }
    let pods = if v6 {
        super::pool::POD6
    } else {
        super::pool::POD4
    };
    let vips = if v6 {
        super::pool::VIP6
    } else {
        super::pool::VIP4
    };
    let (cidr, one, loopback) = if v6 {
        ("fd03::/16", 128, "::1/128")
    } else {
        ("10.3.0.0/16", 32, "127.0.0.0/8")
    };
    let with_port = |a: &str, p: u16| {
        if v6 {
            format!("[{a}]:{p}")
        } else {
            format!("{a}:{p}")
        }
    };
    add(
        &mut nat,
        "PREROUTING",
        "-m comment --comment \"service portals\" -j KUBE-SERVICES",
    );
    add(
        &mut nat,
        "OUTPUT",
        "-m comment --comment \"service portals\" -j KUBE-SERVICES",
    );
    add(&mut nat, "POSTROUTING", "-j KUBE-POSTROUTING");
    add(&mut nat, "KUBE-MARK-MASQ", "-j MARK --or-mark 0x4000");
    add(
        &mut nat,
        "KUBE-POSTROUTING",
        "-m mark ! --mark 0x4000/0x4000 -j RETURN",
    );
    add(&mut nat, "KUBE-POSTROUTING", "-j MARK --xor-mark 0x4000");
    add(
        &mut nat,
        "KUBE-POSTROUTING",
        r.pick(&["-j MASQUERADE", "-j MASQUERADE --random-fully"]),
    );
    for (i, (vip, port)) in [(0, 80), (0, 443), (1, 53), (1, 8080)]
        .into_iter()
        .enumerate()
    {
        let (vip, proto) = (vips[vip], if port == 53 { "udp" } else { "tcp" });
        let svc = format!("KUBE-SVC-{i}");
        let ends = r.below(4);
        if ends == 0 {
            let text = format!("-d {vip}/{one} -p {proto} -m {proto} --dport {port} -j REJECT");
            add(&mut filter, "KUBE-SERVICES", &text);
            continue;
        }
        nat.chains.push((svc.clone(), None));
        let to = format!("-d {vip}/{one} -p {proto} -m {proto} --dport {port} -j {svc}");
        add(&mut nat, "KUBE-SERVICES", &to);
        if r.chance(50) {
            let ext = format!("KUBE-EXT-{i}");
            nat.chains.push((ext.clone(), None));
            let node_port = format!(
                "-p {proto} -m {proto} --dport {} -j {ext}",
                r.one(&[30080, 5000])
            );
            add(&mut nat, "KUBE-NODEPORTS", &node_port);
            if r.chance(50) {
                add(&mut nat, &ext, "-j KUBE-MARK-MASQ");
            } else {
                add(&mut nat, &ext, &format!("-s {cidr} -j {svc}"));
                add(
                    &mut nat,
                    &ext,
                    "-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ",
                );
            }
            add(&mut nat, &ext, &format!("-j {svc}"));
        }
        let outside = format!(
            "! -s {cidr} -d {vip}/{one} -p {proto} -m {proto} --dport {port} -j KUBE-MARK-MASQ"
        );
        add(&mut nat, &svc, &outside);
        for e in 0..ends {
            let sep = format!("KUBE-SEP-{i}{e}");
            nat.chains.push((sep.clone(), None));
            let pod = pods[(i + e) % pods.len()];
            let pick = match ends - e {
                1 => format!("-j {sep}"),
                2 => format!("-m statistic --mode random --probability 0.50000000000 -j {sep}"),
                _ => format!("-m statistic --mode random --probability 0.33333333349 -j {sep}"),
            };
            add(&mut nat, &svc, &pick);
            add(&mut nat, &sep, &format!("-s {pod}/{one} -j KUBE-MARK-MASQ"));
            let to = with_port(pod, if port == 53 { 53 } else { 8080 });
            add(
                &mut nat,
                &sep,
                &format!("-p {proto} -m {proto} -j DNAT --to-destination {to}"),
            );
        }
    }
    add(
        &mut nat,
        "KUBE-SERVICES",
        &format!("! -d {loopback} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"),
    );
    add(&mut filter, "INPUT", "-j KUBE-FIREWALL");
    add(&mut filter, "OUTPUT", "-j KUBE-FIREWALL");
    for hook in ["INPUT", "FORWARD", "OUTPUT"] {
        add(
            &mut filter,
            hook,
            "-m conntrack --ctstate NEW -j KUBE-SERVICES",
        );
    }
    add(&mut filter, "FORWARD", "-j KUBE-FORWARD");
    add(
        &mut filter,
        "KUBE-FORWARD",
        "-m conntrack --ctstate INVALID -j DROP",
    );
    add(
        &mut filter,
        "KUBE-FORWARD",
        "-m mark --mark 0x4000/0x4000 -j ACCEPT",
    );
    add(
        &mut filter,
        "KUBE-FORWARD",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    );
    let martian = format!(
        "! -s {loopback} -d {loopback} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
    );
    add(&mut filter, "KUBE-FIREWALL", &martian);
    if r.chance(30) {
        for c in filter.chains.iter_mut().filter(|c| c.0 == "FORWARD") {
            c.1 = Some("DROP");
        }
    }
    vec![nat, filter]
}

fn table(name: &'static str, backend: Backend, v6: bool, base: &[&str]) -> Table {
    Table {
        backend,
        v6,
        name,
        chains: base
            .iter()
            .map(|c| ((*c).to_owned(), Some("ACCEPT")))
            .collect(),
        rules: Vec::new(),
    }
}

fn add(t: &mut Table, chain: &str, text: &str) {
    t.rules.push(Rule {
        chain: chain.to_owned(),
        text: text.to_owned(),
    });
}
