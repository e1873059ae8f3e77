//! `ip -j rule`: the members as the words of the text form, which the text parser reads. Keys: `print_rule` in iproute2
//! ip/iprule.c.

use super::{PolicyRule, text};
use crate::common::Parsed;
use crate::iproute::json::{Object, Value, Writer, each_object};

/// Reads the objects.
pub(super) fn parse(source: &str) -> Parsed<Vec<PolicyRule<'_>>> {
    let mut out = Parsed::default();
    let rules: &mut Vec<PolicyRule<'_>> = &mut out.value;
    each_object(source, &mut out.diagnostics, |at, object, diagnostics| {
        let mut w = Writer::default();
        write(&mut w, &object);
        let parsed = text::parse(&w.out);
        at.adopt(parsed.diagnostics, diagnostics);
        rules.extend(parsed.value.into_iter().map(|r| PolicyRule {
            line: at.line,
            span: at.span,
            ..r.into_owned()
        }));
    });
    out
}

fn write(w: &mut Writer, object: &Object<'_>) {
    // The second half of a pair of members joins the first without a blank.
    let join = |w: &mut Writer, sep: char, v: &Value<'_>| {
        w.out.push(sep);
        w.out.push_str(&v.to_string());
    };
    for (key, value) in object {
        match key.as_ref() {
            "priority" => w.word(format_args!("{value}:")),
            "src" => w.pair("from", value),
            "dst" => w.pair("to", value),
            "srclen" | "dstlen" | "fwmask" => join(w, '/', value),
            "sport_start" => w.pair("sport", value),
            "dport_start" => w.pair("dport", value),
            "uid_start" => w.pair("uidrange", value),
            "sport_end" | "dport_end" | "uid_end" => join(w, '-', value),
            "sport_mask" | "dport_mask" | "dscp_mask" | "flowlabel_mask" => join(w, '/', value),
            "iif_detached" | "oif_detached" => w.word("[detached]"),
            "unresolved" => w.word("[unresolved]"),
            "l3mdev" => w.word("lookup [l3mdev-table]"),
            "table" => w.pair("lookup", value),
            "suppress_prefixlen" => w.pair("suppress_prefixlength", value),
            "flow_from" => w.pair("realms", format_args!("{value}/")),
            "flow_to" if w.out.ends_with('/') => w.out.push_str(&value.to_string()),
            "flow_to" => w.pair("realms", value),
            "nat_gateway" => w.pair("map-to", value),
            "action" => w.word(value),
            "protocol" => w.pair("proto", value),
            "deleted" => {}
            _ => w.pair(key, value),
        }
    }
}
