//! IPVS beside a running kernel, in an emulated machine. `packaging/ipvs-lab` gets the pieces. `NFWHY_IPVS_SCENARIOS` and
//! `NFWHY_IPVS_SEED` make the run longer or another; `NFWHY_LAB=require` fails where it cannot run, `NFWHY_LAB=off` skips.

#![allow(
    clippy::disallowed_methods,
    reason = "a test has a clock, and settings from its environment"
)]

mod ipvs_lab;

use ipvs_lab::judge::{Figures, judge};
use ipvs_lab::record::Record;
use ipvs_lab::scenario::Scenario;
use ipvs_lab::{guest, vm};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

/// The name by which the machine's copy of this program finds its part.
const TEST: &str = "ipvs_nodes_do_as_the_kernel_does";

fn knob(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(otherwise)
}

/// Past the test harness's capture.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Boots machines side by side, each with its share of the scenarios.
fn records(seed: u64, count: u64) -> Result<Vec<Record>, String> {
    let machines = std::thread::available_parallelism()
        .map_or(1, |n| n.get().min(4) as u64)
        .min(count.max(1));
    let work = vm::scratch("all")?;
    let program = vm::program(&work)?;
    let limit = Duration::from_secs(120 + 20 * count.div_ceil(machines));
    let parts = std::thread::scope(|scope| {
        let started: Vec<_> = (0..machines)
            .map(|m| {
                let program = &program;
                scope.spawn(move || {
                    let share = (count + machines - 1 - m) / machines;
                    let work = vm::scratch(&m.to_string())?;
                    let out = vm::boot(&work, program, TEST, (seed + m, share, machines), limit);
                    let _ = std::fs::remove_dir_all(&work);
                    out
                })
            })
            .collect();
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
    if let Ok(part) = std::env::var(vm::INSIDE) {
        let n: Vec<u64> = part.split(' ').filter_map(|w| w.parse().ok()).collect();
        let [first, count, step] = n[..] else {
            panic!("{}={part}", vm::INSIDE);
        };
        let port = std::fs::OpenOptions::new().write(true).open(vm::PORT);
        guest::run(
            (0..count).map(|i| first + i * step),
            port.expect("the way out"),
        );
        return;
    }
    let lab = std::env::var("NFWHY_LAB").unwrap_or_default();
    let obstacle = if lab == "off" {
        Some("NFWHY_LAB=off".into())
    } else {
        vm::obstacle()
    };
    if let Some(why) = obstacle {
        assert!(lab != "require", "the IPVS lab cannot run: {why}");
        say(&format!("skipped: {why}"));
        return;
    }
    let count = knob("NFWHY_IPVS_SCENARIOS", 36);
    let seed = knob("NFWHY_IPVS_SEED", 1);
    let most = knob("NFWHY_IPVS_CASES", 6);
    let start = Instant::now();
    let records = records(seed, count).unwrap_or_else(|e| panic!("{e}"));
    let machine = start.elapsed().as_secs_f64();
    let mut figures = Figures::default();
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut shown = 0;
    for record in &records {
        let scenario = Scenario::draw(record.seed);
        for c in &record.complaints {
            say(&format!("seed {}: {c}", record.seed));
        }
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
    say(&format!(
        "{} scenarios, {} packets ({} followed), {} rule hits, unknown {}, {:?}, {:?}; machines {machine:.1} s, all {:.1} s",
        figures.scenarios,
        figures.packets,
        figures.followed,
        figures.hits,
        figures.unknown,
        figures.verdicts,
        figures.methods,
        start.elapsed().as_secs_f64()
    ));
    assert!(kinds.is_empty(), "{} kinds of divergences", kinds.len());
    assert_eq!(figures.scenarios, count);
}
