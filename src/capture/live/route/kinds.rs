//! The lines that tell a device's kind: `print_linktype` in iproute2 ip/ipaddress.c, and the `print_opt` functions of ip/iplink_*.c.

use super::names::Names;
use super::options::{self, Form, Opt};
use super::text::{Attributes, Devices, Hex, line};
use super::tunnels;
use std::fmt::Write as _;

/// `IFLA_INFO_*` in `IFLA_LINKINFO`.
pub(super) fn print(out: &mut String, info: &[u8], devices: &Devices, names: &Names) {
    let tb = Attributes::<6>::of(info);
    if let Some(kind) = tb.get(1) {
        let kind = line(kind);
        let _ = write!(out, "\n    {kind} ");
        if let Some(data) = tb.get(2) {
            of_kind(out, &kind, data, devices, names);
        }
    }
    if let Some(kind) = tb.get(4) {
        let kind = line(kind);
        let _ = write!(out, "\n    {kind}_slave ");
        let data = tb.get(5).unwrap_or_default();
        match kind.as_str() {
            "bridge" => options::print(out, BRIDGE_PORT, data, devices),
            "bond" => options::print(out, BOND_PORT, data, devices),
            "vrf" => options::print(out, VRF, data, devices),
            _ => {}
        }
    }
}

fn of_kind(out: &mut String, kind: &str, data: &[u8], devices: &Devices, names: &Names) {
    match kind {
        "bridge" => bridge(out, data, devices),
        "bond" => options::print(out, BOND, data, devices),
        "vrf" => options::print(out, VRF, data, devices),
        "macvlan" | "macvtap" => macvlan(out, data, devices),
        "ipvlan" | "ipvtap" => ipvlan(out, data),
        "vlan" => vlan(out, data),
        "tun" => tun(out, data, names),
        "xfrm" => xfrm(out, data),
        "vxlan" => tunnels::vxlan(out, data, devices),
        "geneve" => tunnels::geneve(out, data),
        "ipip" | "sit" => tunnels::ip(out, data, devices),
        "ip6tnl" => tunnels::ip6(out, data, devices),
        "gre" | "gretap" | "erspan" => tunnels::gre(out, data, devices),
        "ip6gre" | "ip6gretap" | "ip6erspan" => tunnels::gre6(out, data, devices),
        "vti" => tunnels::vti(out, data, false, devices),
        "vti6" => tunnels::vti(out, data, true, devices),
        // veth, dummy, ifb, wireguard, netkit and others: iproute2 6.1 prints nothing of them.
        _ => {}
    }
}

const VRF: &[Opt] = &[Opt(1, "table", Form::Number)];

/// `IFLA_BR_*`, in the order of `bridge_print_opt`.
const BRIDGE: &[Opt] = &[
    Opt(1, "forward_delay", Form::Number),
    Opt(2, "hello_time", Form::Number),
    Opt(3, "max_age", Form::Number),
    Opt(4, "ageing_time", Form::Number),
    Opt(5, "stp_state", Form::Number),
    Opt(6, "priority", Form::Number),
    Opt(7, "vlan_filtering", Form::Number),
    Opt(8, "vlan_protocol", Form::EtherType),
    Opt(11, "bridge_id", Form::BridgeId),
    Opt(10, "designated_root", Form::BridgeId),
    Opt(12, "root_port", Form::Number),
    Opt(13, "root_path_cost", Form::Number),
    Opt(14, "topology_change", Form::Number),
    Opt(15, "topology_change_detected", Form::Number),
    Opt(16, "hello_timer", Form::Timer),
    Opt(17, "tcn_timer", Form::Timer),
    Opt(18, "topology_change_timer", Form::Timer),
    Opt(19, "gc_timer", Form::Timer),
    Opt(39, "vlan_default_pvid", Form::Number),
    Opt(41, "vlan_stats_enabled", Form::Number),
    Opt(45, "vlan_stats_per_port", Form::Number),
    Opt(9, "group_fwd_mask", Form::Hex),
    Opt(20, "group_address", Form::Hardware),
    Opt(23, "mcast_snooping", Form::Number),
];

/// What stands behind the switches of `IFLA_BR_MULTI_BOOLOPT`.
const BRIDGE_MORE: &[Opt] = &[
    Opt(22, "mcast_router", Form::Number),
    Opt(24, "mcast_query_use_ifaddr", Form::Number),
    Opt(25, "mcast_querier", Form::Number),
    Opt(26, "mcast_hash_elasticity", Form::Number),
    Opt(27, "mcast_hash_max", Form::Number),
    Opt(28, "mcast_last_member_count", Form::Number),
    Opt(29, "mcast_startup_query_count", Form::Number),
    Opt(30, "mcast_last_member_interval", Form::Number),
    Opt(31, "mcast_membership_interval", Form::Number),
    Opt(32, "mcast_querier_interval", Form::Number),
    Opt(33, "mcast_query_interval", Form::Number),
    Opt(34, "mcast_query_response_interval", Form::Number),
    Opt(35, "mcast_startup_query_interval", Form::Number),
    Opt(42, "mcast_stats_enabled", Form::Number),
    Opt(43, "mcast_igmp_version", Form::Number),
    Opt(44, "mcast_mld_version", Form::Number),
    Opt(36, "nf_call_iptables", Form::Number),
    Opt(37, "nf_call_ip6tables", Form::Number),
    Opt(38, "nf_call_arptables", Form::Number),
];

/// `BR_BOOLOPT_*` of `linux/if_bridge.h` that iproute2 6.1 knows: bit and word.
const BRIDGE_SWITCHES: [(u32, &str); 2] = [(0, "no_linklocal_learn"), (1, "mcast_vlan_snooping")];

fn bridge(out: &mut String, data: &[u8], devices: &Devices) {
    use super::super::attr::Numbers as _;
    options::print(out, BRIDGE, data, devices);
    let switches = super::super::attr::find(data, 46).unwrap_or_default();
    if let (Some(on), Some(known)) = (switches.u32(0), switches.u32(4)) {
        for (bit, word) in BRIDGE_SWITCHES {
            if known >> bit & 1 != 0 {
                let _ = write!(out, "{word} {} ", on >> bit & 1);
            }
        }
    }
    options::print(out, BRIDGE_MORE, data, devices);
}

const PORT_STATES: &[&str] = &[
    "disabled",
    "listening",
    "learning",
    "forwarding",
    "blocking",
];

/// `IFLA_BRPORT_*`, in the order of `bridge_slave_print_opt`.
const BRIDGE_PORT: &[Opt] = &[
    Opt(1, "state", Form::Name(PORT_STATES)),
    Opt(2, "priority", Form::Number),
    Opt(3, "cost", Form::Number),
    Opt(4, "hairpin", Form::OnOff),
    Opt(5, "guard", Form::OnOff),
    Opt(6, "root_block", Form::OnOff),
    Opt(7, "fastleave", Form::OnOff),
    Opt(8, "learning", Form::OnOff),
    Opt(9, "flood", Form::OnOff),
    Opt(17, "port_id", Form::Hex),
    Opt(18, "port_no", Form::Hex),
    Opt(15, "designated_port", Form::Number),
    Opt(16, "designated_cost", Form::Number),
    Opt(14, "designated_bridge", Form::BridgeId),
    Opt(13, "designated_root", Form::BridgeId),
    Opt(23, "hold_timer", Form::Timer),
    Opt(21, "message_age_timer", Form::Timer),
    Opt(22, "forward_delay_timer", Form::Timer),
    Opt(19, "topology_change_ack", Form::Number),
    Opt(20, "config_pending", Form::Number),
    Opt(10, "proxy_arp", Form::OnOff),
    Opt(12, "proxy_arp_wifi", Form::OnOff),
    Opt(25, "mcast_router", Form::Number),
    Opt(7, "mcast_fast_leave", Form::OnOff),
    Opt(27, "mcast_flood", Form::OnOff),
    Opt(30, "bcast_flood", Form::OnOff),
    Opt(28, "mcast_to_unicast", Form::OnOff),
    Opt(32, "neigh_suppress", Form::OnOff),
    Opt(31, "group_fwd_mask", Form::Hex),
    Opt(
        31,
        "group_fwd_mask_str",
        Form::Bits(&[(0, "stp"), (2, "lacp"), (14, "lldp")]),
    ),
    Opt(29, "vlan_tunnel", Form::OnOff),
    Opt(33, "isolated", Form::OnOff),
    Opt(39, "locked", Form::OnOff),
];

/// `IFLA_BOND_*`, in the order of `bond_print_opt`.
const BOND: &[Opt] = &[
    Opt(
        1,
        "mode",
        Form::Name(&[
            "balance-rr",
            "active-backup",
            "balance-xor",
            "broadcast",
            "802.3ad",
            "balance-tlb",
            "balance-alb",
        ]),
    ),
    Opt(2, "active_slave", Form::Device),
    Opt(3, "miimon", Form::Number),
    Opt(4, "updelay", Form::Number),
    Opt(5, "downdelay", Form::Number),
    Opt(28, "peer_notify_delay", Form::Number),
    Opt(6, "use_carrier", Form::Number),
    Opt(7, "arp_interval", Form::Number),
    Opt(30, "arp_missed_max", Form::Number),
    Opt(8, "arp_ip_target", Form::Addresses),
    Opt(31, "ns_ip6_target", Form::Addresses),
    Opt(
        9,
        "arp_validate",
        Form::Name(&[
            "none",
            "active",
            "backup",
            "all",
            "filter",
            "filter_active",
            "filter_backup",
        ]),
    ),
    Opt(10, "arp_all_targets", Form::Name(&["any", "all"])),
    Opt(11, "primary", Form::Device),
    Opt(
        12,
        "primary_reselect",
        Form::Name(&["always", "better", "failure"]),
    ),
    Opt(
        13,
        "fail_over_mac",
        Form::Name(&["none", "active", "follow"]),
    ),
    Opt(
        14,
        "xmit_hash_policy",
        Form::Name(&[
            "layer2",
            "layer3+4",
            "layer2+3",
            "encap2+3",
            "encap3+4",
            "vlan+srcmac",
        ]),
    ),
    Opt(15, "resend_igmp", Form::Number),
    Opt(16, "num_grat_arp", Form::Number),
    Opt(17, "all_slaves_active", Form::Number),
    Opt(18, "min_links", Form::Number),
    Opt(19, "lp_interval", Form::Number),
    Opt(20, "packets_per_slave", Form::Number),
    Opt(29, "lacp_active", Form::Name(&["off", "on"])),
    Opt(21, "lacp_rate", Form::Name(&["slow", "fast"])),
    Opt(
        22,
        "ad_select",
        Form::Name(&["stable", "bandwidth", "count"]),
    ),
    Opt(
        23,
        "",
        Form::Nested(&[
            Opt(1, "ad_aggregator", Form::Number),
            Opt(2, "ad_num_ports", Form::Number),
            Opt(3, "ad_actor_key", Form::Number),
            Opt(4, "ad_partner_key", Form::Number),
            Opt(5, "ad_partner_mac", Form::Hardware),
        ]),
    ),
    Opt(24, "ad_actor_sys_prio", Form::Number),
    Opt(25, "ad_user_port_key", Form::Number),
    Opt(26, "ad_actor_system", Form::Hardware),
    Opt(27, "tlb_dynamic_lb", Form::Number),
];

/// `IFLA_BOND_SLAVE_*`.
const BOND_PORT: &[Opt] = &[
    Opt(1, "state", Form::Name(&["ACTIVE", "BACKUP"])),
    Opt(
        2,
        "mii_status",
        Form::Name(&["UP", "GOING_DOWN", "DOWN", "GOING_BACK"]),
    ),
    Opt(3, "link_failure_count", Form::Number),
    Opt(4, "perm_hwaddr", Form::Hardware),
    Opt(5, "queue_id", Form::Number),
    Opt(9, "prio", Form::Number),
    Opt(6, "ad_aggregator_id", Form::Number),
    Opt(7, "ad_actor_oper_port_state", Form::Number),
    Opt(8, "ad_partner_oper_port_state", Form::Number),
];

/// `IFLA_MACVLAN_*`.
fn macvlan(out: &mut String, data: &[u8], devices: &Devices) {
    use super::super::attr::attrs;
    use super::text::hardware;
    let tb = Attributes::<9>::of(data);
    let Some(mode) = tb.u32(1) else { return };
    let name = match mode {
        1 => "private",
        2 => "vepa",
        4 => "bridge",
        8 => "passthru",
        16 => "source",
        _ => "unknown",
    };
    let _ = write!(out, "mode {name} ");
    let flags = tb.u16(2).unwrap_or(0);
    if flags & 1 != 0 {
        out.push_str("nopromisc ");
    }
    if flags & 2 != 0 {
        out.push_str("nodst ");
    }
    options::print(
        out,
        &[
            Opt(7, "bcqueuelen", Form::Number),
            Opt(8, "usedbcqueuelen", Form::Number),
        ],
        data,
        devices,
    );
    if mode != 16 {
        return;
    }
    let Some(count) = tb.u32(6) else { return };
    let _ = write!(out, "remotes ({count}) ");
    for (kind, mac) in attrs(tb.get(5).unwrap_or_default()) {
        if kind == 4 && mac.len() >= 6 {
            hardware(out, mac.get(..6).unwrap_or_default(), 1);
            out.push(' ');
        }
    }
}

/// `IFLA_IPVLAN_*`.
fn ipvlan(out: &mut String, data: &[u8]) {
    let tb = Attributes::<3>::of(data);
    if let Some(mode) = tb.u16(1) {
        let name = ["l2", "l3", "l3s"]
            .get(usize::from(mode))
            .unwrap_or(&"unknown");
        let _ = write!(out, " mode {name} ");
    }
    match tb.u16(2) {
        Some(f) if f & 1 != 0 => out.push_str("private "),
        Some(f) if f & 2 != 0 => out.push_str("vepa "),
        Some(_) => out.push_str("bridge "),
        None => {}
    }
}

/// `IFLA_VLAN_*`.
fn vlan(out: &mut String, data: &[u8]) {
    use super::super::attr::{Numbers as _, attrs};
    let tb = Attributes::<6>::of(data);
    let Some(id) = tb.u16(1) else { return };
    out.push_str("protocol ");
    options::ether_type(out, tb.get(5).and_then(|b| b.be16(0)).unwrap_or(0x8100));
    let _ = write!(out, " id {id} ");
    if let Some(flags) = tb.u32(2) {
        let names = [
            "REORDER_HDR",
            "GVRP",
            "LOOSE_BINDING",
            "MVRP",
            "BRIDGE_BINDING",
        ];
        let mut words: Vec<String> = [0usize, 1, 3, 2, 4]
            .into_iter()
            .filter(|bit| flags >> bit & 1 != 0)
            .filter_map(|bit| names.get(bit).map(|n| (*n).to_owned()))
            .collect();
        if flags >> 5 != 0 {
            words.push(format!("{:x}", flags & !0x1f));
        }
        let _ = write!(out, "<{}> ", words.join(","));
    }
    for (attr, word) in [(4, "ingress-qos-map"), (3, "egress-qos-map")] {
        let Some(map) = tb.get(attr) else { continue };
        let _ = write!(out, "\n      {word} {{ ");
        for (_, m) in attrs(map) {
            if let (Some(from), Some(to)) = (m.u32(0), m.u32(4)) {
                let _ = write!(out, "{from}:{to} ");
            }
        }
        out.push_str("} ");
    }
}

/// `IFLA_TUN_*`.
fn tun(out: &mut String, data: &[u8], names: &Names) {
    let tb = Attributes::<10>::of(data);
    match tb.u8(3) {
        Some(1) => out.push_str("type tun "),
        Some(2) => out.push_str("type tap "),
        Some(n) => {
            let _ = write!(out, "type UNKNOWN:{n} ");
        }
        None => {}
    }
    let on_off = |out: &mut String, attr, word: &str| {
        if let Some(n) = tb.u8(attr) {
            let _ = write!(out, "{word} {} ", if n == 0 { "off" } else { "on" });
        }
    };
    on_off(out, 4, "pi");
    on_off(out, 5, "vnet_hdr");
    if tb.on(7) {
        out.push_str("multi_queue ");
        for (attr, word) in [(8, "numqueues"), (9, "numdisabled")] {
            if let Some(n) = tb.u32(attr) {
                let _ = write!(out, "{word} {n} ");
            }
        }
    }
    on_off(out, 6, "persist");
    if let Some(n) = tb.u32(1) {
        let _ = write!(out, "user {} ", names.user(n));
    }
    if let Some(n) = tb.u32(2) {
        let _ = write!(out, "group {} ", names.user_group(n));
    }
}

/// `IFLA_XFRM_*`.
fn xfrm(out: &mut String, data: &[u8]) {
    let tb = Attributes::<4>::of(data);
    if tb.get(3).is_some() {
        out.push_str("external ");
    } else if let Some(id) = tb.u32(2) {
        let _ = write!(out, "if_id {} ", Hex(id.into()));
    }
}
