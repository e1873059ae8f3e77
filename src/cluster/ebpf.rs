//! Who of the nodes sees what of a connection through Calico's eBPF datapath: the node that the client asks, and those of the backends.

use super::findings::Found;
use super::journey::Journey;
use super::{Cluster, End, Hop, Way};
use crate::explain::names::{self, endpoint};
use crate::explain::{Cause, Code, Fate, Finding};
use crate::trace::{Back, Outcome, Trace};

/// A way of a packet that one node forwarded to another in Calico's own VXLAN, and whether its answer passed the first again.
struct Forwarded {
    asked: usize,
    backend: usize,
    /// Whether an answer passes the asked node again.
    returns: bool,
    /// Whether one does not.
    bypasses: bool,
}

impl Cluster<'_> {
    fn forwarded(&self, j: &Journey) -> Option<Forwarded> {
        let served = |h: &&Hop| {
            h.outcome()
                .is_some_and(|o| o.served.is_some_and(|s| s.node.is_some()))
        };
        let asked = j.way.hops.iter().find(served)?.place;
        let backend = self.node_of(j.way.last()?.place);
        let back = j.back.as_ref()?;
        if back.fate == Fate::Unknown || backend == asked {
            return None;
        }
        let ways = || back.way.iter().chain(&back.also);
        let passes = |w: &Way| w.hops.iter().any(|h| h.place == asked);
        Some(Forwarded {
            asked,
            backend,
            returns: ways().any(passes),
            bypasses: ways().any(|w| !passes(w)),
        })
    }

    /// The node of a place, which may be a pod's namespace.
    fn node_of(&self, place: usize) -> usize {
        let within = self.places.get(place).and_then(|p| p.within);
        within.unwrap_or(place)
    }

    /// In words what becomes of an answer that the client gets, where Calico forwarded the request.
    pub(super) fn who_answers(&self, j: &Journey) -> Option<String> {
        let f = self.forwarded(j)?;
        let (asked, backend) = (self.name(f.asked), self.name(f.backend));
        match (f.returns, f.bypasses) {
            (true, false) => Some(format!("from {backend} back through {asked}")),
            (false, true) => Some(format!("straight from {backend}, not through {asked}")),
            (true, true) => Some(format!(
                "from {backend} back through {asked}, or straight if bpfExternalServiceMode is DSR"
            )),
            (false, false) => None,
        }
    }

    /// The one sentence: who sees requests, and who sees answers. And where the nodes' modes differ, that they do.
    pub(super) fn datapath(&self, first: &Trace, journeys: &[Journey]) -> Vec<Found> {
        let all: Vec<Forwarded> = journeys.iter().filter_map(|j| self.forwarded(j)).collect();
        let Some(asked) = all.first().map(|f| f.asked) else {
            return Vec::new();
        };
        let nodes = |of: &dyn Fn(&Forwarded) -> bool| {
            let mut list: Vec<&str> = Vec::new();
            for f in all.iter().filter(|f| of(f)) {
                let name = self.name(f.backend);
                if !list.contains(&name) {
                    list.push(name);
                }
            }
            list
        };
        let (direct, through) = (nodes(&|f| f.bypasses), nodes(&|f| f.returns));
        let to = endpoint(first.packet.dst, first.packet.dport);
        let name = self.name(asked);
        let who = if self.announcer(first.packet.dst) == Some(asked) {
            format!("{name}, which answers for {},", first.packet.dst)
        } else {
            name.to_owned()
        };
        let list = |l: &[&str]| {
            let owned: Vec<String> = l.iter().map(|n| (*n).to_owned()).collect();
            names::list(&owned, 4)
        };
        let verb = |l: &[&str], one: &'static str, more: &'static str| {
            if l.len() == 1 { one } else { more }
        };
        // Other answers pass the asked node, or may.
        let others = journeys.iter().any(|j| match j.way.end {
            End::Unknown(_) => true,
            _ => j.arrives() && j.way.last().is_some_and(|h| self.node_of(h.place) == asked),
        });
        let (code, title) = match (direct.as_slice(), through.as_slice()) {
            ([], []) => return Vec::new(),
            (d, []) if others => (
                Code::EbpfDsr,
                format!(
                    "{who} sees all requests and none of the answers of {0}: {0} {1} the client directly (Calico DSR), with source {to}",
                    list(d),
                    verb(d, "answers", "answer"),
                ),
            ),
            (d, []) => (
                Code::EbpfDsr,
                format!(
                    "{who} sees only requests: {} {} the client directly (Calico DSR), with source {to}, so no answer passes {name}",
                    list(d),
                    verb(d, "answers", "answer"),
                ),
            ),
            ([], t) => (
                Code::EbpfDecides,
                format!(
                    "{who} sees requests and answers: {} {} through the tunnel (Calico's mode Tunnel), and {name} sends them to the client with source {to}",
                    list(t),
                    verb(t, "answers", "answer"),
                ),
            ),
            // A node of both: which mode is not known.
            (d, t) if d.iter().any(|n| t.contains(n)) => (
                Code::EbpfDsr,
                format!(
                    "if bpfExternalServiceMode is DSR, {who} sees only requests: {} {} the client directly, with source {to}; if it is Tunnel, the default, answers come back through {name}",
                    list(d),
                    verb(d, "answers", "answer"),
                ),
            ),
            (d, t) => (
                Code::EbpfDsr,
                format!(
                    "{who} sees all requests and some of the answers: {} {} the client directly (Calico DSR), with source {to}; {} {} through {name} (mode Tunnel)",
                    list(d),
                    verb(d, "answers", "answer"),
                    list(t),
                    verb(t, "answers", "answer"),
                ),
            ),
        };
        let mut f = Finding::new(code, title);
        let mut at = asked;
        // The mode of the backend's node decides.
        for x in &all {
            let Some(p) = self.places.get(x.backend) else {
                continue;
            };
            if let Some(mode) = p.node.calico.answers() {
                at = x.backend;
                f.blame(Cause::Map { at: mode.at });
                break;
            }
        }
        if code == Code::EbpfDsr {
            f.advise("count the traffic where the backends are: their answers never pass the node that the client asks");
        }
        let mut out = vec![(at, f)];
        out.extend(self.modes_differ(asked, &all));
        out
    }

    /// `CALI_F_DSR` is a flag of each node's own programs. The backend's decides how it answers; the asked node's decides how long it keeps
    /// a connection of which it sees one half (`CALI_CT_FLAG_DSR_FWD`; `entryDone` in felix/bpf/conntrack/cleanup.go).
    fn modes_differ(&self, asked: usize, all: &[Forwarded]) -> Option<Found> {
        let mode = |place: usize| self.places.get(place)?.node.calico.answers();
        let own = mode(asked)?;
        let (other, theirs) = all.iter().find_map(|f| {
            let m = mode(f.backend)?;
            let unlike = if own.dsr { f.returns } else { f.bypasses };
            (m.dsr != own.dsr && unlike).then_some((f.backend, m))
        })?;
        let (name, far) = (self.name(asked), self.name(other));
        let title = if theirs.dsr {
            format!(
                "{name} is set to Tunnel and {far} to DSR: {far} answers the client directly, and {name}, which waits for the answers, forgets each connection soon after its last request (bpfConntrackTimeouts.tcpSynSent, 20 seconds by default)"
            )
        } else {
            format!(
                "{name} is set to DSR and {far} to Tunnel: {far} sends its answers back through {name}, which passes them on"
            )
        };
        let mut f = Finding::new(Code::EbpfModesDiffer, title);
        f.blame(Cause::Map { at: theirs.at });
        f.advise("bpfExternalServiceMode is to be the same on all nodes: see FelixConfigurations named node.NAME, and FELIX_BPFEXTERNALSERVICEMODE in calico-node's environment");
        Some((other, f))
    }
}

/// A node that forwards a request in VXLAN chooses a backend for the sake of its node, which chooses anew: one outcome for each node.
pub(super) fn one_per_node(all: Vec<Outcome>) -> Vec<Outcome> {
    let mut out: Vec<Outcome> = Vec::with_capacity(all.len());
    for o in all {
        let node = |o: &Outcome| o.calico.as_ref().filter(|c| c.forwarded)?.node;
        let same = |other: &&mut Outcome| {
            node(&o).is_some() && node(other) == node(&o) && other.assumptions == o.assumptions
        };
        match out.iter_mut().find(same) {
            Some(other) => {
                other.probability = other.probability.zip(o.probability).map(|(a, b)| a + b);
            }
            None => out.push(o),
        }
    }
    out
}

impl Journey {
    /// Whether an eBPF datapath translated what a process of the first place connects to; the wire then shows the backend's address.
    pub(super) fn connected(&self) -> bool {
        let first = self.way.hops.first();
        first.is_some_and(|h| {
            h.trace.packet.origin == crate::trace::Origin::Local
                && h.outcome()
                    .and_then(|o| o.served)
                    .is_some_and(|s| s.answer == Back::Here)
        })
    }
}
