//! How rules, chains, Services and endpoints are called in sentences.

use super::story::rule;
use crate::node::{ChainId, DevId, Node, Origin, Table, TableView};
use crate::trace::{Hit, Port, View};
use nfwhy_parsers::iptables::Match;
use std::net::IpAddr;

/// The chain's name.
pub fn chain<'n>(node: &'n Node<'_>, table: usize, chain: ChainId) -> &'n str {
    node.netfilter
        .view(table)
        .map_or("?", |t| t.chain_name(chain))
}

/// The table as a sentence names it: `nat`, and `inet firewalld` where nft has to be told the family as well.
pub fn table_full(node: &Node<'_>, table: usize) -> String {
    match node.netfilter.view(table) {
        Some(t @ TableView::Nft(_)) => format!("{} {}", t.family(), t.name()),
        Some(v @ TableView::Xt(t)) if in_both(node, t) => {
            format!("iptables-{} {}", v.backend(), v.name())
        }
        Some(t) => t.name().to_owned(),
        None => "?".to_owned(),
    }
}

/// Whether iptables-legacy and iptables-nft both have such a table.
pub fn in_both(node: &Node<'_>, t: &Table<'_>) -> bool {
    let same = |o: &&Table<'_>| o.kind == t.kind && o.family == t.family;
    node.netfilter
        .tables
        .iter()
        .filter(same)
        .any(|o| o.backend != t.backend)
}

/// The table's name.
pub fn table<'n>(node: &'n Node<'_>, table: usize) -> &'n str {
    node.netfilter.view(table).map_or("?", TableView::name)
}

/// `KUBE-POSTROUTING:4`.
pub fn short_rule(node: &Node<'_>, hit: Hit) -> String {
    format!("{}:{}", chain(node, hit.table, hit.chain), hit.rule + 1)
}

/// `nat KUBE-POSTROUTING:4`, `ip kube-proxy masquerading:3`.
pub fn full_rule(node: &Node<'_>, hit: Hit) -> String {
    format!("{} {}", table_full(node, hit.table), short_rule(node, hit))
}

/// Where the rule stands.
pub fn place_of(node: &Node<'_>, hit: Hit) -> Origin {
    node.netfilter
        .view(hit.table)
        .map_or_else(Origin::default, |t| t.rule_origin(hit.chain, hit.rule))
}

/// The rule's comment.
pub fn comment<'n>(node: &'n Node<'_>, hit: Hit) -> Option<&'n str> {
    if let Some(t) = node.netfilter.nft(hit.table) {
        return t.rules(hit.chain).get(hit.rule)?.comment.as_deref();
    }
    rule(node, hit)?.matches.iter().find_map(|m| match m {
        Match::Comment(c) => Some(c.as_ref()),
        _ => None,
    })
}

/// The rule's comment where it is prose: Calico's begin with a hash of the rule (`cali:EWMPb0zVROM-woQp`, and in nftables
/// `cali:EWMPb0zVROM-woQp; End of tier default.`).
pub fn remark<'n>(node: &'n Node<'_>, hit: Hit) -> Option<&'n str> {
    if node.netfilter.nft(hit.table).is_some() {
        return prose(comment(node, hit)?);
    }
    // A rule of iptables may have several: Calico's hash is one, and what it means another.
    rule(node, hit)?.matches.iter().find_map(|m| match m {
        Match::Comment(c) => prose(c.as_ref()),
        _ => None,
    })
}

fn prose(comment: &str) -> Option<&str> {
    if !comment.starts_with("cali:") {
        return Some(comment);
    }
    let (_, rest) = comment.split_once("; ")?;
    Some(rest.trim_end_matches('.')).filter(|r| !r.is_empty())
}

/// The device's name.
pub fn device<'n>(node: &'n Node<'_>, id: DevId) -> &'n str {
    node.devices
        .get(usize::from(id.0))
        .map_or("?", |d| d.name.as_str())
}

/// `10.0.0.1:80`, `[fd00::1]:80`; a port of `None` is left out.
pub fn endpoint(ip: IpAddr, port: Port) -> String {
    let port = port.to_string();
    match ip {
        IpAddr::V6(_) if !port.is_empty() => format!("[{ip}]{port}"),
        _ => format!("{ip}{port}"),
    }
}

/// The packet's source.
pub fn source(view: &View) -> String {
    match view.src {
        Some(ip) => endpoint(ip, view.sport),
        None => format!("?{}", view.sport),
    }
}

/// The packet's destination.
pub fn destination(view: &View) -> String {
    endpoint(view.dst, view.dport)
}

/// The Service a rule speaks of: kube-proxy writes `namespace/name:port` into its comments (pkg/proxy/iptables/proxier.go).
pub fn service_in(comment: &str) -> Option<&str> {
    comment.split_ascii_whitespace().find_map(|word| {
        let word = word.trim_matches(|c: char| matches!(c, '"' | ',' | ';' | '(' | ')'));
        let word = word.strip_suffix(':').unwrap_or(word);
        let (ns, name) = word.split_once('/')?;
        let plain = |s: &str| {
            !s.is_empty()
                && s.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b))
        };
        let named = ns.bytes().any(|b| b.is_ascii_lowercase()) && !ns.contains(':');
        (named && plain(ns) && plain(name) && name.bytes().any(|b| b.is_ascii_lowercase()))
            .then_some(word)
    })
}

/// The Service among the comments of some rules, the last named one first.
pub fn service_of(node: &Node<'_>, hits: &[Hit]) -> Option<String> {
    hits.iter().rev().find_map(|h| {
        // Others' comments name policies in the same form; kube-proxy's tables of nftables are its own.
        let t = node.netfilter.nft(h.table);
        if t.is_some_and(|t| t.def.name != "kube-proxy") {
            return None;
        }
        let said = comment(node, *h).and_then(service_in).map(str::to_owned);
        said.or_else(|| service_in_chain(chain(node, h.table, h.chain)))
    })
}

/// The Service of a chain of kube-proxy's nftables mode: `service-ULMVA6XW-ns1/svc1/tcp/p80`, and endpoints' with `__IP/PORT` behind
/// it (pkg/proxy/nftables/proxier.go, `servicePortChainNameBase`).
pub fn service_in_chain(chain: &str) -> Option<String> {
    let (kind, rest) = chain.split_once('-')?;
    if !matches!(
        kind,
        "service" | "external" | "local" | "endpoint" | "firewall"
    ) {
        return None;
    }
    let (hash, name) = rest.split_once('-')?;
    let name = name.split_once("__").map_or(name, |(n, _)| n);
    let mut parts = name.split('/');
    let (ns, svc, _proto) = (parts.next()?, parts.next()?, parts.next()?);
    if hash.len() != 8 || ns.is_empty() || svc.is_empty() {
        return None;
    }
    Some(match parts.next() {
        Some(port) if !port.is_empty() => format!("{ns}/{svc}:{port}"),
        _ => format!("{ns}/{svc}"),
    })
}

/// `a`, `a and b`, `a, b and c`; at most `limit` are named.
pub fn list(items: &[String], limit: usize) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        many if many.len() > limit.max(1) => {
            let (shown, rest) = many.split_at(limit.max(1));
            format!("{} and {} more", shown.join(", "), rest.len())
        }
        many => {
            let (last, rest) = many
                .split_last()
                .map_or(("", many), |(l, r)| (l.as_str(), r));
            format!("{} and {last}", rest.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{endpoint, list, prose, service_in, service_in_chain};
    use crate::trace::Port;

    #[test]
    fn services_are_found_in_comments_and_prefixes_are_not() {
        for (comment, service) in [
            ("shop/front:http cluster IP", Some("shop/front:http")),
            (
                "masquerade traffic for shop/front:http external destinations",
                Some("shop/front:http"),
            ),
            ("default/web: -> 10.244.1.2:80", Some("default/web")),
            ("default/web:", Some("default/web")),
            (
                "kind-masq-agent: local traffic is not subject to MASQUERADE 10.244.0.0/16",
                None,
            ),
            ("kubernetes service portals", None),
            ("allow fd00:244::/56 in", None),
        ] {
            assert_eq!(service_in(comment), service, "{comment}");
        }
    }

    #[test]
    fn services_are_found_in_chains() {
        for (chain, service) in [
            ("service-ULMVA6XW-ns1/svc1/tcp/p80", Some("ns1/svc1:p80")),
            ("external-42NFTM6N-ns2/svc-b/udp/", Some("ns2/svc-b")),
            (
                "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
                Some("ns1/svc1:p80"),
            ),
            ("service-endpoints-check", None),
            ("services", None),
        ] {
            assert_eq!(service_in_chain(chain).as_deref(), service, "{chain}");
        }
    }

    #[test]
    fn hashes_of_rules_are_no_prose() {
        assert_eq!(prose("cali:EWMPb0zVROM-woQp"), None);
        assert_eq!(prose("cali:EWMPb0zVROM-woQp;"), None);
        let said = "cali:EWMPb0zVROM-woQp; Drop if no profiles matched";
        assert_eq!(prose(said), Some("Drop if no profiles matched"));
        assert_eq!(prose("by hand; mine"), Some("by hand; mine"));
    }

    #[test]
    fn endpoints_of_both_families() {
        let v4 = "10.0.0.1".parse().map(|ip| endpoint(ip, Port::Known(80)));
        assert_eq!(v4, Ok("10.0.0.1:80".to_owned()));
        let v6 = "fd00::1".parse().map(|ip| endpoint(ip, Port::Known(80)));
        assert_eq!(v6, Ok("[fd00::1]:80".to_owned()));
        let none = "fd00::1".parse().map(|ip| endpoint(ip, Port::None));
        assert_eq!(none, Ok("fd00::1".to_owned()));
    }

    #[test]
    fn lists_read_as_prose() {
        let s = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(list(&s(1), 3), "0");
        assert_eq!(list(&s(3), 3), "0, 1 and 2");
        assert_eq!(list(&s(5), 2), "0, 1 and 3 more");
    }
}
