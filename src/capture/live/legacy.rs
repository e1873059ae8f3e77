//! The tables of iptables-legacy and ip6tables-legacy, over getsockopt.
//!
//! Asking for a table makes it (`xt_find_table_lock` in `net/netfilter/x_tables.c` calls its `table_init`), and hooks it in. So only those are
//! asked for that are there already.

use super::attr::Numbers as _;
use super::sockopt;
use super::xt::{Decoder, SetNames, text};
use super::{Reading, fallback, procfs, xt};
use nfwhy_parsers::Family;
use nfwhy_parsers::recognise::Kind;
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use std::borrow::Cow;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use thiserror::Error;

/// Why a table could not be read.
#[derive(Debug, Error)]
enum Fault {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("/proc is not mounted here, and no mount of its own can be had")]
    NoProc,
    #[error("table {0}: {why}", why = .1.desc())]
    Table(String, Errno),
    #[error("table {0} is not of a form that is known")]
    Malformed(String),
}

/// How often a table that changes under the reading is asked for anew.
const TRIES: usize = 20;

/// Both families.
pub(super) fn read(reading: &mut Reading) {
    for (family, name, what) in [
        (
            Family::V4,
            "iptables-legacy-save",
            "iptables-legacy rules (IPv4)",
        ),
        (
            Family::V6,
            "ip6tables-legacy-save",
            "iptables-legacy rules (IPv6)",
        ),
    ] {
        let sets = SetNames::default();
        let mut decoder = Decoder::new(family, &sets);
        match family_text(family, name, &mut decoder) {
            Ok(mut text) => {
                let remarks = fallback::rules(&mut text, &decoder, name, name);
                reading.put(name, name, Kind::IptablesSave, text);
                reading.remarks.extend(remarks);
            }
            Err(e) => reading.cannot(what, &e, name),
        }
    }
}

fn family_text(family: Family, name: &str, decoder: &mut Decoder<'_>) -> Result<String, Fault> {
    let names = match family {
        Family::V4 => "thread-self/net/ip_tables_names",
        Family::V6 => "thread-self/net/ip6_tables_names",
    };
    let names = match fs::read_to_string(procfs::path(names)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            // Without procfs nothing tells which tables there are, and asking for one would make it.
            return if procfs::path("thread-self/net").exists() {
                // `ip_tables` is not loaded, so there is no table.
                Ok(String::new())
            } else {
                Err(Fault::NoProc)
            };
        }
        other => other?,
    };
    let mut out = String::new();
    let mut socket = None;
    for table in names.split_ascii_whitespace() {
        let wrong = |e| Fault::Table(table.to_owned(), e);
        if socket.is_none() {
            let family = match family {
                Family::V4 => AddressFamily::Inet,
                Family::V6 => AddressFamily::Inet6,
            };
            socket = Some(sockopt::socket(family).map_err(wrong)?);
        }
        let Some(socket) = &socket else { continue };
        let (info, entries) = ask(socket, family, table).map_err(wrong)?;
        let malformed = || Fault::Malformed(table.to_owned());
        Table::parse(family, &info, &entries)
            .and_then(|t| t.print(table, name, &mut out, decoder))
            .ok_or_else(malformed)?;
    }
    Ok(out)
}

/// `struct ipt_getinfo`, which is that of IPv6 as well.
const INFO: usize = 84;
/// `struct ipt_get_entries` before the entries.
const HEADER: usize = 40;
/// `IPT_SO_GET_INFO` and `IPT_SO_GET_ENTRIES`, and those of IPv6.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;

/// The description of a table, and its entries behind a header of 40 bytes.
fn ask(socket: &OwnedFd, family: Family, table: &str) -> Result<(Vec<u8>, Vec<u8>), Errno> {
    let level = match family {
        Family::V4 => libc::IPPROTO_IP,
        Family::V6 => libc::IPPROTO_IPV6,
    };
    let named = |bytes: &mut [u8]| {
        // The name and its NUL fill 32 bytes.
        for (to, from) in bytes.iter_mut().take(31).zip(table.as_bytes()) {
            *to = *from;
        }
    };
    for _ in 0..TRIES {
        let mut info = vec![0; INFO];
        named(&mut info);
        sockopt::get(socket, level, GET_INFO, &mut info)?;
        let size = info.u32(80).ok_or(Errno::EINVAL)?;
        let mut entries = vec![0; HEADER + usize::try_from(size).map_err(|_| Errno::EOVERFLOW)?];
        named(&mut entries);
        if let Some(to) = entries.get_mut(32..36) {
            to.copy_from_slice(&size.to_ne_bytes());
        }
        match sockopt::get(socket, level, GET_ENTRIES, &mut entries) {
            // The table has another size by now (`get_entries` in `net/ipv4/netfilter/ip_tables.c`).
            Err(Errno::EAGAIN) => {}
            other => return other.map(|_| (info, entries)),
        }
    }
    Err(Errno::EAGAIN)
}

/// Where things are in `struct ipt_entry` and `struct ip6t_entry`.
struct Layout {
    /// Bytes of an address; source, destination and their masks stand at the front.
    addr: usize,
    /// The names of the devices.
    devices: usize,
    /// `proto`
    proto: usize,
    flags: usize,
    inverted: usize,
    /// The flag that makes a jump a goto.
    goto: u8,
    /// The flag for later fragments.
    fragment: u8,
    target_offset: usize,
    counters: usize,
    size: usize,
}

const V4: Layout = Layout {
    addr: 4,
    devices: 16,
    proto: 80,
    flags: 82,
    inverted: 83,
    goto: 2,
    fragment: 1,
    target_offset: 88,
    counters: 96,
    size: 112,
};

const V6: Layout = Layout {
    addr: 16,
    devices: 64,
    proto: 128,
    flags: 131,
    inverted: 132,
    goto: 4,
    fragment: 0,
    target_offset: 140,
    counters: 152,
    size: 168,
};

/// `struct xt_entry_match` and `struct xt_entry_target` before their data.
const EXTENSION: usize = 32;

/// Names of the built-in chains, by hook.
const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

struct Chain<'a> {
    name: Cow<'a, str>,
    /// Where its first rule is; rules jump here.
    start: usize,
    /// Where its last entry is: the policy, or the return that every chain ends with.
    last: usize,
    built_in: bool,
}

struct Table<'a> {
    layout: &'static Layout,
    entries: &'a [u8],
    /// By `start`.
    chains: Vec<Chain<'a>>,
    /// Of each chain its `start`: a node has 80,000 chains and more, and all of this stays in the cache.
    starts: Vec<usize>,
}

/// One entry.
#[derive(Clone, Copy)]
struct Entry<'a> {
    bytes: &'a [u8],
    target: usize,
    next: usize,
}

impl<'a> Entry<'a> {
    /// The target's own bytes.
    fn target(&self) -> Option<&'a [u8]> {
        let target = self.bytes.get(self.target..)?;
        let size = usize::from(target.u16(0)?);
        target.get(..size.max(EXTENSION))
    }
}

/// Name, revision and data of a match or target.
fn extension(bytes: &[u8]) -> Option<(Cow<'_, str>, u32, &[u8])> {
    Some((
        text(bytes.get(2..31)?),
        bytes.u8(31)?.into(),
        bytes.get(EXTENSION..)?,
    ))
}

impl<'a> Table<'a> {
    /// Finds the chains.
    fn parse(family: Family, info: &[u8], entries: &'a [u8]) -> Option<Self> {
        let layout = match family {
            Family::V4 => &V4,
            Family::V6 => &V6,
        };
        let size = usize::try_from(info.u32(80)?).ok()?;
        let mut table = Self {
            layout,
            entries: entries.get(HEADER..)?.get(..size)?,
            chains: Vec::new(),
            starts: Vec::new(),
        };
        let hooks = info.u32(32)?;
        let mut chains = Vec::new();
        for (hook, name) in HOOKS.iter().enumerate() {
            if hooks >> hook & 1 != 0 {
                chains.push(Chain {
                    name: Cow::Borrowed(*name),
                    start: usize::try_from(info.u32(36 + 4 * hook)?).ok()?,
                    last: usize::try_from(info.u32(56 + 4 * hook)?).ok()?,
                    built_in: true,
                });
            }
        }
        let mut at = 0;
        let mut before = 0;
        // The chain that is open, which ends with the entry before the next head.
        let mut open: Option<Chain<'a>> = None;
        while at < size {
            let entry = table.entry(at)?;
            if let Some(name) = error_name(&entry) {
                if let Some(mut chain) = open.take() {
                    chain.last = before;
                    chains.push(chain);
                }
                // The last entry of all is the end of the table.
                if entry.next < size {
                    open = Some(Chain {
                        name,
                        start: entry.next,
                        last: entry.next,
                        built_in: false,
                    });
                }
            }
            (before, at) = (at, entry.next);
        }
        if let Some(mut chain) = open {
            chain.last = before;
            chains.push(chain);
        }
        chains.sort_by_key(|chain| chain.start);
        table.starts = chains.iter().map(|chain| chain.start).collect();
        table.chains = chains;
        Some(table)
    }

    #[inline]
    fn entry(&self, at: usize) -> Option<Entry<'a>> {
        let from = self.entries.get(at..)?;
        let target = usize::from(from.u16(self.layout.target_offset)?);
        let len = usize::from(from.u16(self.layout.target_offset + 2)?);
        // Nothing goes on for ever: every entry is at least as long as what all have.
        if target < self.layout.size || len < target + EXTENSION {
            return None;
        }
        Some(Entry {
            bytes: from.get(..len)?,
            target,
            next: at + len,
        })
    }

    /// Appends the table as `iptables-save -c` prints it.
    fn print(
        &self,
        name: &str,
        program: &str,
        out: &mut String,
        decoder: &mut Decoder<'_>,
    ) -> Option<()> {
        // A rule of kube-proxy has some 500 bytes here and 120 there.
        out.reserve(self.entries.len() / 10 * 3);
        for part in ["# Generated by ", program, "\n*", name, "\n"] {
            out.push_str(part);
        }
        for chain in &self.chains {
            out.push(':');
            out.push_str(&chain.name);
            if chain.built_in {
                let policy = self.entry(chain.last)?;
                out.push_str(match policy.target()?.u32(EXTENSION)?.cast_signed() {
                    -1 => " DROP ",
                    -2 => " ACCEPT ",
                    _ => " - ",
                });
                self.counters(&policy, out)?;
                out.push('\n');
            } else {
                out.push_str(" - [0:0]\n");
            }
        }
        for chain in &self.chains {
            let mut at = chain.start;
            while at < chain.last {
                let entry = self.entry(at)?;
                self.rule(&entry, &chain.name, out, decoder)?;
                at = entry.next;
            }
        }
        out.push_str("COMMIT\n");
        Some(())
    }

    fn counters(&self, entry: &Entry<'_>, out: &mut String) -> Option<()> {
        let (packets, bytes) = (
            entry.bytes.u64(self.layout.counters)?,
            entry.bytes.u64(self.layout.counters + 8)?,
        );
        if (packets, bytes) == (0, 0) {
            out.push_str("[0:0]");
            return Some(());
        }
        out.push('[');
        xt::dec(out, packets);
        out.push(':');
        xt::dec(out, bytes);
        out.push(']');
        Some(())
    }

    fn rule(
        &self,
        entry: &Entry<'_>,
        chain: &str,
        out: &mut String,
        decoder: &mut Decoder<'_>,
    ) -> Option<()> {
        let layout = self.layout;
        self.counters(entry, out)?;
        out.push_str(" -A ");
        out.push_str(chain);
        let b = entry.bytes;
        let (flags, inverted) = (b.u8(layout.flags)?, b.u8(layout.inverted)?);
        let not = |bit: u8| inverted & bit != 0;
        let mut w = decoder.words(out);
        let n = layout.addr;
        let addr = |i: usize| b.get(i * n..(i + 1) * n);
        w.address(not(8), "-s", addr(0)?, addr(2)?)?;
        w.address(not(0x10), "-d", addr(1)?, addr(3)?)?;
        let device = |i: usize| b.get(layout.devices + 16 * i..layout.devices + 16 * (i + 1));
        w.device(not(1), "-i", device(0)?, device(2)?);
        w.device(not(2), "-o", device(1)?, device(3)?);
        w.of_protocol(not(0x40), b.u16(layout.proto)?);
        if flags & layout.fragment != 0 {
            w.option(not(0x20), "-f");
        }
        let mut rest = b.get(layout.size..entry.target)?;
        while !rest.is_empty() {
            let size = usize::from(rest.u16(0)?).max(EXTENSION);
            let (name, revision, data) = extension(rest.get(..size)?)?;
            decoder.matching(out, &name, revision, data);
            rest = rest.get(size..)?;
        }
        self.target(entry, flags & layout.goto != 0, out, decoder)?;
        out.push('\n');
        Some(())
    }

    fn target(
        &self,
        entry: &Entry<'_>,
        goto: bool,
        out: &mut String,
        decoder: &mut Decoder<'_>,
    ) -> Option<()> {
        let (name, revision, data) = extension(entry.target()?)?;
        if !name.is_empty() {
            decoder.target(out, &name, revision, data);
            return Some(());
        }
        let verdict = data.u32(0)?.cast_signed();
        let Ok(to) = usize::try_from(verdict) else {
            // -NF_DROP - 1 and so on; XT_RETURN is -NF_REPEAT - 1.
            out.push_str(match verdict {
                -1 => " -j DROP",
                -2 => " -j ACCEPT",
                -4 => " -j QUEUE",
                -5 => " -j RETURN",
                _ => return None,
            });
            return Some(());
        };
        // On to the next rule: no target.
        if to == entry.next {
            return Some(());
        }
        let chain = self.chains.get(self.starts.binary_search(&to).ok()?)?;
        out.push_str(if goto { " -g " } else { " -j " });
        out.push_str(&chain.name);
        Some(())
    }
}

/// The name in an entry that heads a chain, or ends the table.
#[inline]
fn error_name<'a>(entry: &Entry<'a>) -> Option<Cow<'a, str>> {
    let target = entry.bytes.get(entry.target..)?;
    // `XT_ERROR_TARGET`
    if !target.get(2..)?.starts_with(b"ERROR\0") {
        return None;
    }
    Some(text(target.get(EXTENSION..EXTENSION + 30)?))
}

#[cfg(test)]
mod tests;
