//! What a line of text can belong to.

use super::Kind;
use super::iproute::{brief, device_detail, fdb, neigh, network, route, route_n};
use super::lines::prompt;
use std::net::IpAddr;

/// Kinds that text can have, in the order in which a tie is settled.
const KINDS: [Kind; 21] = [
    Kind::IptablesSave,
    Kind::IptablesListing,
    Kind::Ipset,
    Kind::Ipvs,
    Kind::Nft,
    Kind::Link,
    Kind::Rule,
    Kind::Nexthop,
    Kind::Neigh,
    Kind::Fdb,
    Kind::Route,
    Kind::RouteN,
    Kind::Sysctl,
    Kind::Conntrack,
    Kind::Programs,
    Kind::CalicoBpf,
    Kind::Cilium,
    Kind::KubeTable,
    Kind::Speaker,
    Kind::Arping,
    Kind::Tcpdump,
];

/// What the lines so far opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    /// `Members:` of a set.
    Members,
    /// `Chain X (policy ...)`.
    Chain,
    /// `table ip x {`, with this many braces open.
    Table(u32),
    /// Below a device's first line.
    Device,
    /// Below the header of a table of `kubectl get`.
    Rows,
}

/// Counts the votes of the lines.
#[derive(Debug, Default)]
pub(crate) struct Classifier {
    votes: [u32; KINDS.len()],
    other: u32,
    inside: Inside,
    created: bool,
    /// The rules are those of arptables or ebtables: the grammar of iptables with other matches.
    foreign: bool,
}

/// A line's vote.
pub(crate) enum Vote {
    /// This many votes for a kind.
    For(Kind, u32),
    /// A line of something else.
    Other,
    /// A line that says nothing: a comment, a prompt, an error message of a tool.
    Nothing,
}

impl Classifier {
    /// Counts a line; true where it said something.
    pub fn line(&mut self, line: &str) -> bool {
        match self.vote(line) {
            Vote::For(kind, n) => {
                if let Some(v) = KINDS
                    .iter()
                    .position(|k| *k == kind)
                    .and_then(|i| self.votes.get_mut(i))
                {
                    *v += n;
                }
            }
            Vote::Other => self.other += 1,
            Vote::Nothing => return false,
        }
        true
    }

    /// Whether no line so far belongs to anything.
    pub fn is_undecided(&self) -> bool {
        self.votes.iter().all(|v| *v == 0)
    }

    /// The kind with most votes, if they are at least half as many as the lines of something else.
    pub fn verdict(&self) -> Kind {
        let (mut kind, mut most) = (Kind::Unknown, 0);
        for (k, v) in KINDS.into_iter().zip(self.votes) {
            if v > most {
                (kind, most) = (k, v);
            }
        }
        if most == 0 || most * 2 < self.other {
            return Kind::Unknown;
        }
        kind
    }

    pub fn vote(&mut self, line: &str) -> Vote {
        let text = line.trim();
        if text.is_empty() {
            if !matches!(self.inside, Inside::Table(_)) {
                self.inside = Inside::Nothing;
            }
            return Vote::Nothing;
        }
        let indented = line.starts_with([' ', '\t']);
        if let Inside::Table(depth) = self.inside {
            return self.in_table(text, depth);
        }
        if prompt(text).is_some() {
            self.inside = Inside::Nothing;
            return Vote::Nothing;
        }
        if let Some(rest) = text.strip_prefix('#') {
            return self.comment(rest.trim_start());
        }
        if is_tool_message(text) {
            return Vote::Nothing;
        }
        if text.ends_with('}') && crate::speaker::is_line(text) {
            self.inside = Inside::Nothing;
            return Vote::For(Kind::Speaker, 2);
        }
        if let Some(n) = crate::tcpdump::votes(line) {
            self.inside = Inside::Nothing;
            return Vote::For(Kind::Tcpdump, n);
        }
        if let Some(v) = self.opens(text) {
            return v;
        }
        match self.inside {
            Inside::Members => return Vote::For(Kind::Ipset, 1),
            Inside::Chain => return Vote::For(Kind::IptablesListing, 1),
            Inside::Rows => return Vote::For(Kind::KubeTable, 1),
            Inside::Device if indented => return device_detail(text),
            Inside::Device => self.inside = Inside::Nothing,
            _ => {}
        }
        if let Some(v) = calico_bpf(text, indented) {
            return v;
        }
        if let Some(n) = crate::cilium::weight(text) {
            return Vote::For(Kind::Cilium, n);
        }
        let words: Vec<&str> = text.split_ascii_whitespace().take(24).collect();
        let rule = iptables(text, &words);
        if self.foreign && rule.is_some() {
            return Vote::Other;
        }
        rule.or_else(|| self.ipset(text, &words))
            .or_else(|| ipvs(text, &words))
            .or_else(|| self.iproute(text, &words))
            .or_else(|| conntrack(text, &words))
            .or_else(|| programs(text))
            .or_else(|| sysctl(text))
            .or_else(|| Some(Vote::For(Kind::Arping, crate::arping::votes(text)?)))
            .unwrap_or(Vote::Other)
    }

    /// Lines after which others are to be read otherwise.
    fn opens(&mut self, text: &str) -> Option<Vote> {
        if crate::kube::is_header(text) {
            self.inside = Inside::Rows;
            return Some(Vote::For(Kind::KubeTable, 2));
        }
        if let Some(rest) = text.strip_prefix("Chain ")
            && (rest.contains(" (policy ") || rest.ends_with(" references)"))
        {
            self.inside = Inside::Chain;
            return Some(Vote::For(Kind::IptablesListing, 2));
        }
        if text.starts_with("table ") && text.contains('{') {
            let family = text.split_ascii_whitespace().nth(1).unwrap_or_default();
            if matches!(family, "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev") {
                return Some(self.in_table(text, 0));
            }
        }
        let (key, value) = text.split_once(':')?;
        let value = value.trim();
        match key {
            "Type"
                if ["hash:", "bitmap:", "list:"]
                    .iter()
                    .any(|m| value.starts_with(m)) =>
            {
                Some(Vote::For(Kind::Ipset, 2))
            }
            "Size in memory" | "Number of entries" if value.bytes().all(|b| b.is_ascii_digit()) => {
                Some(Vote::For(Kind::Ipset, 2))
            }
            "Members" if value.is_empty() => {
                self.inside = Inside::Members;
                Some(Vote::For(Kind::Ipset, 1))
            }
            // Alone these could be anything's.
            "Name" | "Revision" | "References" | "Header" => {
                self.inside = Inside::Nothing;
                Some(Vote::Nothing)
            }
            _ => None,
        }
    }

    /// Comments of the tools; those of anything else say nothing.
    fn comment(&mut self, text: &str) -> Vote {
        let Some(tool) = text.strip_prefix("Generated by ") else {
            return Vote::Nothing;
        };
        let tool = tool.split_ascii_whitespace().next().unwrap_or_default();
        if !tool.ends_with("-save") {
            return Vote::Nothing;
        }
        self.foreign = tool.starts_with("arptables") || tool.starts_with("ebtables");
        if self.foreign {
            Vote::Other
        } else {
            Vote::For(Kind::IptablesSave, 2)
        }
    }

    /// Counts braces outside of quotes; every line up to the last one is of the table.
    fn in_table(&mut self, text: &str, mut depth: u32) -> Vote {
        let mut quoted = false;
        for b in text.bytes() {
            match b {
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        self.inside = if depth == 0 {
            Inside::Nothing
        } else {
            Inside::Table(depth)
        };
        Vote::For(Kind::Nft, if text.starts_with("table ") { 2 } else { 1 })
    }

    fn ipset(&mut self, text: &str, words: &[&str]) -> Option<Vote> {
        match words {
            ["create", _, rest @ ..]
                if rest.iter().any(|w| {
                    ["hash:", "bitmap:", "list:"]
                        .iter()
                        .any(|m| w.starts_with(m))
                }) =>
            {
                self.created = true;
                Some(Vote::For(Kind::Ipset, 2))
            }
            ["add", _, element, ..] => {
                let digits = element.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':')
                    && element.contains(['.', ':', ','])
                    && element.contains(|c: char| c.is_ascii_digit());
                let number = words.len() == 3 && element.bytes().all(|b| b.is_ascii_digit());
                (self.created || digits || number).then_some(Vote::For(Kind::Ipset, 1))
            }
            _ if text.starts_with("<ipset") => Some(Vote::For(Kind::Ipset, 1)),
            _ => None,
        }
    }

    fn iproute(&mut self, text: &str, words: &[&str]) -> Option<Vote> {
        let (first, rest) = words.split_first()?;
        // `1: lo: <...>`, `1: lo    inet ...`, `0:	from all lookup local`.
        if first
            .strip_suffix(':')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        {
            return match rest {
                ["from", src, ..] | ["not", "from", src, ..] if *src == "all" || network(src) => {
                    Some(Vote::For(Kind::Rule, 2))
                }
                [name, flags, ..] if name.ends_with(':') && flags.starts_with('<') => {
                    self.inside = Inside::Device;
                    Some(Vote::For(Kind::Link, 2))
                }
                [_, "inet" | "inet6", a, ..] if network(a) => Some(Vote::For(Kind::Link, 2)),
                [_, l, ..] if l.starts_with("link/") => Some(Vote::For(Kind::Link, 1)),
                _ => None,
            };
        }
        if first.starts_with("link/") && rest.len() >= 2
            || matches!(words, ["inet" | "inet6", a, ..] if network(a))
        {
            return Some(Vote::For(Kind::Link, 1));
        }
        if *first == "id" {
            return match rest {
                [n, "via" | "dev" | "group" | "blackhole" | "encap", ..]
                    if n.bytes().all(|b| b.is_ascii_digit()) =>
                {
                    Some(Vote::For(Kind::Nexthop, 2))
                }
                _ => None,
            };
        }
        route_n(text, words)
            .or_else(|| brief(words))
            .or_else(|| neigh(words))
            .or_else(|| fdb(words))
            .or_else(|| route(words))
    }
}

/// What the tools say on standard error, which captures often hold as well.
fn is_tool_message(text: &str) -> bool {
    const TOOLS: &[&str] = &[
        "iptables",
        "ip6tables",
        "ipset",
        "ipvsadm",
        "nft",
        "sysctl",
        "grep",
        "bash",
        "sh",
        "-bash",
        "sudo",
        "Warning",
        "WARNING",
        "Error",
        "modprobe",
        "Can't",
        "command",
        "Defaulting",
        "Unable",
        "nfct_labelmap_new",
    ];
    let word = text.split([' ', ':']).next().unwrap_or_default();
    TOOLS.contains(&word) && text.contains(':') || text.starts_with("COMMIT ")
}

fn iptables(text: &str, words: &[&str]) -> Option<Vote> {
    let save = |n| Some(Vote::For(Kind::IptablesSave, n));
    if let Some(table) = text.strip_prefix('*') {
        return matches!(table, "filter" | "nat" | "mangle" | "raw" | "security")
            .then_some(Vote::For(Kind::IptablesSave, 2));
    }
    // `:INPUT ACCEPT [0:0]`
    if text.starts_with(':') {
        return match words {
            [_, policy, rest @ ..]
                if rest.len() <= 1
                    && matches!(*policy, "ACCEPT" | "DROP" | "-" | "QUEUE" | "RETURN")
                    && rest.iter().all(|c| c.starts_with('[') && c.ends_with(']')) =>
            {
                save(2)
            }
            _ => None,
        };
    }
    let words = match words {
        [counters, rest @ ..]
            if counters.starts_with('[') && counters.ends_with(']') && counters.contains(':') =>
        {
            rest
        }
        w => w,
    };
    match words {
        ["COMMIT"] => save(1),
        ["-P", _, "ACCEPT" | "DROP", ..] => save(2),
        ["-N", chain] if !chain.starts_with('-') => save(1),
        ["-A" | "-I", chain, rest @ ..] if !chain.starts_with('-') => {
            let option = rest.first().is_none_or(|o| o.starts_with('-') || *o == "!");
            option.then_some(Vote::For(Kind::IptablesSave, 2))
        }
        _ => None,
    }
}

fn ipvs(text: &str, words: &[&str]) -> Option<Vote> {
    let yes = |n| Some(Vote::For(Kind::Ipvs, n));
    if text.starts_with("IP Virtual Server version") || text.starts_with("Prot LocalAddress:Port") {
        return yes(2);
    }
    // `host:port`, also with a name or in hexadecimal.
    let endpoint = |a: &str| {
        a.rsplit_once(':').is_some_and(|(a, p)| {
            !a.is_empty()
                && !p.is_empty()
                && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    match words {
        ["->", "RemoteAddress:Port", ..] => yes(2),
        ["->", a, "Masq" | "Route" | "Tunnel" | "Local", ..] if endpoint(a) => yes(2),
        ["->", a, counter, _, ..]
            if endpoint(a) && counter.starts_with(|c: char| c.is_ascii_digit()) =>
        {
            yes(1)
        }
        ["TCP" | "UDP" | "SCTP", a, _, ..] if endpoint(a) => yes(1),
        ["FWM", mark, _, ..] if u32::from_str_radix(mark, 16).is_ok() => yes(1),
        ["ipvsadm", rest @ ..] | rest => match rest {
            [
                "-A" | "-a" | "--add-service" | "--add-server",
                "-t" | "-u" | "--tcp-service" | "--udp-service" | "--sctp-service",
                a,
                ..,
            ] if endpoint(a) || a.parse::<IpAddr>().is_ok() => yes(2),
            [
                "-A" | "-a" | "--add-service" | "--add-server",
                "-f" | "--fwmark-service",
                mark,
                ..,
            ] if mark.starts_with(|c: char| c.is_ascii_digit()) => yes(2),
            _ => None,
        },
    }
}

fn conntrack(text: &str, words: &[&str]) -> Option<Vote> {
    if text.starts_with("conntrack v") && text.contains("flow entries have been shown") {
        return Some(Vote::For(Kind::Conntrack, 1));
    }
    let both = |k: &str| text.match_indices(k).nth(1).is_some();
    let number = words
        .iter()
        .skip(1)
        .take(3)
        .any(|w| w.bytes().all(|b| b.is_ascii_digit()));
    (both(" src=") && both(" dst=") && number).then_some(Vote::For(Kind::Conntrack, 2))
}

/// `bpftool net`: its sections, which stand there also when they are empty, and programs at devices.
fn programs(text: &str) -> Option<Vote> {
    if crate::programs::SECTIONS.contains(&text) {
        return Some(Vote::For(Kind::Programs, 2));
    }
    let (_, _, rest) = crate::programs::device(text)?;
    let id = rest.contains(" id ") || rest.contains(" prog_id ");
    id.then_some(Vote::For(Kind::Programs, 2))
}

/// `calico-node -bpf nat dump` and its like, `bpftool map dump` in its plain form, Felix' settings.
fn calico_bpf(text: &str, indented: bool) -> Option<Vote> {
    use crate::calico_bpf::{Line, is_dump, line_of};
    if is_dump(text) {
        return Some(Vote::For(Kind::CalicoBpf, 2));
    }
    Some(match line_of(text)? {
        // Numbers and an address alone could be anything's.
        Line::Backend(_) | Line::NoBackend if !indented => return None,
        Line::Backend(_) | Line::NoBackend => Vote::For(Kind::CalicoBpf, 1),
        // Objects have many lines beside the one that counts.
        Line::Configuration => Vote::For(Kind::CalicoBpf, 30),
        Line::Mode { .. } => Vote::For(Kind::CalicoBpf, 10),
        _ => Vote::For(Kind::CalicoBpf, 2),
    })
}

/// `net.ipv4.ip_forward = 1`. The first component is one of the folders of `/proc/sys`; so TOML is not taken for it.
fn sysctl(text: &str) -> Option<Vote> {
    const TREES: &[&str] = &[
        "abi", "crypto", "debug", "dev", "fs", "kernel", "net", "sunrpc", "user", "vm", "xen",
    ];
    let path = text.strip_prefix("/proc/sys/").or_else(|| {
        text.strip_prefix("./net/")
            .map(|_| text.get(2..).unwrap_or_default())
    });
    let (key, value) = match path {
        Some(p) => p.split_once([':', '='])?,
        None => text
            .split_once('=')
            .or_else(|| text.split_once(':').filter(|(k, _)| k.starts_with("net/")))?,
    };
    let key = key.trim();
    let (tree, name) = key.split_once(['.', '/'])?;
    let fits = TREES.contains(&tree)
        && !name.is_empty()
        && !key.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | '['))
        && !value.trim_start().starts_with(['"', '\'', '[', '{']);
    fits.then_some(Vote::For(Kind::Sysctl, 1))
}
