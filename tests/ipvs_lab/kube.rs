//! Sets and rules of kube-proxy's IPVS mode, in the forms of several versions, with rules around them that only count.

use std::fmt::Write;

use super::counting::{counting, router};
use super::frame::SCTP;
use super::places::Places;
use super::prng::Prng;
use super::services::{Marked, Service};

/// Which of kube-proxy's rule sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// 1.19 to 1.24: a firewall in nat that marks what filter drops.
    Marks,
    /// 1.25 and 1.26: the firewall is in filter.
    Firewall,
    /// 1.27: INPUT guards addresses of kube-ipvs0.
    Guards,
    /// 1.28 and later: OUTPUT does so too.
    GuardsBoth,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which rule set.
    pub form: Form,
    /// `masqueradeAll`.
    pub all: bool,
    /// A cluster CIDR is known.
    pub cidr: bool,
    /// `--random-fully`.
    pub random: bool,
}

impl Settings {
    /// Draws them.
    pub fn draw(r: &mut Prng) -> Self {
        Self {
            form: r.one(&[Form::Marks, Form::Firewall, Form::Guards, Form::GuardsBoth]),
            all: r.chance(10),
            cidr: r.chance(80),
            random: r.chance(70),
        }
    }
}

/// The name of a set: those of IPv6 have the family in theirs, and names end at 31 characters.
fn set(p: &Places, name: &str) -> String {
    let mut full = if p.v6 {
        name.replacen("KUBE-", "KUBE-6-", 1)
    } else {
        name.to_owned()
    };
    full.truncate(31);
    full
}

/// Lines for `ipset restore`.
pub fn sets(services: &[Service], p: &Places) -> Vec<String> {
    let mut out = Vec::new();
    let family = if p.v6 { "inet6" } else { "inet" };
    for (name, kind) in [
        ("KUBE-LOOP-BACK", "hash:ip,port,ip"),
        ("KUBE-CLUSTER-IP", "hash:ip,port"),
        ("KUBE-EXTERNAL-IP", "hash:ip,port"),
        ("KUBE-EXTERNAL-IP-LOCAL", "hash:ip,port"),
        ("KUBE-LOAD-BALANCER", "hash:ip,port"),
        ("KUBE-LOAD-BALANCER-FW", "hash:ip,port"),
        ("KUBE-LOAD-BALANCER-LOCAL", "hash:ip,port"),
        ("KUBE-LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip"),
        ("KUBE-LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
        ("KUBE-NODE-PORT-SCTP-HASH", "hash:ip,port"),
        ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port"),
        ("KUBE-IPVS-IPS", "hash:ip"),
    ] {
        out.push(format!("create {} {kind} family {family}", set(p, name)));
    }
    for name in [
        "KUBE-NODE-PORT-TCP",
        "KUBE-NODE-PORT-LOCAL-TCP",
        "KUBE-NODE-PORT-UDP",
        "KUBE-NODE-PORT-LOCAL-UDP",
        "KUBE-HEALTH-CHECK-NODE-PORT",
    ] {
        out.push(format!("create {} bitmap:port range 0-65535", set(p, name)));
    }
    let mut add = |name: &str, member: String| {
        let line = format!("add {} {member}", set(p, name));
        if !out.contains(&line) {
            out.push(line);
        }
    };
    for s in services {
        let (proto, port) = (s.proto(), s.port);
        add("KUBE-CLUSTER-IP", format!("{},{proto}:{port}", s.cluster));
        add("KUBE-IPVS-IPS", s.cluster.to_string());
        for x in &s.servers {
            if p.pods.contains(&x.addr) || p.node.contains(&x.addr) {
                add(
                    "KUBE-LOOP-BACK",
                    format!("{0},{proto}:{1},{0}", x.addr, s.target),
                );
            }
        }
        if let Some(a) = s.balancer {
            add("KUBE-LOAD-BALANCER", format!("{a},{proto}:{port}"));
            add("KUBE-IPVS-IPS", a.to_string());
            if s.local {
                add("KUBE-LOAD-BALANCER-LOCAL", format!("{a},{proto}:{port}"));
            }
            if !s.ranges.is_empty() {
                add("KUBE-LOAD-BALANCER-FW", format!("{a},{proto}:{port}"));
                for range in &s.ranges {
                    add(
                        "KUBE-LOAD-BALANCER-SOURCE-CIDR",
                        format!("{a},{proto}:{port},{range}"),
                    );
                }
                // kube-proxy adds the node where the range holds it.
                add(
                    "KUBE-LOAD-BALANCER-SOURCE-IP",
                    format!("{a},{proto}:{port},{}", p.node[1]),
                );
            }
        }
        if let Some(a) = s.external {
            let name = if s.local {
                "KUBE-EXTERNAL-IP-LOCAL"
            } else {
                "KUBE-EXTERNAL-IP"
            };
            add(name, format!("{a},{proto}:{port}"));
            add("KUBE-IPVS-IPS", a.to_string());
        }
        if let Some(n) = s.node_port {
            let names = ["KUBE-NODE-PORT", "KUBE-NODE-PORT-LOCAL"];
            for name in &names[..=usize::from(s.local)] {
                if s.proto == SCTP {
                    for addr in p.node_ports() {
                        add(&format!("{name}-SCTP-HASH"), format!("{addr},sctp:{n}"));
                    }
                } else {
                    add(&format!("{name}-{}", proto.to_uppercase()), n.to_string());
                }
            }
            if s.local {
                add("KUBE-HEALTH-CHECK-NODE-PORT", "32000".into());
            }
        }
    }
    out
}

fn nat(t: &mut String, s: &Settings, services: &[Service], p: &Places) {
    let m = |name: &str, dirs: &str| format!("-m set --match-set {} {dirs}", set(p, name));
    let masq = if s.random { " --random-fully" } else { "" };
    let marks = s.form == Form::Marks;
    for c in [
        "KUBE-SERVICES",
        "KUBE-POSTROUTING",
        "KUBE-NODE-PORT",
        "KUBE-LOAD-BALANCER",
        "KUBE-MARK-MASQ",
    ] {
        let _ = writeln!(t, ":{c} - [0:0]");
    }
    if marks {
        t.push_str(":KUBE-FIREWALL - [0:0]\n:KUBE-MARK-DROP - [0:0]\n");
    }
    let portals = "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES";
    let mut rule = |text: String| {
        t.push_str("-A ");
        t.push_str(&text);
        t.push('\n');
    };
    rule(format!("PREROUTING {portals}"));
    rule(format!("OUTPUT {portals}"));
    rule("POSTROUTING -j KUBE-POSTROUTING".into());
    if !marks {
        let lo = if p.v6 { "::1/128" } else { "127.0.0.0/8" };
        rule(format!("KUBE-SERVICES -s {lo} -j RETURN"));
    }
    let has_lb = services.iter().any(|x| x.balancer.is_some());
    let has_ext = services.iter().any(|x| x.external.is_some() && !x.local);
    let has_ext_local = services.iter().any(|x| x.external.is_some() && x.local);
    if has_lb {
        rule(format!(
            "KUBE-SERVICES {} -j KUBE-LOAD-BALANCER",
            m("KUBE-LOAD-BALANCER", "dst,dst")
        ));
    }
    let cluster = m("KUBE-CLUSTER-IP", "dst,dst");
    if s.all {
        rule(format!("KUBE-SERVICES {cluster} -j KUBE-MARK-MASQ"));
    } else if s.cidr {
        rule(format!(
            "KUBE-SERVICES ! -s {} {cluster} -j KUBE-MARK-MASQ",
            p.pod_nets[1]
        ));
    } else {
        rule(format!(
            "KUBE-SERVICES {} -j KUBE-MARK-MASQ",
            m("KUBE-CLUSTER-IP", "src,dst")
        ));
    }
    if has_ext {
        rule(format!(
            "KUBE-SERVICES {} -j KUBE-MARK-MASQ",
            m("KUBE-EXTERNAL-IP", "dst,dst")
        ));
    }
    for (name, has) in [
        ("KUBE-EXTERNAL-IP", has_ext),
        ("KUBE-EXTERNAL-IP-LOCAL", has_ext_local),
    ] {
        if has {
            let e = m(name, "dst,dst");
            rule(format!(
                "KUBE-SERVICES {e} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT"
            ));
            rule(format!(
                "KUBE-SERVICES {e} -m addrtype --dst-type LOCAL -j ACCEPT"
            ));
        }
    }
    rule("KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT".into());
    rule(format!("KUBE-SERVICES {cluster} -j ACCEPT"));
    if has_lb {
        rule(format!(
            "KUBE-SERVICES {} -j ACCEPT",
            m("KUBE-LOAD-BALANCER", "dst,dst")
        ));
    }
    for (proto, name, dirs) in [
        ("tcp", "TCP", "dst"),
        ("udp", "UDP", "dst"),
        ("sctp", "SCTP-HASH", "dst,dst"),
    ] {
        if services
            .iter()
            .any(|x| x.node_port.is_some() && x.proto() == proto)
        {
            rule(format!(
                "KUBE-NODE-PORT -p {proto} {} -j RETURN",
                m(&format!("KUBE-NODE-PORT-LOCAL-{name}"), dirs)
            ));
            rule(format!(
                "KUBE-NODE-PORT -p {proto} {} -j KUBE-MARK-MASQ",
                m(&format!("KUBE-NODE-PORT-{name}"), dirs)
            ));
        }
    }
    if marks {
        rule(format!(
            "KUBE-LOAD-BALANCER {} -j KUBE-FIREWALL",
            m("KUBE-LOAD-BALANCER-FW", "dst,dst")
        ));
        for name in [
            "KUBE-LOAD-BALANCER-SOURCE-CIDR",
            "KUBE-LOAD-BALANCER-SOURCE-IP",
        ] {
            rule(format!(
                "KUBE-FIREWALL {} -j RETURN",
                m(name, "dst,dst,src")
            ));
        }
        rule("KUBE-FIREWALL -j KUBE-MARK-DROP".into());
        rule("KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000".into());
    }
    rule(format!(
        "KUBE-LOAD-BALANCER {} -j RETURN",
        m("KUBE-LOAD-BALANCER-LOCAL", "dst,dst")
    ));
    rule("KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ".into());
    rule("KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000".into());
    rule(format!(
        "KUBE-POSTROUTING {} -j MASQUERADE",
        m("KUBE-LOOP-BACK", "dst,dst,src")
    ));
    rule("KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN".into());
    rule("KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0".into());
    rule(format!(
        "KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE{masq}"
    ));
}

fn filter(t: &mut String, s: &Settings, p: &Places) {
    let m = |name: &str, dirs: &str| format!("-m set --match-set {} {dirs}", set(p, name));
    t.push_str(":KUBE-FORWARD - [0:0]\n");
    let mut rules = vec![
        "FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD".to_owned(),
    ];
    if s.form == Form::Marks {
        t.push_str(":KUBE-FIREWALL - [0:0]\n");
        rules.push("INPUT -j KUBE-FIREWALL".into());
        rules.push("OUTPUT -j KUBE-FIREWALL".into());
        rules.push("KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP".into());
    } else {
        t.push_str(":KUBE-NODE-PORT - [0:0]\n:KUBE-PROXY-FIREWALL - [0:0]\n:KUBE-SOURCE-RANGES-FIREWALL - [0:0]\n");
        if s.form >= Form::Guards {
            t.push_str(":KUBE-IPVS-FILTER - [0:0]\n");
            rules.push(
                "INPUT -m comment --comment \"kubernetes ipvs access filter\" -j KUBE-IPVS-FILTER"
                    .into(),
            );
        }
        if s.form == Form::GuardsBoth {
            t.push_str(":KUBE-IPVS-OUT-FILTER - [0:0]\n");
            rules.push("OUTPUT -j KUBE-IPVS-OUT-FILTER".into());
        }
        rules.push("INPUT -j KUBE-PROXY-FIREWALL".into());
        rules.push("INPUT -j KUBE-NODE-PORT".into());
        rules.insert(0, "FORWARD -j KUBE-PROXY-FIREWALL".into());
        rules.push(format!(
            "KUBE-NODE-PORT {} -j ACCEPT",
            m("KUBE-HEALTH-CHECK-NODE-PORT", "dst")
        ));
        rules.push(format!(
            "KUBE-PROXY-FIREWALL {} -j KUBE-SOURCE-RANGES-FIREWALL",
            m("KUBE-LOAD-BALANCER-FW", "dst,dst")
        ));
        rules.push(format!(
            "KUBE-SOURCE-RANGES-FIREWALL {} -j RETURN",
            m("KUBE-LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src")
        ));
        rules.push(format!(
            "KUBE-SOURCE-RANGES-FIREWALL {} -j RETURN",
            m("KUBE-LOAD-BALANCER-SOURCE-IP", "dst,dst,src")
        ));
        rules.push("KUBE-SOURCE-RANGES-FIREWALL -j DROP".into());
        if s.form >= Form::Guards {
            for name in [
                "KUBE-LOAD-BALANCER",
                "KUBE-CLUSTER-IP",
                "KUBE-EXTERNAL-IP",
                "KUBE-EXTERNAL-IP-LOCAL",
            ] {
                rules.push(format!("KUBE-IPVS-FILTER {} -j RETURN", m(name, "dst,dst")));
            }
            rules.push(format!(
                "KUBE-IPVS-FILTER {} -j RETURN",
                m("KUBE-HEALTH-CHECK-NODE-PORT", "dst")
            ));
            let reject = if p.v6 {
                "icmp6-port-unreachable"
            } else {
                "icmp-port-unreachable"
            };
            rules.push(format!(
                "KUBE-IPVS-FILTER -m conntrack --ctstate NEW {} -j REJECT --reject-with {reject}",
                m("KUBE-IPVS-IPS", "dst")
            ));
        }
    }
    rules.push("KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT".into());
    rules.push("KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".into());
    for rule in rules {
        let _ = writeln!(t, "-A {rule}");
    }
}

/// Everything for one `iptables-restore`.
pub fn rules(
    r: &mut Prng,
    s: &Settings,
    services: &[Service],
    marked: Option<&Marked>,
    p: &Places,
) -> String {
    const FIVE: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    let mut t = String::new();
    let five = "PREROUTING INPUT FORWARD OUTPUT POSTROUTING";
    let builtin = |names: &str| {
        names.split(' ').fold(String::new(), |mut t, n| {
            let _ = writeln!(t, ":{n} ACCEPT [0:0]");
            t
        })
    };
    if r.chance(40) {
        t += "*raw\n";
        t += &builtin("PREROUTING OUTPUT");
        t += &counting(r, p, &["PREROUTING", "OUTPUT"])
            .replace("-m conntrack --ctstate NEW\n", "-p icmp\n");
        if r.chance(15) {
            let _ = writeln!(
                t,
                "-A PREROUTING -d {} -j CT --notrack",
                p.single(p.cluster[0])
            );
        }
        t += "COMMIT\n";
    }
    if marked.is_some() || r.chance(70) {
        t += "*mangle\n";
        t += &builtin(five);
        t += &counting(r, p, &FIVE);
        if let Some(m) = marked {
            for hook in ["PREROUTING", "OUTPUT"] {
                let _ = writeln!(
                    t,
                    "-A {hook} -d {} -p tcp -m tcp --dport {} -j MARK --set-xmark {:#x}/0xffffffff",
                    p.single(m.addr),
                    m.port,
                    m.mark
                );
            }
        }
        t += "COMMIT\n";
    }
    t += "*nat\n";
    t += &builtin("PREROUTING INPUT OUTPUT POSTROUTING");
    let mut body = String::new();
    nat(&mut body, s, services, p);
    let (chains, rules): (Vec<&str>, Vec<&str>) = body.lines().partition(|l| l.starts_with(':'));
    t += &(chains.join("\n") + "\n");
    t += &counting(r, p, &["PREROUTING", "INPUT", "OUTPUT"]);
    if r.chance(12) {
        t += &router(r, p);
    }
    if r.chance(8) {
        // Another address for a virtual one.
        let to = if p.v6 {
            format!("[{}]:80", p.cluster[0])
        } else {
            format!("{}:80", p.cluster[0])
        };
        for hook in ["PREROUTING", "OUTPUT"] {
            let _ = writeln!(
                t,
                "-A {hook} -d {} -p tcp -m tcp --dport 80 -j DNAT --to-destination {to}",
                p.single(p.node[1])
            );
        }
    }
    let outgoing = format!(
        "-A POSTROUTING -s {0} ! -d {0} -j MASQUERADE",
        p.pod_nets[1]
    );
    let nat_outgoing = r.below(5);
    if nat_outgoing == 0 {
        t += &format!("{outgoing}\n");
    }
    t += &(rules.join("\n") + "\n");
    if nat_outgoing == 1 {
        t += &format!("{outgoing}\n");
    }
    t += &counting(r, p, &["POSTROUTING"]);
    t += "COMMIT\n*filter\n";
    let forward = if r.chance(15) { "DROP" } else { "ACCEPT" };
    let _ = write!(
        t,
        ":INPUT ACCEPT [0:0]\n:FORWARD {forward} [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    );
    let mut body = String::new();
    filter(&mut body, s, p);
    let (chains, rules): (Vec<&str>, Vec<&str>) = body.lines().partition(|l| l.starts_with(':'));
    t += &(chains.join("\n") + "\n");
    t += &counting(r, p, &["INPUT", "FORWARD", "OUTPUT"]);
    t += &(rules.join("\n") + "\n");
    if r.chance(20) {
        let _ = writeln!(t, "-A FORWARD -d {} -j ACCEPT", p.pod_nets[1]);
    }
    t + "COMMIT\n"
}
