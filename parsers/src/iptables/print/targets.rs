//! Targets as iptables-save prints them.

use super::matches::Byte;
use super::{Addr, Net, Quoted, Word};
use crate::common::{Family, Range};
use crate::iptables::targets::{Connmark, CtTarget, Nat, Target, TtlTarget};
use std::fmt::{self, Display, Formatter};

/// `-j NAME`, and its options if there are any.
fn with(f: &mut Formatter<'_>, name: &str, args: &str) -> fmt::Result {
    write!(f, "-j {}", Word(name))?;
    if args.is_empty() {
        return Ok(());
    }
    write!(f, " {args}")
}

pub(super) fn write(f: &mut Formatter<'_>, target: &Target<'_>, family: Family) -> fmt::Result {
    match target {
        Target::None => Ok(()),
        Target::Jump(chain) => write!(f, "-j {}", Word(chain)),
        Target::Goto(chain) => write!(f, "-g {}", Word(chain)),
        Target::Accept => f.write_str("-j ACCEPT"),
        Target::Drop => f.write_str("-j DROP"),
        Target::Return => f.write_str("-j RETURN"),
        Target::Queue => f.write_str("-j QUEUE"),
        Target::Nfqueue { args, .. } => with(f, "NFQUEUE", args),
        Target::Reject(reject) => write!(f, "-j REJECT --reject-with {reject}"),
        Target::Mark(mark) => {
            let (value, mask) = (mark.value, mark.mask);
            write!(f, "-j MARK --set-xmark {value:#x}/{mask:#x}")
        }
        Target::Connmark(what) => connmark(f, *what),
        Target::Dnat(nat) => {
            write!(f, "-j DNAT --to-destination {}{}", To(nat), Flags(nat))
        }
        Target::Snat(nat) => write!(f, "-j SNAT --to-source {}{}", To(nat), Flags(nat)),
        Target::Masquerade(nat) => write!(f, "-j MASQUERADE{}{}", ToPorts(nat), Flags(nat)),
        Target::Redirect(nat) => write!(f, "-j REDIRECT{}{}", ToPorts(nat), Flags(nat)),
        Target::Netmap(to) => write!(f, "-j NETMAP --to {}", Net(*to)),
        Target::Ct(ct) => connection(f, ct),
        Target::Tproxy { ip, port, mark } => {
            let ip = Addr(ip.unwrap_or_else(|| family.unspecified()));
            let (value, mask) = (mark.value, mark.mask);
            write!(
                f,
                "-j TPROXY --on-port {port} --on-ip {ip} --tproxy-mark {value:#x}/{mask:#x}"
            )
        }
        Target::Dscp(value) => write!(f, "-j DSCP --set-dscp {value:#04x}"),
        Target::Tos(value) => write!(f, "-j TOS --set-tos {}", Byte(*value)),
        Target::Ttl(ttl) => {
            let (upper, lower) = match family {
                Family::V4 => ("TTL", "ttl"),
                Family::V6 => ("HL", "hl"),
            };
            let (what, n) = match ttl {
                TtlTarget::Set(n) => ("set", n),
                TtlTarget::Inc(n) => ("inc", n),
                TtlTarget::Dec(n) => ("dec", n),
            };
            write!(f, "-j {upper} --{lower}-{what} {n}")
        }
        Target::Set(args) => with(f, "SET", args),
        Target::Continue { name, args } | Target::Opaque { name, args } => with(f, name, args),
    }
}

fn connmark(f: &mut Formatter<'_>, what: Connmark) -> fmt::Result {
    match what {
        Connmark::Set(mark) => {
            let (value, mask) = (mark.value, mark.mask);
            write!(f, "-j CONNMARK --set-xmark {value:#x}/{mask:#x}")
        }
        Connmark::Save { nf, ct } => {
            write!(
                f,
                "-j CONNMARK --save-mark --nfmask {nf:#x} --ctmask {ct:#x}"
            )
        }
        Connmark::Restore { nf, ct } => {
            write!(
                f,
                "-j CONNMARK --restore-mark --nfmask {nf:#x} --ctmask {ct:#x}"
            )
        }
    }
}

fn connection(f: &mut Formatter<'_>, ct: &CtTarget<'_>) -> fmt::Result {
    if ct.spelled_notrack {
        return f.write_str("-j NOTRACK");
    }
    f.write_str("-j CT")?;
    if ct.notrack {
        f.write_str(" --notrack")?;
    }
    if let Some(helper) = &ct.helper {
        write!(f, " --helper {}", Quoted(helper))?;
    }
    for part in [&*ct.rest, ct.zone.as_deref().unwrap_or_default()] {
        if !part.is_empty() {
            write!(f, " {part}")?;
        }
    }
    Ok(())
}

/// `lo-hi`, or one port.
struct Ports(Range<u16>);

impl Display for Ports {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.lo)?;
        if self.0.lo == self.0.hi {
            return Ok(());
        }
        write!(f, "-{}", self.0.hi)
    }
}

/// What `--to-destination` and `--to-source` say; IPv6 addresses stand in brackets where a port follows (`print_range` in
/// `libxt_NAT.c`).
struct To<'a>(&'a Nat);

impl Display for To<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nat = self.0;
        if let Some(Range { lo, hi }) = nat.addrs {
            let brackets = lo.is_ipv6() && nat.ports.is_some();
            f.write_str(if brackets { "[" } else { "" })?;
            write!(f, "{}", Addr(lo))?;
            if lo != hi {
                write!(f, "-{}", Addr(hi))?;
            }
            f.write_str(if brackets { "]" } else { "" })?;
        }
        if let Some(ports) = nat.ports {
            write!(f, ":{}", Ports(ports))?;
        }
        match nat.base {
            Some(base) => write!(f, "/{base}"),
            None => Ok(()),
        }
    }
}

/// ` --to-ports`, if there are any.
struct ToPorts<'a>(&'a Nat);

impl Display for ToPorts<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0.ports {
            Some(ports) => write!(f, " --to-ports {}", Ports(ports)),
            None => Ok(()),
        }
    }
}

struct Flags<'a>(&'a Nat);

impl Display for Flags<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (name, on) in [
            (" --random", self.0.random),
            (" --random-fully", self.0.random_fully),
            (" --persistent", self.0.persistent),
        ] {
            f.write_str(if on { name } else { "" })?;
        }
        Ok(())
    }
}
