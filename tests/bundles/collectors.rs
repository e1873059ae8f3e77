//! The layouts of collectors, by the names they use.

use super::packed::{gz, xz};
use super::{CASES, Packed, answer, fails, nfwhy, plain, snapshot};
use std::fs;

/// Which file of a snapshot goes where. What a collector does not gather is not in its list.
type Layout = &'static [(&'static str, &'static str)];

/// sos/report/plugins: networking.py, ipvs.py, kernel.py; the rules as namespaces' are saved, and as older plugins named them.
const SOS: Layout = &[
    ("ip-addr.txt", "sos_commands/networking/ip_-d_address"),
    (
        "ip-route.txt",
        "sos_commands/networking/ip_route_show_table_all",
    ),
    ("ip-rule.txt", "sos_commands/networking/ip_-4_rule_list"),
    ("ip6-rule.txt", "sos_commands/networking/ip_-6_rule_list"),
    (
        "ip-neigh.txt",
        "sos_commands/networking/ip_-s_-s_neigh_show",
    ),
    (
        "iptables-save.txt",
        "sos_commands/firewall_tables/iptables-save",
    ),
    (
        "ip6tables-save.txt",
        "sos_commands/firewall_tables/ip6tables-save",
    ),
    ("ipset.txt", "sos_commands/networking/ipset_save"),
    ("ipvsadm.txt", "sos_commands/ipvs/ipvsadm_-Ln"),
    ("sysctl.txt", "sos_commands/kernel/sysctl_-a"),
];

/// `calicoctl node diags`: calicoctl/commands/node/diags.go. It takes neither rules of routing nor settings nor IPVS; those are put
/// beside, as a person would.
const CALICO: Layout = &[
    ("ip-addr.txt", "diagnostics/ipv4_addr"),
    ("ip-route.txt", "diagnostics/ipv4_route"),
    ("iptables-save.txt", "diagnostics/ipv4_tables"),
    ("ip6tables-save.txt", "diagnostics/ipv6_tables"),
    ("ipset.txt", "diagnostics/ipsets"),
    ("ip-rule.txt", "diagnostics/ipv4_rule"),
    ("ip6-rule.txt", "diagnostics/ipv6_rule"),
    ("ip-neigh.txt", "diagnostics/neigh"),
    ("sysctl.txt", "diagnostics/sysctl"),
    ("ipvsadm.txt", "diagnostics/ipvsadm"),
];

/// Rancher's collector for RKE, RKE2 and K3s: `rancher2_logs_collector.sh` of rancherlabs/support-tools.
const RANCHER: Layout = &[
    ("ip-addr.txt", "networking/ipaddrshow"),
    ("ip-route.txt", "networking/iproute"),
    ("ip-rule.txt", "networking/iprule"),
    ("ip6-rule.txt", "networking/ipv6rule"),
    ("ip-neigh.txt", "networking/ipneighbour"),
    ("iptables-save.txt", "networking/iptablessave"),
    ("ip6tables-save.txt", "networking/ip6tablessave"),
    ("ipvsadm.txt", "networking/ipvsadm"),
    ("ipset.txt", "networking/ipset"),
    ("sysctl.txt", "systeminfo/sysctla"),
];

/// The collector of EKS: log-collector-script/linux/eks-log-collector.sh of awslabs/amazon-eks-ami.
const EKS: Layout = &[
    ("ip-addr.txt", "networking/ipaddr.txt"),
    ("ip-route.txt", "networking/iproute.txt"),
    ("ip-rule.txt", "networking/iprule.txt"),
    ("ip6-rule.txt", "networking/ip6rule.txt"),
    ("ip-neigh.txt", "networking/ipneigh.txt"),
    ("iptables-save.txt", "networking/iptables-save.txt"),
    ("ip6tables-save.txt", "networking/ip6tables-save.txt"),
    ("ipvsadm.txt", "networking/ipvsadm.txt"),
    ("ipset.txt", "networking/ipset.txt"),
    ("sysctl.txt", "sysctls/sysctl_all.txt"),
];

fn laid_out(name: &str, layout: Layout) -> Packed {
    let mut packed = Packed::default();
    for (file, to) in layout {
        if let Ok(bytes) = fs::read(snapshot(name).join(file)) {
            packed.add(to, bytes);
        }
    }
    assert!(packed.files.len() > 5, "{name}");
    packed
}

/// What else lies in such bundles and must not count.
fn with_noise(mut p: Packed) -> Packed {
    p.add("date", "Thu Nov 26 01:37:57 UTC 2026\n");
    p.add("version.txt", "sos 4.8.0\n");
    // What the node is to be, not what it is.
    p.add(
        "etc/sysctl.d/99-forward.conf",
        "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.rp_filter = 1\n",
    );
    p.add(
        "etc/sysconfig/iptables",
        "*filter\n:FORWARD DROP [0:0]\nCOMMIT\n",
    );
    p.add(
        "var/log/messages",
        "Nov 26 kubelet: ran iptables -A FORWARD -j DROP\n".repeat(2000),
    );
    p.add("journal/k3s.log", "# ip rule\n0:\tfrom all lookup 77\n");
    p.add(
        "core",
        (0..=255u8)
            .cycle()
            .step_by(7)
            .take(9000)
            .collect::<Vec<u8>>(),
    );
    p
}

/// A folder, each packing, standard input: the same answer as the plain snapshot.
#[track_caller]
fn gives_the_plain_answer(layout: Layout, inside: &str) {
    for (name, packet) in CASES {
        let want = plain(name, packet);
        let p = with_noise(laid_out(name, layout)).below(inside);
        let folder = p.folder();
        let tar = p.tar();
        let mut paths = vec![
            folder.at(""),
            folder.at(inside),
            folder.write("x.tar", &tar),
            folder.write("x.tar.gz", &gz(&tar)),
        ];
        paths.extend(xz(&tar).map(|b| folder.write("x.tar.xz", &b)));
        paths.push(folder.at(&format!("x.tar.gz/{inside}")));
        paths.swap_remove(0);
        for path in &paths {
            let (got, said) = answer(path, packet, &[]);
            assert_eq!(got, want, "{path}");
            assert_eq!(said, "", "{path}");
        }
        let (got, _) = answer("-", packet, &gz(&tar));
        assert_eq!(got, want, "standard input");
    }
}

#[test]
fn a_sosreport() {
    gives_the_plain_answer(SOS, "sosreport-node1-2026-11-26-abcdefg");
}

#[test]
fn a_bundle_of_calicoctl_node_diags() {
    gives_the_plain_answer(CALICO, "diags-20261126_013757");
}

#[test]
fn a_bundle_of_ranchers_collector() {
    gives_the_plain_answer(RANCHER, "node1-2026-11-26_01_37_57");
}

#[test]
fn a_bundle_of_the_collector_of_eks() {
    gives_the_plain_answer(EKS, "eks_i-0123456789_2026-11-26");
}

#[test]
fn any_folder_somewhere_in_an_archive() {
    const FLAT: Layout = &[
        ("ip-addr.txt", "a.txt"),
        ("ip-route.txt", "b.txt"),
        ("ip-rule.txt", "ip-rule"),
        ("ip6-rule.txt", "ip-6-rule"),
        ("ip-neigh.txt", "n"),
        ("iptables-save.txt", "1"),
        ("ip6tables-save.txt", "2"),
        ("ipvsadm.txt", "3"),
        ("ipset.txt", "4"),
        ("sysctl.txt", "5"),
    ];
    for (name, packet) in CASES {
        let want = plain(name, packet);
        let mut p = laid_out(name, FLAT).below("tickets/4711/from the customer/node1");
        p.add(
            "tickets/4711/mail.txt",
            "Dear support,\nthe pod does not see the client.\n",
        );
        let folder = p.folder();
        let path = folder.write("ticket.tgz", &gz(&p.tar()));
        assert_eq!(answer(&path, packet, &[]).0, want, "{name}");
        assert_eq!(answer(&folder.at("tickets"), packet, &[]).0, want, "{name}");
    }
}

#[test]
fn of_several_nodes_one_is_chosen_by_its_folder() {
    let (name, packet) = CASES[0];
    let two = laid_out(name, RANCHER)
        .below("node1")
        .and(laid_out("kube-iptables", RANCHER).below("node2"));
    let folder = two.folder();
    let path = folder.write("all.tar.gz", &gz(&two.tar()));
    fails(
        &path,
        &["2 folders", "all.tar.gz/node1\n", "all.tar.gz/node2\n"],
    );
    fails(&folder.at(""), &["node1", "node2"]);
    assert_eq!(
        answer(&format!("{path}/node1"), packet, &[]).0,
        plain(name, packet)
    );
    let (name, packet) = CASES[2];
    assert_eq!(
        answer(&format!("{path}/node2/"), packet, &[]).0,
        plain(name, packet)
    );
    fails(
        &format!("{path}/node3"),
        &["no output of a command that nfwhy reads at node3"],
    );
    // Two sosreports likewise, whatever is the same in them.
    let two = laid_out(name, SOS)
        .below("r/a")
        .and(laid_out(name, SOS).below("r/b"));
    let path = folder.write("sos.tar.gz", &gz(&two.tar()));
    fails(&path, &["sos.tar.gz/r/a\n", "sos.tar.gz/r/b\n"]);
    let ran = nfwhy(&["-s", "-", "10.0.0.1", "10.0.0.2:80"], &gz(&two.tar()));
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("r/a") && ran.err.contains("file"),
        "{}",
        ran.err
    );
}

/// Of a namespace, in networking.py.
const SOS_NETNS: Layout = &[
    ("ip-addr.txt", "ip_netns_exec_cni-1_ip_-d_address_show"),
    (
        "ip-route.txt",
        "ip_netns_exec_cni-1_ip_route_show_table_all",
    ),
    ("ip-rule.txt", "ip_netns_exec_cni-1_ip_-4_rule_list"),
    ("ip-neigh.txt", "ip_netns_exec_cni-1_ip_-s_-s_neigh_show"),
    ("iptables-save.txt", "ip_netns_exec_cni-1_iptables-save"),
    ("sysctl.txt", "ip_netns_exec_cni-1_sysctl_-a"),
];

#[test]
fn namespaces_in_a_sosreport_are_not_the_node() {
    let (name, packet) = CASES[0];
    let (other, other_packet) = CASES[2];
    for flat in [false, true] {
        // Older reports have no folder for each.
        let at = if flat {
            "sos_commands/networking"
        } else {
            "sos_commands/networking/namespaces/cni-1"
        };
        let p = laid_out(name, SOS)
            .and(laid_out(other, SOS_NETNS).below(at))
            .below("sosreport-x");
        let folder = p.folder();
        let path = folder.write("s.tar.gz", &gz(&p.tar()));
        for path in [path, folder.at("sosreport-x")] {
            let (got, said) = answer(&path, packet, &[]);
            assert_eq!(got, plain(name, packet), "{path}");
            assert!(said.contains("cni-1 (--netns NAME chooses one)"), "{said}");
            let mut asked = vec!["--netns", "cni-1"];
            asked.extend(other_packet);
            assert_eq!(
                answer(&path, &asked, &[]).0,
                plain(other, other_packet),
                "{path}"
            );
            let ran = nfwhy(
                &["-s", &path, "--netns", "cni-2", "10.0.0.1", "10.0.0.2:80"],
                &[],
            );
            assert_eq!(ran.code, 2);
            assert!(
                ran.err
                    .contains("no network namespace cni-2; it shows cni-1"),
                "{}",
                ran.err
            );
        }
    }
}

#[test]
fn text_on_standard_input() {
    let (name, _) = CASES[2];
    let rules = fs::read(snapshot(name).join("iptables-save.txt")).expect("the snapshot's rules");
    let args = ["-s", "-", "--in", "eth0", "192.0.2.1", "10.96.0.1:443"];
    let ran = nfwhy(&args, &rules);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("KUBE-SEP"), "{}", ran.out);
    let ran = nfwhy(&args, b"");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("nothing came"), "{}", ran.err);
    let ran = nfwhy(&["-s", "-", "--packets", "-"], &rules);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("cannot both be standard input"),
        "{}",
        ran.err
    );
}

#[test]
fn output_that_sos_cut_is_unknown_and_named() {
    let (name, packet) = CASES[0];
    let p = laid_out(name, SOS).below("s");
    let folder = p.folder();
    let root = folder.path().join("s");
    let save = root.join("sos_commands/firewall_tables/iptables-save");
    let kept = fs::read_to_string(&save).expect("it was written");
    // sos keeps the end: `_collect_cmd_output` in sos/report/plugins/__init__.py.
    let end = kept.len() / 2;
    folder.write(
        "s/sos_strings/firewall_tables/iptables-save.tailed",
        &kept.as_bytes()[end..],
    );
    fs::remove_file(&save).expect("it is there");
    std::os::unix::fs::symlink(
        "../../sos_strings/firewall_tables/iptables-save.tailed",
        &save,
    )
    .expect("links");
    let (got, said) = answer(&folder.at("s"), packet, &[]);
    assert_ne!(got, plain(name, packet));
    assert!(said.contains("sos kept only the end of it"), "{said}");
    assert!(got.to_string().contains("iptables-save"), "{got}");
}
