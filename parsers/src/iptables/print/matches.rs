//! Matches as iptables-save prints them: the order of options is the one of each extension's `save` function.

use super::super::rule::names::{ADDR_TYPES, STATES, STATUSES, TCP_FLAGS};
use super::{Addr, Bits, InQuotes, Mark, Not, Quoted, ShortNet, Span, Word};
use crate::common::{Family, MarkMask, Masked, Neg, Range, Text};
use crate::iptables::matches::{
    ByteMask, Conntrack, CtStates, Hashlimit, IcmpType, IpvsMatch, Match, MultiportWhich, Owner,
    PacketType, Physdev, Ports, Recent, RecentMode, SetMatch, Tcp, TtlMatch,
};
use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;

/// ` ! --option value`.
fn option<T: Display>(f: &mut Formatter<'_>, name: &str, not: bool, value: T) -> fmt::Result {
    write!(f, "{} {name} {value}", Not(not))
}

/// An optional ` ! --option value`, shown through `show`.
fn maybe<T: Copy, D: Display>(
    f: &mut Formatter<'_>,
    name: &str,
    value: Option<Neg<T>>,
    show: impl Fn(T) -> D,
) -> fmt::Result {
    match value {
        Some(Neg { not, value }) => option(f, name, not, show(value)),
        None => Ok(()),
    }
}

/// An optional ` ! --flag`.
fn flag(f: &mut Formatter<'_>, name: &str, value: Option<Neg<()>>) -> fmt::Result {
    match value {
        Some(Neg { not, .. }) => write!(f, "{} {name}", Not(not)),
        None => Ok(()),
    }
}

fn switch(f: &mut Formatter<'_>, name: &str, on: bool) -> fmt::Result {
    if on { write!(f, " {name}") } else { Ok(()) }
}

/// Options kept as written.
fn kept(f: &mut Formatter<'_>, args: &str) -> fmt::Result {
    if args.is_empty() {
        return Ok(());
    }
    write!(f, " {args}")
}

pub(super) fn write(f: &mut Formatter<'_>, m: &Match<'_>, family: Family) -> fmt::Result {
    match m {
        Match::Comment(text) => write!(f, "-m comment --comment {}", Quoted(text)),
        Match::Tcp(value) => tcp(f, value),
        Match::Udp(value) => {
            f.write_str("-m udp")?;
            ports(f, value)
        }
        Match::Sctp(sctp) => {
            f.write_str("-m sctp")?;
            ports(f, &sctp.ports)?;
            match &sctp.chunks {
                Some(Neg { not, value }) => option(f, "--chunk-types", *not, value),
                None => Ok(()),
            }
        }
        Match::Dccp(value, rest) => {
            f.write_str("-m dccp")?;
            ports(f, value)?;
            kept(f, rest.as_deref().unwrap_or_default())
        }
        Match::Icmp(ty) => {
            f.write_str("-m icmp")?;
            option(f, "--icmp-type", ty.not, Icmp(ty.value))
        }
        Match::Icmp6(ty) => {
            f.write_str("-m icmp6")?;
            option(f, "--icmpv6-type", ty.not, Icmp(ty.value))
        }
        Match::Conntrack(value) => conntrack(f, value),
        Match::State(Neg { not, value }) => {
            f.write_str("-m state")?;
            option(f, "--state", *not, states(*value))
        }
        Match::Mark(value) => marked(f, "-m mark", "--mark", *value),
        Match::Connmark(value) => marked(f, "-m connmark", "--mark", *value),
        Match::Addrtype(types) => {
            f.write_str("-m addrtype")?;
            let show = |types: crate::iptables::matches::AddrTypes| Bits {
                set: types.0,
                names: ADDR_TYPES,
                none: "UNSPEC",
            };
            maybe(f, "--src-type", types.src, show)?;
            maybe(f, "--dst-type", types.dst, show)?;
            switch(f, "--limit-iface-in", types.limit_in)?;
            switch(f, "--limit-iface-out", types.limit_out)
        }
        Match::Set(value) => set(f, value),
        // Eleven digits, of a fraction of 2^31 (print_match in libxt_statistic.c).
        Match::StatisticRandom(Neg { not, value }) => {
            f.write_str("-m statistic --mode random")?;
            let p = f64::from(*value) / f64::from(0x8000_0000_u32);
            option(f, "--probability", *not, format_args!("{p:.11}"))
        }
        Match::StatisticNth { not, every, packet } => {
            f.write_str("-m statistic --mode nth")?;
            option(f, "--every", *not, every)?;
            option(f, "--packet", false, packet)
        }
        Match::Multiport(multiport) => {
            f.write_str("-m multiport")?;
            let name = match multiport.which {
                MultiportWhich::Source => "--sports",
                MultiportWhich::Destination => "--dports",
                MultiportWhich::Either => "--ports",
            };
            option(f, name, multiport.not, List(&multiport.ports))
        }
        Match::Owner(value) => owner(f, value),
        Match::Recent(value) => recent(f, value),
        Match::Physdev(value) => physdev(f, value),
        Match::Rpfilter(rpfilter) => {
            f.write_str("-m rpfilter")?;
            switch(f, "--loose", rpfilter.loose)?;
            switch(f, "--validmark", rpfilter.validmark)?;
            switch(f, "--accept-local", rpfilter.accept_local)?;
            switch(f, "--invert", rpfilter.invert)
        }
        Match::Ipvs(value) => ipvs(f, value),
        Match::Nfacct(name) => write!(f, "-m nfacct --nfacct-name {}", Quoted(name)),
        Match::Limit(limit) => {
            write!(f, "-m limit --limit {}", Word(&limit.rate))?;
            // The default is not printed (XT_LIMIT_BURST in libxt_limit.c).
            if limit.burst == 5 {
                return Ok(());
            }
            option(f, "--limit-burst", false, limit.burst)
        }
        Match::Connlimit(connlimit) => {
            let (what, of) = (
                if connlimit.upto { "upto" } else { "above" },
                if connlimit.daddr { "daddr" } else { "saddr" },
            );
            write!(
                f,
                "-m connlimit --connlimit-{what} {} --connlimit-mask {} --connlimit-{of}",
                connlimit.limit, connlimit.mask
            )
        }
        Match::Hashlimit(value) => hashlimit(f, value),
        Match::Quota(Neg { not, value }) => {
            f.write_str("-m quota")?;
            option(f, "--quota", *not, value)
        }
        Match::Socket(socket) => {
            f.write_str("-m socket")?;
            switch(f, "--transparent", socket.transparent)?;
            switch(f, "--nowildcard", socket.nowildcard)?;
            switch(f, "--restore-skmark", socket.restore_skmark)
        }
        Match::Policy(policy) => {
            let dir = if policy.dir_in { "in" } else { "out" };
            let pol = if policy.ipsec { "ipsec" } else { "none" };
            write!(f, "-m policy --dir {dir} --pol {pol}")?;
            kept(f, &policy.rest)
        }
        Match::Esp(spis) => security(f, "-m esp", "--espspi", *spis),
        Match::Ah(spis) => security(f, "-m ah", "--ahspi", *spis),
        Match::Bpf(args) => {
            f.write_str("-m bpf")?;
            kept(f, args)
        }
        Match::U32(Neg { not, value }) => {
            f.write_str("-m u32")?;
            option(f, "--u32", *not, InQuotes(value))
        }
        Match::String(args) => {
            f.write_str("-m string")?;
            kept(f, args)
        }
        Match::Length(Neg { not, value }) => {
            f.write_str("-m length")?;
            option(f, "--length", *not, Span(*value))
        }
        Match::Dscp(Neg { not, value }) => {
            f.write_str("-m dscp")?;
            option(f, "--dscp", *not, format_args!("{value:#04x}"))
        }
        Match::Tos(Neg { not, value }) => {
            f.write_str("-m tos")?;
            option(f, "--tos", *not, Byte(*value))
        }
        Match::Ttl(value) => ttl(f, *value, family),
        Match::Iprange { src, dst } => {
            f.write_str("-m iprange")?;
            maybe(f, "--src-range", *src, IpRange)?;
            maybe(f, "--dst-range", *dst, IpRange)
        }
        Match::Mac(Neg { not, value }) => {
            f.write_str("-m mac")?;
            option(f, "--mac-source", *not, Mac(*value))
        }
        Match::Pkttype(Neg { not, value }) => {
            let name = match value {
                PacketType::Unicast => "unicast",
                PacketType::Broadcast => "broadcast",
                PacketType::Multicast => "multicast",
            };
            f.write_str("-m pkttype")?;
            option(f, "--pkt-type", *not, name)
        }
        Match::Time(args) => {
            f.write_str("-m time")?;
            kept(f, args)
        }
        Match::Helper(Neg { not, value }) => {
            f.write_str("-m helper")?;
            option(f, "--helper", *not, Quoted(value))
        }
        Match::Cpu(Neg { not, value }) => {
            f.write_str("-m cpu")?;
            option(f, "--cpu", *not, value)
        }
        Match::Devgroup { src, dst } => {
            f.write_str("-m devgroup")?;
            maybe(f, "--src-group", *src, Mark)?;
            maybe(f, "--dst-group", *dst, Mark)
        }
        Match::Realm(value) => marked(f, "-m realm", "--realm", *value),
        Match::Opaque { name, args } => {
            write!(f, "-m {}", Word(name))?;
            kept(f, args)
        }
    }
}

/// Value and mask of one byte, two digits each (`tos_mt_save` in `libxt_tos.c`).
pub(super) struct Byte(pub ByteMask);

impl Display for Byte {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}/{:#04x}", self.0.value, self.0.mask)
    }
}

struct Mac([u8; 6]);

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            let colon = if i == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

struct Icmp(IcmpType);

impl Display for Icmp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(ty) = self.0.ty else {
            return f.write_str("any");
        };
        write!(f, "{ty}")?;
        if self.0.codes == (Range { lo: 0, hi: 255 }) {
            return Ok(());
        }
        write!(f, "/{}", self.0.codes.lo)
    }
}

struct List<'a>(&'a [Range<u16>]);

impl Display for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            write!(f, "{comma}{}", Span(*range))?;
        }
        Ok(())
    }
}

/// `a-b`, both ends always.
struct IpRange(Range<IpAddr>);

impl Display for IpRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", Addr(self.0.lo), Addr(self.0.hi))
    }
}

fn states(states: CtStates) -> Bits {
    Bits {
        set: states.0,
        names: STATES,
        none: "INVALID",
    }
}

fn marked(f: &mut Formatter<'_>, m: &str, name: &str, mark: Neg<MarkMask>) -> fmt::Result {
    f.write_str(m)?;
    option(f, name, mark.not, Mark(mark.value))
}

/// The range of all SPIs is what no option means.
fn security(f: &mut Formatter<'_>, m: &str, name: &str, spis: Neg<Range<u32>>) -> fmt::Result {
    f.write_str(m)?;
    if spis.value.lo == 0 && spis.value.hi == u32::MAX && !spis.not {
        return Ok(());
    }
    option(f, name, spis.not, Span(spis.value))
}

fn ports(f: &mut Formatter<'_>, ports: &Ports) -> fmt::Result {
    maybe(f, "--sport", ports.sport, Span)?;
    maybe(f, "--dport", ports.dport, Span)
}

fn tcp(f: &mut Formatter<'_>, tcp: &Tcp) -> fmt::Result {
    let flags = |bits: u8| Bits {
        set: bits.into(),
        names: TCP_FLAGS,
        none: "NONE",
    };
    f.write_str("-m tcp")?;
    maybe(f, "--sport", tcp.sport, Span)?;
    maybe(f, "--dport", tcp.dport, Span)?;
    maybe(f, "--tcp-option", tcp.option, |n| n)?;
    match tcp.flags {
        Some(Neg { not, value }) => {
            option(f, "--tcp-flags", not, flags(value.mask))?;
            write!(f, " {}", flags(value.value))
        }
        None => Ok(()),
    }
}

fn conntrack(f: &mut Formatter<'_>, ct: &Conntrack) -> fmt::Result {
    let net = |net: Masked| ShortNet(net);
    f.write_str("-m conntrack")?;
    maybe(f, "--ctstate", ct.state, states)?;
    maybe(f, "--ctproto", ct.proto, |proto| proto.0)?;
    maybe(f, "--ctorigsrc", ct.orig_src, net)?;
    maybe(f, "--ctorigdst", ct.orig_dst, net)?;
    maybe(f, "--ctreplsrc", ct.reply_src, net)?;
    maybe(f, "--ctrepldst", ct.reply_dst, net)?;
    maybe(f, "--ctorigsrcport", ct.orig_sport, Span)?;
    maybe(f, "--ctorigdstport", ct.orig_dport, Span)?;
    maybe(f, "--ctreplsrcport", ct.reply_sport, Span)?;
    maybe(f, "--ctrepldstport", ct.reply_dport, Span)?;
    maybe(f, "--ctstatus", ct.status, |set| Bits {
        set,
        names: STATUSES,
        none: "NONE",
    })?;
    maybe(f, "--ctexpire", ct.expire, Span)?;
    match ct.dir_original {
        Some(true) => f.write_str(" --ctdir ORIGINAL"),
        Some(false) => f.write_str(" --ctdir REPLY"),
        None => Ok(()),
    }
}

fn set(f: &mut Formatter<'_>, set: &SetMatch<'_>) -> fmt::Result {
    f.write_str("-m set")?;
    option(f, "--match-set", set.not, Word(&set.name))?;
    for (i, src) in set.src.iter().enumerate() {
        f.write_str(if i == 0 { " " } else { "," })?;
        f.write_str(if *src { "src" } else { "dst" })?;
    }
    switch(f, "--return-nomatch", set.return_nomatch)?;
    switch(f, "! --update-counters", set.no_update_counters)?;
    switch(f, "! --update-subcounters", set.no_update_subcounters)?;
    kept(f, set.counters.as_deref().unwrap_or_default())
}

fn owner(f: &mut Formatter<'_>, owner: &Owner<'_>) -> fmt::Result {
    struct Ids(Range<u32>);
    impl Display for Ids {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0.lo)?;
            if self.0.lo == self.0.hi {
                return Ok(());
            }
            write!(f, "-{}", self.0.hi)
        }
    }
    f.write_str("-m owner")?;
    flag(f, "--socket-exists", owner.socket_exists)?;
    maybe(f, "--uid-owner", owner.uid, Ids)?;
    maybe(f, "--gid-owner", owner.gid, Ids)?;
    switch(f, "--suppl-groups", owner.suppl_groups)?;
    kept(f, owner.unresolved.as_deref().unwrap_or_default())
}

fn recent(f: &mut Formatter<'_>, recent: &Recent<'_>) -> fmt::Result {
    let mode = match recent.mode {
        RecentMode::Set => "--set",
        RecentMode::Rcheck => "--rcheck",
        RecentMode::Update => "--update",
        RecentMode::Remove => "--remove",
    };
    write!(f, "-m recent{} {mode}", Not(recent.not))?;
    for (name, value) in [
        ("--seconds", recent.seconds),
        ("--hitcount", recent.hitcount),
    ] {
        if let Some(value) = value {
            write!(f, " {name} {value}")?;
        }
        if name == "--seconds" {
            switch(f, "--reap", recent.reap)?;
        }
    }
    switch(f, "--rttl", recent.rttl)?;
    write!(f, " --name {}", Word(&recent.name))?;
    if let Some(mask) = recent.mask {
        write!(f, " --mask {}", Addr(mask))?;
    }
    f.write_str(if recent.source {
        " --rsource"
    } else {
        " --rdest"
    })
}

fn physdev(f: &mut Formatter<'_>, physdev: &Physdev<'_>) -> fmt::Result {
    let device = |f: &mut Formatter<'_>, name, value: &Option<Neg<Text<'_>>>| match value {
        Some(Neg { not, value }) => option(f, name, *not, Word(value)),
        None => Ok(()),
    };
    f.write_str("-m physdev")?;
    flag(f, "--physdev-is-in", physdev.is_in)?;
    device(f, "--physdev-in", &physdev.in_dev)?;
    flag(f, "--physdev-is-out", physdev.is_out)?;
    device(f, "--physdev-out", &physdev.out_dev)?;
    flag(f, "--physdev-is-bridged", physdev.is_bridged)
}

/// In the order of `ipvs_mt_dump` in `libxt_ipvs.c`; the direction has no `!` but is turned round.
fn ipvs(f: &mut Formatter<'_>, ipvs: &IpvsMatch<'_>) -> fmt::Result {
    f.write_str("-m ipvs")?;
    flag(f, "--ipvs", ipvs.ipvs)?;
    maybe(f, "--vproto", ipvs.vproto, |proto| proto.0)?;
    maybe(f, "--vaddr", ipvs.vaddr, ShortNet)?;
    maybe(f, "--vport", ipvs.vport, |port| port)?;
    match ipvs.vdir_original {
        Some(Neg { not, value }) if not == value => f.write_str(" --vdir REPLY")?,
        Some(_) => f.write_str(" --vdir ORIGINAL")?,
        None => {}
    }
    if let Some(Neg { not, value }) = &ipvs.vmethod {
        option(f, "--vmethod", *not, value)?;
    }
    maybe(f, "--vportctl", ipvs.vportctl, |port| port)
}

fn hashlimit(f: &mut Formatter<'_>, hashlimit: &Hashlimit<'_>) -> fmt::Result {
    let what = if hashlimit.upto { "upto" } else { "above" };
    write!(
        f,
        "-m hashlimit --hashlimit-{what} {}",
        Word(&hashlimit.rate)
    )?;
    if let Some(burst) = &hashlimit.burst {
        write!(f, " --hashlimit-burst {}", Word(burst))?;
    }
    // The name is printed between the mode and everything else.
    let (mode, rest) = match hashlimit.rest.strip_prefix("--hashlimit-mode ") {
        Some(after) => match after.split_once(' ') {
            Some((mode, rest)) => (Some(mode), rest),
            None => (Some(after), ""),
        },
        None => (None, &*hashlimit.rest),
    };
    if let Some(mode) = mode {
        write!(f, " --hashlimit-mode {mode}")?;
    }
    // A listing does not show it.
    if !hashlimit.name.is_empty() {
        write!(f, " --hashlimit-name {}", Word(&hashlimit.name))?;
    }
    kept(f, rest)
}

fn ttl(f: &mut Formatter<'_>, ttl: TtlMatch, family: Family) -> fmt::Result {
    let name = match family {
        Family::V4 => "ttl",
        Family::V6 => "hl",
    };
    match ttl {
        TtlMatch::Eq(n) => write!(f, "-m {name} --{name}-eq {n}"),
        TtlMatch::Ne(n) => write!(f, "-m {name} ! --{name}-eq {n}"),
        TtlMatch::Lt(n) => write!(f, "-m {name} --{name}-lt {n}"),
        TtlMatch::Gt(n) => write!(f, "-m {name} --{name}-gt {n}"),
    }
}
