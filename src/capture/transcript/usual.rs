//! Rules of kube-proxy that a filter leaves out: who looks for a Service (`iptables-save | grep my-svc`) gets its chains, but not those
//! that lead to them and from them, which are alike on every node.
//!
//! pkg/proxy/iptables/proxier.go, `syncProxyRules`; `pkg/kubelet/kubelet_network_linux.go` for KUBE-MARK-DROP and KUBE-FIREWALL.

/// Rows with their line numbers.
type Rows = Vec<(u32, String)>;

/// Rules without a table, as a filter leaves them, by the table they can be of.
pub(super) fn by_table(rows: Rows) -> Vec<(&'static str, Rows)> {
    let mut nat = Rows::new();
    let mut filter = Rows::new();
    for row in rows {
        if is_filter(&row.1) {
            filter.push(row);
        } else {
            nat.push(row);
        }
    }
    [("nat", nat), ("filter", filter)]
        .into_iter()
        .filter(|(_, rows)| rows.iter().any(|(_, t)| chain_of(t).is_some()))
        .collect()
}

/// The chain of an appended rule or of a declaration.
fn chain_of(text: &str) -> Option<&str> {
    let t = text.trim();
    if let Some(rest) = t.strip_prefix(':') {
        return rest.split_whitespace().next();
    }
    let mut words = t.split_whitespace();
    words.find(|w| matches!(*w, "-A" | "-I" | "-N" | "-P"))?;
    words.next()
}

/// Whether a rule can only be of table filter.
fn is_filter(text: &str) -> bool {
    const CHAINS: &[&str] = &[
        "FORWARD",
        "KUBE-FORWARD",
        "KUBE-FIREWALL",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-PROXY-FIREWALL",
        "DOCKER-USER",
        "DOCKER-ISOLATION",
    ];
    let chain = chain_of(text).unwrap_or_default();
    let targets = [
        " -j REJECT",
        " -j DROP",
        " -j KUBE-FORWARD",
        " -j KUBE-FIREWALL",
    ];
    CHAINS.iter().any(|c| chain.starts_with(c))
        || targets.iter().any(|t| text.contains(t))
        || chain.starts_with("KUBE-POD-FW-")
        || chain.starts_with("cali-")
            && !text.contains("NAT")
            && !text.contains("MASQUERADE")
            && !chain.contains("nat")
}

/// What kube-proxy writes beside rules of these in its table; nothing where they are not its own.
pub(super) fn left_out(table: &str, rows: &Rows) -> Vec<String> {
    let shown = |chain: &str| rows.iter().any(|(_, t)| chain_of(t) == Some(chain));
    let jumps = |chain: &str| {
        let to = format!(" -j {chain}");
        rows.iter()
            .any(|(_, t)| t.trim_end().ends_with(&to) || t.contains(&format!("{to} ")))
    };
    let any = |prefix: &str| {
        rows.iter()
            .any(|(_, t)| chain_of(t).is_some_and(|c| c.starts_with(prefix)))
    };
    if !any("KUBE-") {
        return Vec::new();
    }
    let mut out: Vec<String> = Vec::new();
    let mut add = |line: &str| out.push(line.to_owned());
    if table == "nat" {
        for hook in ["PREROUTING", "OUTPUT"] {
            if !shown(hook) {
                add(&format!(
                    "-A {hook} -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES"
                ));
            }
        }
        if !shown("POSTROUTING") {
            add(
                "-A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING",
            );
        }
        // The last rule of KUBE-SERVICES.
        if any("KUBE-NODEPORTS") && !jumps("KUBE-NODEPORTS") {
            add(
                "-A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
            );
        }
        if !shown("KUBE-MARK-MASQ") {
            add("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000");
        }
        if jumps("KUBE-MARK-DROP") && !shown("KUBE-MARK-DROP") {
            add("-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000");
        }
        if !shown("KUBE-POSTROUTING") {
            add("-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN");
            add("-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0");
            add(
                "-A KUBE-POSTROUTING -m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully",
            );
        }
    } else {
        for (hook, chain) in [
            ("INPUT", "KUBE-EXTERNAL-SERVICES"),
            ("FORWARD", "KUBE-SERVICES"),
            ("FORWARD", "KUBE-EXTERNAL-SERVICES"),
            ("OUTPUT", "KUBE-SERVICES"),
        ] {
            if shown(chain) && !shown(hook) {
                add(&format!("-A {hook} -m conntrack --ctstate NEW -j {chain}"));
            }
        }
    }
    out
}
