//! Findings: what happened, whose rule or setting it was, what to change.

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
}

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable code, such as `client-ip-lost`.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One sentence.
    pub title: String,
    /// What is to blame, the first cause first.
    pub causes: Vec<Cause>,
    /// What to do.
    pub help: Vec<String>,
}

/// What there is to say about a trace, the most useful first.
pub fn explain(node: &Node<'_>, trace: &Trace) -> Vec<Finding> {
    let _ = (node, trace);
    Vec::new()
}
