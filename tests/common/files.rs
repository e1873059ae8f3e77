//! The files of a node, written as the tools would print them.

use nfwhy::capture::Snapshot;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const TABLES: [(&str, &[&str]); 5] = [
    ("raw", &["PREROUTING", "OUTPUT"]),
    (
        "mangle",
        &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
    ),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("security", &["INPUT", "FORWARD", "OUTPUT"]),
];

/// A node under construction: devices with their kernel-made routes, then whatever else a test adds.
///
/// Without further calls it forwards, has no `rp_filter`, the default ip rules, and empty tables with policy ACCEPT.
#[derive(Clone, Debug)]
pub struct Files {
    addr: String,
    devices: u32,
    route4: Vec<String>,
    route6: Vec<String>,
    rule4: Vec<String>,
    rule6: Vec<String>,
    rules: [Vec<(String, String)>; 2],
    policies: BTreeMap<(String, String), String>,
    counted: bool,
    header: &'static str,
    sysctls: BTreeMap<String, String>,
    extra: Vec<(String, String)>,
    without: Vec<&'static str>,
}

impl Files {
    /// Devices in registration order behind lo, each as words: the name, then addresses `IP/LEN`, each with `,secondary`,
    /// `,link`, `,site`, `,host`, `,deprecated`, `,temporary`, `,tentative`, `,noprefixroute` as it needs, and `down`,
    /// `kind=KIND`, `master=DEV`, `table=N` (of a VRF), `mtu=N`, `group=NAME`, `remote=IP`, `local=IP`.
    ///
    /// Routes that the kernel makes for addresses are made as well. A first line `lo ...` gives lo further addresses.
    pub fn new(devices: &[&str]) -> Self {
        let mut me = Self {
            addr: String::new(),
            devices: 0,
            route4: Vec::new(),
            route6: Vec::new(),
            rule4: vec![
                "0:\tfrom all lookup local".into(),
                "32766:\tfrom all lookup main".into(),
                "32767:\tfrom all lookup default".into(),
            ],
            rule6: vec![
                "0:\tfrom all lookup local".into(),
                "32766:\tfrom all lookup main".into(),
            ],
            rules: [Vec::new(), Vec::new()],
            policies: BTreeMap::new(),
            counted: false,
            header: "iptables-save v1.8.9",
            sysctls: [
                ("net.ipv4.ip_forward", "1"),
                ("net.ipv4.conf.all.forwarding", "1"),
                ("net.ipv4.conf.all.rp_filter", "0"),
                ("net.ipv4.conf.default.rp_filter", "0"),
                ("net.ipv4.conf.all.accept_local", "0"),
                ("net.ipv4.conf.default.accept_local", "0"),
                ("net.ipv4.conf.all.route_localnet", "0"),
                ("net.ipv4.conf.default.route_localnet", "0"),
                ("net.ipv4.conf.all.src_valid_mark", "0"),
                ("net.ipv4.conf.default.src_valid_mark", "0"),
                ("net.ipv4.vs.conntrack", "1"),
                ("net.ipv6.conf.all.forwarding", "1"),
            ]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
            extra: Vec::new(),
            without: Vec::new(),
        };
        match devices.first() {
            Some(first) if first.split(' ').next() == Some("lo") => {}
            _ => me.device("lo"),
        }
        for d in devices {
            me.device(d);
        }
        me
    }

    fn device(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let value = |key: &str| {
            words
                .iter()
                .find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        self.devices += 1;
        let lo = name == "lo";
        let up = !words.contains(&"down");
        let flags = match (lo, up) {
            (true, _) => "LOOPBACK,UP,LOWER_UP",
            (false, true) => "BROADCAST,MULTICAST,UP,LOWER_UP",
            (false, false) => "BROADCAST,MULTICAST",
        };
        let kind = value("kind");
        let master = value("master").map_or(String::new(), |m| format!(" master {m}"));
        let _ = writeln!(
            self.addr,
            "{}: {name}: <{flags}> mtu {} qdisc noqueue{master} state {} group {} qlen 1000",
            self.devices,
            value("mtu").unwrap_or("1500"),
            if up { "UP" } else { "DOWN" },
            value("group").unwrap_or("default"),
        );
        let link = match (lo, kind) {
            (true, _) => "link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00".to_owned(),
            (_, Some("ipip")) => "link/ipip 0.0.0.0 brd 0.0.0.0".to_owned(),
            _ => format!(
                "link/ether 02:00:00:00:00:{:02x} brd ff:ff:ff:ff:ff:ff",
                self.devices
            ),
        };
        let _ = writeln!(self.addr, "    {link} promiscuity 0 minmtu 68 maxmtu 65535");
        match kind {
            None => {}
            Some("vrf") => {
                let _ = writeln!(
                    self.addr,
                    "    vrf table {} numtxqueues 1",
                    value("table").unwrap_or("1")
                );
            }
            Some("ipip") => {
                let _ = writeln!(
                    self.addr,
                    "    ipip remote {} local {} ttl inherit nopmtudisc numtxqueues 1",
                    value("remote").unwrap_or("any"),
                    value("local").unwrap_or("any"),
                );
            }
            Some("vxlan") => {
                let _ = writeln!(
                    self.addr,
                    "    vxlan id 1 local {} dev ens3 srcport 0 0 dstport 8472 nolearning ttl auto ageing 300 numtxqueues 1",
                    value("local").unwrap_or("10.10.1.142"),
                );
            }
            Some(kind) => {
                let _ = writeln!(self.addr, "    {kind} numtxqueues 1 numrxqueues 1");
            }
        }
        // In a VRF the kernel puts the routes of an address into the VRF's table; tests name it beside the master.
        let table = value("table").filter(|_| kind != Some("vrf"));
        if lo {
            self.address(name, "127.0.0.1/8,host", true, None);
            self.address(name, "::1/128,host", true, None);
        }
        for w in &words {
            if w.contains('/') {
                self.address(name, w, up, table);
            }
        }
    }

    fn address(&mut self, dev: &str, word: &str, up: bool, table: Option<&str>) {
        let mut parts = word.split(',');
        let cidr = parts.next().unwrap_or_default();
        let flags: Vec<&str> = parts.collect();
        let (ip, len) = cidr.split_once('/').unwrap_or((cidr, "32"));
        let v6 = ip.contains(':');
        let has = |f: &str| flags.contains(&f);
        let scope = ["link", "site", "host"]
            .into_iter()
            .find(|s| has(s))
            .unwrap_or("global");
        let mut line = format!("    {} {cidr}", if v6 { "inet6" } else { "inet" });
        let len: u32 = len.parse().unwrap_or(32);
        let net4 = |host: u32| {
            let bits = ip.parse::<std::net::Ipv4Addr>().map_or(0, u32::from);
            let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
            std::net::Ipv4Addr::from((bits & mask) | (host & !mask))
        };
        if !v6 && len < 31 && dev != "lo" {
            let _ = write!(line, " brd {}", net4(u32::MAX));
        }
        let _ = write!(line, " scope {scope}");
        for f in [
            "secondary",
            "temporary",
            "deprecated",
            "tentative",
            "noprefixroute",
        ] {
            if has(f) {
                let _ = write!(line, " {f}");
            }
        }
        if !v6 {
            let _ = write!(line, " {dev}");
        }
        let _ = writeln!(
            self.addr,
            "{line}\n       valid_lft forever preferred_lft {}",
            if has("deprecated") { "0sec" } else { "forever" }
        );
        // As `fib_add_ifaddr` (net/ipv4/fib_frontend.c) and `addrconf_add_ifaddr` (net/ipv6/addrconf.c) do.
        let main = table.map_or(String::new(), |t| format!(" table {t}"));
        let local = table.unwrap_or("local");
        if v6 {
            self.route6.push(format!(
                "local {ip} dev {dev} table {local} proto kernel metric 0 pref medium"
            ));
            if up && len < 128 && !has("noprefixroute") {
                let bits = ip.parse::<std::net::Ipv6Addr>().map_or(0, u128::from);
                let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
                let net = std::net::Ipv6Addr::from(bits & mask);
                self.route6.push(format!(
                    "{net}/{len} dev {dev}{main} proto kernel metric 256 pref medium"
                ));
            }
            return;
        }
        // A secondary's local route has the primary as source; with the primary named first that is the device's first.
        self.route4.push(format!(
            "local {ip} dev {dev} table {local} proto kernel scope host src {ip}"
        ));
        if dev == "lo" && len < 32 {
            self.route4.push(format!(
                "local {}/{len} dev {dev} table {local} proto kernel scope host src {ip}",
                net4(0)
            ));
        }
        if len < 31 && dev != "lo" && up {
            self.route4.push(format!(
                "broadcast {} dev {dev} table {local} proto kernel scope link src {ip}",
                net4(u32::MAX)
            ));
        }
        if len < 32 && dev != "lo" && up && !has("noprefixroute") && !has("secondary") {
            self.route4.push(format!(
                "{}/{len} dev {dev}{main} proto kernel scope link src {ip}",
                net4(0)
            ));
        }
    }

    /// Lines of `ip route show table all`, or of `ip -6 route show table all` where the prefix or `pref` says so.
    pub fn route(mut self, lines: &str) -> Self {
        let mut v6 = false;
        for l in lines.lines().map(str::trim_end).filter(|l| !l.is_empty()) {
            // Next hops of a multipath route follow it.
            if !l.starts_with('\t') {
                let prefix = l
                    .split(' ')
                    .find(|w| w.contains(['.', ':']) || *w == "default");
                v6 = prefix.is_some_and(|p| p.contains(':')) || l.contains(" pref ");
            }
            if v6 {
                &mut self.route6
            } else {
                &mut self.route4
            }
            .push(l.to_owned());
        }
        self
    }

    /// Lines of `ip rule` beside the three defaults.
    pub fn rule(mut self, lines: &str) -> Self {
        add_rules(&mut self.rule4, lines);
        self
    }

    /// Lines of `ip -6 rule` beside the two defaults.
    pub fn rule6(mut self, lines: &str) -> Self {
        add_rules(&mut self.rule6, lines);
        self
    }

    /// Rules of an iptables table, one `-A` a line; chains are declared as they are named.
    pub fn table(mut self, table: &str, rules: &str) -> Self {
        push_rules(&mut self.rules[0], table, rules);
        self
    }

    /// The same of ip6tables.
    pub fn table6(mut self, table: &str, rules: &str) -> Self {
        push_rules(&mut self.rules[1], table, rules);
        self
    }

    /// Policy of a built-in chain, both families.
    pub fn policy(mut self, table: &str, chain: &str, policy: &str) -> Self {
        self.policies
            .insert((table.to_owned(), chain.to_owned()), policy.to_owned());
        self
    }

    /// Puts a rule without target first in every built-in chain, which counts all that passes.
    pub fn count_passages(mut self) -> Self {
        self.counted = true;
        self
    }

    /// Rules as iptables-nft prints them.
    pub fn nft(mut self) -> Self {
        self.header = "iptables-nft-save v1.8.9 (nf_tables)";
        self
    }

    /// Rules as another program or release prints them: its first line behind `Generated by`.
    pub fn header(mut self, header: &'static str) -> Self {
        self.header = header;
        self
    }

    /// A setting, as `sysctl` prints it.
    pub fn sysctl(mut self, lines: &str) -> Self {
        for l in lines.lines() {
            if let Some((k, v)) = l.split_once('=') {
                self.sysctls
                    .insert(k.trim().to_owned(), v.trim().to_owned());
            }
        }
        self
    }

    /// `ipset save`.
    pub fn ipset(self, text: &str) -> Self {
        self.file("ipset.txt", text)
    }

    /// Services and servers of `ipvsadm -ln`: `TCP 10.96.0.1:443 rr`, `-> 10.0.0.1:6443 Masq 1`.
    pub fn ipvs(self, lines: &str) -> Self {
        let mut text = String::from(
            "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n",
        );
        for l in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
            let w: Vec<&str> = l.split_ascii_whitespace().collect();
            match w.as_slice() {
                ["->", server, method, weight] => {
                    let _ = writeln!(
                        text,
                        "  -> {server:<28} {method:<7} {weight:<6} 0          0         "
                    );
                }
                _ => {
                    let _ = writeln!(text, "{l}");
                }
            }
        }
        self.file("ipvsadm.txt", &text)
    }

    /// Any further file.
    pub fn file(mut self, name: &str, text: &str) -> Self {
        self.extra.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Leaves a file out: `ip-addr`, `ip-route`, `ip-rule`, `iptables-save`, `sysctl`.
    pub fn without(mut self, name: &'static str) -> Self {
        self.without.push(name);
        self
    }

    fn dump(&self, family: usize) -> String {
        let mut text = String::new();
        for (table, chains) in TABLES {
            let tool = match family {
                0 => self.header.to_owned(),
                _ => self.header.replacen("ip", "ip6", 1),
            };
            let _ = writeln!(
                text,
                "# Generated by {tool} on Sun Nov  2 10:00:00 2025\n*{table}"
            );
            for c in chains {
                let policy = self
                    .policies
                    .get(&(table.to_owned(), (*c).to_owned()))
                    .map_or("ACCEPT", String::as_str);
                let _ = writeln!(text, ":{c} {policy} [0:0]");
            }
            let rules: Vec<&str> = self.rules[family]
                .iter()
                .filter(|(t, _)| t == table)
                .map(|(_, r)| r.as_str())
                .collect();
            let mut declared: Vec<&str> = Vec::new();
            for r in &rules {
                let chain = r.split_ascii_whitespace().nth(1).unwrap_or_default();
                if !chains.contains(&chain) && !declared.contains(&chain) {
                    declared.push(chain);
                }
            }
            for c in declared {
                let _ = writeln!(text, ":{c} - [0:0]");
            }
            if self.counted {
                for c in chains {
                    let _ = writeln!(text, "-A {c} -m comment --comment passage");
                }
            }
            for r in rules.iter().filter(|r| !r.starts_with("-N ")) {
                let _ = writeln!(text, "{r}");
            }
            let _ = writeln!(text, "COMMIT\n# Completed on Sun Nov  2 10:00:00 2025");
        }
        text
    }

    /// The snapshot.
    pub fn snapshot(&self) -> Snapshot {
        let mut s = Snapshot::default();
        let lines = |l: &[String]| l.join("\n") + if l.is_empty() { "" } else { "\n" };
        let sysctls: Vec<String> = self
            .sysctls
            .iter()
            .map(|(k, v)| format!("{k} = {v}"))
            .collect();
        let files = [
            ("ip-addr", "ip-addr.txt", self.addr.clone()),
            ("ip-route", "ip-route.txt", lines(&self.route4)),
            ("ip-route", "ip-6-route.txt", lines(&self.route6)),
            ("ip-rule", "ip-rule.txt", lines(&self.rule4)),
            ("ip-rule", "ip-6-rule.txt", lines(&self.rule6)),
            ("iptables-save", "iptables-save.txt", self.dump(0)),
            ("iptables-save", "ip6tables-save.txt", self.dump(1)),
            ("sysctl", "sysctl.txt", lines(&sysctls)),
        ];
        for (key, name, text) in files {
            if !self.without.contains(&key) && !text.is_empty() {
                s.add(name.to_owned(), text.into_bytes());
            }
        }
        for (name, text) in &self.extra {
            s.add(name.clone(), text.clone().into_bytes());
        }
        s
    }
}

fn add_rules(list: &mut Vec<String>, lines: &str) {
    for l in lines.lines().map(str::trim).filter(|l| !l.is_empty()) {
        list.push(l.replacen(": ", ":\t", 1));
    }
    let priority = |l: &String| {
        l.split(':')
            .next()
            .and_then(|p| p.parse::<u32>().ok())
            .unwrap_or(u32::MAX)
    };
    list.sort_by_key(priority);
}

fn push_rules(list: &mut Vec<(String, String)>, table: &str, rules: &str) {
    for r in rules.lines().map(str::trim).filter(|r| !r.is_empty()) {
        list.push((table.to_owned(), r.to_owned()));
    }
}
