//! Lines to services, whichever of the forms they have.

use super::{RealServer, VirtualKey, VirtualService, listing, save};
use crate::common::{Diagnostic, Family, Parsed, Text};
use crate::recognise::lines::{Line, Lines, is_cut, prompt};
use std::collections::HashMap;
use std::net::IpAddr;

/// The columns behind the address of a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Columns {
    /// `Forward Weight ActiveConn InActConn`.
    #[default]
    Usual,
    /// `--tun-info`: `Forward TunnelInfo Weight ActiveConn InActConn`.
    Tunnel,
    /// `--stats`, `--rate`: five counters.
    Counters,
    /// `--thresholds`: `Uthreshold Lthreshold ActiveConn InActConn`.
    Thresholds,
    /// `--persistent-conn`: `Weight PersistConn ActiveConn InActConn`.
    Persistent,
    /// `-c`: connections, which are not read.
    Connections,
}

/// What is known while the lines go by.
#[derive(Default)]
pub(super) struct Reader<'a> {
    pub services: Vec<VirtualService<'a>>,
    pub diagnostics: Vec<Diagnostic>,
    by_key: HashMap<VirtualKey, usize>,
    /// The service that `->` lines belong to.
    pub current: Option<usize>,
    /// Numbers are hexadecimal (`/proc/net/ip_vs`).
    pub hex: bool,
    pub columns: Columns,
    pub ticks_reported: bool,
}

/// Reads the whole text.
pub(super) fn read(source: &str) -> Parsed<Vec<VirtualService<'_>>> {
    let mut r = Reader::default();
    for line in Lines::new(source) {
        r.line(&line);
    }
    Parsed {
        value: r.services,
        diagnostics: r.diagnostics,
    }
}

impl<'a> Reader<'a> {
    pub fn warn(
        &mut self,
        line: &Line<'_>,
        at: &str,
        message: impl Into<String>,
        help: Option<&str>,
    ) {
        let d = Diagnostic::warning(line.number, line.span_of(at), message);
        self.diagnostics.push(match help {
            Some(h) => d.help(h),
            None => d,
        });
    }

    fn line(&mut self, line: &Line<'a>) {
        let text = line.text.trim_ascii();
        if text.is_empty() {
            return;
        }
        // `ipvsadm -R` takes lines that begin with the command's name.
        let command = text.strip_prefix("ipvsadm ").unwrap_or(text);
        if save::is_command(command) {
            return save::line(self, line, command);
        }
        if listing::line(self, line, text) {
            return;
        }
        if is_cut(text) {
            self.cut();
            self.warn(
                line,
                text,
                "text was left out here",
                Some("capture the whole of `ipvsadm -ln`"),
            );
        } else if text.starts_with('#') && prompt(text).is_none() {
            // A comment.
        } else {
            self.warn(
                line,
                text,
                "not a line of `ipvsadm -ln` or `ipvsadm-save -n`",
                None,
            );
        }
    }

    /// The service under way misses real servers.
    pub fn cut(&mut self) {
        if let Some(s) = self.current.and_then(|i| self.services.get_mut(i)) {
            s.complete = false;
        }
    }

    /// Adds a service without real servers; it becomes the current one.
    pub fn service(&mut self, line: &Line<'a>, key: VirtualKey, scheduler: &'a str) -> usize {
        let i = self.services.len();
        self.by_key.insert(key, i);
        self.current = Some(i);
        self.services.push(VirtualService {
            line: line.number,
            span: line.span(),
            key,
            scheduler: Text::Borrowed(scheduler),
            flags: Vec::new(),
            persistent: None,
            netmask: None,
            pe: None,
            ops: false,
            servers: Vec::new(),
            complete: true,
        });
        i
    }

    /// The service of a key.
    pub fn find(&self, key: VirtualKey) -> Option<usize> {
        let same = |i: &usize| self.services.get(*i).is_some_and(|s| s.key == key);
        self.current
            .filter(same)
            .or_else(|| self.by_key.get(&key).copied())
    }

    /// Adds a real server to service `i`.
    pub fn server(&mut self, i: usize, server: RealServer<'a>) {
        let hex = self.hex;
        if let Some(s) = self.services.get_mut(i) {
            // The kernel's file does not tell the family of a firewall mark, but its real servers do.
            if let VirtualKey::Fwmark { family, .. } = &mut s.key
                && hex
                && *family == Family::V4
                && matches!(server.addr, IpAddr::V6(_))
            {
                *family = Family::V6;
                // It was read as an address; a mask of 32 bits, which is not kept, is none of IPv6.
                s.netmask = match s.netmask {
                    Some(IpAddr::V4(mask)) => listing::hex_prefix(mask.to_bits()),
                    other => other,
                };
            }
            s.servers.push(server);
        }
    }
}
