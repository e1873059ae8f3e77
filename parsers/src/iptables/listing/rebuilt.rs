//! Matches whose records keep text: prose and bare values back to the options that iptables-save writes.

use super::cursor::Cur;
use super::matches::Read;
use super::names;
use crate::common::Proto;
use crate::iptables::matches::{Match, PolicyMatch};
use std::fmt::Write as _;

/// `dir in pol ipsec strict [0] reqid 5 ...` to the options iptables-save writes (`print_entry` in `extensions/libxt_policy.c`).
pub(super) fn policy(cur: Cur<'_>) -> Read<'_> {
    let (dir, cur) = cur.eat("dir")?.word()?;
    let (pol, mut cur) = cur.eat("pol")?.word()?;
    let mut options: Vec<String> = Vec::new();
    loop {
        let (not, after) = cur.bang();
        let Some((key, after)) = after.word() else {
            break;
        };
        let bang = if not { "! " } else { "" };
        cur = match key {
            "strict" => {
                options.push("--strict".to_owned());
                after
            }
            "[0]" => after,
            "reqid" | "spi" | "proto" | "mode" | "tunnel-dst" | "tunnel-src" => {
                let (value, rest) = after.word()?;
                let proto = match key {
                    "proto" => names::protocol(value).and_then(Proto::name),
                    _ => None,
                };
                options.push(format!("{bang}--{key} {}", proto.unwrap_or(value)));
                rest
            }
            _ if key.starts_with('[') && key.ends_with(']') => {
                options.push("--next".to_owned());
                after
            }
            _ => break,
        };
    }
    let value = PolicyMatch {
        dir_in: match dir {
            "in" => true,
            "out" => false,
            _ => return None,
        },
        ipsec: match pol {
            "ipsec" => true,
            "none" => false,
            _ => return None,
        },
        rest: options.join(" ").into(),
    };
    Some((Match::Policy(Box::new(value)), cur))
}

/// Instructions without their number, and a NUL that 1.8.9 lets slip through (`bpf_print_code` in `extensions/libxt_bpf.c`).
pub(super) fn bpf(cur: Cur<'_>) -> Read<'_> {
    if let Some((path, rest)) = cur.eat("pinned").and_then(Cur::word) {
        let text = format!("--object-pinned {path}");
        return Some((Match::Bpf(text.into()), rest));
    }
    let mut code: Vec<String> = Vec::new();
    let mut cur = cur;
    loop {
        let mut fields: Vec<&str> = Vec::new();
        let mut last = false;
        for field in 0..4 {
            let (word, rest) = cur.word()?;
            if let (3, Some((word, next))) = (field, word.split_once(',')) {
                let _: u32 = word.parse().ok()?;
                fields.push(word);
                let at = rest.0.len() + next.len();
                cur = Cur(cur.0.get(cur.0.len() - at..)?);
            } else {
                let word = word.trim_end_matches('\0');
                let _: u32 = word.parse().ok()?;
                fields.push(word);
                last = field == 3;
                cur = rest;
            }
        }
        code.push(fields.join(" "));
        if last {
            break;
        }
    }
    let text = format!("--bytecode \"{},{}\"", code.len(), code.join(","));
    Some((Match::Bpf(text.into()), cur))
}

/// `"text" ALGO name bm FROM n TO n ICASE` to the options iptables-save writes (`string_print` in `extensions/libxt_string.c`).
pub(super) fn string(cur: Cur<'_>) -> Read<'_> {
    let (not, cur) = cur.bang();
    let (text, cur) = cur.quoted()?;
    let (algo, mut cur) = cur.eat_all("ALGO name")?.word()?;
    let bang = if not { "! " } else { "" };
    let hex = text.len() > 1 && text.starts_with('|') && text.ends_with('|');
    let option = if hex { "--hex-string" } else { "--string" };
    let mut out = format!("{bang}{option} \"{text}\" --algo {algo}");
    for (word, option) in [("FROM", "--from"), ("TO", "--to")] {
        if let Some((value, rest)) = cur.eat(word).and_then(Cur::word) {
            let _ = write!(out, " {option} {value}");
            cur = rest;
        }
    }
    if let Some(rest) = cur.eat("ICASE") {
        out.push_str(" --icase");
        cur = rest;
    }
    Some((Match::String(out.into()), cur))
}

/// Prose to the options iptables-save writes (`time_print` in `extensions/libxt_time.c`); UTC is the default that it leaves out.
pub(super) fn time(start: Cur<'_>) -> Read<'_> {
    let mut cur = start;
    let (mut first, mut dates, mut weekdays, mut monthdays) =
        (String::new(), String::new(), String::new(), String::new());
    let (mut utc, mut contiguous) = (false, false);
    while let Some((key, rest)) = cur.word() {
        cur = match key {
            "from" | "to" => {
                let (value, rest) = moment(rest)?;
                let name = if key == "from" { "start" } else { "stop" };
                let _ = write!(first, "--time{name} {value} ");
                rest
            }
            "on" => {
                let (value, rest) = moment(rest)?;
                if value.starts_with(|c: char| c.is_ascii_digit()) {
                    let days: Vec<&str> = value
                        .split(',')
                        .map(|day| day.trim_end_matches(char::is_alphabetic))
                        .collect();
                    monthdays = format!("--monthdays {} ", days.join(","));
                } else {
                    weekdays = format!("--weekdays {value} ");
                }
                rest
            }
            "starting" | "until" => {
                let (name, rest) = if key == "starting" {
                    ("start", rest.eat("from")?)
                } else {
                    ("stop", rest.eat("date")?)
                };
                let (date, rest) = moment(rest)?;
                let (clock, rest) = moment(rest)?;
                let _ = write!(dates, "--date{name} {date}T{clock} ");
                rest
            }
            "UTC" => {
                utc = true;
                rest
            }
            "contiguous" => {
                contiguous = true;
                rest
            }
            _ => break,
        };
    }
    let mut text = first + &monthdays + &weekdays + &dates;
    if !utc {
        text.push_str("--kerneltz ");
    }
    if contiguous {
        text.push_str("--contiguous ");
    }
    Some((Match::Time(text.trim_end().to_owned().into()), cur))
}

/// A date, a time of day, or a list of days: what is neither was not printed by `xt_time`.
fn moment(cur: Cur<'_>) -> Option<(&str, Cur<'_>)> {
    let (word, rest) = cur.word()?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | ',' | '-');
    word.chars().all(known).then_some((word, rest))
}
