//! A rule's own line, shortened for display.

use super::paint::{columns, cut};
use crate::node::Node;
use crate::render::escape;
use crate::trace::Hit;

/// The rule's line, escaped, with its blanks run together and without counters in front.
pub(super) fn line(node: &Node<'_>, hit: Hit) -> String {
    let text = node
        .netfilter
        .view(hit.table)
        .map_or("", |t| t.rule_text(hit.chain, hit.rule));
    // A row of `iptables -L` reads better as the rule that it is.
    if let Some(t) = node
        .netfilter
        .tables
        .get(hit.table)
        .filter(|t| t.from_listing)
        && let Some(rule) = crate::explain::story::rule(node, hit)
        && rule.broken.is_none()
        && let Some(chain) = t.chains.get(hit.chain.0 as usize)
    {
        return escape(&rule.display(&chain.name).family(t.family).to_string());
    }
    let text = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    if node.netfilter.nft(hit.table).is_some() {
        return escape(&native(&text));
    }
    match text.strip_prefix('[').and_then(|t| t.split_once("] ")) {
        Some((counters, rest)) if counters.contains(':') => escape(rest),
        _ => escape(&text),
    }
}

/// A rule of nft without the numbers of its counter, and without the hash that Calico's comments begin with.
fn native(text: &str) -> String {
    let mut words = text.split(' ');
    let mut out: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        let mut ahead = words.clone();
        let counts = word == "counter"
            && ahead.next() == Some("packets")
            && ahead.next().is_some()
            && ahead.next() == Some("bytes")
            && ahead.next().is_some();
        if counts {
            words = ahead;
        } else {
            out.push(word);
        }
    }
    let line = out.join(" ");
    let Some((rule, comment)) = line.split_once(" comment \"cali:") else {
        return line;
    };
    match comment.split_once("; ") {
        Some((_, prose)) => format!("{rule} comment \"{prose}"),
        None => rule.to_owned(),
    }
}

/// The same without its comment.
pub(super) fn without_comment(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("-m comment --comment ") {
        out.push_str(before);
        rest = skip_argument(after).trim_start();
    }
    out.push_str(rest);
    // nft writes it last.
    if let Some((rule, comment)) = out.rsplit_once(" comment \"")
        && comment.ends_with('"')
    {
        out.truncate(rule.len());
    }
    // A listing shows comments between /* and */.
    if let (Some(a), Some(b)) = (out.find("/* "), out.rfind(" */"))
        && a < b
    {
        out.replace_range(a..b + 3, "");
        out = out.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    }
    out.trim_end().to_owned()
}

/// The same without `-m tcp` and its like, which `-p tcp` implies and iptables-save prints all the same.
pub(super) fn without_implied(line: &str) -> String {
    const IMPLIED: &[(&str, &str)] = &[
        ("-p tcp ", " -m tcp "),
        ("-p udp ", " -m udp "),
        ("-p sctp ", " -m sctp "),
        ("-p icmp ", " -m icmp "),
        ("-p ipv6-icmp ", " -m icmp6 "),
    ];
    IMPLIED
        .iter()
        .find(|(proto, _)| line.contains(proto))
        .map_or_else(
            || line.to_owned(),
            |(_, implied)| line.replacen(implied, " ", 1),
        )
}

/// The line cut to `width` columns such that its first `keep` words and the begin of its target stay:
/// `-A X -s 10.… -j DROP`.
pub(super) fn fit(line: &str, width: usize, keep: usize) -> String {
    if columns(line) <= width {
        return line.to_owned();
    }
    let line = &without_implied(line);
    if columns(line) <= width {
        return line.to_owned();
    }
    let kept = line
        .match_indices(' ')
        .nth(keep.saturating_sub(1))
        .map_or(line.len(), |(i, _)| i);
    let at = line
        .rfind(" -j ")
        .or_else(|| line.rfind(" -g "))
        .or_else(|| native_target(line));
    let (Some((first, rest)), Some(at)) = (line.split_at_checked(kept), at.filter(|a| *a >= kept))
    else {
        return cut(line, width);
    };
    let Some((middle, tail)) = rest.split_at_checked(at - kept) else {
        return cut(line, width);
    };
    // Two columns for the cut of the middle.
    let room = width.saturating_sub(columns(first) + 2);
    if room < 12 {
        return cut(line, width);
    }
    let tail = cut(tail, room);
    let middle = cut(
        middle,
        width.saturating_sub(columns(first) + columns(&tail)),
    );
    format!("{first}{middle}{tail}")
}

/// Where in a rule of nft stands what it does.
fn native_target(line: &str) -> Option<usize> {
    const DOES: &[&str] = &[
        " masquerade",
        " dnat to ",
        " snat to ",
        " redirect",
        " jump ",
        " goto ",
        " drop",
        " reject",
        " accept",
        " return",
    ];
    // Listings of iptables know such words as well.
    if line.starts_with("-A ") || line.contains(" -- ") {
        return None;
    }
    let rule = line.split(" comment \"").next().unwrap_or(line);
    // What stands in a map is not what the rule does with this packet.
    match rule.find(" vmap ") {
        Some(at) => rule.get(at..).filter(|m| !m.contains('{')).map(|_| at),
        None => DOES.iter().filter_map(|d| rule.rfind(d)).max(),
    }
}

/// What follows one argument, which may be quoted with backslash escapes.
fn skip_argument(text: &str) -> &str {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split_once(' ').map_or("", |(_, r)| r);
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return quoted.get(i + 1..).unwrap_or_default(),
            _ => {}
        }
    }
    ""
}

/// What follows `-A CHAIN`, without the comment.
pub(super) fn body(node: &Node<'_>, hit: Hit) -> String {
    let line = without_comment(&line(node, hit));
    match line.strip_prefix("-A ").and_then(|l| l.split_once(' ')) {
        Some((_, rest)) => rest.to_owned(),
        None if line.starts_with("-A ") => String::new(),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{fit, native, without_comment};

    #[test]
    fn rules_of_nft_are_shown_without_numbers_and_hashes() {
        for (line, short) in [
            (
                r#"iifname "cali*" counter packets 9 bytes 360 jump x comment "cali:tk7v0Oy7p-Ii12Ht;""#,
                r#"iifname "cali*" jump x"#,
            ),
            (
                r#"counter packets 0 bytes 0 drop comment "cali:tk7v0Oy7p-Ii12Ht; Drop if no profiles matched""#,
                r#"drop comment "Drop if no profiles matched""#,
            ),
            ("counter name hits drop", "counter name hits drop"),
            (
                r#"drop comment "counter packets""#,
                r#"drop comment "counter packets""#,
            ),
            ("counter packets 1", "counter packets 1"),
        ] {
            assert_eq!(native(line), short);
        }
    }

    #[test]
    fn comments_are_left_out() {
        for (line, short) in [
            (
                r#"-A X -m comment --comment "kubernetes \"portals\"" -m mark --mark 0x1/0x1 -j Y"#,
                "-A X -m mark --mark 0x1/0x1 -j Y",
            ),
            ("-A X -m comment --comment word -j Y", "-A X -j Y"),
            ("-A X -m comment --comment word", "-A X"),
            (r#"-A X -m comment --comment "not closed -j Y"#, "-A X"),
            ("-A X -j Y", "-A X -j Y"),
            (
                r#"tcp dport 80 drop comment "no \"web\" here""#,
                "tcp dport 80 drop",
            ),
            (
                "ACCEPT all -- * * 0.0.0.0/0 /* why */ mark match 0x1",
                "ACCEPT all -- * * 0.0.0.0/0 mark match 0x1",
            ),
        ] {
            assert_eq!(without_comment(line), short);
        }
    }

    #[test]
    fn what_a_rule_of_nft_does_stays_in_view() {
        let line = "ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools masquerade fully-random";
        assert_eq!(fit(line, 100, 2), line);
        assert_eq!(
            fit(line, 60, 2),
            "ip saddr @cali40masq-ipam-pools ip … masquerade fully-random"
        );
        let map = "numgen random mod 2 vmap { 0 : goto endpoint-a, 1 : goto endpoint-b }";
        assert_eq!(fit(map, 40, 2), "numgen random mod 2 vmap { 0 : goto end…");
        let listed = "ACCEPT all -- * * 10.0.0.0/8 0.0.0.0/0 reject-with icmp-port-unreachable";
        assert!(fit(listed, 40, 2).starts_with("ACCEPT all -- * *"));
    }

    #[test]
    fn the_chain_and_the_target_stay_in_view() {
        let line =
            "-A KUBE-X -d 10.96.0.10/32 -p udp -m udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU";
        assert_eq!(fit(line, 100, 2), line);
        assert_eq!(
            fit(line, 75, 2),
            "-A KUBE-X -d 10.96.0.10/32 -p udp --dport 53 -j KUBE-SVC-TCOU7JCQXEZGVUNU"
        );
        assert_eq!(
            fit(line, 50, 2),
            "-A KUBE-X -d 10.96.0… -j KUBE-SVC-TCOU7JCQXEZGVUNU"
        );
        assert_eq!(fit(line, 30, 2), "-A KUBE-X … -j KUBE-SVC-TCOU7…");
        assert_eq!(fit("KUBE-X:1 -j DROP", 12, 1), "KUBE-X:1 -j…");
    }
}
