//! `ip -j route`: the members as the words of the text form, which the text parser reads. Keys: `print_route` in iproute2
//! ip/iproute.c.

use super::{Route, text};
use crate::common::Parsed;
use crate::iproute::json::{Object, Value, Writer, each_object};

/// Reads the objects; families of bare defaults are left open.
pub(super) fn parse(source: &str) -> Parsed<Vec<Route<'_>>> {
    let mut out = Parsed::default();
    let routes: &mut Vec<Route<'_>> = &mut out.value;
    each_object(source, &mut out.diagnostics, |at, object, diagnostics| {
        let mut w = Writer::default();
        for key in write(&mut w, &object) {
            diagnostics.push(at.warning(format!("`{key}` of this route is not understood")));
        }
        let parsed = text::parse(&w.out);
        at.adopt(parsed.diagnostics, diagnostics);
        routes.extend(parsed.value.into_iter().map(|r| Route {
            line: at.line,
            span: at.span,
            ..r.into_owned()
        }));
    });
    out
}

/// Writes the members, and returns the keys that are not known.
fn write<'o>(w: &mut Writer, object: &'o Object<'_>) -> Vec<&'o str> {
    let mut unknown = Vec::new();
    let mut encap: Option<&str> = None;
    for (key, value) in object {
        if let Some(kind) = encap {
            if w.encap_member(kind, key, value) {
                continue;
            }
            encap = None;
        }
        match key.as_ref() {
            "type" | "dst" => w.word(value),
            "from" | "src" => w.pair("from", value),
            "to" => w.pair("as to", value),
            "encap" => {
                w.pair("encap", value);
                encap = value.str();
            }
            "gateway" | "via" => w.via(value),
            "protocol" => w.pair("proto", value),
            "prefsrc" => w.pair("src", value),
            "flags" => w.words(value),
            "flow" => w.flow(value),
            "expires" | "age" | "tsage" => w.pair(key, format_args!("{value}sec")),
            "metrics" => {
                for metrics in value.array() {
                    for (k, v) in metrics.object() {
                        metric(w, k, v);
                    }
                }
            }
            "cache" => {
                w.word("cache");
                if !value.array().is_empty() {
                    let flags: Vec<_> = value.array().iter().map(ToString::to_string).collect();
                    w.word(format_args!("<{}>", flags.join(",")));
                }
            }
            "nexthops" => {
                for hop in value.array() {
                    w.out.push_str("\n\tnexthop ");
                    if let Value::Object(o) = hop {
                        unknown.extend(write(w, o));
                    }
                }
            }
            "nh_info" | "deleted" => {}
            "nhid" | "tos" | "dev" | "table" | "scope" | "metric" | "mark" | "uid" | "error"
            | "users" | "used" | "ipid" | "ts" | "iif" | "pref" | "weight" | "ttl-propogate"
            | "ttl-propagate" => w.pair(key, value),
            _ => unknown.push(key.as_ref()),
        }
    }
    unknown
}

/// A metric as `print_rta_metrics` in iproute2 ip/iproute.c has it in the text: times with their unit, `ecn` as a feature.
fn metric(w: &mut Writer, key: &str, value: &Value<'_>) {
    match (key, value) {
        ("rtt" | "rttvar" | "rto_min", Value::Int(ms)) => match u32::try_from(*ms) {
            Ok(ms) if ms >= 1000 => w.pair(key, format_args!("{}s", f64::from(ms) / 1e3)),
            _ => w.pair(key, format_args!("{ms}ms")),
        },
        ("ecn", _) => w.pair("features", "ecn"),
        ("congestion", v) => w.pair("congctl", v),
        (k, v) => w.pair(k, v),
    }
}
