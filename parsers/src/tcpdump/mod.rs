//! What `tcpdump` prints: packets with the device and the way they went, where it shows them.
//!
//! [`packet::Packet`] is also what a binary capture is read into ([`crate::pcap`]); its line is one that this reads.

pub mod command;
pub mod filter;
mod line;
pub mod packet;

pub use command::Command;
pub use filter::{Asked, Filter};
pub use packet::{About, Dev, Error, Packet, Tcp, Time, Way, What};

use crate::recognise::lines::{Lines, is_cut};
pub(crate) use line::is_device;
use line::{Body, Head};

/// What one run of `tcpdump` printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its command line, where it was captured with it.
    pub command: Option<Command>,
    /// The device of its head.
    pub listening: Option<String>,
    /// Packets, in the order of the text; what is within a tunnel stands behind what is around it.
    pub packets: Vec<Packet>,
    /// Lines of packets that are not of IP, or not understood.
    pub others: u32,
    /// The line at which text was left out.
    pub cut: Option<u32>,
    /// How many packets its tail says there were: it ran to its end.
    pub captured: Option<u64>,
    /// How many the kernel dropped.
    pub dropped: u64,
}

impl Section {
    fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.others == 0
    }

    /// The device that it listened to; `any` is all.
    pub fn dev(&self) -> Option<&str> {
        let asked = self.command.as_ref().and_then(|c| c.dev.as_deref());
        self.listening.as_deref().or(asked)
    }
}

/// Reads a text.
pub fn parse(source: &str) -> Vec<Section> {
    let mut r = Reader::default();
    for line in Lines::new(source) {
        r.line(line.text, line.number);
    }
    r.next_section();
    r.done
}

/// How much speaks for a line being `tcpdump`'s; `None` where nothing does.
pub(crate) fn votes(text: &str) -> Option<u32> {
    let trimmed = text.trim();
    if listening(trimmed).is_some() || trimmed.starts_with("tcpdump: ") {
        return Some(2);
    }
    if command::parse(trimmed).is_some() {
        return Some(2);
    }
    if tail(trimmed).is_some() {
        return Some(1);
    }
    if let Some(head) = line::head(trimmed) {
        return match line::body(&head) {
            Some(_) if head.time.is_some() || head.way.is_some() => Some(2),
            Some(Body::Packets(_)) => Some(1),
            Some(Body::Begins(..)) => Some(1),
            None if head.time.is_some() && line::is_arp(head.rest) => Some(2),
            None => None,
        };
    }
    let indented = text.starts_with([' ', '\t']);
    if indented && (line::ends(trimmed).is_some() || is_dump(trimmed)) {
        return Some(1);
    }
    None
}

/// `0x0000:  4500 003c`
fn is_dump(text: &str) -> bool {
    text.split_once(':').is_some_and(|(at, _)| {
        at.strip_prefix("0x")
            .is_some_and(|h| h.len() == 4 && h.bytes().all(|b| b.is_ascii_hexdigit()))
    })
}

/// `listening on eth0, link-type EN10MB (Ethernet), ...`: the device.
fn listening(text: &str) -> Option<&str> {
    let t = text.strip_prefix("tcpdump: ").unwrap_or(text);
    let (dev, rest) = t.strip_prefix("listening on ")?.split_once(", ")?;
    (rest.starts_with("link-type ") && !dev.contains(' ')).then_some(dev)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Captured(u64),
    Received,
    Dropped(u64),
}

fn tail(text: &str) -> Option<Tail> {
    let (n, rest) = text.split_once(' ')?;
    let n = n.parse().ok()?;
    match rest {
        "packets captured" | "packet captured" => Some(Tail::Captured(n)),
        "packets received by filter" | "packet received by filter" => Some(Tail::Received),
        "packets dropped by kernel"
        | "packet dropped by kernel"
        | "packets dropped by interface"
        | "packet dropped by interface" => Some(Tail::Dropped(n)),
        _ => None,
    }
}

/// The port of a number or of a name that `tcpdump` prints without `-n`.
pub(crate) fn port(text: &str) -> Option<u16> {
    const NAMES: &[(&str, u16)] = &[
        ("ssh", 22),
        ("domain", 53),
        ("http", 80),
        ("kerberos", 88),
        ("sunrpc", 111),
        ("ntp", 123),
        ("https", 443),
        ("mysql", 3306),
        ("postgresql", 5432),
        ("redis", 6379),
        ("http-alt", 8080),
    ];
    text.parse()
        .ok()
        .or_else(|| NAMES.iter().find(|(n, _)| *n == text).map(|(_, p)| *p))
}

/// What the next line may belong to.
#[derive(Clone, Debug, Default)]
enum Open {
    #[default]
    Nothing,
    /// A packet whose ends stand on the next line.
    Ends(Packet),
    /// The packet read last: what is within it, or what it is about.
    Last,
    /// The same, and the ends of what it is about stand on the next line.
    About(Packet),
}

#[derive(Default)]
struct Reader {
    done: Vec<Section>,
    now: Section,
    open: Open,
}

impl Reader {
    fn next_section(&mut self) {
        self.open = Open::Nothing;
        let s = std::mem::take(&mut self.now);
        if !s.is_empty() || s.command.is_some() {
            self.done.push(s);
        }
    }

    fn line(&mut self, text: &str, number: u32) {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return;
        }
        if self.continued(text, trimmed) {
            return;
        }
        self.open = Open::Nothing;
        if let Some(c) = command::parse(trimmed) {
            self.next_section();
            self.now.command = Some(c);
            return;
        }
        if let Some(dev) = listening(trimmed) {
            if !self.now.is_empty() || self.now.listening.is_some() {
                self.next_section();
            }
            self.now.listening = Some(dev.to_owned());
            return;
        }
        match tail(trimmed) {
            Some(Tail::Captured(n)) => self.now.captured = Some(n),
            Some(Tail::Dropped(n)) => self.now.dropped += n,
            Some(Tail::Received) => {}
            None if trimmed.starts_with("tcpdump: ") => {}
            None => self.packet(trimmed, number),
        }
    }

    fn packet(&mut self, trimmed: &str, number: u32) {
        let head = line::head(trimmed);
        let Some((head, body)) = head.and_then(|h| Some((h, line::body(&h)?))) else {
            if is_cut(trimmed) {
                self.now.cut.get_or_insert(number);
            } else if head.is_some_and(|h| h.time.is_some() || line::is_arp(h.rest)) {
                self.now.others += 1;
            }
            return;
        };
        let relative = self.now.command.as_ref().is_some_and(|c| c.relative_times);
        let fill = |p: &mut Packet, head: &Head<'_>| {
            p.line = number;
            p.time = head.time.filter(|_| !relative);
            p.dev = head.dev();
            p.way = head.way;
        };
        match body {
            Body::Begins(mut p) => {
                fill(&mut p, &head);
                self.open = Open::Ends(p);
            }
            Body::Packets(list) => {
                for mut p in list {
                    fill(&mut p, &head);
                    self.now.packets.push(p);
                }
                self.open = Open::Last;
            }
        }
    }

    /// Whether the line goes on with what the one before began.
    fn continued(&mut self, text: &str, trimmed: &str) -> bool {
        let indented = text.starts_with([' ', '\t']);
        match std::mem::take(&mut self.open) {
            Open::Nothing => false,
            Open::Ends(head) => {
                let Some(list) = line::ends(trimmed).filter(|_| indented) else {
                    self.now.others += 1;
                    return false;
                };
                for p in list {
                    let filled = Packet {
                        line: head.line,
                        time: head.time,
                        dev: head.dev.clone(),
                        way: head.way,
                        id: if p.depth == 0 { head.id } else { p.id },
                        ttl: if p.depth == 0 { head.ttl } else { p.ttl },
                        proto: if p.depth == 0 {
                            head.proto.or(p.proto)
                        } else {
                            p.proto
                        },
                        ..p
                    };
                    self.now.packets.push(filled);
                }
                self.open = Open::Last;
                true
            }
            Open::About(quoted) => {
                if let Some(list) = line::ends(trimmed).filter(|_| indented)
                    && let Some(mut p) = list.into_iter().next()
                {
                    p.proto = quoted.proto.or(p.proto);
                    self.about(&p);
                    return true;
                }
                false
            }
            Open::Last => self.within(text, trimmed, indented),
        }
    }

    /// What a packet read before is around of, or about.
    fn within(&mut self, text: &str, trimmed: &str, indented: bool) -> bool {
        let Some(last) = self.now.packets.last().cloned() else {
            return false;
        };
        if indented && is_dump(trimmed) {
            self.open = Open::Last;
            return true;
        }
        if !trimmed.starts_with("IP") {
            if indented {
                // Details of a protocol.
                self.open = Open::Last;
            }
            return indented && line::head(trimmed).is_none_or(|h| h.time.is_none());
        }
        let quotes = text.starts_with('\t') && matches!(last.what, What::Error { .. });
        let inner = !indented && line::is_udp_tunnel(&last);
        if !quotes && !inner {
            return false;
        }
        let body = line::head(trimmed).and_then(|h| line::body(&h));
        match body {
            Some(Body::Begins(p)) if quotes => self.open = Open::About(p),
            Some(Body::Packets(list)) if quotes => {
                if let Some(p) = list.first() {
                    self.about(p);
                }
            }
            Some(Body::Begins(p)) => {
                self.open = Open::Ends(Packet {
                    line: last.line,
                    time: last.time,
                    dev: last.dev.clone(),
                    way: last.way,
                    depth: last.depth.saturating_add(1),
                    ..p
                });
                // The depth of what follows is counted from there.
            }
            Some(Body::Packets(list)) => {
                for p in list {
                    self.now.packets.push(Packet {
                        line: last.line,
                        time: last.time,
                        dev: last.dev.clone(),
                        way: last.way,
                        depth: last.depth.saturating_add(1).saturating_add(p.depth),
                        ..p
                    });
                }
                self.open = Open::Last;
            }
            None => return false,
        }
        true
    }

    /// What the packet read last is about.
    fn about(&mut self, quoted: &Packet) {
        if let Some(Packet {
            what: What::Error { about, .. },
            ..
        }) = self.now.packets.last_mut()
        {
            *about = About {
                src: Some(quoted.src),
                dst: Some(quoted.dst),
                proto: quoted.proto.or(about.proto),
                sport: quoted.sport,
                dport: quoted.dport.or(about.dport),
            };
        }
    }
}

#[cfg(test)]
mod tests;
