//! `ipvsadm -ln` with its variants, and `/proc/net/ip_vs`.

use super::addr::{endpoint, looks_hex};
use super::read::{Columns, Reader};
use super::{Forwarding, RealServer, VirtualKey};
use crate::common::{Family, Proto, Text, mask};
use crate::recognise::lines::Line;
use std::net::{IpAddr, Ipv4Addr};

/// Clock ticks per second that `/proc/net/ip_vs` is assumed to count in (the default of `CONFIG_HZ`).
const HZ: u32 = 250;

/// Help where a name stands instead of a number.
const NUMERIC: &str = "capture with numbers: `ipvsadm -ln`";

/// Reads a line of a listing; false for a line that is none.
pub(super) fn line<'a>(r: &mut Reader<'a>, line: &Line<'a>, text: &'a str) -> bool {
    if let Some(rest) = text.strip_prefix("->") {
        if let Some(title) = rest.trim_ascii_start().strip_prefix("RemoteAddress:Port") {
            // The kernel pads this title with one space, ipvsadm with many.
            if title.starts_with(" Forward") {
                r.hex = true;
            } else if title.contains("TunnelInfo") {
                r.columns = Columns::Tunnel;
            }
        } else {
            server(r, line, rest.trim_ascii());
        }
        return true;
    }
    if text.starts_with("IP Virtual Server version") {
        r.hex = false;
        r.columns = Columns::Usual;
        r.current = None;
        return true;
    }
    if let Some(title) = text.strip_prefix("Prot LocalAddress:Port") {
        title_line(r, line, title);
        return true;
    }
    if text.starts_with("IPVS connection entries")
        || text.starts_with("pro expire")
        || text.starts_with("Pro FromIP")
    {
        r.columns = Columns::Connections;
        r.current = None;
        r.warn(
            line,
            text,
            "a list of connections, not of services",
            Some("capture `ipvsadm -ln`"),
        );
        return true;
    }
    // `ipvsadm -l --timeout` and `--daemon`; they name no service.
    if text.starts_with("Timeout (tcp tcpfin udp):") || text.contains(" sync daemon (mcast=") {
        return true;
    }
    let (proto, rest) = text.split_once(' ').unwrap_or((text, ""));
    let known = matches!(proto, "TCP" | "UDP" | "SCTP" | "FWM");
    if known && r.columns != Columns::Connections {
        service(r, line, proto, rest.trim_ascii());
    }
    known
}

fn title_line<'a>(r: &mut Reader<'a>, line: &Line<'a>, title: &str) {
    let has = |w| title.split_ascii_whitespace().any(|t| t == w);
    r.columns = if has("Conns") || has("CPS") {
        Columns::Counters
    } else if has("Uthreshold") {
        Columns::Thresholds
    } else if has("PersistConn") {
        Columns::Persistent
    } else {
        Columns::Usual
    };
    if r.columns != Columns::Usual {
        r.warn(
            line,
            line.text.trim_ascii(),
            "this form of the listing does not say how real servers are reached; `Masq` is assumed",
            Some("capture `ipvsadm -ln` without other options"),
        );
    }
}

fn service<'a>(r: &mut Reader<'a>, line: &Line<'a>, proto: &str, rest: &'a str) {
    let mut words = rest.split_ascii_whitespace();
    let Some(name) = words.next() else {
        r.current = None;
        return r.warn(line, line.text, "a service without an address", None);
    };
    let key = if proto == "FWM" {
        // The kernel prints eight hexadecimal digits, ipvsadm a decimal number.
        let mark = if r.hex || name.len() == 8 && name.starts_with('0') {
            u32::from_str_radix(name, 16).ok()
        } else {
            name.parse().ok()
        };
        let mut peek = words.clone();
        let family = if peek.next() == Some("IPv6") {
            words = peek;
            Family::V6
        } else {
            Family::V4
        };
        mark.map(|mark| VirtualKey::Fwmark { mark, family })
    } else {
        r.hex |= looks_hex(name);
        let proto = match proto {
            "UDP" => Proto::UDP,
            "SCTP" => Proto::SCTP,
            _ => Proto::TCP,
        };
        endpoint(name, r.hex)
            .and_then(|(addr, port)| port.map(|port| VirtualKey::Addr { proto, addr, port }))
    };
    let Some(key) = key else {
        r.current = None;
        // `print_service_entry` cuts protocol and name together at 33 characters.
        let message = if name.len() >= 28 {
            format!("`{name}` is no address with a port; ipvsadm cuts long names")
        } else {
            format!("`{name}` is no address with a port")
        };
        return r.warn(line, name, message, Some(NUMERIC));
    };
    if matches!(r.columns, Columns::Counters) {
        r.service(line, key, "");
        return;
    }
    let Some(scheduler) = words.next().filter(|w| !w.ends_with("...")) else {
        let i = r.service(line, key, "");
        if let Some(s) = r.services.get_mut(i) {
            s.complete = false;
        }
        return r.warn(line, line.text, "the line ends before the scheduler", None);
    };
    let i = r.service(line, key, scheduler);
    let mut bad: Option<&str> = None;
    let Some(s) = r.services.get_mut(i) else {
        return;
    };
    let v6 = match key {
        VirtualKey::Addr { addr, .. } => matches!(addr, IpAddr::V6(_)),
        VirtualKey::Fwmark { family, .. } => family == Family::V6,
    };
    while let Some(w) = words.next() {
        match w {
            "ops" => s.ops = true,
            "pe" => s.pe = words.next().map(Text::Borrowed),
            "persistent" => {
                let n: Option<u32> = words.next().and_then(|n| n.parse().ok());
                s.persistent = n;
                if n.is_none() {
                    bad = Some(w);
                }
                if r.hex {
                    s.persistent = n.map(|n| n / HZ);
                    s.netmask = words.next().and_then(|m| hex_mask(m, v6));
                }
            }
            "mask" => {
                s.netmask = words.next().and_then(|m| netmask(m, v6));
                if s.netmask.is_none() {
                    bad = Some(w);
                }
            }
            _ => match w.strip_prefix('(').and_then(|w| w.strip_suffix(')')) {
                Some(flags) => {
                    let flags = flags.split(',').filter(|f| !f.is_empty());
                    s.flags = flags.map(Text::Borrowed).collect();
                }
                None => bad = Some(w),
            },
        }
    }
    if bad.is_some() {
        s.complete = false;
    }
    let ticks = r.hex && s.persistent.is_some() && !r.ticks_reported;
    if let Some(w) = bad {
        r.warn(
            line,
            w,
            format!("`{w}` was not understood in this service"),
            None,
        );
    }
    if ticks {
        r.ticks_reported = true;
        r.warn(
            line,
            "persistent",
            format!("the kernel prints persistence in clock ticks; {HZ} per second are assumed"),
            Some("capture `ipvsadm -ln`"),
        );
    }
}

/// A mask of the persistence: an address for IPv4, a prefix length for IPv6.
pub(super) fn netmask(text: &str, v6: bool) -> Option<IpAddr> {
    if v6 {
        let n: u8 = text.parse().ok()?;
        return (n <= 128).then(|| mask(Family::V6, n));
    }
    text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// The same in `/proc/net/ip_vs`, which byte-swaps it even where it is a prefix length. `None` for single addresses.
fn hex_mask(text: &str, v6: bool) -> Option<IpAddr> {
    let n = u32::from_str_radix(text, 16).ok()?;
    if !v6 {
        return (n != u32::MAX).then(|| IpAddr::V4(Ipv4Addr::from_bits(n)));
    }
    hex_prefix(n)
}

/// The mask that a service of IPv6 has where the file shows this number.
pub(super) fn hex_prefix(n: u32) -> Option<IpAddr> {
    let len = u8::try_from(n.swap_bytes())
        .or_else(|_| u8::try_from(n))
        .ok()?;
    (len < 128).then(|| mask(Family::V6, len))
}

fn server<'a>(r: &mut Reader<'a>, line: &Line<'a>, text: &'a str) {
    if r.columns == Columns::Connections {
        return;
    }
    let Some(i) = r.current else {
        return r.warn(
            line,
            text,
            "a real server of a service that was not read",
            None,
        );
    };
    match fields(r, line, text) {
        Ok(s) => r.server(i, s),
        Err((at, message)) => {
            r.cut();
            r.warn(line, at, message, Some(NUMERIC));
        }
    }
}

fn fields<'a>(
    r: &mut Reader<'a>,
    line: &Line<'a>,
    text: &'a str,
) -> Result<RealServer<'a>, (&'a str, String)> {
    let mut words = text.split_ascii_whitespace();
    let name = words.next().unwrap_or("");
    r.hex |= looks_hex(name);
    let Some((addr, Some(port))) = endpoint(name, r.hex) else {
        // `print_service_entry` cuts names of IPv4 servers at 28 characters.
        return Err((
            text,
            if name.len() == 28 {
                format!("`{name}` is a name that ipvsadm cut at 28 characters")
            } else {
                format!("`{name}` is no address with a port")
            },
        ));
    };
    let mut s = RealServer {
        line: line.number,
        span: line.span(),
        addr,
        port,
        method: Forwarding::Masq,
        weight: None,
        active: None,
        inactive: None,
        rest: None,
    };
    let mut columns = r.columns;
    let all: Vec<&str> = words.clone().collect();
    // The title may be missing; the words tell as well.
    if let Some(method) = all.first().and_then(|w| forwarding(w)) {
        s.method = method;
        words.next();
        if columns != Columns::Tunnel {
            columns = if all.len() == 5 {
                Columns::Tunnel
            } else {
                Columns::Usual
            };
        }
    } else if matches!(columns, Columns::Usual | Columns::Tunnel) {
        return Err((
            text,
            "the line ends before the forwarding method, or has none".into(),
        ));
    }
    if columns == Columns::Tunnel {
        match words.next() {
            Some("n/a") => {}
            Some(w) => s.rest = Some(Text::Borrowed(w)),
            None => return Err((text, "the line was cut off".into())),
        }
    }
    let mut number = |what: &str| -> Result<u32, (&'a str, String)> {
        let Some(w) = words.next() else {
            return Err((text, format!("the line ends before {what}")));
        };
        w.parse()
            .map_err(|_| (w, format!("`{w}` is no number for {what}")))
    };
    match columns {
        Columns::Usual | Columns::Tunnel => {
            // Weights are signed in the kernel (`atomic_t weight` in struct ip_vs_dest) but never set below 0.
            s.weight = Some(number("the weight")?);
            s.active = Some(number("the active connections")?);
            s.inactive = Some(number("the inactive connections")?);
        }
        Columns::Thresholds => {
            let (upper, lower) = (
                number("the upper threshold")?,
                number("the lower threshold")?,
            );
            if (upper, lower) != (0, 0) {
                s.rest = Some(Text::Owned(format!("-x {upper} -y {lower}")));
            }
            s.active = Some(number("the active connections")?);
            s.inactive = Some(number("the inactive connections")?);
        }
        Columns::Persistent => {
            s.weight = Some(number("the weight")?);
            number("the persistent connections")?;
            s.active = Some(number("the active connections")?);
            s.inactive = Some(number("the inactive connections")?);
        }
        Columns::Counters | Columns::Connections => {}
    }
    Ok(s)
}

fn forwarding(text: &str) -> Option<Forwarding> {
    Some(match text {
        "Masq" => Forwarding::Masq,
        "Local" => Forwarding::Local,
        "Tunnel" => Forwarding::Tunnel,
        "Route" => Forwarding::Route,
        _ => return None,
    })
}
