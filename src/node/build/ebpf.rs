//! Maps of eBPF datapaths.

use super::super::{Calico, Cilium, FileId};
use super::Builder;
use nfwhy_parsers::{calico_bpf, cilium};
use std::collections::HashMap;

impl<'a> Builder<'a> {
    pub(super) fn calico(&mut self, files: &[(FileId, &'a str)]) -> Calico {
        let mut out = Calico::default();
        for (file, text) in files {
            let name = self.file_name(*file).to_owned();
            let maps = self.take(*file, calico_bpf::parse(&name, text));
            let with = |x| (x, *file);
            // A map that is captured twice is one map: as text and as bpftool prints it.
            add(&mut out.frontends, maps.frontends, *file, |f| {
                (f.addr, f.port, f.proto, f.src)
            });
            add(&mut out.backends, maps.backends, *file, |b| {
                (b.addr.is_ipv6(), b.id, b.ordinal)
            });
            out.affinities
                .extend(maps.affinities.into_iter().map(|a| (a, *file)));
            add(&mut out.routes, maps.routes, *file, |r| (r.addr, r.len));
            out.flows.extend(maps.flows.into_iter().map(|f| (f, *file)));
            out.modes.extend(maps.modes.into_iter().map(with));
        }
        out.index();
        out
    }

    pub(super) fn cilium(&mut self, files: &[(FileId, &'a str)]) -> Cilium {
        let mut out = Cilium::default();
        let (mut rows, mut states) = (Vec::new(), HashMap::new());
        for (file, text) in files {
            let listing = self.take(*file, cilium::parse(text));
            out.in_part |= !listing.rows.is_empty() && self.in_part.contains(file);
            rows.extend(listing.rows.into_iter().map(|r| (r, *file)));
            let numbers = listing.numbers.iter();
            states.extend(numbers.filter_map(|n| Some(((n.addr, n.port), n.state?))));
            add(&mut out.endpoints, listing.endpoints, *file, |e| e.addr);
            add(&mut out.prefixes, listing.prefixes, *file, |p| p.net);
            out.ranges
                .extend(listing.ranges.into_iter().map(|r| (r, *file)));
            out.settings
                .extend(listing.settings.into_iter().map(|s| (s, *file)));
        }
        out.rows(rows, states);
        out
    }
}

/// Adds what is not there yet.
fn add<T, K: Eq + std::hash::Hash>(
    to: &mut Vec<(T, FileId)>,
    new: Vec<T>,
    file: FileId,
    key: impl Fn(&T) -> K,
) {
    let known: std::collections::HashSet<K> = to.iter().map(|(t, _)| key(t)).collect();
    to.extend(
        new.into_iter()
            .filter(|t| !known.contains(&key(t)))
            .map(|t| (t, file)),
    );
}
