//! Matches that have no record of their own: they stay opaque, but their extent is known, so that what follows can be read.

use super::cursor::Cur;
use super::matches::Read;
use super::names;
use crate::common::Text;
use crate::iptables::matches::Match;
use std::fmt::Write as _;

/// Adds `--NAME VALUE` for `key:VALUE` or `key:!VALUE`.
pub(super) fn option(args: &mut String, name: &str, item: &str) -> Option<()> {
    let (_, value) = item.split_once(':')?;
    if !args.is_empty() {
        args.push(' ');
    }
    let value = match value.strip_prefix('!') {
        Some(value) => {
            args.push_str("! ");
            value
        }
        None => value,
    };
    let _ = match value {
        "" => write!(args, "--{name}"),
        _ => write!(args, "--{name} {value}"),
    };
    Some(())
}

pub(super) fn opaque(name: &str, args: String) -> Match<'_> {
    Match::Opaque {
        name: Text::Borrowed(name),
        args: args.into(),
    }
}

/// Reads what follows `word`, the first word of the match behind an optional `!`.
pub(super) fn parse<'a>(not: bool, word: &'a str, cur: Cur<'a>) -> Read<'a> {
    let bang = if not { "! " } else { "" };
    Some(match word {
        "connbytes" => {
            let (range, cur) = cur.word()?;
            let (mode, cur) = cur.eat_all("connbytes mode")?.word()?;
            let (dir, rest) = cur.eat_all("connbytes direction")?.word()?;
            let args =
                format!("{bang}--connbytes {range} --connbytes-mode {mode} --connbytes-dir {dir}");
            (opaque("connbytes", args), rest)
        }
        "connlabel" => {
            let (label, mut rest) = cur.neg_word()?;
            let bang = if not == label.not { "" } else { "! " };
            let mut args = format!("{bang}--label {}", label.value);
            if let Some(after) = rest.eat("set") {
                args.push_str(" --set");
                rest = after;
            }
            (opaque("connlabel", args), rest)
        }
        "cluster" => cluster(cur)?,
        "ECN" => {
            let mut cur = cur.eat("match")?;
            let mut args = String::new();
            loop {
                let (not, after) = cur.bang();
                let Some((what, rest)) = after.word() else {
                    break;
                };
                let text = match what {
                    "CWR" => "--ecn-tcp-cwr".to_owned(),
                    "ECE" => "--ecn-tcp-ece".to_owned(),
                    _ => match what.strip_prefix("ECT=") {
                        Some(value) => format!("--ecn-ip-ect {value}"),
                        None => break,
                    },
                };
                let space = if args.is_empty() { "" } else { " " };
                let _ = write!(args, "{space}{}{text}", if not { "! " } else { "" });
                cur = rest;
            }
            (opaque("ecn", args), cur)
        }
        "tcpmss" => {
            let (mss, rest) = cur.eat("match")?.neg_word()?;
            let bang = if mss.not { "! " } else { "" };
            (opaque("tcpmss", format!("{bang}--mss {}", mss.value)), rest)
        }
        "OS" => {
            let (genre, rest) = cur.eat_all("fingerprint match")?.neg_word()?;
            let bang = if genre.not { "! " } else { "" };
            (
                opaque("osf", format!("{bang}--genre {}", genre.value)),
                rest,
            )
        }
        "cgroup" => {
            let (value, rest) = cur.neg_word()?;
            let bang = if value.not || not { "! " } else { "" };
            let option = if value.value.starts_with('/') {
                "--path"
            } else {
                "--cgroup"
            };
            (
                opaque("cgroup", format!("{bang}{option} {}", value.value)),
                rest,
            )
        }
        "comp" => items(
            "ipcomp",
            cur,
            &[("spi", "ipcompspi"), ("reserved", "compres")],
        )?,
        "eui64" => (opaque("eui64", String::new()), cur),
        "frag" => items(
            "frag",
            cur,
            &[
                ("id", "fragid"),
                ("length", "fraglen"),
                ("reserved", "fragres"),
                ("first", "fragfirst"),
                ("more", "fragmore"),
                ("last", "fraglast"),
            ],
        )?,
        "rt" => items(
            "rt",
            cur,
            &[
                ("type", "rt-type"),
                ("segsleft", "rt-segsleft"),
                ("length", "rt-len"),
                ("reserved", "rt-0-res"),
                ("0-addrs", "rt-0-addrs"),
                ("0-not-strict", "rt-0-not-strict"),
            ],
        )?,
        "hbh" => items("hbh", cur, &[("length", "hbh-len"), ("opts", "hbh-opts")])?,
        "dst" => items("dst", cur, &[("length", "dst-len"), ("opts", "dst-opts")])?,
        "srh" => items(
            "srh",
            cur,
            &[
                ("next-hdr", "srh-next-hdr"),
                ("hdr-len-eq", "srh-hdr-len-eq"),
                ("hdr-len-gt", "srh-hdr-len-gt"),
                ("hdr-len-lt", "srh-hdr-len-lt"),
                ("segs-left-eq", "srh-segs-left-eq"),
                ("segs-left-gt", "srh-segs-left-gt"),
                ("segs-left-lt", "srh-segs-left-lt"),
                ("last-entry-eq", "srh-last-entry-eq"),
                ("last-entry-gt", "srh-last-entry-gt"),
                ("last-entry-lt", "srh-last-entry-lt"),
                ("tag", "srh-tag"),
                ("psid", "srh-psid"),
                ("nsid", "srh-nsid"),
                ("lsid", "srh-lsid"),
            ],
        )?,
        "ipv6header" => {
            let (flags, mut rest) = cur.prefix("flags:")?.neg_word()?;
            let bang = if flags.not { "! " } else { "" };
            let mut args = format!("{bang}--header {}", flags.value);
            if let Some(after) = rest.eat("soft") {
                args.push_str(" --soft");
                rest = after;
            }
            (opaque("ipv6header", args), rest)
        }
        "mh" => {
            let (ty, rest) = cur.neg_word()?;
            let bang = if ty.not { "! " } else { "" };
            let ty = names::mobility_header(ty.value);
            (opaque("mh", format!("{bang}--mh-type {ty}")), rest)
        }
        _ => return None,
    })
}

/// `key:VALUE`, `keys:A:B`, `key VALUE` and `key` words in any number, named as iptables-save names them.
fn items<'a>(name: &'a str, start: Cur<'a>, known: &[(&str, &str)]) -> Read<'a> {
    let option_of = |key: &str| known.iter().find(|(k, _)| *k == key).map(|(_, o)| *o);
    let mut args = String::new();
    let mut cur = start;
    while let Some((word, mut rest)) = cur.word() {
        let key = word.split(':').next().unwrap_or(word);
        let plural = || key.strip_suffix('s').and_then(option_of);
        let Some(option_name) = option_of(key).or_else(plural) else {
            break;
        };
        if word.contains(':') {
            option(&mut args, option_name, word)?;
        } else if matches!(key, "opts" | "0-addrs" | "psid" | "nsid" | "lsid") {
            let (value, after) = rest.neg_word()?;
            let bang = if value.not { "!" } else { "" };
            option(&mut args, option_name, &format!(":{bang}{}", value.value))?;
            rest = after;
        } else {
            option(&mut args, option_name, ":")?;
        }
        cur = rest;
    }
    Some((opaque(name, args), cur))
}

/// `node_mask=0x1 total_nodes=2 hash_seed=0x3` (`cluster_print` in `extensions/libxt_cluster.c`).
fn cluster(start: Cur<'_>) -> Read<'_> {
    let mut args = String::new();
    let mut cur = start;
    while let Some((word, rest)) = cur.word() {
        let (not, word) = match word.strip_prefix('!') {
            Some(word) => ("! ", word),
            None => ("", word),
        };
        let Some((key, value)) = word.split_once('=') else {
            break;
        };
        let key = match key {
            "node_mask" => "local-nodemask",
            "total_nodes" => "total-nodes",
            "hash_seed" => "hash-seed",
            _ => break,
        };
        let space = if args.is_empty() { "" } else { " " };
        let _ = write!(args, "{space}{not}--cluster-{key} {value}");
        cur = rest;
    }
    (!args.is_empty()).then_some((opaque("cluster", args), cur))
}
