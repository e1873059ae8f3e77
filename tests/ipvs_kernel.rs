//! IPVS beside a running kernel, in an emulated machine. `packaging/ipvs-lab` gets the pieces. `NFWHY_IPVS_SCENARIOS` and
//! `NFWHY_IPVS_SEED` make the run longer or another, `NFWHY_IPVS_MACHINES` says how many machines run at a time,
//! `NFWHY_IPVS_CASES` how many divergences are told, `NFWHY_IPVS_VERBOSE` asks what was covered, and `NFWHY_IPVS_RECORDS` names
//! a file in which the kernel's side is kept and found again; `NFWHY_LAB=require` fails where it cannot run, `NFWHY_LAB=off` skips.

#![allow(
    clippy::disallowed_methods,
    reason = "a test has a clock, and settings from its environment"
)]

mod ipvs_lab;
#[path = "lab/wanted.rs"]
mod wanted;

use ipvs_lab::judge::{Figures, judge};
use ipvs_lab::record::Record;
use ipvs_lab::scenario::Scenario;
use ipvs_lab::{guest, vm};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wanted::{goes_on, knob, say};

/// The name by which the machine's copy of this program finds its part.
const TEST: &str = "ipvs_nodes_do_as_the_kernel_does";

/// Scenarios of one machine: none of its namespaces is given up, and its memory ends.
const PER_MACHINE: u64 = 80;

/// Boots machines, some side by side, each with its share of the scenarios.
fn records(seed: u64, count: u64) -> Result<Vec<Record>, String> {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get().min(4) as u64);
    let lanes = knob("NFWHY_IPVS_MACHINES", cores).clamp(1, count.max(1));
    let machines = count.div_ceil(PER_MACHINE).max(lanes);
    let work = vm::scratch("all")?;
    let program = vm::program(&work)?;
    let next = AtomicU64::new(0);
    let lane = || {
        let mut out = Vec::new();
        loop {
            let m = next.fetch_add(1, Ordering::Relaxed);
            if m >= machines {
                return Ok::<_, String>(out);
            }
            let share = (count + machines - 1 - m) / machines;
            let work = vm::scratch(&m.to_string())?;
            let limit = Duration::from_secs(120 + 20 * share);
            let records = vm::boot(&work, &program, TEST, (seed + m, share, machines), limit);
            let _ = std::fs::remove_dir_all(&work);
            out.extend(records?);
        }
    };
    let parts = std::thread::scope(|scope| {
        let started: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        started
            .into_iter()
            .map(|t| {
                t.join()
                    .unwrap_or_else(|_| Err("a machine's thread ended".into()))
            })
            .collect::<Result<Vec<_>, String>>()
    });
    let _ = std::fs::remove_dir_all(&work);
    let mut all: Vec<Record> = parts?.into_iter().flatten().collect();
    all.sort_by_key(|r| r.seed);
    Ok(all)
}

#[test]
fn ipvs_nodes_do_as_the_kernel_does() {
    if let Some(to) = std::env::var_os(guest::READ) {
        guest::read(to.as_ref());
        return;
    }
    if let Ok(part) = std::env::var(vm::INSIDE) {
        let n: Vec<u64> = part.split(' ').filter_map(|w| w.parse().ok()).collect();
        let [first, count, step] = n[..] else {
            panic!("{}={part}", vm::INSIDE);
        };
        let port = std::fs::OpenOptions::new().write(true).open(vm::PORT);
        guest::run(
            (0..count).map(|i| first + i * step),
            TEST,
            port.expect("the way out"),
        );
        return;
    }
    if !goes_on(vm::obstacle) {
        return;
    }
    let count = knob("NFWHY_IPVS_SCENARIOS", 16);
    let seed = knob("NFWHY_IPVS_SEED", 1);
    let most = knob("NFWHY_IPVS_CASES", 6);
    let start = Instant::now();
    let kept = std::env::var_os("NFWHY_IPVS_RECORDS").map(std::path::PathBuf::from);
    let records = match kept.as_deref().map(std::fs::read_to_string) {
        Some(Ok(text)) => text
            .lines()
            .map(|l| serde_json::from_str(l).expect("a record"))
            .collect(),
        _ => records(seed, count).unwrap_or_else(|e| panic!("{e}")),
    };
    if let Some(path) = kept.filter(|p| !p.exists()) {
        let lines: Vec<_> = records
            .iter()
            .filter_map(|r: &Record| serde_json::to_string(r).ok())
            .collect();
        std::fs::write(path, lines.join("\n")).expect("the records are kept");
    }
    let machine = start.elapsed().as_secs_f64();
    let mut figures = Figures::default();
    let mut live = ipvs_lab::live::Live::default();
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut shown = 0;
    for record in &records {
        let scenario = Scenario::draw(record.seed);
        for c in &record.complaints {
            say(&format!("seed {}: {c}", record.seed));
        }
        live.hold(&scenario, record);
        let found = judge(&scenario, record, &mut figures);
        let mut note = String::new();
        for d in &found {
            let kind = d.what.first().cloned().unwrap_or_default();
            let kind = kind.split(": -A").next().unwrap_or_default().to_owned();
            let times = kinds.entry(kind).or_insert((0, record.seed));
            times.0 += 1;
            let text = format!(
                "seed {} packet {} {}:\n  {}\n    {}\n",
                record.seed,
                d.probe,
                d.which,
                d.what.join("\n  "),
                d.text
            );
            if times.0 == 1 && shown < most {
                shown += 1;
                say(&text);
            }
            note += &text;
        }
        if !found.is_empty() {
            note += &format!("{scenario:#?}\n");
            vm::keep(record, &note);
        }
    }
    for (kind, (n, seed)) in &kinds {
        say(&format!("{n} x {kind} (first at {seed})"));
    }
    if std::env::var_os("NFWHY_IPVS_VERBOSE").is_some() {
        say(&figures.tally.to_string());
    }
    say(&format!(
        "{} scenarios, {} packets ({} followed), {} rule hits, unknown {}; machines {machine:.1} s, all {:.1} s",
        figures.scenarios,
        figures.packets,
        figures.followed,
        figures.hits,
        figures.unknown,
        start.elapsed().as_secs_f64()
    ));
    say(&live.to_string());
    assert!(live.differing.is_empty(), "read live, the node is another");
    assert!(kinds.is_empty(), "{} kinds of divergences", kinds.len());
    assert_eq!(figures.scenarios, records.len() as u64);
    assert!(figures.scenarios > 0, "nothing was judged");
}
