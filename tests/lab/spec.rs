//! A node as the lab makes it: the lines given to each tool. Nothing else, so that a case can be shrunk line by line.

use std::collections::{BTreeMap, BTreeSet};

use super::nft::{counters, listing, native};
use super::sh;

/// Which iptables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// `iptables-legacy`.
    Legacy,
    /// `iptables-nft`.
    Nft,
    /// A table of `nft`; its name stands behind its family.
    Native,
}

/// A rule of a table.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its chain.
    pub chain: String,
    /// What follows `-A CHAIN`.
    pub text: String,
}

/// A table of one family and backend.
#[derive(Clone, Debug)]
pub struct Table {
    /// Legacy or nft.
    pub backend: Backend,
    /// IPv6.
    pub v6: bool,
    /// `filter`, `nat`, ...
    pub name: &'static str,
    /// Chains; a policy makes a built-in one.
    pub chains: Vec<(String, Option<&'static str>)>,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// A node.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// Below `/proc/sys/net/`, written in order before and after the addresses.
    pub sysctls: Vec<(String, String)>,
    /// Lines for `ip -batch`; those that the tool refuses are left out.
    pub ip: Vec<String>,
    /// Lines for `ip -6 -batch`.
    pub ip6: Vec<String>,
    /// Lines for `ipset restore`.
    pub sets: Vec<String>,
    /// Tables in the order in which they are loaded.
    pub tables: Vec<Table>,
    /// Tables of `nft`, loaded before the others.
    pub native: Vec<native::Table>,
    /// Their listing is captured as JSON, not as text.
    pub json: bool,
}

/// A rule by its place: backend, table, chain, index from 0.
pub type RuleKey = (Backend, String, String, usize);

/// Packets counted per rule.
pub type Counters = BTreeMap<RuleKey, u64>;

/// The name of a tool.
pub fn tool(backend: Backend, v6: bool, what: &str) -> String {
    let family = if v6 { "ip6tables" } else { "iptables" };
    let backend = match backend {
        Backend::Legacy => "legacy",
        Backend::Nft | Backend::Native => "nft",
    };
    format!("{family}-{backend}-{what}")
}

impl Table {
    /// The table as `iptables-restore` reads it.
    pub fn text(&self) -> String {
        let mut t = format!("*{}\n", self.name);
        for (chain, policy) in &self.chains {
            t += &format!(":{chain} {} [0:0]\n", policy.unwrap_or("-"));
        }
        for r in &self.rules {
            t += &format!("-A {} {}\n", r.chain, r.text);
        }
        t + "COMMIT\n"
    }

    /// Loads the table; rules that the tool refuses are dropped, and given back with what it said.
    fn load(&mut self) -> Vec<(Rule, String)> {
        let tool = tool(self.backend, self.v6, "restore");
        let mut refused = Vec::new();
        let first = 1 + self.chains.len() + 1;
        loop {
            let said = sh::run(&[&tool, "-n", "-w"], &self.text());
            if said.ok {
                return refused;
            }
            // `iptables-restore: line 12 failed`, `Error occurred at line: 12`, `line 12: RULE_APPEND failed`.
            let lines: BTreeSet<usize> = said
                .err
                .split("line")
                .skip(1)
                .filter_map(|t| {
                    t.trim_start_matches([':', ' '])
                        .split(|c: char| !c.is_ascii_digit())
                        .next()?
                        .parse::<usize>()
                        .ok()
                })
                .filter(|n| *n >= first && *n < first + self.rules.len())
                .collect();
            if lines.is_empty() {
                // The table as a whole was refused: rule by rule, keeping what the kernel takes.
                refused.extend(self.load_singly(&tool));
                return refused;
            }
            for n in lines.into_iter().rev() {
                refused.push((self.rules.remove(n - first), said.err.clone()));
            }
        }
    }

    /// Takes out what a call that was refused as a whole may have left (iptables-legacy-restore commits table by table).
    fn unload(&self) {
        let mut text = format!("*{}\n", self.name);
        for (chain, policy) in &self.chains {
            text += &format!(":{chain} {} [0:0]\n-F {chain}\n", policy.unwrap_or("-"));
        }
        let tool = tool(self.backend, self.v6, "restore");
        sh::must(&[&tool, "-n", "-w"], &(text + "COMMIT\n"));
    }

    fn load_singly(&mut self, tool: &str) -> Vec<(Rule, String)> {
        let rules = std::mem::take(&mut self.rules);
        let said = sh::run(&[tool, "-n", "-w"], &self.text());
        assert!(said.ok, "chains refused: {}\n{}", said.err, self.text());
        let mut refused = Vec::new();
        for r in rules {
            let text = format!("*{}\n-A {} {}\nCOMMIT\n", self.name, r.chain, r.text);
            let said = sh::run(&[tool, "-n", "-w"], &text);
            if said.ok {
                self.rules.push(r);
            } else {
                refused.push((r, said.err));
            }
        }
        refused
    }
}

impl Spec {
    /// Makes the thread's namespace this node. Gives back the rules that were refused, which are dropped from the spec.
    pub fn load(&mut self) -> Vec<(Rule, String)> {
        for (path, value) in &self.sysctls {
            let _ = std::fs::write(format!("/proc/sys/net/{path}"), value);
        }
        for (lines, family) in [(&self.ip, "-4"), (&self.ip6, "-6")] {
            if !lines.is_empty() {
                let text = lines.join("\n") + "\n";
                let _ = sh::run(&["ip", family, "-force", "-batch", "-"], &text);
            }
        }
        wait_for_addresses();
        self.load_sets();
        let mut refused = native::load(&mut self.native);
        // One call for all tables of a tool, unless it refuses something.
        for tables in self
            .tables
            .chunk_by_mut(|a, b| (a.backend, a.v6) == (b.backend, b.v6))
        {
            let Some(first) = tables.first() else {
                continue;
            };
            let tool = tool(first.backend, first.v6, "restore");
            let text: String = tables.iter().map(Table::text).collect();
            if sh::run(&[&tool, "-n", "-w"], &text).ok {
                continue;
            }
            for t in tables {
                t.unload();
                refused.extend(t.load());
            }
        }
        refused
    }

    fn load_sets(&mut self) {
        while !self.sets.is_empty() {
            let said = sh::run(
                &["ipset", "restore", "-exist"],
                &(self.sets.join("\n") + "\n"),
            );
            if said.ok {
                return;
            }
            // `ipset v7.17: Error in line 3: ...`
            let line: Option<usize> = said
                .err
                .split("line ")
                .nth(1)
                .and_then(|t| t.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
            match line {
                Some(n) if n >= 1 && n <= self.sets.len() => {
                    self.sets.remove(n - 1);
                }
                _ => panic!("ipset refuses: {}", said.err),
            }
            let _ = sh::run(&["ipset", "destroy"], "");
        }
    }

    /// Loads the rules once more, which sets counters and all state of matches to their beginning. The tables themselves stay,
    /// and with them the order of the hooks.
    pub fn reload_rules(&mut self) {
        let mut rules = self.tables.iter().flat_map(|t| &t.rules);
        if rules.any(|r| r.text.contains("-j SET ")) {
            sh::must(&["ipset", "flush"], "");
            let adds = self.sets.iter().filter(|l| l.starts_with("add "));
            let text: Vec<&str> = adds.map(String::as_str).collect();
            sh::must(&["ipset", "restore", "-exist"], &(text.join("\n") + "\n"));
        }
        if !self.native.is_empty() {
            native::reload(&self.native);
        }
        for again in [false, true] {
            for t in &self.tables {
                let mut text = format!("*{}\n", t.name);
                for (chain, policy) in &t.chains {
                    text += &format!(":{chain} {} [0:0]\n-F {chain}\n", policy.unwrap_or("-"));
                }
                for r in t.rules.iter().filter(|_| again) {
                    text += &format!("-A {} {}\n", r.chain, r.text);
                }
                sh::must(
                    &[&tool(t.backend, t.v6, "restore"), "-n", "-w"],
                    &(text + "COMMIT\n"),
                );
            }
        }
    }

    /// The node's state by the ordinary commands: file names and contents.
    pub fn capture(&self) -> Vec<(String, String)> {
        let mut files = Vec::new();
        if self.native.is_empty() {
        } else if self.json {
            let said = sh::must(&["nft", "-j", "list", "ruleset"], "");
            files.push(("nft.json".into(), listing::json(&said)));
        } else {
            let said = sh::must(&["nft", "list", "ruleset"], "");
            files.push(("nft.txt".into(), listing::text(&said)));
        }
        for v6 in [false, true] {
            for backend in [Backend::Legacy, Backend::Nft] {
                let tool = tool(backend, v6, "save");
                let text = sh::must(&[&tool], "");
                files.push((format!("{tool}.txt"), text));
            }
        }
        files.push(("ipset.txt".into(), sh::must(&["ipset", "save"], "")));
        for (name, line) in [
            ("ip-addr.txt", &["ip", "-d", "addr"][..]),
            ("ip-route.txt", &["ip", "route", "show", "table", "all"]),
            (
                "ip-6-route.txt",
                &["ip", "-6", "route", "show", "table", "all"],
            ),
            ("ip-rule.txt", &["ip", "rule"]),
            ("ip-6-rule.txt", &["ip", "-6", "rule"]),
        ] {
            files.push((name.into(), sh::must(line, "")));
        }
        files.push(("sysctl.txt".into(), sysctls()));
        files.retain(|(_, text)| !text.trim().is_empty());
        files
    }

    /// Packets counted by the rules of one family.
    pub fn counters(&self, v6: bool) -> Counters {
        let mut out = Counters::new();
        for backend in [Backend::Legacy, Backend::Nft] {
            if !self
                .tables
                .iter()
                .any(|t| t.v6 == v6 && t.backend == backend)
            {
                continue;
            }
            let text = sh::must(&[&tool(backend, v6, "save"), "-c"], "");
            read_counters(&text, backend, &mut out);
        }
        if !self.native.is_empty() {
            counters::read(&mut out).expect("a dump of all rules");
            let mine: BTreeSet<String> = self
                .native
                .iter()
                .map(|t| format!("{} {}", t.family, t.name))
                .collect();
            out.retain(|k, _| k.0 != Backend::Native || mine.contains(&k.1));
        }
        out
    }
}

/// IPv6 addresses get their local routes some time after they were added (`addrconf_dad_work` in `net/ipv6/addrconf.c`).
fn wait_for_addresses() {
    for _ in 0..200 {
        let routes = sh::must(&["ip", "-6", "route", "show", "table", "local"], "");
        let addrs = sh::must(&["ip", "-6", "-o", "addr"], "");
        let missing = addrs.lines().any(|line| {
            let addr = line.split_ascii_whitespace().nth(3).unwrap_or_default();
            let addr = addr.split('/').next().unwrap_or_default();
            line.contains("tentative") || !routes.contains(&format!("local {addr} "))
        });
        if !missing {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

fn read_counters(text: &str, backend: Backend, out: &mut Counters) {
    let mut table = String::new();
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
            next.clear();
            continue;
        }
        let Some((count, rest)) = line.strip_prefix('[').and_then(|l| l.split_once(':')) else {
            continue;
        };
        let Some(chain) = rest
            .split_once("-A ")
            .and_then(|(_, r)| r.split_ascii_whitespace().next())
        else {
            continue;
        };
        let at = next.entry(chain.to_owned()).or_default();
        let count = count.parse().unwrap_or(0);
        out.insert((backend, table.clone(), chain.to_owned(), *at), count);
        *at += 1;
    }
}

/// The settings that bear on a packet, as `sysctl` prints them.
fn sysctls() -> String {
    let mut out = String::new();
    let mut add = |path: &str| {
        if let Ok(v) = std::fs::read_to_string(format!("/proc/sys/net/{path}")) {
            let name = format!("net/{path}").replace('/', ".");
            out += &format!("{name} = {}\n", v.trim().replace('\t', " "));
        }
    };
    add("ipv4/ip_forward");
    add("ipv4/fib_multipath_hash_policy");
    add("netfilter/nf_conntrack_tcp_loose");
    add("netfilter/nf_conntrack_dccp_loose");
    add("netfilter/nf_conntrack_checksum");
    let mut devices = vec!["all", "default", "lo"];
    devices.extend(super::netns::DEVICES);
    for dev in devices {
        for key in [
            "accept_local",
            "forwarding",
            "route_localnet",
            "rp_filter",
            "send_redirects",
            "src_valid_mark",
            "ignore_routes_with_linkdown",
        ] {
            add(&format!("ipv4/conf/{dev}/{key}"));
        }
        for key in ["disable_ipv6", "forwarding", "use_oif_addrs_only"] {
            add(&format!("ipv6/conf/{dev}/{key}"));
        }
    }
    out
}
