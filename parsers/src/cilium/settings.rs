//! How the datapath is configured: keys of the `ConfigMap` `cilium-config`, and lines of `cilium-dbg status --verbose`, which says what the
//! agent made of them.

use crate::common::Span;

/// One setting, by its key in the `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Line, from 1.
    pub line: u32,
    /// That line.
    pub span: Span,
    /// The key: of the `ConfigMap`, or one of [`Setting::OF_STATUS`].
    pub key: &'static str,
    /// The value, without quotes.
    pub value: String,
    /// What the agent runs with (`status`), else what it is told to.
    pub status: bool,
}

impl Setting {
    /// Keys of the `ConfigMap` that bear on a packet's way.
    pub const KEYS: [&'static str; 23] = [
        "bpf-lb-acceleration",
        "bpf-lb-algorithm",
        "bpf-lb-dsr-dispatch",
        "bpf-lb-external-clusterip",
        "bpf-lb-mode",
        "bpf-lb-mode-annotation",
        "bpf-lb-sock",
        "bpf-lb-sock-hostns-only",
        "devices",
        "direct-routing-device",
        "enable-bpf-masquerade",
        "enable-endpoint-routes",
        "enable-host-legacy-routing",
        "enable-ipv4-masquerade",
        "enable-ipv6-masquerade",
        "enable-node-port",
        "ipv4-native-routing-cidr",
        "ipv6-native-routing-cidr",
        "kube-proxy-replacement",
        "routing-mode",
        "service-no-backend-response",
        "tunnel",
        "tunnel-protocol",
    ];

    /// Keys of what only the status tells.
    pub const OF_STATUS: [&'static str; 6] = [
        "direct-routing-address",
        "host-routing",
        "masquerading",
        "node-port-range",
        "socket-lb",
        "socket-lb-coverage",
    ];

    /// The key as it is kept.
    pub(super) fn key_of(name: &str) -> Option<&'static str> {
        Self::KEYS.iter().find(|k| **k == name).copied()
    }

    /// A line of a `ConfigMap`: `  bpf-lb-mode: dsr`, `"bpf-lb-mode": "dsr",`; and of `cilium config view`: `bpf-lb-mode    dsr`.
    pub(super) fn of_config_map(line: &str) -> Option<(&'static str, String)> {
        let text = line.trim_ascii();
        let bare = text.trim_start_matches('"');
        let end = bare.find(['"', ':', ' ', '\t'])?;
        let key = Self::key_of(bare.get(..end)?)?;
        let rest = bare.get(end..)?;
        let value = rest.trim_start_matches('"').trim_start();
        let value = value
            .strip_prefix(':')
            .unwrap_or(value)
            .trim()
            .trim_end_matches(',');
        let value = value
            .strip_prefix(['"', '\''])
            .and_then(|v| v.strip_suffix(['"', '\'']))
            .unwrap_or(value);
        (value.len() < 256 && !value.contains(['{', '"'])).then(|| (key, value.to_owned()))
    }

    /// A line of `cilium-dbg status --verbose`; most say several things.
    pub(super) fn of_status(line: &str) -> Vec<(&'static str, String)> {
        let text = line.trim_ascii();
        let text = text.strip_prefix("- ").unwrap_or(text);
        let Some((head, rest)) = text.split_once(':') else {
            return Vec::new();
        };
        let rest = rest.trim();
        let word = rest.split_ascii_whitespace().next().unwrap_or_default();
        let one = |key: &'static str, value: &str| vec![(key, value.to_owned())];
        match head {
            "KubeProxyReplacement" => {
                let mut list = one("kube-proxy-replacement", replacement(word));
                list.extend(direct(rest));
                list
            }
            "Host Routing" => one("host-routing", word),
            // `Network: Tunnel [vxlan]   Host: BPF`
            "Routing" => {
                let mut list = Vec::new();
                if let Some((_, net)) = rest.split_once("Network: ") {
                    let mut words = net.split_ascii_whitespace();
                    match words.next() {
                        Some("Tunnel") => {
                            list.extend(one("routing-mode", "tunnel"));
                            if let Some(p) = words.next().filter(|p| p.starts_with('[')) {
                                list.extend(one("tunnel-protocol", p.trim_matches(['[', ']'])));
                            }
                        }
                        Some("Native") => list.extend(one("routing-mode", "native")),
                        _ => {}
                    }
                }
                if let Some((_, host)) = rest.split_once("Host: ") {
                    let word = host.split_ascii_whitespace().next().unwrap_or_default();
                    list.extend(one("host-routing", word));
                }
                list
            }
            "Masquerading" => one("masquerading", word),
            "Mode" if matches!(word, "SNAT" | "DSR" | "Hybrid") => {
                one("bpf-lb-mode", &word.to_ascii_lowercase())
            }
            "DSR Dispatch Mode" => one("bpf-lb-dsr-dispatch", dispatch(rest)),
            "Devices" => direct(rest),
            "Backend Selection" => one("bpf-lb-algorithm", &word.to_ascii_lowercase()),
            "XDP Acceleration" => one("bpf-lb-acceleration", &word.to_ascii_lowercase()),
            "Socket LB" => one("socket-lb", word),
            "Socket LB Coverage" => one("socket-lb-coverage", word),
            // `Enabled (Range: 30000-32767)`
            "NodePort" => {
                let on = if word == "Enabled" { "true" } else { "false" };
                let mut list = one("enable-node-port", on);
                if let Some((_, r)) = rest.split_once("(Range: ")
                    && let Some((r, _)) = r.split_once(')')
                {
                    list.extend(one("node-port-range", r));
                }
                list
            }
            _ => Vec::new(),
        }
    }
}

/// `Strict` and `True` are one; `Partial` and `Probe` leave some to kube-proxy.
fn replacement(word: &str) -> &str {
    match word {
        "True" | "Strict" => "true",
        "False" | "Disabled" => "false",
        other => other,
    }
}

fn dispatch(rest: &str) -> &str {
    match rest.split_ascii_whitespace().next() {
        Some("IP") => "opt",
        Some("IPIP") => "ipip",
        Some("Geneve") => "geneve",
        _ => rest,
    }
}

/// `eth0   172.18.0.3 fc00::3 fe80::1 (Direct Routing), eth1 10.0.0.3`, with brackets around or not.
fn direct(rest: &str) -> Vec<(&'static str, String)> {
    let list = match rest.split_once('[') {
        Some((_, l)) => l.trim_end_matches(']'),
        None => rest,
    };
    for device in list.split(',') {
        let Some((device, _)) = device.split_once("(Direct Routing)") else {
            continue;
        };
        let mut words = device.split_ascii_whitespace();
        let mut out = Vec::new();
        if let Some(name) = words.next() {
            out.push(("direct-routing-device", name.to_owned()));
        }
        for addr in words {
            if addr.parse::<std::net::IpAddr>().is_ok() && !addr.starts_with("fe80:") {
                out.push(("direct-routing-address", addr.to_owned()));
            }
        }
        return out;
    }
    Vec::new()
}
