//! Options of the matches that have many, and are met less often.

use super::cursor::{Cursor, Fault, Kind};
use super::matching::{ADDRESS, PORTS};
use crate::common::{Neg, Proto, Text};
use crate::iptables::matches::{
    Connlimit, Hashlimit, IpvsMatch, Match, Owner, PacketType, Physdev, PolicyMatch, Recent,
    RecentMode,
};
use crate::iptables::value::{ip, masked, port, prefix_len, probability, range, uint, whole};
use std::borrow::Cow;

const NUMBER: &str = "a number";

/// `statistic`: `--mode` decides which of the two records it is.
pub(super) fn statistic<'a>(
    m: &mut Match<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    match (name, m) {
        ("--mode", m) => {
            *m = at.value("random or nth", |s| match s {
                "random" => Some(Match::StatisticRandom(Neg::yes(0))),
                "nth" => Some(Match::StatisticNth {
                    not: false,
                    every: 1,
                    packet: 0,
                }),
                _ => None,
            })?;
        }
        ("--probability", Match::StatisticRandom(threshold)) => {
            *threshold = at.neg("a probability between 0 and 1", probability)?;
        }
        ("--every", Match::StatisticNth { not, every, .. }) => {
            let value = at.neg("a number above 0", |s| {
                whole(uint::<u32>, s).filter(|n| *n > 0)
            })?;
            (*not, *every) = (value.not, value.value);
        }
        ("--packet", Match::StatisticNth { packet, .. }) => {
            *packet = at.value(NUMBER, |s| whole(uint, s))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn recent<'a>(
    recent: &mut Recent<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    let mode = match name {
        "--set" => RecentMode::Set,
        "--rcheck" => RecentMode::Rcheck,
        "--update" => RecentMode::Update,
        "--remove" => RecentMode::Remove,
        _ => {
            match name {
                "--seconds" => recent.seconds = Some(at.value(NUMBER, |s| whole(uint, s))?),
                "--hitcount" => recent.hitcount = Some(at.value(NUMBER, |s| whole(uint, s))?),
                "--reap" => recent.reap = true,
                "--rttl" => recent.rttl = true,
                "--name" => recent.name = at.text()?,
                "--mask" => recent.mask = Some(at.value("an address mask", |s| whole(ip, s))?),
                "--rsource" => recent.source = true,
                "--rdest" => recent.source = false,
                _ => return Ok(false),
            }
            return Ok(true);
        }
    };
    (recent.mode, recent.not) = (mode, at.not);
    Ok(true)
}

pub(super) fn owner<'a>(
    owner: &mut Owner<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    let slot = match name {
        "--uid-owner" => &mut owner.uid,
        "--gid-owner" => &mut owner.gid,
        "--socket-exists" => {
            owner.socket_exists = Some(at.flag());
            return Ok(true);
        }
        "--suppl-groups" => {
            owner.suppl_groups = true;
            return Ok(true);
        }
        _ => return Ok(false),
    };
    let who = at.argument()?;
    if let Some(value) = whole(range(uint, '-', 0, u32::MAX), who.raw) {
        *slot = Some(Neg { not: at.not, value });
    } else if who
        .raw
        .starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    {
        super::cursor::append(
            owner.unresolved.get_or_insert_default(),
            at.lex.text(),
            at.from,
            who.end,
        );
    } else {
        return Err(Fault::at(
            &who,
            Kind::Value("a user, a group or a range of ids"),
        ));
    }
    Ok(true)
}

pub(super) fn physdev<'a>(
    physdev: &mut Physdev<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    match name {
        "--physdev-is-in" => physdev.is_in = Some(at.flag()),
        "--physdev-is-out" => physdev.is_out = Some(at.flag()),
        "--physdev-is-bridged" => physdev.is_bridged = Some(at.flag()),
        "--physdev-in" | "--physdev-out" => {
            let value = at.text()?;
            let slot = if name == "--physdev-in" {
                &mut physdev.in_dev
            } else {
                &mut physdev.out_dev
            };
            *slot = Some(Neg { not: at.not, value });
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// `ORIGINAL` is true, `REPLY` false.
pub(super) fn original(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("ORIGINAL") {
        Some(true)
    } else if text.eq_ignore_ascii_case("REPLY") {
        Some(false)
    } else {
        None
    }
}

pub(super) fn ipvs<'a>(
    ipvs: &mut IpvsMatch<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    match name {
        "--ipvs" => ipvs.ipvs = Some(at.flag()),
        "--vproto" => ipvs.vproto = Some(at.neg("a protocol", Proto::parse)?),
        "--vaddr" => ipvs.vaddr = Some(at.neg(ADDRESS, |s| whole(masked, s))?),
        "--vport" => ipvs.vport = Some(at.neg(PORTS, |s| whole(port, s))?),
        "--vdir" => ipvs.vdir_original = Some(at.neg("ORIGINAL or REPLY", original)?),
        "--vmethod" => {
            let method = at.argument()?;
            if !matches!(method.raw, "GATE" | "IPIP" | "MASQ") {
                return Err(Fault::at(&method, Kind::Value("GATE, IPIP or MASQ")));
            }
            let value = method.text();
            ipvs.vmethod = Some(Neg { not: at.not, value });
        }
        "--vportctl" => ipvs.vportctl = Some(at.neg(PORTS, |s| whole(port, s))?),
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn connlimit(
    connlimit: &mut Connlimit,
    name: &str,
    at: &mut Cursor<'_>,
) -> Result<bool, Fault> {
    match name {
        // `! --connlimit-above` is how `upto` was written before it existed.
        "--connlimit-above" | "--connlimit-upto" => {
            let limit = at.neg(NUMBER, |s| whole(uint, s))?;
            connlimit.upto = (name == "--connlimit-upto") != limit.not;
            connlimit.limit = limit.value;
        }
        "--connlimit-mask" => {
            let family = at.family;
            connlimit.mask = at.value("a prefix length", |s| prefix_len(s, family))?;
        }
        "--connlimit-saddr" => connlimit.daddr = false,
        "--connlimit-daddr" => connlimit.daddr = true,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn hashlimit<'a>(
    hashlimit: &mut Hashlimit<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    match name {
        "--hashlimit" | "--hashlimit-upto" | "--hashlimit-above" => {
            hashlimit.rate = at.text()?;
            hashlimit.upto = (name != "--hashlimit-above") != at.not;
        }
        "--hashlimit-burst" => hashlimit.burst = Some(at.text()?),
        "--hashlimit-name" => hashlimit.name = at.text()?,
        // The mode goes first, which is where iptables-save prints it.
        "--hashlimit-mode" if !hashlimit.rest.starts_with("--hashlimit-mode ") => {
            let mut mode: Text<'_> = Cow::Borrowed("");
            at.keep(&mut mode, 1)?;
            if !hashlimit.rest.is_empty() {
                mode.to_mut().push(' ');
                mode.to_mut().push_str(&hashlimit.rest);
            }
            hashlimit.rest = mode;
        }
        "--hashlimit-mode"
        | "--hashlimit-srcmask"
        | "--hashlimit-dstmask"
        | "--hashlimit-htable-size"
        | "--hashlimit-htable-max"
        | "--hashlimit-htable-expire"
        | "--hashlimit-htable-gcinterval"
        | "--hashlimit-rate-interval" => at.keep(&mut hashlimit.rest, 1)?,
        "--hashlimit-rate-match" => at.keep(&mut hashlimit.rest, 0)?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn policy<'a>(
    policy: &mut PolicyMatch<'a>,
    name: &str,
    at: &mut Cursor<'a>,
) -> Result<bool, Fault> {
    match name {
        "--dir" => {
            policy.dir_in = at.value("in or out", |s| match s {
                "in" => Some(true),
                "out" => Some(false),
                _ => None,
            })?;
        }
        "--pol" => {
            policy.ipsec = at.value("ipsec or none", |s| match s {
                "ipsec" => Some(true),
                "none" => Some(false),
                _ => None,
            })?;
        }
        "--strict" | "--next" => at.keep(&mut policy.rest, 0)?,
        "--reqid" | "--spi" | "--proto" | "--mode" | "--tunnel-src" | "--tunnel-dst" => {
            at.keep(&mut policy.rest, 1)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn packet_type(text: &str) -> Option<PacketType> {
    Some(match text {
        "unicast" | "to-us" => PacketType::Unicast,
        "broadcast" => PacketType::Broadcast,
        "multicast" => PacketType::Multicast,
        _ => return None,
    })
}
