//! Output of `arping`, Thomas Habets' and that of iputils: who answered for an address.

use crate::recognise::lines::Lines;
use std::net::IpAddr;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Line, from 1.
    pub line: u32,
    /// The address asked for.
    pub ip: IpAddr,
    /// The hardware address that answered, lower case.
    pub mac: String,
}

/// A run of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Line of `ARPING ADDRESS`, from 1.
    pub line: u32,
    /// The address asked for.
    pub ip: IpAddr,
}

/// What the outputs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arping {
    /// Runs.
    pub asked: Vec<Asked>,
    /// Answers, in the order of the text.
    pub replies: Vec<Reply>,
}

/// Reads outputs; other lines are passed over.
pub fn parse(source: &str) -> Arping {
    let mut out = Arping::default();
    for line in Lines::new(source) {
        let text = line.text.trim();
        if let Some(ip) = asked(text) {
            out.asked.push(Asked {
                line: line.number,
                ip,
            });
        } else if let Some((ip, mac)) = reply(text) {
            out.replies.push(Reply {
                line: line.number,
                ip,
                mac,
            });
        }
    }
    out
}

/// `ARPING 192.0.2.1`, `ARPING 192.0.2.1 from 192.0.2.2 eth0`.
fn asked(text: &str) -> Option<IpAddr> {
    let word = text
        .strip_prefix("ARPING ")?
        .split_ascii_whitespace()
        .next()?;
    word.parse().ok()
}

/// `60 bytes from 02:00:00:00:00:01 (192.0.2.1): index=0 time=...`, `Unicast reply from 192.0.2.1 [02:00:00:00:00:01]  0.7ms`.
fn reply(text: &str) -> Option<(IpAddr, String)> {
    if let Some((_, rest)) = text.split_once(" bytes from ") {
        let (mac, rest) = rest.split_once(' ')?;
        let ip = rest.strip_prefix('(')?.split(')').next()?;
        return Some((ip.parse().ok()?, hardware(mac)?));
    }
    let rest = text
        .strip_prefix("Unicast reply from ")
        .or_else(|| text.strip_prefix("Broadcast reply from "))?;
    let (ip, rest) = rest.split_once(' ')?;
    let mac = rest.trim_start().strip_prefix('[')?.split(']').next()?;
    Some((ip.parse().ok()?, hardware(mac)?))
}

fn hardware(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split(':').collect();
    let fits = parts.len() == 6
        && parts
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
    fits.then(|| text.to_ascii_lowercase())
}

/// Whether a line belongs to such an output; how many votes it has.
pub(crate) fn votes(text: &str) -> Option<u32> {
    if asked(text).is_some() || reply(text).is_some() {
        return Some(2);
    }
    let mut words = text.split_ascii_whitespace();
    let first = words.next()?;
    let number = words.next().is_some_and(|w| w.parse::<u32>().is_ok());
    (matches!(first, "Sent" | "Received")
        && number
        && (text.contains("probe") || text.contains("response")))
    .then_some(1)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn both_programs() {
        let out = parse(
            "ARPING 192.0.2.1\n60 bytes from 02:00:00:00:00:01 (192.0.2.1): index=0 time=411.542 usec\nARPING 192.0.2.9 from 192.0.2.2 eth0\nUnicast reply from 192.0.2.9 [02:00:00:00:00:0A]  0.712ms\nUnicast reply from x [y]\nSent 1 probes (1 broadcast(s))\nReceived 1 response(s)\n",
        );
        assert_eq!(out.asked.len(), 2);
        let macs: Vec<(u32, &str)> = out
            .replies
            .iter()
            .map(|r| (r.line, r.mac.as_str()))
            .collect();
        assert_eq!(macs, [(2, "02:00:00:00:00:01"), (4, "02:00:00:00:00:0a")]);
    }
}
