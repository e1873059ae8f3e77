//! `ip rule` as text. Words and their order: `print_rule` in iproute2 ip/iprule.c.

use super::{Action, PolicyRule};
use crate::common::{Diagnostic, Family, MarkMask, Parsed, Proto, Range};
use crate::iproute::words::{Line, Rest, dsfield, lines, not_understood, number, prefix, table};
use std::borrow::Cow;
use std::net::IpAddr;
use std::str::FromStr;

/// Reads the lines.
pub(super) fn parse(source: &str) -> Parsed<Vec<PolicyRule<'_>>> {
    let mut out: Parsed<Vec<PolicyRule<'_>>> = Parsed::default();
    for line in lines(source) {
        let text = line.text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        match rule(line, &mut out.diagnostics) {
            Some(r) => out.value.push(r),
            None => out.diagnostics.push(not_understood(&line, "rule")),
        }
    }
    out
}

/// `80` or `80-90`; `None` also for a port mask (`80/0xff`), which a range cannot say.
fn range<T: FromStr + Copy>(word: &str) -> Option<Range<T>> {
    let (lo, hi) = word.split_once('-').unwrap_or((word, word));
    Some(Range {
        lo: lo.parse().ok()?,
        hi: hi.parse().ok()?,
    })
}

fn mark(word: &str) -> Option<MarkMask> {
    Some(match word.split_once('/') {
        Some((v, m)) => MarkMask {
            value: number(v)?,
            mask: number(m)?,
        },
        None => MarkMask {
            value: number(word)?,
            mask: u32::MAX,
        },
    })
}

/// The address of `from` or `to`; `all` is none. Outer `None`: not understood.
#[expect(clippy::option_option, reason = "the inner one is the record's")]
fn selector(word: &str) -> Option<Option<(IpAddr, u8)>> {
    match word {
        "all" | "any" | "default" => Some(None),
        _ => prefix(word).map(Some),
    }
}

fn rule<'a>(line: Line<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<PolicyRule<'a>> {
    let mut words = line.words();
    let priority = words.next()?.strip_suffix(':')?.parse().ok()?;
    let mut r = PolicyRule {
        line: line.no,
        span: line.span(),
        family: None,
        priority,
        not: false,
        from: None,
        to: None,
        iif: None,
        oif: None,
        fwmark: None,
        tos: None,
        ipproto: None,
        sport: None,
        dport: None,
        uidrange: None,
        l3mdev: false,
        suppress_prefixlength: None,
        suppress_ifgroup: None,
        action: Action::Nop,
        rest: None,
    };
    let mut rest = Rest::default();
    let mut action: Option<(Action<'a>, usize, usize)> = None;
    // Whether a selector is missing from the record.
    let mut opaque = false;
    while let Some(key) = words.next() {
        let start = words.word_start();
        let before = diagnostics.len();
        let mut done: Option<Action<'a>> = None;
        match key {
            "not" => r.not = true,
            "from" => r.from = words.value(key, diagnostics, selector).flatten(),
            "to" => r.to = words.value(key, diagnostics, selector).flatten(),
            "tos" | "dsfield" => r.tos = words.value(key, diagnostics, dsfield),
            "fwmark" => r.fwmark = words.value(key, diagnostics, mark),
            "iif" | "dev" => {
                r.iif = words.text(key, diagnostics);
                if words.eat("[detached]") {
                    rest.push_word("iif [detached]");
                }
            }
            "oif" => {
                r.oif = words.text(key, diagnostics);
                if words.eat("[detached]") {
                    rest.push_word("oif [detached]");
                }
            }
            "ipproto" => {
                // `ipproto-253` where /etc/protocols has no name (`inet_proto_n2a` in lib/inet_proto.c).
                r.ipproto = words.value(key, diagnostics, |w| {
                    Proto::parse(w.strip_prefix("ipproto-").unwrap_or(w))
                });
            }
            "sport" => r.sport = words.value(key, diagnostics, range),
            "dport" => r.dport = words.value(key, diagnostics, range),
            "uidrange" => r.uidrange = words.value(key, diagnostics, range),
            "suppress_prefixlength" | "sup_pl" => {
                r.suppress_prefixlength = words.value(key, diagnostics, number);
            }
            "suppress_ifgroup" | "sup_group" => {
                r.suppress_ifgroup = words.text(key, diagnostics);
            }
            "lookup" | "table" => {
                if words.eat("[l3mdev-table]") {
                    r.l3mdev = true;
                    done = Some(Action::L3mdev);
                } else {
                    done = words
                        .value(key, diagnostics, |w| Some(table(w)))
                        .map(Action::Lookup);
                }
            }
            "goto" => {
                done = words
                    .value(key, diagnostics, |w| w.parse().ok())
                    .map(Action::Goto);
                if words.eat("[unresolved]") {
                    rest.push(&words, words.word_start());
                }
            }
            "nop" => done = Some(Action::Nop),
            "blackhole" => done = Some(Action::Blackhole),
            "unreachable" => done = Some(Action::Unreachable),
            "prohibit" => done = Some(Action::Prohibit),
            // NAT rules: the kernel has known none since 2.6.
            "masquerade" => done = Some(Action::Other(Cow::Borrowed(key))),
            "map-to" => {
                words.text(key, diagnostics);
                done = Some(Action::Other(Cow::Borrowed(
                    words.slice(start, words.word_end()),
                )));
            }
            "proto" | "protocol" | "realms" | "realm" => {
                words.text(key, diagnostics);
                rest.push(&words, start);
            }
            "tun_id" | "dscp" | "flowlabel" => {
                opaque = true;
                words.text(key, diagnostics);
                rest.push(&words, start);
            }
            _ => {
                diagnostics.push(
                    words
                        .warning(format!("`{key}` of this rule is not understood"))
                        .help("whether the rule matches is not known"),
                );
                rest.push(&words, start);
            }
        }
        // `lookup [l3mdev-table]` may stand before the action of a rule for VRFs, and `masquerade` behind one.
        let first = action.as_ref().is_none_or(|(a, ..)| *a == Action::L3mdev);
        let more = done
            .as_ref()
            .is_some_and(|a| !matches!(a, Action::Other(_)));
        if more && !first {
            diagnostics.push(
                words
                    .warning(format!("`{key}` is the second action of this rule"))
                    .help("two lines were joined: put each rule on a line of its own"),
            );
        }
        if diagnostics.len() > before {
            opaque = true;
            if words.word_start() > start {
                rest.push(&words, start);
            }
        }
        if let Some(new) = done {
            let from = action.map_or(start, |(_, s, _)| s);
            action = Some((new, from, words.word_end()));
        }
    }
    r.family = r.from.or(r.to).map(|(a, _)| Family::of(a));
    r.rest = rest.finish();
    r.action = match action {
        Some((Action::Other(_), start, end)) => {
            Action::Other(Cow::Borrowed(words.slice(start, end)))
        }
        Some((_, start, end)) if opaque => Action::Other(Cow::Borrowed(words.slice(start, end))),
        Some((a, _, _)) => a,
        None => {
            diagnostics.push(
                line.warning("this rule has no action")
                    .help("the output looks cut; capture it again"),
            );
            Action::Other(Cow::Borrowed(""))
        }
    };
    Some(r)
}
