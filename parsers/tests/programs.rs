//! `bpftool net`.

use nfwhy_parsers::programs::{Hook, parse};

const NET: &str = "\
xdp:
eth0(2) driver id 198
eth1(3) multi: generic id 200

tc:
eth0(2) clsact/ingress cil_from_netdev id 12 act []
eth0(2) clsact/egress cls.o:[to_netdev] id 13
lxc7(9) tcx/ingress cil_from_container prog_id 15 link_id 4
nk5(10) netkit/peer tail_handle prog_id 16 link_id 5
eth2(4) htb prefix_matcher id 17
lo(1) clsact/ingress

flow_dissector:
id 77

netfilter:
ip prerouting prio 0 prog_id 14 ct_state
";

#[test]
fn programs_at_devices_have_hook_name_and_id() {
    let parsed = parse(NET);
    assert_eq!(parsed.diagnostics, []);
    let told: Vec<String> = parsed
        .value
        .iter()
        .map(|p| {
            let name = p.name.as_deref().unwrap_or("-");
            let id = p.id.map_or_else(|| "-".to_owned(), |n| n.to_string());
            format!("{} {} {} {name} {id}", p.line, p.device, p.hook)
        })
        .collect();
    assert_eq!(
        told,
        [
            "2 eth0 XDP (driver) - 198",
            "3 eth1 XDP (generic) - 200",
            "6 eth0 tc ingress cil_from_netdev 12",
            "7 eth0 tc egress cls.o:[to_netdev] 13",
            "8 lxc7 tcx ingress cil_from_container 15",
            "9 nk5 netkit peer tail_handle 16",
            "10 eth2 qdisc htb prefix_matcher 17",
            "11 lo tc ingress - -",
        ]
    );
}

#[test]
fn the_peer_of_a_netkit_pair_sends_what_comes_in_here() {
    assert!(Hook::NetkitPeer.sees_incoming());
    assert!(Hook::NetkitPrimary.sees_outgoing());
    assert!(!Hook::TcEgress.sees_incoming());
}

#[test]
fn a_line_that_is_no_program_is_reported() {
    let parsed = parse("xdp:\nError: can't get prog info: Operation not permitted\n");
    assert_eq!(parsed.value, []);
    assert_eq!(parsed.diagnostics.len(), 1);
}
