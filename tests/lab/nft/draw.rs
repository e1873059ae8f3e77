//! A node of its seed.

use super::super::kube as iptables_kube;
use super::super::prng::Prng;
use super::super::spec::{Backend, Spec};
use super::super::{rules, sets, topology};

/// A node with rule sets of nft, alone or beside those of iptables.
pub fn node(seed: u64) -> (Spec, bool, Prng) {
    let mut r = Prng::new(seed);
    let plain = r.chance(30);
    let mut spec = topology::make(&mut r, plain);
    spec.json = r.chance(50);
    let fresh = r.chance(12);
    let mut mood = rules::Mood {
        random: r.chance(30),
        stateful: fresh,
        odd: r.chance(15),
        rules: 12 + r.below(30),
    };
    if r.chance(25) {
        for v6 in [false, true] {
            let affinity = fresh;
            spec.native.push(super::kube::make(&mut r, v6, affinity));
        }
        if r.chance(50) {
            mood.random = false;
            mood.rules = 10;
            spec.native.extend(super::tables::make(&mut r, mood));
        }
    } else {
        spec.native = super::tables::make(&mut r, mood);
    }
    match r.below(10) {
        0..3 => {
            let (set_specs, lines) = sets::make(&mut r);
            spec.sets = lines;
            spec.tables = rules::make(&mut r, &set_specs, mood);
        }
        3 => {
            let backend = r.one(&[Backend::Legacy, Backend::Nft]);
            for v6 in [false, true] {
                spec.tables.extend(iptables_kube::make(&mut r, backend, v6));
            }
        }
        _ => {}
    }
    (spec, fresh, r)
}
