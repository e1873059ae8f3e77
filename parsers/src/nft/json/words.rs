//! Expressions and statements whose records are nft's own words.

use super::read::{Data, Value};
use crate::common::Text;
use std::borrow::Cow;
use std::fmt::Write as _;

/// `classid`, `ip nexthop`.
pub(super) fn rt<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    let key = v.get_str("key")?;
    Some(match v.get_str("family") {
        Some(family) => Cow::Owned(format!("{family} {key}")),
        None => key.clone(),
    })
}

/// `maxseg size`, `sack-perm`, `@5,16,8`.
pub(super) fn tcp_option<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    if let Some(base) = v.get("base") {
        let (base, offset, len) = (base.u32()?, v.get("offset")?.u32()?, v.get("len")?.u32()?);
        return Some(Cow::Owned(format!("@{base},{offset},{len}")));
    }
    field("", v)
}

/// `hbh nexthdr`, `exthdr frag`, `ip option rr ptr`, `sctp chunk data`.
pub(super) fn exthdr<'a>(kind: &str, v: &Value<'a>) -> Option<Text<'a>> {
    match kind {
        "exthdr" if v.get("field").is_some() => field("", v),
        "dccp option" => Some(Cow::Owned(format!("{kind} {}", v.get("type")?.u32()?))),
        _ => field(kind, v),
    }
}

/// Name and field of a member of a header, behind a word.
fn field<'a>(before: &str, v: &Value<'a>) -> Option<Text<'a>> {
    let name = v.get_str("name")?;
    let mut words = before.to_owned();
    for word in [Some(name), v.get_str("field")].into_iter().flatten() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    Some(Cow::Owned(words))
}

/// `socket transparent`, `osf ttl loose name`, `ipsec in spnum 1 ip saddr`, `tunnel id`.
pub(super) fn other<'a>(kind: &str, v: &Value<'a>) -> Option<Text<'a>> {
    let key = v.get_str("key")?;
    let mut words = kind.to_owned();
    if let Some(dir) = v.get_str("dir") {
        write!(words, " {dir}").ok()?;
    }
    if let Some(n) = v.get("spnum").and_then(Value::u32).filter(|n| *n != 0) {
        write!(words, " spnum {n}").ok()?;
    }
    if let Some(ttl) = v.get_str("ttl") {
        write!(words, " ttl {ttl}").ok()?;
    }
    if let Some(family) = v.get_str("family") {
        write!(words, " {family}").ok()?;
    }
    write!(words, " {key}").ok()?;
    Some(Cow::Owned(words))
}

/// The options of `log`, in the order in which nft prints them (`log_stmt_print`).
pub(super) fn log<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    let mut words = Vec::new();
    if let Some(prefix) = v.get_str("prefix") {
        words.push(format!("prefix \"{prefix}\""));
    }
    for key in ["group", "snaplen", "queue-threshold"] {
        if let Some(n) = v.get(key) {
            words.push(format!("{key} {}", n.u32()?));
        }
    }
    if let Some(level) = v.get_str("level") {
        words.push(format!("level {level}"));
    }
    let flags = v.get("flags").map(Value::list).unwrap_or_default();
    let flags = flags.iter().map(Value::str).collect::<Option<Vec<_>>>()?;
    let tcp: Vec<&str> = flags
        .iter()
        .filter_map(|f| f.strip_prefix("tcp "))
        .collect();
    if !tcp.is_empty() {
        words.push(format!("flags tcp {}", tcp.join(",")));
    }
    for flag in flags.iter().filter(|f| !f.starts_with("tcp ")) {
        words.push(format!("flags {flag}"));
    }
    Some(Cow::Owned(words.join(" ")))
}

/// The options of `queue`, as nft prints them (`queue_stmt_print`). A map that gives the number stays JSON.
pub(super) fn queue<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    let flags = v.get("flags").map(Value::list).unwrap_or_default();
    let flags = flags.iter().map(|f| f.str().map(|f| &**f));
    let flags = flags.collect::<Option<Vec<&str>>>()?.join(",");
    let mut words = String::new();
    if !flags.is_empty() {
        write!(words, "flags {flags} ").ok()?;
    }
    let to = match v.get("num") {
        None => "0".to_owned(),
        Some(num) => match num.get("range").and_then(Value::array) {
            Some([from, to]) => format!("{}-{}", from.number()?, to.number()?),
            _ => hash(num).unwrap_or_else(|| num.raw.to_owned()),
        },
    };
    write!(words, "to {to}").ok()?;
    Some(Cow::Owned(words))
}

/// `numgen` and `symhash` in words.
fn hash(v: &Value<'_>) -> Option<String> {
    let (kind, inner) = v.tagged()?;
    let mut words = match kind {
        "numgen" => format!("numgen {}", inner.get_str("mode")?),
        "symhash" => kind.to_owned(),
        _ => return None,
    };
    write!(words, " mod {}", inner.get("mod")?.u32()?).ok()?;
    if let Some(n) = inner.get("offset").and_then(Value::u32).filter(|n| *n != 0) {
        write!(words, " offset {n}").ok()?;
    }
    Some(words)
}

/// `ct helper set "x"`, `meta secmark set "x"`. A map that gives the name stays JSON.
pub(super) fn aside<'a>(kind: &str, v: &Value<'a>) -> Option<Text<'a>> {
    let kind = match kind {
        "secmark" => "meta secmark",
        kind => kind,
    };
    if v.get("map").is_some() {
        return Some(Cow::Owned(format!("{kind} set {}", v.raw)));
    }
    let name = v.str()?;
    Some(Cow::Owned(format!("{kind} set \"{name}\"")))
}

/// `reset tcp option fastopen`.
pub(super) fn reset<'a>(v: &Value<'a>) -> Option<Text<'a>> {
    let option = v.get("tcp option")?;
    let option = match option.get("base").and_then(Value::u32) {
        Some(kind) => Cow::Owned(kind.to_string()),
        None => tcp_option(option)?,
    };
    Some(Cow::Owned(format!("reset tcp option {option}")))
}

/// Whether there is nothing in it.
pub(super) fn is_empty(v: &Value<'_>) -> bool {
    match &v.data {
        Data::Null => true,
        Data::Object(o) => o.is_empty(),
        _ => false,
    }
}
