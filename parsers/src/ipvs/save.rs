//! `ipvsadm-save -n`: command lines.

use super::addr::endpoint;
use super::listing::netmask;
use super::read::Reader;
use super::{Forwarding, RealServer, VirtualKey};
use crate::common::{Family, Proto, Text};
use crate::recognise::lines::Line;
use std::net::IpAddr;

/// Whether a line adds a service or a real server.
pub(super) fn is_command(text: &str) -> bool {
    let word = text.split_ascii_whitespace().next().unwrap_or("");
    matches!(word, "-A" | "-a" | "--add-service" | "--add-server")
}

/// The options of one line.
#[derive(Default)]
struct Options<'a> {
    proto: Option<Proto>,
    service: &'a str,
    fwmark: Option<u32>,
    v6: bool,
    scheduler: Option<&'a str>,
    persistent: Option<u32>,
    netmask: Option<&'a str>,
    pe: Option<&'a str>,
    ops: bool,
    flags: &'a str,
    server: Option<&'a str>,
    method: Option<Forwarding>,
    weight: Option<u32>,
    rest: Vec<&'a str>,
}

/// A piece of the line and what is wrong with it.
type Bad<'a> = (&'a str, String);

/// Reads one line.
pub(super) fn line<'a>(r: &mut Reader<'a>, line: &Line<'a>, text: &'a str) {
    let adds_service = text.starts_with("-A") || text.starts_with("--add-service");
    let read = options(text).and_then(|o| key(&o).map(|k| (o, k)));
    let (o, key) = match read {
        Ok(x) => x,
        Err((at, message)) => {
            if adds_service {
                r.current = None;
            } else if let Some(i) = options_service(text).and_then(|k| r.find(k)).or(r.current)
                && let Some(s) = r.services.get_mut(i)
            {
                s.complete = false;
            }
            return r.warn(
                line,
                at,
                message,
                Some("capture with numbers: `ipvsadm-save -n`"),
            );
        }
    };
    if adds_service {
        service(r, line, &o, key);
    } else {
        server(r, line, &o, key);
    }
}

/// The service of a line whose other options may be unreadable.
fn options_service(text: &str) -> Option<VirtualKey> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let head: Vec<&str> = words.by_ref().take(3).collect();
    let three = head.join(" ");
    let mut o = options(&three)
        .or_else(|_| options(three.rsplit_once(' ').map_or("", |x| x.0)))
        .ok()?;
    o.server = None;
    key(&o).ok()
}

fn options(text: &str) -> Result<Options<'_>, Bad<'_>> {
    let mut o = Options::default();
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(w) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| (w, format!("`{w}` has no value; the line was cut off")))
        };
        match w {
            "-A" | "-a" | "--add-service" | "--add-server" => {}
            "-t" | "--tcp-service" => (o.proto, o.service) = (Some(Proto::TCP), value()?),
            "-u" | "--udp-service" => (o.proto, o.service) = (Some(Proto::UDP), value()?),
            "--sctp-service" => (o.proto, o.service) = (Some(Proto::SCTP), value()?),
            "-f" | "--fwmark-service" => {
                let v = value()?;
                let n = match v.strip_prefix("0x") {
                    Some(hex) => u32::from_str_radix(hex, 16).ok(),
                    // The tool prints marks above 2^31 as negative numbers in versions before 1.30 (`-f %d`).
                    None => v
                        .parse()
                        .ok()
                        .or_else(|| v.parse::<i32>().ok().map(i32::cast_unsigned)),
                };
                o.fwmark = Some(n.ok_or_else(|| (v, format!("`{v}` is no firewall mark")))?);
            }
            "-6" | "--ipv6" => o.v6 = true,
            "-s" | "--scheduler" => o.scheduler = Some(value()?),
            "-p" | "--persistent" => {
                // The timeout is optional; 300 s is what ipvsadm.8 names as the default.
                let n = words.peek().and_then(|n| n.parse().ok());
                if n.is_some() {
                    words.next();
                }
                o.persistent = Some(n.unwrap_or(300));
            }
            "-M" | "--netmask" => o.netmask = Some(value()?),
            "--pe" => o.pe = Some(value()?),
            "-o" | "--ops" => o.ops = true,
            "-b" | "--sched-flags" => o.flags = value()?,
            "-r" | "--real-server" => o.server = Some(value()?),
            "-m" | "--masquerading" => o.method = Some(Forwarding::Masq),
            "-g" | "--gatewaying" => o.method = Some(Forwarding::Route),
            "-i" | "--ipip" => o.method = Some(Forwarding::Tunnel),
            "-w" | "--weight" => {
                let v = value()?;
                o.weight = Some(v.parse().map_err(|_| (v, format!("`{v}` is no weight")))?);
            }
            "-x" | "--u-threshold" | "-y" | "--l-threshold" | "--tun-type" | "--tun-port" => {
                let v = value()?;
                o.rest.extend([w, v]);
            }
            "--tun-nocsum" | "--tun-csum" | "--tun-remcsum" => o.rest.push(w),
            "-n" | "--numeric" => {}
            _ => return Err((w, format!("`{w}` is no option of `ipvsadm-save`"))),
        }
    }
    Ok(o)
}

fn key<'a>(o: &Options<'a>) -> Result<VirtualKey, Bad<'a>> {
    if let Some(mark) = o.fwmark {
        let family = if o.v6 { Family::V6 } else { Family::V4 };
        return Ok(VirtualKey::Fwmark { mark, family });
    }
    let Some(proto) = o.proto else {
        return Err(("", "the line names no service".into()));
    };
    match endpoint(o.service, false) {
        // Without a port the service is for every port (ipvsadm.8).
        Some((addr, port)) => Ok(VirtualKey::Addr {
            proto,
            addr,
            port: port.unwrap_or(0),
        }),
        None => Err((
            o.service,
            format!("`{}` is no address with a port", o.service),
        )),
    }
}

fn service<'a>(r: &mut Reader<'a>, line: &Line<'a>, o: &Options<'a>, key: VirtualKey) {
    // `wlc` is ipvsadm's DEF_SCHED.
    let i = r.service(line, key, o.scheduler.unwrap_or("wlc"));
    let v6 = match key {
        VirtualKey::Addr { addr, .. } => matches!(addr, IpAddr::V6(_)),
        VirtualKey::Fwmark { family, .. } => family == Family::V6,
    };
    let Some(s) = r.services.get_mut(i) else {
        return;
    };
    s.persistent = o.persistent;
    s.pe = o.pe.map(Text::Borrowed);
    s.ops = o.ops;
    s.flags = o
        .flags
        .split(',')
        .filter(|f| !f.is_empty())
        .map(Text::Borrowed)
        .collect();
    if let Some(m) = o.netmask {
        s.netmask = netmask(m, v6);
        if s.netmask.is_none() {
            r.warn(line, m, format!("`{m}` is no mask of a persistence"), None);
        }
    }
}

fn server<'a>(r: &mut Reader<'a>, line: &Line<'a>, o: &Options<'a>, key: VirtualKey) {
    let Some(i) = r.find(key) else {
        return r.warn(
            line,
            line.text.trim_ascii(),
            "a real server of a service that was not added before",
            Some("its `-A` line is missing; capture the whole of `ipvsadm-save -n`"),
        );
    };
    r.current = Some(i);
    let Some((addr, port)) = o.server.and_then(|s| endpoint(s, false)) else {
        r.cut();
        let at = o.server.unwrap_or_default();
        return r.warn(
            line,
            at,
            format!("`{at}` is no address of a real server"),
            Some("capture with numbers: `ipvsadm-save -n`"),
        );
    };
    // Without a port the service's own is taken (ipvsadm.8, `-r`).
    let default = match key {
        VirtualKey::Addr { port, .. } => port,
        VirtualKey::Fwmark { .. } => 0,
    };
    r.server(
        i,
        RealServer {
            line: line.number,
            span: line.span(),
            addr,
            port: port.unwrap_or(default),
            method: o.method.unwrap_or(Forwarding::Route),
            weight: Some(o.weight.unwrap_or(1)),
            active: None,
            inactive: None,
            rest: (!o.rest.is_empty()).then(|| Text::Owned(o.rest.join(" "))),
        },
    );
}
