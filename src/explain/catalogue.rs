//! Every code a finding can have: what it means, at length, for `nfwhy explain CODE`.
//!
//! A finding is added by one line here and one text beside it, `catalogue/CODE.txt`. The text's first line is its meaning in one
//! line; an empty line follows, then the rest, in at most 100 columns. A finding cannot be made without a [`Code`], and a code does
//! not compile without its text.

use super::Severity;

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The stable name, such as `client-ip-lost`.
    pub name: &'static str,
    /// How much it matters, where the finding does not say otherwise.
    pub severity: Severity,
    /// The text: its first line is the meaning.
    whole: &'static str,
}

impl Entry {
    /// The meaning in one line, without a full stop.
    pub fn meaning(&self) -> &'static str {
        self.whole.lines().next().unwrap_or_default()
    }

    /// The long text: how it comes about, how to see it on the node, what to change, what it is not.
    pub fn text(&self) -> &'static str {
        self.whole
            .split_once('\n')
            .map_or("", |(_, rest)| rest.trim())
    }
}

macro_rules! catalogue {
    ($($code:ident = $name:literal $severity:ident;)*) => {
        /// A finding's stable code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!("`", $name, "`")] $code,)*
        }

        impl Code {
            /// All of them, in the order in which they are listed.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// What it means.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$code => {
                        const ENTRY: Entry = Entry {
                            name: $name,
                            severity: Severity::$severity,
                            whole: include_str!(concat!("catalogue/", $name, ".txt")),
                        };
                        &ENTRY
                    })*
                }
            }
        }
    };
}

catalogue! {
    // What becomes of the client's address.
    ClientIpLost = "client-ip-lost" Warning;
    ClientIpKept = "client-ip-kept" Info;
    // What rules refuse.
    NoEndpoints = "no-endpoints" Error;
    NoLocalEndpoints = "no-local-endpoints" Error;
    SourceRanges = "source-ranges" Error;
    Unserved = "unserved" Error;
    DroppedByRule = "dropped-by-rule" Error;
    RejectedByRule = "rejected-by-rule" Error;
    MarkedForDrop = "marked-for-drop" Error;
    DroppedByPolicy = "dropped-by-policy" Error;
    Queued = "queued" Info;
    DroppedInvalid = "dropped-invalid" Error;
    SpoofedSource = "spoofed-source" Error;
    // Who else has a say in it.
    MarkClash = "mark-clash" Error;
    TwoRuleSets = "two-rule-sets" Error;
    LeftoverMode = "leftover-mode" Error;
    HostportBeforeService = "hostport-before-service" Error;
    ServiceBeforeHostport = "service-before-hostport" Info;
    PortOfAnyAddress = "port-of-any-address" Error;
    DuplicateDnat = "duplicate-dnat" Warning;
    HandedToOvn = "handed-to-ovn" Warning;
    // Addresses that many nodes hold.
    AddressOfAnotherNode = "address-of-another-node" Error;
    VirtualSource = "virtual-source" Error;
    ForeignAddress = "foreign-address" Info;
    StrictArpOff = "strict-arp-off" Warning;
    // Who answers for an address (`nfwhy vip`).
    VipTwoAnswer = "vip-two-answer" Error;
    VipAnnouncerSilent = "vip-announcer-silent" Error;
    VipNoLocalEndpoint = "vip-no-local-endpoint" Error;
    VipUnanswered = "vip-unanswered" Error;
    // What the kernel refuses.
    NoRoute = "no-route" Error;
    Blackhole = "blackhole" Error;
    NoNeighbour = "no-neighbour" Error;
    Unreachable = "unreachable" Error;
    Prohibit = "prohibit" Error;
    ForwardingOff = "forwarding-off" Error;
    RpFilter = "rp-filter" Error;
    HairpinOff = "hairpin-off" Error;
    Martian = "martian" Error;
    Ttl = "ttl" Error;
    TooBig = "too-big" Error;
    NoSuchSource = "no-such-source" Error;
    BeyondScope = "beyond-scope" Error;
    NoMasqueradeAddress = "no-masquerade-address" Error;
    NoRedirectAddress = "no-redirect-address" Error;
    // IPVS.
    IpvsNoRealServer = "ipvs-no-real-server" Error;
    IpvsUnreachable = "ipvs-unreachable" Error;
    IpvsLoopback = "ipvs-loopback" Error;
    IpvsNotAsked = "ipvs-not-asked" Error;
    IpvsUntracked = "ipvs-untracked" Warning;
    // Connections that are known already.
    KnownConnection = "known-connection" Info;
    StaleConntrack = "stale-conntrack" Error;
    ConnectionClash = "connection-clash" Error;
    MasqueradeElsewhere = "masquerade-elsewhere" Error;
    // The answer's way back.
    Answer = "answer" Info;
    AnswerDropped = "answer-dropped" Error;
    AnswerElsewhere = "answer-elsewhere" Warning;
    AnswerNotTranslated = "answer-not-translated" Error;
    AnswerBridged = "answer-bridged" Error;
    AnswerByAnotherDevice = "answer-by-another-device" Warning;
    // What captured packets show.
    ObservedOtherwise = "observed-otherwise" Warning;
    // Several at once.
    TwoBackends = "two-backends" Warning;
    KubePortMissing = "kube-port-missing" Error;
    KubeStalePolicy = "kube-stale-policy" Warning;
    KubeStaleRules = "kube-stale-rules" Warning;
    EbpfDecides = "ebpf-decides" Info;
    EbpfDsr = "ebpf-dsr" Info;
    EbpfModesDiffer = "ebpf-modes-differ" Warning;
    BpfProgram = "bpf-program" Warning;
    // What cannot be told.
    Unknown = "unknown" Warning;
}

impl Code {
    /// The stable name.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The code of a name as a person types it: capitals and `_` are as good as `-`.
    pub fn of(name: &str) -> Option<Self> {
        let name = plain(name);
        Self::ALL.iter().copied().find(|c| c.name() == name)
    }

    /// Codes that somebody may have meant, the nearest first.
    pub fn near(name: &str) -> Vec<Self> {
        let name = plain(name);
        let mut list: Vec<(usize, Self)> = Self::ALL
            .iter()
            .filter_map(|c| Some((distance(&name, c.name())?, *c)))
            .collect();
        list.sort_by_key(|(d, _)| *d);
        list.into_iter().map(|(_, c)| c).take(5).collect()
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

fn plain(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

/// How far a code is from what was typed; `None` where nobody would take the one for the other.
fn distance(typed: &str, code: &str) -> Option<usize> {
    if typed.is_empty() {
        return None;
    }
    let edits = edits(typed, code);
    let words = |t: &str| t.split('-').map(str::to_owned).collect::<Vec<_>>();
    let shared = words(typed)
        .iter()
        .filter(|w| w.len() > 2 && words(code).contains(w))
        .count();
    let close = edits <= 1 + code.len() / 4;
    let part = typed.len() > 2 && code.contains(typed);
    (close || part || shared > 0).then(|| edits.saturating_sub(4 * shared))
}

/// Letters to add, leave out or change (Levenshtein); of a long text only the beginning counts.
pub(crate) fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = here;
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Code, edits};

    /// Headings of the long texts, in this order.
    const PARTS: [&str; 4] = [
        "How it comes about",
        "On the node",
        "What to change",
        "What it is not",
    ];

    #[test]
    fn texts_fit_a_terminal_and_have_their_parts() {
        let mut bad = Vec::new();
        for c in Code::ALL {
            let e = c.entry();
            let columns = e.meaning().len() + c.name().len().max(22) + 1;
            if columns > 100 || e.meaning().is_empty() || e.meaning().ends_with('.') {
                bad.push(format!("{c}: the meaning is no short clause ({columns})"));
            }
            for l in e.text().lines() {
                if l.chars().count() > 100 || l.contains('\t') || l.ends_with(' ') {
                    bad.push(format!("{c}: {l}"));
                }
                if !l.is_ascii() {
                    bad.push(format!("{c}: not every terminal shows: {l}"));
                }
            }
            let at = |part: &&str| e.text().lines().position(|l| l == *part);
            let places: Vec<_> = PARTS.iter().map(at).collect();
            if places.iter().any(Option::is_none) || !places.is_sorted() {
                bad.push(format!("{c}: parts at {places:?}"));
            }
        }
        assert!(bad.is_empty(), "{}", bad.join("\n"));
    }

    /// What a text says in backquotes as `code` of a finding has to be one.
    #[test]
    fn texts_refer_to_codes_that_exist() {
        for c in Code::ALL {
            let (_, not) = c
                .entry()
                .text()
                .split_once("What it is not\n")
                .unwrap_or_default();
            for l in not.lines().filter_map(|l| l.strip_prefix("  ")) {
                let Some((name, _)) = l.split_once(": ") else {
                    continue;
                };
                let refers = !name.starts_with(' ') && !name.contains(' ');
                assert!(!refers || Code::of(name).is_some(), "{c} refers to {name}");
                assert!(Code::of(name) != Some(*c), "{c} refers to itself");
            }
        }
    }

    #[test]
    fn names_are_unique_and_kebab() {
        for (i, c) in Code::ALL.iter().enumerate() {
            let n = c.name();
            assert!(
                n.bytes().all(|b| b == b'-' || b.is_ascii_lowercase()),
                "{n}"
            );
            assert!(Code::ALL.iter().skip(i + 1).all(|o| o.name() != n), "{n}");
            assert_eq!(Code::of(n), Some(*c));
        }
    }

    #[test]
    fn near_codes_are_offered() {
        assert_eq!(Code::of("Client_IP_lost"), Some(Code::ClientIpLost));
        assert_eq!(
            Code::near("client-ip-loss").first(),
            Some(&Code::ClientIpLost)
        );
        assert_eq!(Code::near("rpfilter").first(), Some(&Code::RpFilter));
        assert!(Code::near("endpoints").contains(&Code::NoLocalEndpoints));
        assert!(Code::near("conntrack").contains(&Code::StaleConntrack));
        assert_eq!(Code::near("zzzzzz"), []);
        assert_eq!(Code::near(""), []);
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a, b), n);
        }
    }
}
