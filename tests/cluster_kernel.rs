//! Packets through several nodes beside the running kernel: nodes in network namespaces, linked by a bridge and a VXLAN, random rules on each.
//! `NFWHY_CLUSTERS` and `NFWHY_CLUSTER_PACKETS` (per cluster) make the run longer; the other knobs are those of tests/kernel.rs.

#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]

mod cluster_lab;
#[allow(
    dead_code,
    clippy::duplicate_mod,
    reason = "only its machine is of use here; it has its own names for what the labs share"
)]
mod ipvs_lab;
#[allow(dead_code, reason = "one node alone is judged in tests/kernel.rs")]
mod lab;

use cluster_lab::draw::Tunnel;
use cluster_lab::{Figures, Made};
use lab::prng::Prng;
use lab::run::nodes;
use lab::wanted::{goes_on, knob, say};
use lab::{netns, sh};

const TOOLS: [&[&str]; 6] = [
    &["iptables-legacy-save", "-V"],
    &["iptables-nft-save", "-V"],
    &["ipset", "-v"],
    &["nft", "-v"],
    &["bridge", "-V"],
    &["ip", "-V"],
];

/// Why the lab cannot run here.
fn obstacle() -> Option<String> {
    if !nix::unistd::Uid::effective().is_root() {
        return Some("only root makes such networks".into());
    }
    netns::obstacle().or_else(|| sh::missing(&TOOLS))
}

/// Judges the cluster of a seed.
fn judge(seed: u64, packets: u16, tunnel: Tunnel) -> (Vec<String>, Figures) {
    let mut f = Figures::default();
    let mut r = Prng::new(seed);
    let count = 2 + r.below(2);
    let made = Made::new(&mut r, count, tunnel, &mut f);
    let found = made.judge(&mut r, packets, &mut f);
    let found = found
        .into_iter()
        .map(|d| format!("seed {seed}: {d}"))
        .collect();
    (found, f)
}

#[test]
fn packets_through_several_nodes_go_as_on_this_kernel() {
    if !goes_on(obstacle) {
        return;
    }
    compare(Tunnel::Vxlan, knob("NFWHY_CLUSTERS", 4));
}

/// Compares clusters with this kernel; no packet may go otherwise.
fn compare(tunnel: Tunnel, clusters: u64) {
    let packets = u16::try_from(knob("NFWHY_CLUSTER_PACKETS", 60)).unwrap_or(60);
    let mut all = Figures::default();
    let mut bad: Vec<String> = Vec::new();
    nodes(
        clusters,
        |seed| judge(seed, packets, tunnel),
        |(found, f)| {
            all += f;
            for d in &found {
                if bad.len() < 5 || knob("NFWHY_LAB_VERBOSE", 0) != 0 {
                    say(d);
                }
            }
            bad.extend(found);
        },
    );
    say(&format!("{all:?}\n{} divergences", bad.len()));
    assert!(all.arrived > 0, "nothing arrived");
    assert!(bad.is_empty(), "{} divergences", bad.len());
}

/// Set inside of the machine.
const INSIDE: &str = "NFWHY_CLUSTER_INSIDE";

/// The same with IP-in-IP, in an emulator: its kernel has the module. `NFWHY_CLUSTERS_IPIP` is the number of clusters.
#[test]
fn packets_through_ipip_go_as_on_a_kernel_that_has_it() {
    let clusters = knob("NFWHY_CLUSTERS_IPIP", 0);
    if std::env::var(INSIDE).is_ok() {
        compare(Tunnel::Ipip, clusters);
        return;
    }
    if clusters == 0 {
        say("skipped: NFWHY_CLUSTERS_IPIP is not set");
        return;
    }
    if !goes_on(ipvs_lab::vm::obstacle) {
        return;
    }
    let work = ipvs_lab::vm::scratch("cluster").expect("a folder");
    let program = ipvs_lab::vm::program(&work).expect("this program");
    let job = format!(
        "modprobe -a ipip veth bridge ip_tables nf_tables\nNFWHY_CLUSTERS_IPIP={clusters} NFWHY_CLUSTER_PACKETS={} NFWHY_LAB_SEED={} NFWHY_LAB_THREADS=1 {INSIDE}=1 /lab/program --exact packets_through_ipip_go_as_on_a_kernel_that_has_it --nocapture --test-threads=1 </dev/null\n",
        knob("NFWHY_CLUSTER_PACKETS", 60),
        knob("NFWHY_LAB_SEED", 1),
    );
    let limit = std::time::Duration::from_secs(120 + 60 * clusters);
    let (_, said) = ipvs_lab::vm::run(&work, &program, &job, limit).expect("a machine");
    let _ = std::fs::remove_dir_all(&work);
    say(&said);
    assert!(
        said.contains("\n0 divergences"),
        "the machine says otherwise"
    );
}
