//! Targets.

mod change;
mod nat;
mod watch;

pub(in crate::capture::live) use watch::Nflog;

use super::matches;
use super::words::{Words, text};
use crate::capture::live::attr::Numbers as _;
use nfwhy_parsers::Family;

/// `XT_CT_NOTRACK_ALIAS`
const NOTRACK_ALIAS: u16 = 2;

/// Appends ` -j NAME` and the options; `None` where the structure is not one that is known.
#[inline]
pub(super) fn decode(w: &mut Words<'_>, name: &str, revision: u32, b: &[u8]) -> Option<()> {
    // As it was written (`ct_print_name_alias` in libxt_CT.c).
    if name == "CT" && b.u16(0)? & NOTRACK_ALIAS != 0 {
        w.out.push_str(" -j NOTRACK");
        return Some(());
    }
    w.out.push_str(" -j");
    w.word(name);
    match (name, revision) {
        ("DNAT" | "SNAT", _) => nat::nat(w, name, revision, b)?,
        ("MASQUERADE" | "REDIRECT", 0) => nat::nat(w, name, revision, b)?,
        ("NETMAP", 0) => nat::netmap(w, b)?,
        ("SNPT" | "DNPT", 0) => nat::npt(w, b)?,
        ("MARK", 2) => {
            w.raw("--set-xmark");
            w.hex_masked(b.u32(0)?, b.u32(4)?);
        }
        ("CONNMARK", 1 | 2) => change::connmark(w, revision, b)?,
        ("REJECT", 0) => reject(w, b)?,
        ("CT", _) => ct(w, revision, b)?,
        ("NOTRACK" | "TRACE", 0) => {}
        ("TPROXY", _) => tproxy(w, revision, b)?,
        ("LOG", 0) => watch::log(w, b)?,
        ("NFLOG", 0) => watch::nflog(w, b)?,
        ("NFQUEUE", _) => nfqueue(w, revision, b)?,
        ("AUDIT", 0) => {
            w.raw("--type");
            w.raw(["accept", "drop", "reject"].get(usize::from(b.u8(0)?))?);
        }
        ("IDLETIMER", 0 | 1) => watch::idletimer(w, revision, b)?,
        ("RATEEST", 0) => watch::rateest(w, b)?,
        ("LED", 0) => watch::led(w, b)?,
        ("TEE", 1) => {
            w.raw("--gateway ");
            w.addr(b)?;
            let device = text(b.get(16..32)?);
            if !device.is_empty() {
                w.raw("--oif");
                w.word(&device);
            }
        }
        ("DSCP", 0) => {
            w.raw("--set-dscp");
            w.formatted(format_args!("{:#04x}", b.u8(0)?));
        }
        ("TOS", 0) => {
            w.raw("--set-tos");
            w.formatted(format_args!("{:#04x}", b.u8(0)?));
        }
        ("TOS", 1) => {
            w.raw("--set-tos");
            w.formatted(format_args!("{:#04x}/{:#04x}", b.u8(0)?, b.u8(1)?));
        }
        ("TTL", 0) => change::ttl(w, b, ["--ttl-set", "--ttl-inc", "--ttl-dec"])?,
        ("HL", 0) => change::ttl(w, b, ["--hl-set", "--hl-inc", "--hl-dec"])?,
        ("TCPMSS", 0) => match b.u16(0)? {
            0xffff => w.raw("--clamp-mss-to-pmtu"),
            mss => w.value(false, "--set-mss", mss),
        },
        ("TCPOPTSTRIP", 0) => change::tcpoptstrip(w, b)?,
        ("CHECKSUM", 0) => w.switch(b.u8(0)? & 1 != 0, "--checksum-fill"),
        ("CLASSIFY", 0) => {
            let class = b.u32(0)?;
            w.raw("--set-class");
            w.formatted(format_args!("{:04x}:{:04x}", class >> 16, class & 0xffff));
        }
        ("CONNSECMARK", 0) => w.raw(match b.u8(0)? {
            1 => "--save",
            2 => "--restore",
            _ => return None,
        }),
        ("SECMARK", 0 | 1) if b.u8(0)? == 1 => {
            let from = if revision == 0 { 8 } else { 1 };
            w.raw("--selctx");
            w.word(&text(b.get(from..from + 256)?));
        }
        ("ECN", 0) => change::ecn(w, b)?,
        ("HMARK", 0) => change::hmark(w, b)?,
        ("SET", _) => set(w, revision, b)?,
        ("SYNPROXY", 0) => synproxy(w, b)?,
        ("CLUSTERIP", 0) => clusterip(w, b)?,
        _ => return None,
    }
    Some(())
}

/// By number (`enum ipt_reject_with`).
const REJECTS: [&str; 9] = [
    "icmp-net-unreachable",
    "icmp-host-unreachable",
    "icmp-proto-unreachable",
    "icmp-port-unreachable",
    "echo-reply",
    "icmp-net-prohibited",
    "icmp-host-prohibited",
    "tcp-reset",
    "icmp-admin-prohibited",
];

/// By number (`enum ip6t_reject_with`); the sixth has no name.
const REJECTS6: [&str; 9] = [
    "icmp6-no-route",
    "icmp6-adm-prohibited",
    "icmp6-not-neighbor",
    "icmp6-addr-unreachable",
    "icmp6-port-unreachable",
    "icmp6-echo-reply",
    "tcp-reset",
    "icmp6-policy-fail",
    "icmp6-reject-route",
];

/// `struct ipt_reject_info` and `struct ip6t_reject_info`
fn reject(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let names = match w.family {
        Family::V4 => &REJECTS,
        Family::V6 => &REJECTS6,
    };
    w.raw("--reject-with");
    w.raw(names.get(usize::try_from(b.u32(0)?).ok()?)?);
    Some(())
}

/// By bit (`enum ip_conntrack_events`).
const EVENTS: &[(&str, u32)] = &[
    ("new", 1),
    ("related", 1 << 1),
    ("destroy", 1 << 2),
    ("reply", 1 << 3),
    ("assured", 1 << 4),
    ("protoinfo", 1 << 5),
    ("helper", 1 << 6),
    ("mark", 1 << 7),
    ("natseqinfo", 1 << 8),
    ("secmark", 1 << 9),
];

/// `struct xt_ct_target_info` and `struct xt_ct_target_info_v1`
fn ct(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    if revision > 2 {
        return None;
    }
    let (flags, zone) = (b.u16(0)?, b.u16(2)?);
    w.switch(flags & 1 != 0, "--notrack");
    let helper = text(b.get(12..28)?);
    if !helper.is_empty() {
        w.raw("--helper");
        w.word(&helper);
    }
    if revision > 0 {
        let timeout = text(b.get(28..60)?);
        if !timeout.is_empty() {
            w.raw("--timeout");
            w.word(&timeout);
        }
    }
    let (events, expected) = (b.u32(4)?, b.u32(8)?);
    if events != 0 {
        w.raw("--ctevents");
        w.bits(events, EVENTS, "");
    }
    if expected != 0 {
        w.raw("--expevents");
        w.bits(expected, &[("new", 1)], "");
    }
    let by_mark = flags & 0x10 != 0;
    if by_mark || zone != 0 {
        w.raw(match flags & 0xc {
            4 => "--zone-orig",
            8 => "--zone-reply",
            _ => "--zone",
        });
        if by_mark {
            w.raw("mark");
        } else {
            w.num(zone);
        }
    }
    Some(())
}

/// `struct xt_tproxy_target_info` and `struct xt_tproxy_target_info_v1`
fn tproxy(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let port = match revision {
        0 => b.be16(12)?,
        1 => b.be16(24)?,
        _ => return None,
    };
    w.value(false, "--on-port", port);
    w.raw("--on-ip ");
    w.addr(b.get(8..)?)?;
    w.raw("--tproxy-mark");
    w.hex_masked(b.u32(4)?, b.u32(0)?);
    Some(())
}

/// `struct xt_NFQ_info`, `v1`, `v2` and `v3`
fn nfqueue(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    if revision > 3 {
        return None;
    }
    let first = b.u16(0)?;
    let total = if revision > 0 { b.u16(2)? } else { 1 };
    if total > 1 {
        w.raw("--queue-balance");
        w.range(first, u32::from(first) + u32::from(total) - 1, ':');
    } else {
        w.value(false, "--queue-num", first);
    }
    let flags = if revision > 1 { b.u16(4)? } else { 0 };
    w.switch(flags & 1 != 0, "--queue-bypass");
    w.switch(revision > 2 && flags & 2 != 0, "--queue-cpu-fanout");
    Some(())
}

/// `struct xt_set_info_target_v0` to `v3`
fn set(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    /// `IPSET_INVALID_ID`
    const NONE: u16 = 65535;
    let (flags_at, timeout_at) = match revision {
        0 => {
            for (name, at) in [("--add-set", 0), ("--del-set", 32)] {
                let info = b.get(at..at + 32)?;
                if info.u16(0)? != NONE {
                    matches::set_info_v0(w, name, false, info)?;
                }
            }
            return Some(());
        }
        1 => (None, None),
        2 => (Some(8), Some(12)),
        3 => (Some(12), Some(16)),
        _ => return None,
    };
    let one = |w: &mut Words<'_>, name: &str, at: usize| -> Option<()> {
        let info = b.get(at..at + 4)?;
        if info.u16(0)? != NONE {
            matches::set_info(w, name, false, info)?;
        }
        Some(())
    };
    let flags = flags_at.map_or(Some(0), |at| b.u32(at))?;
    one(w, "--add-set", 0)?;
    w.switch(flags & 1 != 0, "--exist");
    if let Some(at) = timeout_at {
        let timeout = b.u32(at)?;
        if timeout != u32::MAX {
            w.value(false, "--timeout", timeout);
        }
    }
    one(w, "--del-set", 4)?;
    if revision == 3 {
        one(w, "--map-set", 8)?;
        w.switch(flags & 1 << 8 != 0, "--map-mark");
        w.switch(flags & 1 << 9 != 0, "--map-prio");
        w.switch(flags & 1 << 10 != 0, "--map-queue");
    }
    Some(())
}

/// `struct xt_synproxy_info`
fn synproxy(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let options = b.u8(0)?;
    w.switch(options & 4 != 0, "--sack-perm");
    w.switch(options & 8 != 0, "--timestamp");
    if options & 2 != 0 {
        w.value(false, "--wscale", b.u8(1)?);
    }
    if options & 1 != 0 {
        w.value(false, "--mss", b.u16(2)?);
    }
    w.switch(options & 0x10 != 0, "--ecn");
    Some(())
}

/// `struct ipt_clusterip_tgt_info`; a rule that joins another's cluster says nothing.
fn clusterip(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    if b.u32(0)? & 1 == 0 {
        return Some(());
    }
    w.raw("--new --hashmode");
    w.raw(match b.u32(48)? {
        0 => "sourceip",
        1 => "sourceip-sourceport",
        2 => "sourceip-sourceport-destport",
        _ => return None,
    });
    w.raw("--clustermac");
    let [a, bb, c, d, e, f] = *b.get(4..)?.first_chunk()?;
    w.formatted(format_args!(
        "{a:02X}:{bb:02X}:{c:02X}:{d:02X}:{e:02X}:{f:02X}"
    ));
    w.value(false, "--total-nodes", b.u16(10)?);
    w.value(false, "--local-node", b.u16(14)?);
    w.value(false, "--hash-init", b.u32(52)?);
    Some(())
}
