//! `ip -j addr` and `ip -j link`. Keys: `print_linkinfo` and `print_addrinfo` in iproute2 ip/ipaddress.c, and the
//! `print_opt` functions of `ip/iplink_*.c` for the details of a kind.

use super::{Address, Link, LinkInfo, Outer, Peer, address};
use crate::common::{Diagnostic, Parsed};
use crate::iproute::json::{At, Object, Value, each_object};
use crate::iproute::words::scope;
use std::borrow::Cow;
use std::net::IpAddr;

/// Reads the objects.
pub(super) fn parse(source: &str) -> Parsed<Vec<Link<'_>>> {
    let mut out = Parsed::default();
    let mut brief = None;
    let links: &mut Vec<Link<'_>> = &mut out.value;
    each_object(
        source,
        &mut out.diagnostics,
        |at, object, diagnostics| match link(at, object, diagnostics) {
            Some(l) => {
                if l.index == 0 {
                    brief.get_or_insert(at);
                }
                links.push(l);
            }
            None => diagnostics.push(at.warning("this is no device: it has no `ifname`")),
        },
    );
    if let Some(at) = brief {
        out.diagnostics.push(
            at.warning("the brief form has no index, and of addresses neither scope nor flags")
                .help("ip -j addr; ip -j -d link"),
        );
    }
    out
}

fn link<'a>(at: At, object: Object<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<Link<'a>> {
    let mut l = Link::new(at.line, at.span);
    let mut has_name = false;
    for (key, value) in object {
        match key.as_ref() {
            "ifindex" | "index" => l.index = value.u32().unwrap_or_default(),
            "ifname" | "dev" => {
                l.name = value.into_text()?;
                has_name = true;
            }
            "link" => {
                l.peer = match value.into_text() {
                    Some(n) => Peer::Name(n),
                    None => Peer::Unbound,
                }
            }
            "link_index" => {
                if let Some(n) = value.u32() {
                    l.peer = Peer::Index(n);
                }
            }
            "link_netnsid" => {
                l.peer_netns = Some(Cow::Owned(match value {
                    Value::Int(n) if n < 0 => "unknown".to_owned(),
                    v => v.to_string(),
                }));
            }
            "flags" => {
                if let Value::Array(list) = value {
                    l.flags = list.into_iter().filter_map(Value::into_text).collect();
                }
            }
            "mtu" => l.mtu = value.u32(),
            "operstate" => l.state = value.into_text(),
            "master" => l.master = value.into_text(),
            "group" => l.group = value.into_text(),
            "link_type" => l.link_type = value.into_text(),
            "address" => l.address = value.into_text().filter(|a| !a.is_empty()),
            "altnames" => {
                if let Value::Array(list) = value {
                    l.altnames = list.into_iter().filter_map(Value::into_text).collect();
                }
            }
            "xdp" => l.xdp = xdp(&value).map(Cow::Owned),
            "linkinfo" => linkinfo(value, &mut l),
            "addr_info" => {
                l.shows_addresses = true;
                if let Value::Array(list) = value {
                    for v in list {
                        let Value::Object(o) = v else { continue };
                        if o.is_empty() {
                            continue;
                        }
                        match inet(at, o) {
                            Some(a) => l.addresses.push(a),
                            None => {
                                diagnostics.push(at.warning("an address here is not understood"));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
    }
    has_name.then_some(l)
}

/// `XDP_ATTACHED_*` of `linux/if_link.h`, named as `xdp_dump` in iproute2 `ip/iplink_xdp.c` does.
fn xdp(value: &Value<'_>) -> Option<String> {
    let get = |k| value.object().iter().find(|(n, _)| n == k).map(|(_, v)| v);
    let mode = match get("mode").and_then(Value::u32) {
        Some(0) => return None,
        Some(2) => "xdpgeneric",
        Some(3) => "xdpoffload",
        Some(4) => "xdpmulti",
        _ => "xdp",
    };
    let id = get("prog")
        .and_then(|p| p.object().iter().find(|(n, _)| n == "id"))
        .and_then(|(_, v)| v.u32());
    Some(match id {
        Some(id) => format!("{mode} id {id}"),
        None => mode.to_owned(),
    })
}

fn linkinfo<'a>(value: Value<'a>, l: &mut Link<'a>) {
    let Value::Object(members) = value else {
        return;
    };
    for (key, value) in members {
        match key.as_ref() {
            "info_kind" => l.kind = value.into_text(),
            "info_slave_kind" => l.slave_kind = value.into_text(),
            "info_data" => {
                let vxlan = l.kind.as_deref() == Some("vxlan");
                let has_id = l.kind_has_id();
                if let Value::Object(data) = value {
                    // `ttl inherit` is not printed, `ttl auto` as 0; iproute2 that knows neither prints no `df`.
                    let has = |key: &str| data.iter().any(|(k, _)| k == key);
                    if vxlan && has("df") && !has("ttl") {
                        l.info.ttl = Some(Outer::Inherit);
                    }
                    for (k, v) in data {
                        info_data(&k, v, vxlan, has_id, &mut l.info);
                    }
                }
            }
            "info_slave_data" => {
                for (k, v) in value.object() {
                    match k.as_ref() {
                        "hairpin" => l.info.hairpin = Some(v.truthy()),
                        "table" => l.info.table = v.u32(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
}

fn info_data<'a>(key: &str, value: Value<'a>, vxlan: bool, has_id: bool, info: &mut LinkInfo<'a>) {
    let addr = |v: &Value<'_>| v.str().and_then(|s| s.parse().ok());
    match key {
        "id" if has_id => info.id = value.u32(),
        "local" | "local6" => info.local = addr(&value),
        "remote" | "remote6" => info.remote = addr(&value),
        "group" | "group6" if vxlan => info.remote = addr(&value),
        "link" => info.dev = value.into_text(),
        "port" | "dstport" => info.dstport = value.u32().and_then(|n| u16::try_from(n).ok()),
        "learning" if vxlan => info.learning = Some(value.truthy()),
        "table" => info.table = value.u32(),
        "external" | "collect_metadata" => info.external = value.truthy(),
        // 1 is the kernel's word for `inherit`.
        "tos" | "tclass" if value.u32() == Some(1) => info.tos = Some(Outer::Inherit),
        "tos" | "tclass" => info.tos = outer(&value),
        "ttl" | "hoplimit" => info.ttl = outer(&value).filter(|o| *o != Outer::Own(0)),
        "nf_call_iptables" => info.nf_call_iptables = Some(value.truthy()),
        "nf_call_ip6tables" => info.nf_call_ip6tables = Some(value.truthy()),
        _ => {}
    }
}

/// A number, or a word as in the text.
fn outer(value: &Value<'_>) -> Option<Outer> {
    let number = || {
        value
            .u32()
            .and_then(|n| u8::try_from(n).ok())
            .map(Outer::Own)
    };
    value.str().and_then(Outer::read).or_else(number)
}

fn inet(at: At, object: Object<'_>) -> Option<Address<'_>> {
    let member = |k: &str| object.iter().find(|(n, _)| n == k).map(|(_, v)| v);
    let local: IpAddr = member("local")?.str()?.parse().ok()?;
    let len = u8::try_from(member("prefixlen")?.u32()?).ok()?;
    let mut a = address::plain(at.line, at.span, local, len);
    for (key, value) in object {
        match key.as_ref() {
            "address" => a.peer = value.str().and_then(|s| s.parse().ok()),
            "broadcast" => a.broadcast = value.str().and_then(|s| s.parse().ok()),
            "scope" => {
                if let Some(s) = value.str().and_then(scope) {
                    a.scope = s;
                }
            }
            "label" => a.label = value.into_text(),
            "metric" => a.metric = value.u32(),
            "ifa_flags" => a.flags.push(Cow::Owned(format!("flags {value}"))),
            "protocol" => a.flags.push(Cow::Owned(format!("proto {value}"))),
            _ if value.truthy() => {
                if let Cow::Borrowed(name) = key {
                    address::set_flag(&mut a, name);
                }
            }
            _ => {}
        }
    }
    Some(a)
}
