//! The smallest node that still shows a divergence, and its folder.

use nfwhy::node::Node;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::case::{Case, Divergence};
use super::figures::Figures;
use super::judge::kernel_verdict;
use super::netns::DEVICES;
use super::probe::{From, Probe};
use super::spec::Spec;

/// Where minimal cases go.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap_or(Path::new("target"))
        .join("lab-cases")
}

/// Whether the node still shows a divergence for the packet.
pub fn diverges(spec: &Spec, fresh: bool, p: &Probe, followed: bool) -> Option<(Case, Divergence)> {
    let mut case = Case::new(spec, fresh).ok()?;
    let snapshot = case.snapshot.clone();
    let node = Node::new(&snapshot);
    let mut f = Figures::default();
    let d = if followed {
        case.follow(&node, p, &mut f)?
    } else {
        case.judge(&node, std::slice::from_ref(p), &mut f).pop()?
    };
    Some((case, d))
}

/// How many droppable lines a node has.
fn size(s: &Spec) -> usize {
    s.sysctls.len()
        + s.ip.len()
        + s.ip6.len()
        + s.sets.len()
        + s.tables.iter().map(|t| t.rules.len()).sum::<usize>()
        + s.native
            .iter()
            .map(|t| t.rules.len() + t.sets.iter().map(|x| x.elements.len()).sum::<usize>())
            .sum::<usize>()
}

/// The node without the lines `from..to`, counted through all its lists.
fn without(s: &Spec, from: usize, to: usize) -> Spec {
    let mut s = s.clone();
    let mut at = 0;
    let mut keep = || {
        at += 1;
        !(from < at && at <= to)
    };
    for t in &mut s.tables {
        t.rules.retain(|_| keep());
    }
    for t in &mut s.native {
        t.rules.retain(|_| keep());
        for set in &mut t.sets {
            set.elements.retain(|_| keep());
        }
    }
    s.sets.retain(|_| keep());
    s.sysctls.retain(|_| keep());
    s.ip.retain(|_| keep());
    s.ip6.retain(|_| keep());
    s
}

/// Drops whatever is not needed, in halves, quarters, ... single lines.
pub fn shrink(spec: &Spec, fresh: bool, p: &Probe, followed: bool) -> Option<(Case, Divergence)> {
    let (mut best, mut d) = diverges(spec, fresh, p, followed)?;
    let mut step = size(&best.spec).div_ceil(2);
    while step > 0 {
        let mut at = 0;
        while at < size(&best.spec) {
            let smaller = without(&best.spec, at, at + step);
            match diverges(&smaller, fresh, p, followed) {
                Some(found) => (best, d) = found,
                None => at += step,
            }
        }
        step /= 2;
    }
    Some(tidy(best, d, fresh, p, followed))
}

/// Drops tables, policies and chains that no rule needs.
fn tidy(best: Case, d: Divergence, fresh: bool, p: &Probe, followed: bool) -> (Case, Divergence) {
    let (mut best, mut d) = (best, d);
    // Tables without a rule.
    for i in (0..best.spec.tables.len()).rev() {
        let mut smaller = best.spec.clone();
        let t = &smaller.tables[i];
        if t.rules.is_empty() {
            smaller.tables.remove(i);
            if let Some(found) = diverges(&smaller, fresh, p, followed) {
                (best, d) = found;
            }
        }
    }
    tidy_native(&mut best, &mut d, fresh, p, followed);
    // Policies, and chains that no rule names any more.
    for i in 0..best.spec.tables.len() {
        for drop_policy in [true, false] {
            let mut smaller = best.spec.clone();
            let t = &mut smaller.tables[i];
            if drop_policy {
                for c in t.chains.iter_mut().filter(|c| c.1.is_some()) {
                    c.1 = Some("ACCEPT");
                }
            } else {
                let rules = t.rules.clone();
                t.chains.retain(|(c, policy)| {
                    policy.is_some()
                        || rules
                            .iter()
                            .any(|r| r.chain == *c || r.text.ends_with(&format!(" {c}")))
                });
            }
            if let Some(found) = diverges(&smaller, fresh, p, followed) {
                (best, d) = found;
            }
        }
    }
    (best, d)
}

/// Drops native tables, sets and chains that nothing needs.
fn tidy_native(best: &mut Case, d: &mut Divergence, fresh: bool, p: &Probe, followed: bool) {
    for t in (0..best.spec.native.len()).rev() {
        let mut tries: Vec<Spec> = Vec::new();
        let mut s = best.spec.clone();
        s.native.remove(t);
        tries.push(s);
        let table = &best.spec.native[t];
        for i in (0..table.sets.len()).rev() {
            let name = table.sets[i].head.split(' ').nth(1).unwrap_or_default();
            if !table
                .rules
                .iter()
                .any(|r| r.text.contains(&format!("@{name}")))
            {
                let mut s = best.spec.clone();
                s.native[t]
                    .sets
                    .retain(|x| !x.head.ends_with(&format!(" {name}")));
                tries.push(s);
            }
        }
        for (chain, _) in table.chains.iter().rev() {
            let used = |text: &str| {
                text.contains(&format!("jump {chain}")) || text.contains(&format!("goto {chain}"))
            };
            let named = table
                .rules
                .iter()
                .any(|r| r.chain == *chain || used(&r.text))
                || table
                    .sets
                    .iter()
                    .any(|x| x.elements.iter().any(|e| used(e)));
            if !named {
                let mut s = best.spec.clone();
                s.native[t].chains.retain(|(c, _)| c != chain);
                tries.push(s);
            }
        }
        // One after the other: what one drops stays dropped in the next.
        let first = best.spec.clone();
        for one in tries {
            let Some(mine) = one
                .native
                .get(t)
                .filter(|_| one.native.len() == first.native.len())
            else {
                if let Some(found) = diverges(&one, fresh, p, followed) {
                    (*best, *d) = found;
                    break;
                }
                continue;
            };
            let mut s = best.spec.clone();
            s.native[t]
                .sets
                .retain(|x| mine.sets.iter().any(|y| y.head == x.head));
            s.native[t].chains.retain(|x| mine.chains.contains(x));
            if let Some(found) = diverges(&s, fresh, p, followed) {
                (*best, *d) = found;
            }
        }
    }
}

/// Writes the case as a snapshot folder, with what the kernel did.
pub fn write(case: &Case, d: &Divergence, name: &str) -> PathBuf {
    let dir = folder().join(name);
    let _ = std::fs::create_dir_all(&dir);
    for (file, text) in &case.files {
        let _ = std::fs::write(dir.join(file), text);
    }
    let mut t = String::new();
    let w = &d.probe.wire;
    let _ = writeln!(t, "[[flow]]\nname = \"{name}\"\nkernel = \"{}\"", release());
    for line in &d.what {
        let _ = writeln!(t, "# {line}");
    }
    for (k, n) in &d.counted {
        let _ = writeln!(
            t,
            "# the kernel counted {n}: {:?} {} {}:{}",
            k.0,
            k.1,
            k.2,
            k.3 + 1
        );
    }
    let mut packet = format!("dst = \"{}\", proto = \"{}\"", w.dst, w.proto);
    match d.probe.from {
        From::Device { dev, .. } => {
            let _ = write!(packet, ", src = \"{}\", iif = \"{}\"", w.src, DEVICES[dev]);
        }
        From::Local { mark, bound, .. } => {
            let _ = write!(packet, ", origin = \"local\", mark = {mark}");
            if bound {
                let _ = write!(packet, ", src = \"{}\"", w.src);
            }
        }
    }
    if w.dport != 0 {
        let _ = write!(packet, ", sport = {}, dport = {}", w.sport, w.dport);
    }
    let _ = write!(
        packet,
        ", tos = {}, ttl = {}, length = {}",
        w.tos,
        w.ttl,
        w.length()
    );
    let _ = writeln!(t, "packet = {{ {packet} }}");
    let _ = writeln!(
        t,
        "expect = {{ verdict = \"{}\" }}",
        kernel_verdict(&d.probe, &d.seen)
    );
    let _ = std::fs::write(dir.join("flows.toml"), t);
    dir
}

fn release() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
