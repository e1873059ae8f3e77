//! Options of targets. [`start`] makes the record that `-j NAME` stands for, [`option`] gives it one option after the other.

use super::cursor::{Cursor, Fault};
use super::matching::{ADDRESS, MARK};
use super::names;
use crate::common::{Family, MarkMask};
use crate::iptables::matches::ByteMask;
use crate::iptables::targets::{Connmark, CtTarget, Nat, RejectWith, Target, TtlTarget};
use crate::iptables::value::{byte_mask, dashed_ports, ip, mark, masked, nat, uint, whole};
use std::borrow::Cow;

/// The target named `name` without options, and whether it needs one to mean anything.
pub(super) fn start(name: &str, family: Family) -> (Target<'_>, bool) {
    let none = Cow::Borrowed("");
    let no_mark = MarkMask { value: 0, mask: 0 };
    match name {
        "ACCEPT" => (Target::Accept, false),
        "DROP" => (Target::Drop, false),
        "RETURN" => (Target::Return, false),
        "MARK" => (Target::Mark(no_mark), true),
        "DNAT" => (Target::Dnat(Nat::default()), true),
        "MASQUERADE" => (Target::Masquerade(Nat::default()), false),
        "SNAT" => (Target::Snat(Nat::default()), true),
        "REDIRECT" => (Target::Redirect(Nat::default()), false),
        "REJECT" => {
            let with = match family {
                Family::V4 => RejectWith::IcmpPort,
                Family::V6 => RejectWith::Icmp6Port,
            };
            (Target::Reject(with), false)
        }
        "QUEUE" => (Target::Queue, false),
        "NFQUEUE" => {
            let target = Target::Nfqueue {
                bypass: false,
                args: none,
            };
            (target, false)
        }
        "CONNMARK" => (Target::Connmark(Connmark::Set(no_mark)), true),
        "NETMAP" => {
            let anywhere = crate::common::Masked::prefix(family.unspecified(), 0);
            (Target::Netmap(anywhere), true)
        }
        "NOTRACK" => {
            let ct = CtTarget {
                spelled_notrack: true,
                notrack: true,
                ..CtTarget::default()
            };
            (Target::Ct(Box::new(ct)), false)
        }
        "CT" => (Target::Ct(Box::<CtTarget<'_>>::default()), false),
        "TPROXY" => {
            let target = Target::Tproxy {
                ip: None,
                port: 0,
                mark: no_mark,
            };
            (target, true)
        }
        "DSCP" => (Target::Dscp(0), true),
        "TOS" => (Target::Tos(ByteMask { value: 0, mask: 0 }), true),
        "TTL" | "HL" => (Target::Ttl(TtlTarget::Set(0)), true),
        "SET" => (Target::Set(none), true),
        "LOG" | "NFLOG" | "ULOG" | "TCPMSS" | "CHECKSUM" | "TRACE" | "AUDIT" | "CLASSIFY"
        | "TCPOPTSTRIP" | "TEE" | "RATEEST" | "IDLETIMER" | "LED" | "SECMARK" | "CONNSECMARK"
        | "ECN" => {
            let target = Target::Continue {
                name: Cow::Borrowed(name),
                args: none,
            };
            (target, false)
        }
        // Targets of iptables that no record describes; anything else may be a chain.
        "CLUSTERIP" | "DNPT" | "HMARK" | "MIRROR" | "SAME" | "SNPT" | "SYNPROXY" => {
            let target = Target::Opaque {
                name: Cow::Borrowed(name),
                args: none,
            };
            (target, false)
        }
        _ => (Target::Jump(Cow::Borrowed(name)), false),
    }
}

const NAT: &str = "an address, a range or a port to translate to";

/// The flags that all NAT targets share.
fn nat_flag(nat: &mut Nat, name: &str) -> bool {
    match name {
        "--random" => nat.random = true,
        "--random-fully" => nat.random_fully = true,
        "--persistent" => nat.persistent = true,
        _ => return false,
    }
    true
}

fn nat_to(target: &mut Nat, wanted: &str, at: &mut Cursor<'_>) -> Result<bool, Fault> {
    let name = at.option.raw;
    if name != wanted {
        return Ok(nat_flag(target, name));
    }
    let to = at.value(NAT, |s| whole(nat, s))?;
    if target.addrs.is_some() || target.ports.is_some() {
        target.more = true;
    } else {
        (target.addrs, target.ports, target.base) = (to.addrs, to.ports, to.base);
    }
    Ok(true)
}

/// Gives `target` the option at the cursor. False where it has no such option; nothing is consumed then.
#[inline]
pub(super) fn option<'a>(target: &mut Target<'a>, at: &mut Cursor<'a>) -> Result<bool, Fault> {
    let name = at.option.raw;
    match target {
        Target::Mark(value) => {
            let Some(set) = mark_option(name, at)? else {
                return Ok(false);
            };
            *value = set;
        }
        Target::Dnat(nat) => return nat_to(nat, "--to-destination", at),
        Target::Snat(nat) => return nat_to(nat, "--to-source", at),
        Target::Masquerade(nat) | Target::Redirect(nat) => match name {
            "--to-ports" | "--to-port" => {
                nat.ports = Some(at.value("a port or a range lo-hi", |s| whole(dashed_ports, s))?);
            }
            _ => return Ok(nat_flag(nat, name)),
        },
        Target::Reject(with) => match name {
            "--reject-with" => {
                let v6 = at.family == Family::V6;
                *with = at.value("a way to reject", |s| names::reject(s, v6))?;
            }
            _ => return Ok(false),
        },
        Target::Nfqueue { bypass, args } => match name {
            "--queue-num" | "--queue-balance" => at.keep(args, 1)?,
            "--queue-cpu-fanout" => at.keep(args, 0)?,
            "--queue-bypass" => {
                *bypass = true;
                at.keep(args, 0)?;
            }
            _ => return Ok(false),
        },
        Target::Connmark(what) => return connmark(what, name, at),
        Target::Netmap(to) => match name {
            "--to" => *to = at.value(ADDRESS, |s| whole(masked, s))?,
            _ => return Ok(false),
        },
        Target::Ct(ct) => return ct_option(ct, name, at),
        Target::Tproxy {
            ip: on_ip,
            port,
            mark: set,
        } => match name {
            "--on-port" => *port = at.value("a port", |s| whole(uint, s))?,
            // Unspecified is what the kernel takes for "not given" (tproxy_laddr4 in net/ipv4/netfilter/nf_tproxy_ipv4.c).
            "--on-ip" => {
                *on_ip =
                    Some(at.value(ADDRESS, |s| whole(ip, s))?).filter(|ip| !ip.is_unspecified());
            }
            "--tproxy-mark" => *set = at.value(MARK, |s| whole(mark, s))?,
            _ => return Ok(false),
        },
        Target::Dscp(value) => match name {
            "--set-dscp" => *value = at.value("a DSCP below 64", names::dscp)?,
            "--set-dscp-class" => *value = at.value("a DSCP class", names::dscp_class)?,
            _ => return Ok(false),
        },
        Target::Tos(value) => match name {
            "--set-tos" => *value = at.value("a TOS value or value/mask", names::tos)?,
            "--and-tos" => {
                let bits = at.value("a TOS value", |s| whole(byte_mask, s))?.value;
                *value = ByteMask {
                    value: 0,
                    mask: !bits,
                };
            }
            "--or-tos" => {
                let bits = at.value("a TOS value", |s| whole(byte_mask, s))?.value;
                *value = ByteMask {
                    value: bits,
                    mask: bits,
                };
            }
            "--xor-tos" => {
                let bits = at.value("a TOS value", |s| whole(byte_mask, s))?.value;
                *value = ByteMask {
                    value: bits,
                    mask: 0,
                };
            }
            _ => return Ok(false),
        },
        Target::Ttl(ttl) => {
            let make: fn(u8) -> TtlTarget = match name {
                "--ttl-set" | "--hl-set" => TtlTarget::Set,
                "--ttl-inc" | "--hl-inc" => TtlTarget::Inc,
                "--ttl-dec" | "--hl-dec" => TtlTarget::Dec,
                _ => return Ok(false),
            };
            *ttl = make(at.value("a number below 256", |s| whole(uint, s))?);
        }
        Target::Set(args) => match name {
            "--add-set" | "--del-set" | "--map-set" => at.keep(args, 2)?,
            "--timeout" => at.keep(args, 1)?,
            "--exist" | "--map-mark" | "--map-prio" | "--map-queue" => at.keep(args, 0)?,
            _ => return Ok(false),
        },
        Target::Continue { args, .. } => at.keep(args, 0)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// `--set-mark` and its like as value and mask of `--set-xmark` (`MARK_parse` in `libxt_MARK.c`).
fn mark_option(name: &str, at: &mut Cursor<'_>) -> Result<Option<MarkMask>, Fault> {
    let given = match name {
        "--set-xmark" | "--set-mark" | "--or-mark" | "--and-mark" | "--xor-mark" => {
            at.value(MARK, |s| whole(mark, s))?
        }
        _ => return Ok(None),
    };
    Ok(Some(match name {
        "--set-mark" => MarkMask {
            value: given.value,
            mask: given.mask | given.value,
        },
        "--or-mark" => MarkMask {
            value: given.value,
            mask: given.value,
        },
        "--and-mark" => MarkMask {
            value: 0,
            mask: !given.value,
        },
        "--xor-mark" => MarkMask {
            value: given.value,
            mask: 0,
        },
        _ => given,
    }))
}

fn connmark(what: &mut Connmark, name: &str, at: &mut Cursor<'_>) -> Result<bool, Fault> {
    const ALL: u32 = u32::MAX;
    match (name, &mut *what) {
        ("--save-mark", _) => *what = Connmark::Save { nf: ALL, ct: ALL },
        ("--restore-mark", _) => *what = Connmark::Restore { nf: ALL, ct: ALL },
        ("--nfmask", Connmark::Save { nf, .. } | Connmark::Restore { nf, .. }) => {
            *nf = at.value(MARK, |s| whole(uint, s))?;
        }
        ("--ctmask", Connmark::Save { ct, .. } | Connmark::Restore { ct, .. }) => {
            *ct = at.value(MARK, |s| whole(uint, s))?;
        }
        ("--mask", Connmark::Save { nf, ct } | Connmark::Restore { nf, ct }) => {
            *nf = at.value(MARK, |s| whole(uint, s))?;
            *ct = *nf;
        }
        (_, Connmark::Set(value)) => {
            let Some(set) = mark_option(name, at)? else {
                return Ok(false);
            };
            *value = set;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn ct_option<'a>(ct: &mut CtTarget<'a>, name: &str, at: &mut Cursor<'a>) -> Result<bool, Fault> {
    if ct.spelled_notrack {
        return Ok(false);
    }
    match name {
        "--notrack" => ct.notrack = true,
        "--helper" => ct.helper = Some(at.text()?),
        "--zone" | "--zone-orig" | "--zone-reply" => {
            at.keep(ct.zone.get_or_insert_default(), 1)?;
        }
        "--timeout" | "--ctevents" | "--expevents" => at.keep(&mut ct.rest, 1)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether the target takes any option: those kept as written, and those that are not known.
pub(super) fn takes_anything<'t, 'a>(
    target: &'t mut Target<'a>,
) -> Option<&'t mut crate::common::Text<'a>> {
    if let Target::Jump(name) = target {
        *target = Target::Opaque {
            name: std::mem::take(name),
            args: Cow::Borrowed(""),
        };
    }
    match target {
        Target::Continue { args, .. } | Target::Opaque { args, .. } => Some(args),
        _ => None,
    }
}
