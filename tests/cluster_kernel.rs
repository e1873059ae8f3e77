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

use cluster_lab::Made;
use cluster_lab::draw::Kind;
use cluster_lab::figures::Figures;
use cluster_lab::tunnel::Tunnel;
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

/// Which clusters are made.
#[derive(Clone, Copy)]
enum Of {
    /// VXLAN, over IPv4 and over IPv6.
    Vxlan,
    Ipip,
    /// Other tunnels whose modules the emulator's kernel has.
    Modules,
}

impl Of {
    fn kind(self, r: &mut Prng) -> Kind {
        let (tunnel, dual) = match self {
            Self::Vxlan => {
                let dual = r.chance(65);
                let over6 = dual && r.chance(35);
                let tunnel = if over6 { Tunnel::Vxlan6 } else { Tunnel::Vxlan };
                (tunnel, dual)
            }
            Self::Ipip => (Tunnel::Ipip, r.chance(25)),
            Self::Modules => {
                let tunnel = Tunnel::by_module(r);
                let needs6 = tunnel.over6() || tunnel.carries(true);
                (tunnel, needs6 || r.chance(25))
            }
        };
        let count = if tunnel.is_pair() { 2 } else { 2 + r.below(2) };
        Kind {
            count,
            tunnel,
            dual,
        }
    }
}

/// Judges the cluster of a seed.
fn judge(seed: u64, packets: u16, of: Of) -> (Vec<String>, Figures) {
    let mut f = Figures::default();
    let mut r = Prng::new(seed);
    let kind = of.kind(&mut r);
    let made = Made::new(&mut r, kind, &mut f);
    let found = made.judge(&mut r, packets, &mut f);
    let found = found
        .into_iter()
        .map(|d| format!("seed {seed} {kind:?}: {d}"))
        .collect();
    (found, f)
}

#[test]
fn packets_through_several_nodes_go_as_on_this_kernel() {
    if !goes_on(obstacle) {
        return;
    }
    compare(Of::Vxlan, knob("NFWHY_CLUSTERS", 4));
}

/// Compares clusters with this kernel; no packet may go otherwise.
fn compare(of: Of, clusters: u64) {
    let packets = u16::try_from(knob("NFWHY_CLUSTER_PACKETS", 60)).unwrap_or(60);
    let mut all = Figures::default();
    let mut bad: Vec<String> = Vec::new();
    nodes(
        clusters,
        |seed| judge(seed, packets, of),
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
    in_a_machine(
        "packets_through_ipip_go_as_on_a_kernel_that_has_it",
        "NFWHY_CLUSTERS_IPIP",
        Of::Ipip,
    );
}

/// And with GRE, 6in4 and tunnels over IPv6. `NFWHY_CLUSTERS_TUNNELS` is the number of clusters.
#[test]
fn packets_through_gre_sit_and_ip6tnl_go_as_on_a_kernel_that_has_them() {
    in_a_machine(
        "packets_through_gre_sit_and_ip6tnl_go_as_on_a_kernel_that_has_them",
        "NFWHY_CLUSTERS_TUNNELS",
        Of::Modules,
    );
}

/// Compares as many clusters as a variable of the environment says, with the kernel of an emulated machine.
fn in_a_machine(test: &str, variable: &str, of: Of) {
    let clusters = knob(variable, 0);
    if std::env::var(INSIDE).is_ok() {
        compare(of, clusters);
        return;
    }
    if clusters == 0 {
        say(&format!("skipped: {variable} is not set"));
        return;
    }
    if !goes_on(ipvs_lab::vm::obstacle) {
        return;
    }
    let work = ipvs_lab::vm::scratch(variable).expect("a folder");
    let program = ipvs_lab::vm::program(&work).expect("this program");
    let job = format!(
        "modprobe -a ipip ip_gre sit ip6_tunnel veth bridge ip_tables ip6_tables nf_tables\n{variable}={clusters} NFWHY_CLUSTER_PACKETS={} NFWHY_LAB_SEED={} NFWHY_LAB_NODE={} NFWHY_LAB_VERBOSE={} NFWHY_LAB_THREADS=1 {INSIDE}=1 /lab/program --exact {test} --nocapture --test-threads=1 </dev/null\n",
        knob("NFWHY_CLUSTER_PACKETS", 60),
        knob("NFWHY_LAB_SEED", 1),
        knob("NFWHY_LAB_NODE", 0),
        knob("NFWHY_LAB_VERBOSE", 0),
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
