//! What a capture says of itself: `manifest.json`.

use super::Unread;
use nfwhy_parsers::recognise::Kind;
use serde::{Deserialize, Serialize};

/// Its file.
pub const NAME: &str = "manifest.json";

/// The `schema` of this form.
pub const SCHEMA: &str = "nfwhy.capture/1";

/// When, where and by what a node was captured, and what is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program and its version.
    pub by: String,
    /// UTC, as `2026-01-31T23:59:59Z`.
    pub time: String,
    /// `uname -srm`.
    pub kernel: String,
    /// The node's name; nothing in a redacted capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The network namespace, where it is not the one of the program's caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// Whether addresses and names were replaced.
    #[serde(default)]
    pub redacted: bool,
    /// The files, each as a command would print it.
    pub files: Vec<Listed>,
    /// What could not be read.
    pub unread: Vec<Unread>,
    /// Remarks on what was read.
    pub remarks: Vec<String>,
    /// Files that do not show all of what they are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_part: Vec<Part>,
}

/// A file that does not show all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub file: String,
    /// Where that is seen.
    pub line: u32,
    /// How.
    pub why: String,
    /// From this line on stands what was not captured and is taken to be as always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed_from: Option<u32>,
}

/// A file of a capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The command that prints the like.
    pub command: String,
}

/// The files of a capture: name, the command that prints the like, and how it is parsed.
const FILES: &[(&str, &str, Kind)] = &[
    ("iptables-save", "iptables-save", Kind::IptablesSave),
    ("ip6tables-save", "ip6tables-save", Kind::IptablesSave),
    (
        "iptables-legacy-save",
        "iptables-legacy-save",
        Kind::IptablesSave,
    ),
    (
        "ip6tables-legacy-save",
        "ip6tables-legacy-save",
        Kind::IptablesSave,
    ),
    ("nft", "nft -a list ruleset", Kind::Nft),
    ("ipset-save", "ipset save", Kind::Ipset),
    ("ipvsadm", "ipvsadm -ln", Kind::Ipvs),
    ("ip-addr", "ip -d addr", Kind::Link),
    ("ip-route", "ip route show table all", Kind::Route),
    ("ip-6-route", "ip -6 route show table all", Kind::Route),
    ("ip-rule", "ip rule", Kind::Rule),
    ("ip-6-rule", "ip -6 rule", Kind::Rule),
    ("ip-neigh", "ip neigh", Kind::Neigh),
    ("bridge-fdb", "bridge fdb show", Kind::Fdb),
    ("ip-nexthop", "ip nexthop", Kind::Nexthop),
    ("sysctl", "sysctl -a", Kind::Sysctl),
    ("conntrack", "conntrack -L", Kind::Conntrack),
    ("bpftool-net", "bpftool net", Kind::Programs),
    ("bpftool-map-calico", "bpftool -j map dump", Kind::CalicoBpf),
];

/// How a capture's file is parsed, empty or not.
pub fn kind(name: &str) -> Option<Kind> {
    FILES
        .iter()
        .find(|(n, _, _)| *n == name)
        .map(|(_, _, kind)| *kind)
}

/// The command that prints what a capture's file holds.
pub fn command(name: &str) -> &'static str {
    FILES
        .iter()
        .find(|(n, _, _)| *n == name)
        .map_or("", |(_, command, _)| command)
}

/// Seconds since 1970 as `2026-01-31T23:59:59Z`.
pub fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days count from 0000-03-01, so that a leap day is the last of its year; 400 years are 146,097 days.
    let z = days + 719_468;
    let (era, of_era) = (z / 146_097, z % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_767_225_599, "2025-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
