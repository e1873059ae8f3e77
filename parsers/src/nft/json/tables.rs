//! Tables, chains, sets and objects, without rules and elements.

use super::context::Context;
use super::expr::expr;
use super::read::{Data, Value};
use crate::common::Text;
use crate::iptables::Policy;
use crate::nft::types::Type;
use crate::nft::typing::types_of;
use crate::nft::{Base, Chain, ChainType, Hook, Object, Place, Set, SetData, Table, TableFamily};

pub(super) fn handle(v: &Value<'_>) -> Option<u64> {
    v.get("handle").and_then(Value::u64)
}

/// A table that nothing is known of but its name.
pub(super) fn bare(family: TableFamily, name: Text<'_>, at: Place) -> Table<'_> {
    Table {
        family,
        name,
        dormant: false,
        handle: None,
        comment: None,
        at,
        of_iptables: false,
        chains: Vec::new(),
        sets: Vec::new(),
        objects: Vec::new(),
    }
}

pub(super) fn table<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    (family, name): (TableFamily, Text<'a>),
    at: Place,
) -> Table<'a> {
    let mut table = bare(family, name, at);
    table.handle = handle(v);
    table.comment = cx.text(v, "comment");
    for flag in v.get("flags").map(Value::list).unwrap_or_default() {
        match flag.str().map(|f| &**f) {
            Some("dormant") => table.dormant = true,
            Some("owner" | "persist") => {}
            // Before 1.1, nft frees a single flag before it prints it (`table_flags_json`): what stands there is anything. It is
            // `dormant` wherever the table is not owned by a process.
            _ => {
                table.dormant = true;
                cx.opaque(
                    flag,
                    "a flag of a table that is not known, taken for dormant",
                );
            }
        }
    }
    table
}

pub(super) fn chain<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    name: Text<'a>,
    at: Place,
) -> Chain<'a> {
    Chain {
        name,
        handle: handle(v),
        comment: cx.text(v, "comment"),
        base: base(cx, v),
        at,
        rules: Vec::new(),
    }
}

fn base<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Option<Base<'a>> {
    let hook = v.get("hook")?;
    let Some(known) = hook.str().and_then(|h| Hook::parse(h)) else {
        cx.opaque(hook, "a hook that is not known");
        return None;
    };
    let kind = match v.get_str("type").map(|t| &**t) {
        Some("filter") => ChainType::Filter,
        Some("nat") => ChainType::Nat,
        Some("route") => ChainType::Route,
        _ => {
            cx.opaque(v, "a chain of a type that is not known");
            return None;
        }
    };
    let Some(priority) = v.get("prio").and_then(Value::i32) else {
        cx.opaque(v, "a chain without priority");
        return None;
    };
    let policy = match v.get_str("policy").map(|p| &**p) {
        Some("drop") => Policy::Drop,
        None | Some("accept") => Policy::Accept,
        Some(_) => {
            cx.opaque(v, "a policy that is not known, taken for accept");
            Policy::Accept
        }
    };
    let devices = v.get("dev").map(Value::list).unwrap_or_default();
    Some(Base {
        kind,
        hook: known,
        priority,
        policy,
        devices: devices.iter().filter_map(|d| d.str().cloned()).collect(),
    })
}

/// `elements` is where its elements stand; `v` holds the other members.
pub(super) fn set<'a>(
    cx: &mut Context<'a>,
    v: &Value<'a>,
    name: Text<'a>,
    at: Place,
    elements: Option<Place>,
) -> Set<'a> {
    let key = match v.get("type") {
        Some(types) => self::types(cx, types),
        None => vec![Type::Invalid],
    };
    let has = |flag: &str| {
        let flags = v.get("flags").map(Value::list).unwrap_or_default();
        flags.iter().any(|f| f.str().is_some_and(|f| f == flag))
    };
    Set {
        name,
        handle: handle(v),
        comment: cx.text(v, "comment"),
        key,
        data: v.get("map").map(|m| data(cx, m)),
        interval: has("interval"),
        constant: has("constant"),
        timeout: v.get("timeout").and_then(super::element::milliseconds),
        size: v.get("size").and_then(Value::u32),
        at,
        elements,
    }
}

fn data<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> SetData {
    match v.str().map(|s| &**s) {
        Some("verdict") => SetData::Verdict,
        // `obj_type_name` of nftables.
        Some(
            kind @ ("counter" | "quota" | "limit" | "ct helper" | "ct timeout" | "ct expectation"
            | "secmark" | "synproxy" | "tunnel"),
        ) => SetData::Object(kind.to_owned()),
        _ => SetData::Value(types(cx, v)),
    }
}

/// `"ipv4_addr"`, `["ipv4_addr", "inet_service"]`, `"ipv4_addr . inet_service"`, `{"typeof": EXPR}`.
fn types<'a>(cx: &mut Context<'a>, v: &Value<'a>) -> Vec<Type> {
    let known = match (&v.data, v.get("typeof")) {
        (Data::Str(s), _) => s.split(" . ").map(named).collect(),
        (Data::Array(a), _) => a.iter().map(|t| named(t.str()?)).collect(),
        (_, Some(v)) => {
            let of = expr(cx, v, &[]);
            Some(types_of(&of, cx.family))
        }
        _ => None,
    };
    known.filter(|types| !types.is_empty()).unwrap_or_else(|| {
        cx.opaque(v, "a type that is not known");
        let count = v.array().map_or(1, <[_]>::len).max(1);
        vec![Type::Invalid; count]
    })
}

fn named(name: &str) -> Option<Type> {
    match name {
        // Of `typeof vlan id` nft before 1.1 says no more than this.
        "integer" => Some(Type::Invalid),
        name => Type::parse(name),
    }
}

pub(super) fn object<'a>(kind: Text<'a>, v: &Value<'a>, name: Text<'a>, at: Place) -> Object<'a> {
    Object {
        kind,
        name,
        handle: handle(v),
        at,
    }
}
