//! What each tool prints, by its options.

use super::{Command, Part, flag};
use crate::common::Family;
use crate::iptables::Backend;
use crate::recognise::Kind;

const RULES: &[Kind] = &[Kind::IptablesSave, Kind::IptablesListing];

/// The tool itself.
pub(super) fn tool(c: &mut Command, name: &str, rest: &[String]) {
    let has = |w: &str| rest.iter().any(|x| x == w);
    if name.starts_with("iptables") || name.starts_with("ip6tables") {
        return iptables(c, name, rest);
    }
    match name {
        "ip" => ip(c, rest),
        "ipset" => match rest
            .iter()
            .map(String::as_str)
            .find(|w| *w != "-n" && *w != "-q")
        {
            Some("list" | "-L" | "--list" | "save" | "-S" | "--save" | "l") => {
                c.kind = Some(Kind::Ipset);
            }
            Some(
                "add" | "del" | "create" | "destroy" | "flush" | "swap" | "restore" | "-A" | "-D"
                | "-N" | "-X" | "-F" | "-R",
            ) => c.changes = &[Kind::Ipset],
            _ => {}
        },
        "ipvsadm" | "ipvsadm-save" => {
            let reads = |w: &String| {
                w == "--list"
                    || w == "--save"
                    || w.starts_with('-') && !w.starts_with("--") && w.contains(['l', 'L', 'S'])
            };
            if name == "ipvsadm-save" || rest.is_empty() || rest.iter().any(reads) {
                c.kind = Some(Kind::Ipvs);
                if c.part == Part::Whole
                    && rest
                        .iter()
                        .any(|w| matches!(w.as_str(), "-t" | "-u" | "-f"))
                {
                    c.part = Part::Selected;
                }
                if rest
                    .iter()
                    .any(|w| w.contains('c') && w.starts_with('-') && !w.starts_with("--"))
                {
                    // Connections, which are not read.
                    c.kind = None;
                }
            } else {
                c.changes = &[Kind::Ipvs];
            }
        }
        "nft" => {
            if has("list") {
                c.kind = Some(Kind::Nft);
                if !has("ruleset") && c.part == Part::Whole {
                    c.part = Part::Selected;
                }
            } else if ["add", "delete", "insert", "flush", "replace", "-f"]
                .iter()
                .any(|w| has(w))
            {
                c.changes = &[Kind::Nft];
            }
        }
        "sysctl" => {
            if has("-w") || rest.iter().any(|w| w.contains('=')) {
                c.changes = &[Kind::Sysctl];
            }
            // It prints what it sets as it prints what it reads.
            c.kind = Some(Kind::Sysctl);
        }
        "conntrack" => {
            if rest
                .iter()
                .any(|w| matches!(w.as_str(), "-D" | "-F" | "--delete" | "--flush"))
            {
                c.changes = &[Kind::Conntrack];
            } else {
                c.kind = Some(Kind::Conntrack);
            }
        }
        "route" if rest.iter().any(|w| flag(w) && w.contains('n')) => c.kind = Some(Kind::RouteN),
        "netstat" if rest.iter().any(|w| flag(w) && w.contains('r')) => c.kind = Some(Kind::RouteN),
        "bridge" if has("fdb") => {
            let changes = ["add", "del", "delete", "append", "replace", "flush"];
            if rest.iter().any(|w| changes.contains(&w.as_str())) {
                c.changes = &[Kind::Fdb];
            } else {
                c.kind = Some(Kind::Fdb);
                let whole = |w: &String| {
                    flag(w) || matches!(w.as_str(), "fdb" | "show" | "list" | "sh" | "s")
                };
                if c.part == Part::Whole && !rest.iter().all(whole) {
                    c.part = Part::Selected;
                }
            }
        }
        "bpftool" if has("net") => c.kind = Some(Kind::Programs),
        "arping" => c.kind = Some(Kind::Arping),
        // With `-w` it writes a file and prints none of it.
        "tcpdump" if !has("-w") => c.kind = Some(Kind::Tcpdump),
        "cilium" | "cilium-dbg" | "cilium-agent" => cilium(c, rest),
        "bpftool" if has("map") && has("dump") => c.kind = Some(Kind::CalicoBpf),
        "calico-node" | "calico-bpf" if rest.iter().any(|w| w == "dump" || w == "aff") => {
            c.kind = Some(Kind::CalicoBpf);
        }
        _ => {}
    }
}

/// `cilium-dbg bpf lb list`, `service list`, `status --verbose`, `bpf endpoint list`, `bpf ipcache list`, `config view`.
fn cilium(c: &mut Command, rest: &[String]) {
    let words: Vec<&str> = rest
        .iter()
        .map(String::as_str)
        .filter(|w| !w.starts_with('-'))
        .collect();
    let known = matches!(
        words.as_slice(),
        ["bpf", "lb" | "endpoint" | "ipcache", "list" | "ls", ..]
            | ["service", "list" | "ls", ..]
            | ["status", ..]
            | ["config", "view", ..]
    );
    if known {
        c.kind = Some(Kind::Cilium);
    }
}

fn iptables(c: &mut Command, name: &str, rest: &[String]) {
    c.family = Some(if name.starts_with("ip6") {
        Family::V6
    } else {
        Family::V4
    });
    c.backend = if name.contains("legacy") {
        Some(Backend::Legacy)
    } else if name.contains("-nft") {
        Some(Backend::Nft)
    } else {
        None
    };
    let save = name.ends_with("-save");
    if name.ends_with("-restore") {
        c.changes = RULES;
        return;
    }
    let mut lists = None;
    let mut i = 0;
    while let Some(w) = rest.get(i) {
        i += 1;
        let w = w.as_str();
        if matches!(w, "-t" | "--table") {
            c.table = rest.get(i).cloned();
            i += 1;
        } else if let Some(t) = w.strip_prefix("--table=") {
            c.table = Some(t.to_owned());
        } else if w.starts_with("--list-rules") || w == "-S" {
            lists = Some(Kind::IptablesSave);
        } else if w.starts_with("--list") {
            lists = Some(Kind::IptablesListing);
        } else if let Some(t) = w.strip_prefix("-t") {
            c.table = Some(t.to_owned());
        } else if matches!(
            w,
            "-A" | "-I"
                | "-D"
                | "-F"
                | "-X"
                | "-N"
                | "-P"
                | "-R"
                | "-Z"
                | "-E"
                | "--append"
                | "--insert"
                | "--delete"
                | "--flush"
                | "--policy"
        ) {
            c.changes = RULES;
        } else if let Some(flags) = w.strip_prefix('-').filter(|f| !f.starts_with('-')) {
            if flags.contains('L') {
                lists = Some(Kind::IptablesListing);
            } else if flags.contains('S') && !save {
                lists = Some(Kind::IptablesSave);
            }
        } else if lists.is_some()
            && c.chain.is_none()
            && !w.starts_with('-')
            && w.parse::<u32>().is_err()
        {
            c.chain = Some(w.to_owned());
        }
    }
    if save {
        c.kind = Some(Kind::IptablesSave);
        return;
    }
    if lists.is_some() {
        c.changes = &[];
        c.kind = lists;
        if c.table.is_none() {
            c.table = Some("filter".to_owned());
        }
    }
}

fn ip(c: &mut Command, rest: &[String]) {
    let v6 = rest.iter().any(|w| w == "-6")
        || rest
            .windows(2)
            .any(|w| matches!(w[0].as_str(), "-f" | "-family") && w[1] == "inet6");
    c.family = v6.then_some(Family::V6);
    let mut words = rest
        .iter()
        .map(String::as_str)
        .filter(|w| !flag(w) && !matches!(*w, "inet" | "inet6"));
    let Some(object) = words.next() else { return };
    let begins = |whole: &str| whole.starts_with(object);
    let kind = if begins("address") || begins("addrlabel") && object == "addr" || begins("link") {
        Kind::Link
    } else if object == "r" || object.starts_with("ro") && begins("route") {
        Kind::Route
    } else if begins("rule") {
        Kind::Rule
    } else if object.starts_with("ne") && begins("neighbour")
        || object == "n"
        || object == "neighbor"
    {
        Kind::Neigh
    } else if begins("nexthop") {
        Kind::Nexthop
    } else {
        return;
    };
    let rest: Vec<&str> = words.collect();
    let verb = rest.first().copied().unwrap_or("show");
    if matches!(
        verb,
        "add" | "del" | "delete" | "change" | "replace" | "append" | "flush" | "set" | "a" | "d"
    ) {
        c.changes = match kind {
            Kind::Link => &[Kind::Link, Kind::Route, Kind::RouteN],
            Kind::Route => &[Kind::Route, Kind::RouteN],
            Kind::Rule => &[Kind::Rule],
            Kind::Neigh => &[Kind::Neigh],
            _ => &[],
        };
        return;
    }
    if verb == "get" || verb == "monitor" {
        return;
    }
    c.kind = Some(kind);
    let table = rest.windows(2).find(|w| w[0] == "table").map(|w| w[1]);
    c.table = table
        .filter(|t| kind == Kind::Route && !matches!(*t, "all" | "main"))
        .map(str::to_owned);
    let selects = rest
        .iter()
        .skip(usize::from(matches!(
            verb,
            "show" | "list" | "ls" | "lst" | "sh" | "s" | "l"
        )))
        .filter(|w| **w != "table" && Some(**w) != table)
        .count()
        > 0;
    if selects && c.part == Part::Whole {
        c.part = Part::Selected;
    }
}
