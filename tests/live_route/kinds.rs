//! Links of every kind that this kernel can make.

use crate::lab::sh;
use crate::lab::wanted::say;
use crate::{Count, apart, compare, ready};
use nix::sched::{CloneFlags, unshare};

/// One namespace per kind of link: name of the kind, and the lines that make it.
const KINDS: &[(&str, &[&str])] = &[
    ("veth", &["link add a0 type veth peer name a1"]),
    (
        "bridge",
        &[
            "link add br0 type bridge stp_state 1 forward_delay 300",
            "link add br1 type bridge vlan_filtering 1",
            "link add a0 type veth peer name a1",
            "link set a0 master br0 up",
            "link set a0 type bridge_slave hairpin on",
            "link set br0 up",
        ],
    ),
    (
        "vxlan",
        &[
            "link add a0 type veth peer name a1",
            "addr add 10.0.0.1/24 dev a0",
            "link set a0 up",
            "link add vx type vxlan id 5 local 10.0.0.1 dev a0 dstport 8472 nolearning",
            "link add vx2 type vxlan id 6 group 239.1.1.1 dev a0 dstport 4789 ttl 9 tos inherit ageing 100",
            "link add vx3 type vxlan external dstport 4790",
            "link add vx4 type vxlan id 7 remote fd00::9 dstport 8473 udp6zerocsumrx proxy",
        ],
    ),
    (
        "dummy",
        &[
            "link add d0 type dummy",
            "link set d0 up",
            "addr add 10.9.9.9/32 dev d0",
        ],
    ),
    (
        "ipip",
        &[
            "link add t0 type ipip remote 192.0.2.9 local 192.0.2.1 ttl 9",
            "link set tunl0 up",
            "addr add 10.4.0.1/32 dev tunl0",
        ],
    ),
    (
        "sit",
        &["link add t1 type sit remote 192.0.2.9 local any tos 0x10"],
    ),
    (
        "gre",
        &[
            "link add t2 type gre remote 192.0.2.9 local 192.0.2.1 key 5 csum",
            "link add t3 type gretap remote 192.0.2.10 local 192.0.2.1",
        ],
    ),
    (
        "ip6gre",
        &["link add t4 type ip6gre remote fd00::9 local fd00::1 key 7 tclass 0x10"],
    ),
    (
        "ip6tnl",
        &["link add t5 type ip6tnl remote fd00::9 local fd00::1 mode any encaplimit none"],
    ),
    (
        "vti",
        &["link add t6 type vti remote 192.0.2.9 local 192.0.2.1 key 9"],
    ),
    (
        "macvlan",
        &[
            "link add a0 type veth peer name a1",
            "link add m0 link a0 type macvlan mode bridge",
            "link add m1 link a0 type macvlan mode bridge",
        ],
    ),
    (
        "ipvlan",
        &[
            "link add a0 type veth peer name a1",
            "link add i0 link a0 type ipvlan mode l3s",
        ],
    ),
    (
        "vlan",
        &[
            "link add a0 type veth peer name a1",
            "link add link a0 name a0.100 type vlan id 100",
            "link set a0.100 up",
            "link set a0 up",
        ],
    ),
    (
        "bond",
        &[
            "link add bo0 type bond mode active-backup miimon 100",
            "link add a0 type veth peer name a1",
            "link set a0 master bo0",
            "link set bo0 up",
            "link add bo1 type bond mode 802.3ad lacp_rate fast xmit_hash_policy layer3+4",
        ],
    ),
    (
        "vrf",
        &[
            "link add red type vrf table 77",
            "link add a0 type veth peer name a1",
            "link set a0 master red",
            "link set red up",
            "rule add l3mdev priority 900",
        ],
    ),
    ("wireguard", &["link add wg0 type wireguard"]),
    (
        "tun",
        &[
            "tuntap add dev tap7 mode tap user 0",
            "tuntap add dev tun7 mode tun multi_queue",
        ],
    ),
    ("ifb", &["link add ifb7 type ifb"]),
    (
        "geneve",
        &[
            "link add ge0 type geneve id 9 remote 192.0.2.9 dstport 6082",
            "link add ge1 type geneve external",
        ],
    ),
    ("netkit", &["link add nk0 type netkit"]),
    ("xfrm", &["link add x0 type xfrm dev lo if_id 0x2a"]),
];

#[test]
fn links_of_each_kind_read_live_are_what_ip_prints() {
    if !ready() {
        return;
    }
    let (mut compared, mut absent) = (Vec::new(), Vec::new());
    for (kind, lines) in KINDS {
        apart(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
            let text = lines.join("\n") + "\n";
            let said = sh::run(&["ip", "-force", "-batch", "-"], &text);
            let mut count = Count::default();
            compare(&mut count);
            let made = sh::must(&["ip", "-d", "link"], "").contains(&format!("    {kind} "));
            if made {
                compared.push(*kind);
            } else {
                assert!(!said.ok, "{kind} was made and is not shown");
                absent.push(*kind);
            }
        });
    }
    if std::env::var("NFWHY_LAB_VERBOSE").is_ok() {
        say(&format!(
            "compared {compared:?}; this kernel has no {absent:?}"
        ));
    }
    // Every kernel that containers run on.
    assert!(compared.contains(&"veth") && compared.contains(&"bridge"));
}
