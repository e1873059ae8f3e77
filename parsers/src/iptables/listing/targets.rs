//! What targets print at the end of a row.

use super::cursor::{Cur, addresses, byte, dscp, mark, masked, number, range};
use super::proceeding::push;
use super::{names, proceeding};
use crate::common::{MarkMask, Masked, Text};
use crate::iptables::matches::ByteMask;
use crate::iptables::targets::{Connmark, CtTarget, Nat, RejectWith, Target, TtlTarget};
use std::net::IpAddr;

/// Reads `cur`, which must hold the options of target `name` and nothing else.
///
/// A name that no extension has is a chain, which prints no options.
pub(super) fn parse<'a>(name: &'a str, goto: bool, cur: Cur<'a>) -> Option<Target<'a>> {
    if goto {
        return cur.is_end().then_some(Target::Goto(Text::Borrowed(name)));
    }
    let end = |target: Target<'a>| cur.is_end().then_some(target);
    let (target, rest) = match name {
        "" => return end(Target::None),
        "ACCEPT" => return end(Target::Accept),
        "DROP" => return end(Target::Drop),
        "RETURN" => return end(Target::Return),
        "QUEUE" => return end(Target::Queue),
        "REJECT" => reject(cur)?,
        "MARK" => {
            let (value, rest) = mark_value(cur.eat("MARK")?)?;
            (Target::Mark(value), rest)
        }
        "CONNMARK" => connmark(cur.eat("CONNMARK")?)?,
        "DNAT" => {
            let (nat, rest) = nat_to(cur)?;
            (Target::Dnat(nat), rest)
        }
        "SNAT" => {
            let (nat, rest) = nat_to(cur)?;
            (Target::Snat(nat), rest)
        }
        "MASQUERADE" => {
            let (nat, rest) = nat_ports(cur, "masq ports:")?;
            (Target::Masquerade(nat), rest)
        }
        "REDIRECT" => {
            let (nat, rest) = nat_ports(cur, "redir ports")?;
            (Target::Redirect(nat), rest)
        }
        "NETMAP" => {
            let (to, rest) = cur.prefix("to:")?.word()?;
            (Target::Netmap(netmap(to)?), rest)
        }
        "CT" | "NOTRACK" => ct(name, cur)?,
        "TPROXY" => tproxy(cur)?,
        "DSCP" => {
            let (value, rest) = cur.eat_all("DSCP set")?.word()?;
            (Target::Dscp(dscp(value)?), rest)
        }
        "TOS" => tos(cur)?,
        "TTL" | "HL" => ttl(cur.eat(name)?)?,
        "NFQUEUE" => nfqueue(cur)?,
        "SET" => {
            let (args, rest) = set(cur)?;
            (Target::Set(args.into()), rest)
        }
        "SYNPROXY" | "HMARK" | "CLUSTERIP" | "DNPT" | "SNPT" => {
            let rest = cur.eat(name)?;
            let args = Text::Borrowed(rest.0.trim());
            let name = Text::Borrowed(name);
            return Some(Target::Opaque { name, args });
        }
        _ if proceeding::knows(name) => {
            let (args, rest) = proceeding::options(name, cur)?;
            let name = Text::Borrowed(name);
            let args = args.into();
            (Target::Continue { name, args }, rest)
        }
        _ => return end(Target::Jump(Text::Borrowed(name))),
    };
    rest.is_end().then_some(target)
}

/// What a target is taken for when its options cannot be read: itself where all its options are optional and known (what was not read
/// then belongs to a match), else opaque.
pub(super) fn unread<'a>(name: &'a str, goto: bool, rest: &'a str) -> Target<'a> {
    parse(name, goto, Cur("")).unwrap_or(Target::Opaque {
        name: Text::Borrowed(name),
        args: Text::Borrowed(rest),
    })
}

/// Names as in `extensions/libipt_REJECT.c` and `libip6t_REJECT.c`.
fn reject(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    let (with, rest) = cur.eat("reject-with")?.word()?;
    let with = match with {
        "icmp-net-unreachable" => RejectWith::IcmpNet,
        "icmp-host-unreachable" => RejectWith::IcmpHost,
        "icmp-port-unreachable" => RejectWith::IcmpPort,
        "icmp-proto-unreachable" => RejectWith::IcmpProto,
        "icmp-net-prohibited" => RejectWith::IcmpNetProhibited,
        "icmp-host-prohibited" => RejectWith::IcmpHostProhibited,
        "icmp-admin-prohibited" => RejectWith::IcmpAdminProhibited,
        "tcp-reset" => RejectWith::TcpReset,
        "icmp6-no-route" => RejectWith::Icmp6NoRoute,
        "icmp6-adm-prohibited" => RejectWith::Icmp6AdmProhibited,
        "icmp6-addr-unreachable" => RejectWith::Icmp6Addr,
        "icmp6-port-unreachable" => RejectWith::Icmp6Port,
        "icmp6-policy-fail" => RejectWith::Icmp6PolicyFail,
        "icmp6-reject-route" => RejectWith::Icmp6RejectRoute,
        _ => return None,
    };
    Some((Target::Reject(with), rest))
}

/// `set|xset|or|xor|and VALUE[/MASK]` (`mark_tg_print` in `extensions/libxt_MARK.c`, `connmark_tg_print` in `libxt_CONNMARK.c`).
fn mark_value(cur: Cur<'_>) -> Option<(MarkMask, Cur<'_>)> {
    let (how, cur) = cur.word()?;
    let (value, rest) = cur.word()?;
    let value = mark(value)?;
    let bits = value.value;
    let value = match how {
        "set" | "xset" => value,
        "or" => MarkMask {
            value: bits,
            mask: bits,
        },
        "xor" => MarkMask {
            value: bits,
            mask: 0,
        },
        "and" => MarkMask {
            value: 0,
            mask: !bits,
        },
        _ => return None,
    };
    Some((value, rest))
}

/// The mask of the side that is written stands after a `~`, but is printed uncomplemented.
fn connmark(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    if let Some((value, rest)) = mark_value(cur) {
        // Shifts have no record (`connmark_tg_print_v2` in `extensions/libxt_CONNMARK.c`).
        if rest.eat("left-shift-mark").is_some() || rest.eat("right-shift-mark").is_some() {
            let args = Text::Borrowed(cur.0.trim());
            let name = Text::Borrowed("CONNMARK");
            return Some((Target::Opaque { name, args }, Cur("")));
        }
        return Some((Target::Connmark(Connmark::Set(value)), rest));
    }
    let (how, mut cur) = cur.word()?;
    let (mut nf, mut ct) = (u32::MAX, u32::MAX);
    while let Some((key, after)) = cur.word() {
        let (value, rest) = after.word()?;
        let value = number(value.trim_start_matches('~'))?;
        match key {
            "mask" => (nf, ct) = (value, value),
            "nfmask" => nf = value,
            "ctmask" => ct = value,
            _ => return None,
        }
        cur = rest;
    }
    let target = match how {
        "save" => Connmark::Save { nf, ct },
        "restore" => Connmark::Restore { nf, ct },
        _ => return None,
    };
    Some((Target::Connmark(target), cur))
}

/// `to:ADDR[-ADDR][:PORT[-PORT[/BASE]]]` and flags; before Linux 2.6.11 more than one `to:`.
fn nat_to(cur: Cur<'_>) -> Option<(Nat, Cur<'_>)> {
    let (to, mut cur) = cur.prefix("to:")?.word()?;
    let mut nat = nat_spec(to)?;
    while let Some((word, rest)) = cur.prefix("to:").and_then(Cur::word) {
        nat_spec(word)?;
        nat.more = true;
        cur = rest;
    }
    let rest = nat_flags(&mut nat, cur);
    Some((nat, rest))
}

fn nat_spec(text: &str) -> Option<Nat> {
    let (addrs, ports) = if let Some(inside) = text.strip_prefix('[') {
        let (addrs, after) = inside.split_once(']')?;
        let ports = match after {
            "" => None,
            _ => Some(after.strip_prefix(':')?),
        };
        (Some(addresses(addrs)?), ports)
    } else if let Some(addrs) = addresses(text) {
        (Some(addrs), None)
    } else {
        let (addrs, ports) = text.rsplit_once(':')?;
        match addrs {
            "" => (None, Some(ports)),
            _ => (Some(addresses(addrs)?), Some(ports)),
        }
    };
    let mut nat = Nat {
        addrs,
        ..Nat::default()
    };
    if let Some(ports) = ports {
        let (ports, base) = match ports.split_once('/') {
            Some((ports, base)) => (ports, Some(base.parse().ok()?)),
            None => (ports, None),
        };
        nat.ports = Some(range(ports, '-', |p| p.parse().ok())?);
        nat.base = base;
    }
    Some(nat)
}

fn nat_ports<'a>(cur: Cur<'a>, words: &str) -> Option<(Nat, Cur<'a>)> {
    let mut nat = Nat::default();
    let mut cur = cur;
    if let Some(after) = cur.eat_all(words) {
        let (ports, rest) = after.word()?;
        nat.ports = Some(range(ports, '-', |p| p.parse().ok())?);
        cur = rest;
    }
    let rest = nat_flags(&mut nat, cur);
    Some((nat, rest))
}

fn nat_flags<'a>(nat: &mut Nat, mut cur: Cur<'a>) -> Cur<'a> {
    while let Some((word, rest)) = cur.word() {
        match word {
            "random" => nat.random = true,
            "random-fully" => nat.random_fully = true,
            "persistent" => nat.persistent = true,
            _ => break,
        }
        cur = rest;
    }
    cur
}

/// A network; a mask with holes is printed as a mask.
fn netmap(text: &str) -> Option<Masked> {
    masked(text)
}

fn ct<'a>(name: &str, cur: Cur<'a>) -> Option<(Target<'a>, Cur<'a>)> {
    // Older versions say NOTRACK in the column, and nothing follows.
    let spelled = if name == "NOTRACK" {
        Some(cur)
    } else {
        cur.eat("NOTRACK")
    };
    let mut target = CtTarget::default();
    if let Some(rest) = spelled {
        target.spelled_notrack = true;
        target.notrack = true;
        return Some((Target::Ct(Box::new(target)), rest));
    }
    let mut cur = cur.eat("CT")?;
    let mut others = String::new();
    while let Some((key, rest)) = cur.word() {
        if key == "notrack" {
            target.notrack = true;
            cur = rest;
            continue;
        }
        let (value, rest) = rest.word()?;
        match key {
            "helper" => target.helper = Some(value.into()),
            "zone" | "zone-orig" | "zone-reply" => {
                target.zone = Some(format!("--{key} {value}").into());
            }
            "timeout" | "ctevents" | "expevents" => push(&mut others, &format!("--{key} {value}")),
            _ => return None,
        }
        cur = rest;
    }
    target.rest = others.into();
    Some((Target::Ct(Box::new(target)), cur))
}

fn tproxy(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    let (to, cur) = cur.eat_all("TPROXY redirect")?.word()?;
    let (ip, port) = to.rsplit_once(':')?;
    let (value, rest) = cur.eat("mark")?.word()?;
    let ip: IpAddr = ip.trim_matches(['[', ']']).parse().ok()?;
    Some((
        Target::Tproxy {
            // Printed where no address was given.
            ip: Some(ip).filter(|ip| !ip.is_unspecified()),
            port: port.parse().ok()?,
            mark: mark(value)?,
        },
        rest,
    ))
}

/// Names stick to `set` (`tos_tg_print` in `extensions/libxt_TOS.c`); `and`, `or` and `xor` are printed without `-n` only.
fn tos(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    let cur = cur.eat("TOS")?;
    let (value, rest) = if let Some(after) = cur.prefix("set") {
        let (word, rest) = after.word()?;
        (names::tos(word).or_else(|| byte_mask(word))?, rest)
    } else {
        let (how, after) = cur.word()?;
        let (word, rest) = after.word()?;
        let bits = byte(word)?;
        let value = match how {
            "and" => ByteMask {
                value: 0,
                mask: !bits,
            },
            "or" => ByteMask {
                value: bits,
                mask: bits,
            },
            "xor" => ByteMask {
                value: bits,
                mask: 0,
            },
            _ => return None,
        };
        (value, rest)
    };
    Some((Target::Tos(value), rest))
}

/// `VALUE/MASK` of eight bits; the mask is 0xff where none is written.
pub(super) fn byte_mask(text: &str) -> Option<ByteMask> {
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (value, byte(mask)?),
        None => (text, 0xff),
    };
    Some(ByteMask {
        value: byte(value)?,
        mask,
    })
}

fn ttl(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    let (how, cur) = cur.word()?;
    let (link, cur) = cur.word()?;
    let (value, rest) = cur.word()?;
    let value = byte(value)?;
    let target = match (how, link) {
        ("set", "to") => TtlTarget::Set(value),
        ("increment", "by") => TtlTarget::Inc(value),
        ("decrement", "by") => TtlTarget::Dec(value),
        _ => return None,
    };
    Some((Target::Ttl(target), rest))
}

fn nfqueue(cur: Cur<'_>) -> Option<(Target<'_>, Cur<'_>)> {
    let mut cur = cur.eat("NFQUEUE")?;
    let mut bypass = false;
    let mut args = String::new();
    while let Some((key, mut rest)) = cur.word() {
        match key {
            "num" | "balance" => {
                let (value, after) = rest.word()?;
                push(&mut args, &format!("--queue-{key} {value}"));
                rest = after;
            }
            "bypass" | "cpu-fanout" => {
                bypass |= key == "bypass";
                push(&mut args, &format!("--queue-{key}"));
            }
            _ => return None,
        }
        cur = rest;
    }
    let args = args.into();
    Some((Target::Nfqueue { bypass, args }, cur))
}

fn set(cur: Cur<'_>) -> Option<(String, Cur<'_>)> {
    let mut out = String::new();
    let mut cur = cur;
    cur.word()?;
    while let Some((key, mut rest)) = cur.word() {
        match key {
            "add-set" | "del-set" | "map-set" => {
                let (set, after) = rest.word()?;
                let (dimensions, after) = after.word()?;
                push(&mut out, &format!("--{key} {set} {dimensions}"));
                rest = after;
            }
            "timeout" => {
                let (value, after) = rest.word()?;
                push(&mut out, &format!("--{key} {value}"));
                rest = after;
            }
            "exist" | "map-mark" | "map-prio" | "map-queue" => push(&mut out, &format!("--{key}")),
            _ => return None,
        }
        cur = rest;
    }
    Some((out, cur))
}
