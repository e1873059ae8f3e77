//! What targets print that let the packet go on.

use super::cursor::{Cur, number, save_string};
use super::names;
use std::fmt::Write as _;

/// Targets that let the packet go on; `TRACE` has no options.
pub(super) fn knows(name: &str) -> bool {
    matches!(
        name,
        "LOG"
            | "NFLOG"
            | "ULOG"
            | "TCPMSS"
            | "CHECKSUM"
            | "TRACE"
            | "AUDIT"
            | "CLASSIFY"
            | "TCPOPTSTRIP"
            | "TEE"
            | "RATEEST"
            | "IDLETIMER"
            | "LED"
            | "SECMARK"
            | "CONNSECMARK"
            | "ECN"
    )
}

/// The options of a target that lets the packet go on, as iptables-save writes them; `None` where they cannot be
/// read.
pub(super) fn options<'a>(name: &str, cur: Cur<'a>) -> Option<(String, Cur<'a>)> {
    match name {
        "LOG" => log(cur),
        "NFLOG" => dashed(cur, |word| word.starts_with("nflog-")),
        "ULOG" => cur
            .eat("ULOG")
            .map(|rest| (rest.0.trim().to_owned(), Cur(""))),
        "TCPMSS" => tcpmss(cur),
        "CHECKSUM" => cur
            .eat_all("CHECKSUM fill")
            .map(|rest| ("--checksum-fill".to_owned(), rest)),
        "TRACE" => Some((String::new(), cur)),
        "AUDIT" => one(cur, "AUDIT", "--type"),
        "CLASSIFY" => classify(cur),
        "TCPOPTSTRIP" => tcpoptstrip(cur),
        "TEE" => tee(cur),
        "RATEEST" => rateest(cur),
        "IDLETIMER" => idletimer(cur),
        "LED" => cur
            .prefix("led-trigger-id:")
            .map(|_| (cur.0.trim().to_owned(), Cur(""))),
        "SECMARK" => one(cur, "SECMARK selctx", "--selctx"),
        "CONNSECMARK" => cur
            .eat("CONNSECMARK")
            .and_then(Cur::word)
            .map(|(word, rest)| (format!("--{word}"), rest)),
        "ECN" => cur
            .eat_all("ECN TCP remove")
            .map(|rest| ("--ecn-tcp-remove".to_owned(), rest)),
        _ => None,
    }
}

/// `WORDS VALUE` as `OPTION VALUE`.
fn one<'a>(cur: Cur<'a>, words: &str, option: &str) -> Option<(String, Cur<'a>)> {
    let (value, rest) = cur.eat_all(words)?.word()?;
    Some((format!("{option} {value}"), rest))
}

/// Everything to the end with `--` put before the words that are options.
fn dashed(cur: Cur<'_>, is_option: impl Fn(&str) -> bool) -> Option<(String, Cur<'_>)> {
    let mut out = String::new();
    let mut cur = cur;
    while let Some((word, rest)) = cur.word() {
        if !is_option(word) {
            return None;
        }
        let quoted = rest.quoted().map(|(v, rest)| (format!("\"{v}\""), rest));
        let (value, rest) = quoted.or_else(|| rest.word().map(|(v, rest)| (v.to_owned(), rest)))?;
        push(&mut out, &format!("--{word} {value}"));
        cur = rest;
    }
    Some((out, cur))
}

pub(super) fn push(out: &mut String, option: &str) {
    if !out.is_empty() {
        out.push(' ');
    }
    out.push_str(option);
}

/// `LOG flags N level N prefix "..."`, or names without `-n`. The prefix ends the row and is not escaped; older versions put
/// it between a backtick and an apostrophe.
fn log(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    // XT_LOG_TCPSEQ, _TCPOPT, _IPOPT, _UID, _MACDECODE (include/uapi/linux/netfilter/xt_LOG.h), in the order of LOG_save.
    const FLAGS: [(&str, u32); 5] = [
        ("tcp-sequence", 0x01),
        ("tcp-options", 0x02),
        ("ip-options", 0x04),
        ("uid", 0x08),
        ("macdecode", 0x20),
    ];
    let mut cur = cur.eat("LOG")?;
    let (mut flags, mut level, mut prefix) = (0, 4, None);
    while let Some((word, rest)) = cur.word() {
        cur = rest;
        if let Some((_, bit)) = FLAGS.iter().find(|(name, _)| *name == word) {
            flags |= bit;
            continue;
        }
        match word {
            "flags" => {
                let (value, rest) = cur.word()?;
                flags = number(value)?;
                cur = rest;
            }
            "level" => {
                let (value, rest) = cur.word()?;
                level = names::log_level(value)?;
                cur = rest;
            }
            "prefix" => {
                let text = cur.0.trim();
                let inside = text
                    .strip_prefix('"')
                    .and_then(|t| t.strip_suffix('"'))
                    .or_else(|| text.strip_prefix('`').and_then(|t| t.strip_suffix('\'')))?;
                prefix = Some(inside);
                cur = Cur("");
            }
            "unknown-flags" => {}
            _ => return None,
        }
    }
    let mut out = String::new();
    if let Some(prefix) = prefix {
        push(&mut out, &format!("--log-prefix {}", save_string(prefix)));
    }
    if level != 4 {
        push(&mut out, &format!("--log-level {level}"));
    }
    for (name, bit) in FLAGS {
        if flags & bit != 0 {
            push(&mut out, &format!("--log-{name}"));
        }
    }
    Some((out, cur))
}

fn tcpmss(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let cur = cur.eat("TCPMSS")?;
    if let Some(rest) = cur.eat_all("clamp to PMTU") {
        return Some(("--clamp-mss-to-pmtu".to_owned(), rest));
    }
    one(cur, "set", "--set-mss")
}

/// iptables-save pads both halves with zeros (`CLASSIFY_save` in `extensions/libxt_CLASSIFY.c`).
fn classify(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let (class, rest) = cur.eat_all("CLASSIFY set")?.word()?;
    match class.split_once(':') {
        Some((major, minor)) => Some((format!("--set-class {major:0>4}:{minor:0>4}"), rest)),
        None => Some((format!("--set-class {class}"), rest)),
    }
}

fn tee(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let (gateway, mut rest) = cur.eat("TEE")?.prefix("gw:")?.word()?;
    let mut out = format!("--gateway {gateway}");
    if let Some((device, after)) = rest.prefix("oif=").and_then(Cur::word) {
        let _ = write!(out, " --oif {device}");
        rest = after;
    }
    Some((out, rest))
}

fn rateest(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let (name, cur) = cur.eat("name")?.word()?;
    let (interval, cur) = cur.eat("interval")?.word()?;
    let (ewma, rest) = cur.eat("ewmalog")?.word()?;
    Some((
        format!("--rateest-name {name} --rateest-interval {interval} --rateest-ewmalog {ewma}"),
        rest,
    ))
}

fn idletimer(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let (timeout, cur) = cur.prefix("timeout:")?.word()?;
    let (label, mut rest) = cur.prefix("label:")?.word()?;
    let mut out = format!("--timeout {timeout} --label {label}");
    for flag in ["alarm", "send_nl_msg"] {
        if let Some(after) = rest.eat(flag) {
            let _ = write!(out, " --{flag}");
            rest = after;
        }
    }
    Some((out, rest))
}

/// Names without `-n` (`tcp_optionmap` in `extensions/libxt_TCPOPTSTRIP.c`).
fn tcpoptstrip(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let (list, rest) = cur.eat_all("TCPOPTSTRIP options")?.word()?;
    let numbers: Vec<&str> = list
        .split(',')
        .map(|option| match option {
            "mss" => "2",
            "wscale" => "3",
            "sack-permitted" => "4",
            "sack" => "5",
            "timestamp" => "8",
            "md5" => "19",
            number => number,
        })
        .collect();
    Some((format!("--strip-options {}", numbers.join(",")), rest))
}
