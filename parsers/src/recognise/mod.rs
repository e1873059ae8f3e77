//! What a captured file is, told from its content.

pub(crate) mod classify;
mod iproute;
mod json;
pub(crate) mod lines;

use classify::Classifier;
use std::borrow::Cow;

/// Kinds of captured text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `iptables-save`, `ip6tables-save`, or `iptables -S`.
    IptablesSave,
    /// `iptables -L`.
    IptablesListing,
    /// `ipset save` or `ipset list`.
    Ipset,
    /// `ipvsadm -ln`, `ipvsadm-save -n`, `/proc/net/ip_vs`.
    Ipvs,
    /// `ip addr` or `ip link`, text or JSON.
    Link,
    /// `ip route`, text or JSON.
    Route,
    /// `route -n`.
    RouteN,
    /// `ip rule`, text or JSON.
    Rule,
    /// `ip neigh`, text or JSON.
    Neigh,
    /// `bridge fdb show`, text or JSON.
    Fdb,
    /// `ip nexthop`, text or JSON.
    Nexthop,
    /// `sysctl -a`.
    Sysctl,
    /// `conntrack -L`.
    Conntrack,
    /// `nft list ruleset`, text or JSON.
    Nft,
    /// `bpftool net`.
    Programs,
    /// The maps of Calico's eBPF datapath: `calico-node -bpf`, `bpftool map dump`; and Felix' settings for it.
    CalicoBpf,
    /// What Cilium's agent knows of services: `cilium-dbg bpf lb list` and its like, its status and its `ConfigMap`.
    Cilium,
    /// Objects of Kubernetes as JSON.
    Kube,
    /// Tables of `kubectl get`.
    KubeTable,
    /// The log of `MetalLB`'s speakers.
    Speaker,
    /// `arping`.
    Arping,
    /// What `tcpdump` prints.
    Tcpdump,
    /// A binary capture of packets: pcap or pcapng.
    Pcap,
    /// Nothing but blank lines.
    Empty,
    /// Not text.
    Binary,
    /// None of these.
    Unknown,
}

/// How many bytes are looked at.
const WINDOW: usize = 64 * 1024;

/// How many lines that say something are looked at.
const LINES: usize = 60;

/// Tells what `bytes` are. Looks at no more than the first lines, so it is fast on large files.
///
/// Every line votes for the kind it can belong to, or for none. The kind with most votes wins, unless most of the text is
/// something else: prose that quotes a rule is no capture.
pub fn recognise(bytes: &[u8]) -> Kind {
    if crate::pcap::is_capture(bytes) {
        return Kind::Pcap;
    }
    let head = bytes.get(..WINDOW).unwrap_or(bytes);
    let Some(text) = readable(head) else {
        return Kind::Binary;
    };
    let whole = bytes.len() <= WINDOW;
    let trimmed = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if trimmed.is_empty() {
        // 64 KiB of blanks and then something is nothing a command prints.
        return if bytes.iter().all(u8::is_ascii_whitespace) || whole {
            Kind::Empty
        } else {
            Kind::Unknown
        };
    }
    let mut c = Classifier::default();
    let mut number = 0;
    for line in lines::Lines::new(&text) {
        // A prompt, a warning or a comment may stand before JSON.
        if matches!(
            line.text.trim_ascii_start().as_bytes().first(),
            Some(b'{' | b'[')
        ) && c.is_undecided()
            && let Some(kind) = text.get(line.start..).and_then(json::kind)
        {
            return kind;
        }
        if c.line(line.text) {
            number += 1;
            if number == LINES {
                break;
            }
        }
    }
    c.verdict()
}

/// The bytes as text; `None` where they are none. Captures may hold stray bytes (a device alias, a log line in another encoding).
fn readable(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if bytes.contains(&0) {
        return None;
    }
    let text = String::from_utf8_lossy(bytes);
    let (mut all, mut odd) = (0usize, 0usize);
    for c in text.chars() {
        all += 1;
        let control = c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\x0c' | '\x1b');
        if control || c == '\u{fffd}' {
            odd += 1;
        }
    }
    (odd * 10 <= all).then_some(text)
}
