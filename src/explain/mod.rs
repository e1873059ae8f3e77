//! Findings: what happened, whose rule or setting it was, what to change.

mod again;
mod answer;
mod any_address;
mod arp;
mod bridge;
pub mod catalogue;
mod cilium;
mod clash;
mod drops;
mod duplicates;
mod ebpf;
mod foreign;
mod handed;
mod here;
mod hostport;
mod known;
mod leftover;
mod lost;
mod marking;
pub mod marks;
pub mod missing;
pub mod names;
mod neighbour;
mod nft;
pub mod objects;
pub mod observed;
mod ovn;
pub mod owners;
mod path;
pub mod place;
mod policies;
mod programs;
mod refusals;
mod reply;
pub mod source;
pub mod sources;
mod spared;
mod stale;
pub mod story;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_nft;
mod tries;
mod unserved;
mod vip_source;
mod way_out;

pub use catalogue::Code;
pub(crate) use catalogue::edits;
pub use ebpf::{nodes_of, served_back};
pub use nft::service_of_element as service_refused;
pub(crate) use reply::reply_of;
pub use reply::{Answer, Fate, answer, fate};
pub use tries::{Try, tries};

use crate::node::{ChainId, Node, Origin};
use crate::trace::{Hit, Trace};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be, worth knowing.
    Info,
    /// Probably not what was meant.
    Warning,
    /// The packet does not arrive.
    Error,
}

/// What is to blame.
#[derive(Clone, Debug, PartialEq)]
pub enum Cause {
    /// A rule.
    Rule(Hit),
    /// A base chain's policy.
    Policy {
        /// Index into `Netfilter::tables`.
        table: usize,
        /// The chain.
        chain: ChainId,
    },
    /// A setting and its value.
    Sysctl {
        /// `net.ipv4.ip_forward`.
        name: String,
        /// Its value, where captured.
        value: Option<i64>,
        /// Where it was read.
        at: Origin,
    },
    /// A route, or the lack of one.
    Route {
        /// Where it was read.
        at: Origin,
    },
    /// A set.
    Set {
        /// Its name.
        name: String,
        /// Where it was read.
        at: Origin,
    },
    /// A virtual service.
    Ipvs {
        /// Index into the services.
        service: usize,
        /// Where it was read.
        at: Origin,
    },
    /// A conntrack entry.
    Conntrack {
        /// Where it was read.
        at: Origin,
    },
    /// An eBPF program at a device.
    Program {
        /// Where it was read.
        at: Origin,
    },
    /// An entry of a map of an eBPF datapath.
    Map {
        /// Where it was read.
        at: Origin,
    },
    /// A captured packet.
    Packet {
        /// Where it was read.
        at: Origin,
    },
    /// An object of Kubernetes.
    Object {
        /// `Service default/ng-svc`.
        name: String,
        /// Where it was read.
        at: Origin,
    },
}

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable code, such as `client-ip-lost`.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub title: String,
    /// What is to blame, the first cause first.
    pub causes: Vec<Cause>,
    /// What to do.
    pub help: Vec<String>,
}

impl Finding {
    /// A finding as grave as its code is; see [`Finding::with_severity`].
    pub(crate) fn new(code: Code, title: String) -> Self {
        Self {
            code,
            severity: code.entry().severity,
            title,
            causes: Vec::new(),
            help: Vec::new(),
        }
    }

    /// The same, but of another severity than its code usually has.
    fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Adds a cause unless it is there.
    pub(crate) fn blame(&mut self, cause: Cause) {
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }

    fn blame_rules(&mut self, hits: impl IntoIterator<Item = Hit>) {
        for h in hits {
            self.blame(Cause::Rule(h));
        }
    }

    pub(crate) fn advise(&mut self, help: impl Into<String>) {
        let help = help.into();
        if !self.help.contains(&help) {
            self.help.push(help);
        }
    }
}

/// What there is to say about a trace, the most useful first: what keeps the packet or its answer from arriving, then what
/// becomes of the client's address, then what is worth knowing.
pub fn explain(node: &Node<'_>, trace: &Trace) -> Vec<Finding> {
    let observed = observed::of_node(node, trace);
    let trace = trace.expected();
    let trace = trace.as_ref();
    let stories: Vec<_> = trace
        .outcomes
        .iter()
        .map(|o| story::story(node, o))
        .collect();
    let case = Case {
        node,
        trace,
        stories: &stories,
    };
    let mut found: Vec<(Rank, Finding)> = Vec::new();
    // Why it came to this stands before what came of it.
    found.extend(clash::findings(&case));
    let leftover = leftover::findings(&case);
    let said = leftover.is_some();
    found.extend(leftover);
    found.extend(hostport::findings(&case));
    found.extend(any_address::findings(&case));
    found.extend(duplicates::findings(&case));
    found.extend(ovn::findings(&case));
    found.extend(neighbour::findings(&case));
    found.extend(vip_source::findings(&case));
    found.extend(drops::findings(&case));
    let unserved = unserved::findings(&case);
    // What becomes of a packet that went astray, and of its answer, is beside the point.
    let astray = unserved.is_some();
    found.extend(unserved);
    if !astray {
        found.extend(answer::findings(&case));
    }
    found.extend(source::findings(&case));
    let known = known::findings(&case);
    // One word of the two rule sets is enough.
    found.extend(
        known
            .into_iter()
            .filter(|(_, f)| !said || f.code != Code::TwoBackends),
    );
    found.extend(foreign::findings(&case));
    found.extend(arp::findings(&case));
    found.extend(ebpf::findings(&case).map(|f| (Rank::Remark, f)));
    found.extend(programs::findings(&case).map(|f| (Rank::Remark, f)));
    found.extend(
        observed
            .iter()
            .flat_map(|o| observed::findings(node, o))
            .map(|f| (Rank::MayFail, f)),
    );
    let stale = stale::findings(&case, &mut found);
    found.extend(stale);
    // Stable: findings of one rank keep the order in which they were made.
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, f)| f).collect()
}

/// What a finding is made from.
struct Case<'c, 'a> {
    node: &'c Node<'a>,
    trace: &'c Trace,
    /// One per outcome.
    stories: &'c [Vec<story::Called>],
}

impl<'c> Case<'c, '_> {
    /// Outcomes with their stories.
    fn outcomes(&self) -> impl Iterator<Item = (&'c crate::trace::Outcome, &'c [story::Called])> {
        self.trace
            .outcomes
            .iter()
            .zip(self.stories.iter().map(Vec::as_slice))
    }
}

/// Order of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It does not arrive, or is not answered.
    Fails,
    /// An existing connection decides, not the rules.
    Stale,
    /// What becomes of the client's address.
    Source,
    /// It may not arrive; that rests on something unknown.
    MayFail,
    /// Worth knowing.
    Remark,
}
