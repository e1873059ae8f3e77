//! JSON of `ip -j` and `nft -j`, told by the keys of its first object.

use super::Kind;
use serde_json::{Map, Value};

/// The kind of a text that starts with `{` or `[`; `None` where that is no JSON at all.
pub(super) fn kind(text: &str) -> Option<Kind> {
    let mut rest = text.trim_start();
    if rest.starts_with('[') && !looks_like_json_array(rest) {
        return None;
    }
    rest = rest.trim_start_matches(['[', ',']).trim_start();
    let mut seen = false;
    // `ip -j` prints `{}` for entries that a filter left out.
    while rest.starts_with('{') {
        let Some(len) = object_len(rest) else {
            return Some(by_text(rest));
        };
        let object = rest.get(..len)?;
        match serde_json::from_str::<Map<String, Value>>(object) {
            Ok(m) if m.is_empty() => {}
            Ok(m) => return Some(by_keys(&m)),
            Err(_) => return if seen { Some(Kind::Unknown) } else { None },
        }
        seen = true;
        rest = rest
            .get(len..)?
            .trim_start_matches([',', ' ', '\n', '\r', '\t']);
    }
    match rest.trim_start_matches(']').trim_start() {
        // An empty list: of what, it does not say.
        "" => Some(Kind::Empty),
        after if seen || text.trim_start().starts_with("[]") => {
            // Several `ip -j` commands in one file: `[]` and then more.
            if after.starts_with(['[', '{']) {
                kind(after)
            } else {
                Some(Kind::Empty)
            }
        }
        _ => None,
    }
}

/// `[`, then an object or the end: unlike `[root@node ~]#`, `[0:0] -A INPUT`, `[section]`.
fn looks_like_json_array(text: &str) -> bool {
    text.get(1..)
        .map(str::trim_start)
        .is_some_and(|r| r.starts_with(['{', ']']) || r.is_empty())
}

/// The length of the object at the start of `text`, if it ends there.
fn object_len(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' => depth += 1,
            b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(i + 1);
                }
            }
            _ => {}
        }
    }
    None
}

fn by_keys(m: &Map<String, Value>) -> Kind {
    let has = |k: &str| m.contains_key(k);
    let kube = m.get("kind").and_then(Value::as_str);
    if m.get("nftables").is_some_and(Value::is_array) {
        Kind::Nft
    } else if kube.is_some_and(|k| k.starts_with("FelixConfiguration"))
        || has("value") && m.get("key").is_some_and(of_bytes)
    {
        Kind::CalicoBpf
    } else if crate::cilium::is_config_map(m)
        || crate::cilium::is_services(m)
        || crate::cilium::is_listing(m)
    {
        Kind::Cilium
    } else if has("apiVersion") && kube.is_some_and(of_kubernetes) {
        Kind::Kube
    } else if has("ifname") && (has("ifindex") || has("operstate")) {
        Kind::Link
    } else if has("mac") && has("ifname") && has("flags") {
        Kind::Fdb
    } else if m.get("priority").is_some_and(Value::is_number)
        && (has("src") || has("table") || has("action"))
    {
        Kind::Rule
    } else if m.get("id").is_some_and(Value::is_number)
        && !has("dst")
        && ["gateway", "via", "dev", "group", "blackhole"]
            .into_iter()
            .any(has)
    {
        Kind::Nexthop
    } else if has("dst")
        && (has("lladdr") || m.get("state").is_some_and(Value::is_array) || has("proxy"))
    {
        Kind::Neigh
    } else if has("dst")
        && [
            "gateway", "via", "dev", "nexthops", "type", "nhid", "protocol",
        ]
        .into_iter()
        .any(has)
    {
        Kind::Route
    } else if crate::speaker::is_object(m) {
        Kind::Speaker
    } else {
        Kind::Unknown
    }
}

/// A key as `bpftool map dump -j` prints it.
fn of_bytes(key: &Value) -> bool {
    let byte = |v: &Value| v.as_str().is_some_and(|s| s.starts_with("0x"));
    key.as_array()
        .is_some_and(|a| !a.is_empty() && a.iter().all(byte))
}

/// Kinds of objects that say something about packets.
fn of_kubernetes(kind: &str) -> bool {
    let one = kind.strip_suffix("List").unwrap_or(kind);
    matches!(
        one,
        "" | "Service" | "EndpointSlice" | "Endpoints" | "Pod" | "Node"
    )
}

/// The same for an object that does not end in the part looked at (a large `nft -j`, a file cut off).
fn by_text(text: &str) -> Kind {
    let has = |k: &str| text.contains(&format!("\"{k}\""));
    let first = text.split('"').nth(1).unwrap_or_default();
    match first {
        "nftables" => Kind::Nft,
        "apiVersion" | "kind" if text.contains("\"bpf-lb-") => Kind::Cilium,
        "apiVersion" | "kind" if has("apiVersion") && (has("kind") || has("metadata")) => {
            Kind::Kube
        }
        "ifindex" | "ifname" | "link" if has("ifname") && (has("ifindex") || has("operstate")) => {
            Kind::Link
        }
        "mac" if has("ifname") && has("flags") => Kind::Fdb,
        "spec" if has("frontend-address") => Kind::Cilium,
        _ if has("frontend-address") && has("backend-addresses") => Kind::Cilium,
        key if text.contains(" (0) [") && crate::cilium::is_key(key) => Kind::Cilium,
        "key" if text.contains("\"0x") && has("value") => Kind::CalicoBpf,
        "priority" if has("src") || has("table") => Kind::Rule,
        "id" if has("gateway") || has("dev") || has("group") => Kind::Nexthop,
        "dst" if has("lladdr") || has("state") => Kind::Neigh,
        "dst" | "type" if has("dst") && (has("gateway") || has("dev") || has("nexthops")) => {
            Kind::Route
        }
        _ => Kind::Unknown,
    }
}
