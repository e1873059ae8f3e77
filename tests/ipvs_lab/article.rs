//! The node of the captured cluster with kube-proxy 1.19 and Calico (snapshots/ipvs-etp-cluster), with the lab's addresses and
//! Services in it: Calico's chains around kube-proxy's, endpoint marks between INPUT and OUTPUT.

use std::fmt::Write;

use super::counting::counting;
use super::places::Places;
use super::prng::Prng;

const RULES: &str = include_str!("../../snapshots/ipvs-etp-cluster/iptables-save.txt");
const SETS: &str = include_str!("../../snapshots/ipvs-etp-cluster/ipset.txt");

/// Addresses and devices of the capture, as they are called here.
const NAMES: [(&str, &str); 6] = [
    ("calicaca1cdbf39", "cali1"),
    ("calibd9f8a0c5e7", "cali2"),
    ("10.233.64.0/18", "10.200.0.0/16"),
    ("10.233.98.0", "10.200.98.0"),
    ("10.10.1.", "10.20.1."),
    ("10.10.4.", "10.20.4."),
];

fn renamed(line: &str) -> String {
    NAMES
        .iter()
        .fold(line.to_owned(), |l, (from, to)| l.replace(from, to))
}

/// Calico's sets.
pub fn sets() -> Vec<String> {
    SETS.lines()
        .filter(|l| l.contains(" cali40"))
        .map(renamed)
        .collect()
}

/// The rules, in half of the cases some of them left out, with rules that only count at the end of the chains.
pub fn rules(r: &mut Prng, p: &Places) -> String {
    let left_out = if r.chance(50) { 4 } else { 0 };
    let mut out = String::new();
    let mut hooks: &[&str] = &[];
    for line in RULES.lines() {
        match line {
            "*raw" => hooks = &["PREROUTING", "OUTPUT"],
            "*filter" => hooks = &["INPUT", "FORWARD", "OUTPUT"],
            "*nat" => hooks = &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
            "*mangle" => hooks = &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
            _ => {}
        }
        if line == "COMMIT" {
            let more = counting(r, p, hooks);
            out += &if hooks.len() == 2 {
                more.replace("-m conntrack --ctstate NEW\n", "-p icmp\n")
            } else {
                more
            };
        }
        if line.starts_with("-A ") && r.chance(left_out) {
            continue;
        }
        let _ = writeln!(out, "{}", renamed(line));
    }
    out
}
