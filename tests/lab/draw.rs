//! Nodes of iptables, each of its seed.

use super::prng::Prng;
use super::spec::{Backend, Spec};
use super::{kube, rules, sets, topology};

/// A node of its seed: its spec, whether its rules keep state, and the rest of the seed's numbers.
pub fn node(seed: u64) -> (Spec, bool, Prng) {
    let mut r = Prng::new(seed);
    let plain = r.chance(20);
    let mut spec = topology::make(&mut r, plain);
    let (set_specs, lines) = sets::make(&mut r);
    spec.sets = lines;
    let stateful = r.chance(14);
    let mood = rules::Mood {
        random: r.chance(25),
        stateful,
        odd: r.chance(22),
        rules: 12 + r.below(30),
    };
    if r.chance(25) {
        let backend = r.one(&[Backend::Legacy, Backend::Nft]);
        for v6 in [false, true] {
            spec.tables.extend(kube::make(&mut r, backend, v6));
        }
        return (spec, false, r);
    }
    spec.tables = rules::make(&mut r, &set_specs, mood);
    (spec, stateful, r)
}
