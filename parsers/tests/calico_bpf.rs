//! The maps of Calico's eBPF datapath. The dumps of bpftool are of maps that were made with felix's layouts and printed by bpftool 7.1;
//! the texts of `calico-node -bpf` hold the same entries.

use nfwhy_parsers::calico_bpf::{Map, Maps, parse};
use nfwhy_parsers::recognise::{Kind, recognise};
use nfwhy_parsers::transcript;

macro_rules! data {
    ($name:literal) => {
        include_str!(concat!("data/", $name))
    };
}

fn read(hint: &str, text: &str) -> Maps {
    let parsed = parse(hint, text);
    assert_eq!(parsed.diagnostics, [], "{hint}");
    parsed.value
}

/// What the maps hold, as text without order.
fn lines(maps: &Maps) -> Vec<String> {
    let mut lines: Vec<String> = maps.to_string().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

const FRONTENDS: [&str; 3] = [
    data!("cali-v4-nat-fe3.json"),
    data!("cali-v4-nat-fe3.p.json"),
    data!("cali-v4-nat-fe3.txt"),
];
const BACKENDS: [&str; 3] = [
    data!("cali-v4-nat-be.json"),
    data!("cali-v4-nat-be.p.json"),
    data!("cali-v4-nat-be.txt"),
];
const ROUTES: [&str; 3] = [
    data!("cali-v4-routes.json"),
    data!("cali-v4-routes.p.json"),
    data!("cali-v4-routes.txt"),
];
const CONNECTIONS: [&str; 3] = [
    data!("cali-v4-ct4.json"),
    data!("cali-v4-ct4.p.json"),
    data!("cali-v4-ct4.txt"),
];

#[test]
fn nat_dump_has_frontends_and_each_backend_once() {
    let maps = read("", data!("calico-nat-dump.txt"));
    assert_eq!((maps.frontends.len(), maps.backends.len()), (13, 8));
    let local = maps.frontends.iter().find(|f| f.port == 30082).expect("it");
    assert_eq!((local.line, local.flags, local.id), (21, 1, 6));
    let refused = maps.frontends.iter().find(|f| f.count.is_none());
    assert_eq!(refused.map(|f| (f.src, f.id)), Some((None, 7)));
    let ranged = maps.frontends.iter().find_map(|f| f.src);
    assert_eq!(ranged, Some(("10.10.8.0".parse().expect("an address"), 24)));
}

#[test]
fn bpftool_in_all_its_forms_says_what_calico_says() {
    let dump = lines(&read("", data!("calico-nat-dump.txt")));
    for (fe, be) in FRONTENDS.into_iter().zip(BACKENDS) {
        let mut maps = read("", fe);
        assert!(maps.frontends.iter().all(|f| f.affinity.is_some()));
        maps.backends = read("", be).backends;
        assert_eq!(lines(&maps), dump);
    }
    let routes = lines(&read("", data!("calico-routes-dump.txt")));
    for text in ROUTES {
        assert_eq!(lines(&read("", text)), routes);
    }
    let flows = lines(&read("", data!("calico-conntrack-raw.txt")));
    for text in CONNECTIONS {
        assert_eq!(lines(&read("", text)), flows);
    }
}

#[test]
fn maps_of_ipv6_are_read_by_their_sizes() {
    let fe = read("", data!("cali-v6-nat-fe3.json"));
    let be = read("", data!("cali-v6-nat-be.p.json"));
    let routes = read("", data!("cali-v6-routes.txt"));
    let told: Vec<String> = [fe, be, routes].iter().flat_map(lines).collect();
    assert_eq!(
        told,
        [
            "fd00:10::c8 port 80 proto 6 id 5 count 1 local 0 src fd00:8::/64",
            "fd00:96::a port 53 proto 17 id 2 count 1 local 0",
            "\t2:0\t [fd00:244::4]:53",
            "\t5:0\t [fd00:244::7]:80",
            " fd00:244::/122: remote workload in-pool nat-out nh fd00:10::21",
            "fd00:10::11/128: local host",
        ]
    );
}

#[test]
fn a_connection_says_how_it_is_answered_where_the_dump_does() {
    let raw = read("", data!("calico-conntrack-raw.txt"));
    let told: Vec<_> = raw.flows.iter().map(|f| (f.dsr, f.forwarded)).collect();
    assert_eq!(told, [(Some(true), Some(true)), (Some(false), Some(false))]);
    let pretty = read("", data!("calico-conntrack-dump.txt"));
    assert_eq!(pretty.flows.len(), 3);
    assert_eq!(pretty.flows[0].tunnel, raw.flows[0].tunnel);
    assert_eq!(pretty.flows[0].service, raw.flows[0].service);
    assert_eq!(pretty.flows[0].dsr, None);
    // The entry is keyed by address; who opened it, a flag says.
    assert_eq!(raw.flows[1].src, pretty.flows[1].src);
}

#[test]
fn a_client_that_stays_with_its_backend() {
    let aff = read("", data!("calico-nat-aff.txt"));
    assert_eq!(
        lines(&aff),
        ["client 10.244.11.9 svc proto 6 10.96.0.1:443 -> 10.10.5.2:6443 ts 0s"]
    );
}

#[test]
fn a_name_says_which_map_it_is() {
    for (name, map) in [
        ("cali_v4_nat_fe3", Map::Frontends),
        ("/sys/fs/bpf/tc/globals/cali_v6_nat_be", Map::Backends),
        ("bpftool-map-cali_v4_routes.json", Map::Routes),
        ("cali_v4_ct4", Map::Conntrack),
        ("cali_v4_nat_aff", Map::Affinity),
    ] {
        assert_eq!(Map::named(name), Some(map), "{name}");
    }
    for name in [
        "cali_v4_ct_nats",
        "cali_v4_nat_fe_x",
        "cali_v4_mglv",
        "cali",
    ] {
        assert_eq!(Map::named(name), None, "{name}");
    }
    // Two maps in one text.
    let both = format!(
        "# bpftool map dump pinned /sys/fs/bpf/tc/globals/cali_v4_routes\n{}# cali_v4_nat_be\n{}",
        ROUTES[2], BACKENDS[0]
    );
    let maps = read("", &both);
    assert_eq!((maps.routes.len(), maps.backends.len()), (9, 8));
    assert_eq!(maps.backends[0].line, 13);
    let wrong = parse("cali_v4_routes", FRONTENDS[0]);
    assert_eq!(wrong.diagnostics.len(), 13);
}

#[test]
fn the_mode_is_in_the_environment_or_the_configuration() {
    for (text, dsr, env) in [
        ("FELIX_BPFEXTERNALSERVICEMODE=DSR", true, true),
        ("      FELIX_BPFEXTERNALSERVICEMODE:  Tunnel", false, true),
        (
            "- name: FELIX_BPFEXTERNALSERVICEMODE\n  value: \"dsr\"",
            true,
            true,
        ),
        ("  bpfExternalServiceMode: DSR", true, false),
        (
            "{\"apiVersion\":\"crd.projectcalico.org/v1\",\"kind\":\"FelixConfiguration\",\"spec\":{\"bpfExternalServiceMode\":\"DSR\"}}",
            true,
            false,
        ),
        (
            "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nspec:\n  bpfEnabled: true\n",
            false,
            false,
        ),
    ] {
        let modes = read("", text).modes;
        assert_eq!(modes.len(), 1, "{text}");
        assert_eq!((modes[0].dsr, modes[0].env), (dsr, env), "{text}");
        assert_eq!(recognise(text.as_bytes()), Kind::CalicoBpf, "{text}");
    }
}

#[test]
fn all_are_recognised() {
    let texts = [
        data!("calico-nat-dump.txt"),
        data!("calico-nat-aff.txt"),
        data!("calico-routes-dump.txt"),
        data!("calico-conntrack-dump.txt"),
        data!("calico-conntrack-raw.txt"),
    ];
    for text in texts
        .into_iter()
        .chain(FRONTENDS)
        .chain(BACKENDS)
        .chain(ROUTES)
        .chain(CONNECTIONS)
    {
        assert_eq!(recognise(text.as_bytes()), Kind::CalicoBpf, "{text}");
    }
}

#[test]
fn a_pasted_session_has_them_too() {
    let text = format!(
        "root@node1:~# calico-node -bpf nat dump\n{}root@node1:~# bpftool map dump pinned /sys/fs/bpf/tc/globals/cali_v4_routes\n{}root@node1:~# date\nx\n",
        data!("calico-nat-dump.txt"),
        ROUTES[2]
    );
    let t = transcript::read(&text);
    let told: Vec<(Kind, usize)> = t.blocks.iter().map(|b| (b.kind, b.lines.len())).collect();
    assert_eq!(
        told,
        [
            (
                Kind::CalicoBpf,
                data!("calico-nat-dump.txt").lines().count()
            ),
            (Kind::CalicoBpf, ROUTES[2].lines().count()),
        ]
    );
}

/// `kubectl get felixconfiguration -o yaml` shows those of single nodes as well.
#[test]
fn the_configuration_of_one_node_is_not_that_of_all() {
    let default = "- apiVersion: crd.projectcalico.org/v1\n  kind: FelixConfiguration\n  metadata:\n    name: default\n  spec:\n    bpfEnabled: true\n";
    let own = "- apiVersion: crd.projectcalico.org/v1\n  kind: FelixConfiguration\n  metadata:\n    name: node.n1\n  spec:\n    bpfExternalServiceMode: DSR\n";
    let modes = |text: &str| {
        let parsed = parse("felix.yaml", text);
        let list: Vec<(bool, bool)> = parsed
            .value
            .modes
            .iter()
            .map(|m| (m.dsr, m.default))
            .collect();
        (list, parsed.diagnostics.len())
    };
    assert_eq!(modes(own), (vec![(true, false)], 0));
    assert_eq!(modes(default), (vec![(false, true)], 0));
    assert_eq!(
        modes(&format!("items:\n{default}{own}")),
        (vec![(false, true)], 1)
    );
    assert_eq!(
        modes(&format!("items:\n{own}{default}")),
        (vec![(false, true)], 1)
    );
    let json = own.replace(
        "kind: FelixConfiguration",
        "\"kind\": \"FelixConfiguration\",",
    );
    let json = json.replace("name: node.n1", "\"name\": \"node.n1\"");
    let both = format!("{default}{json}");
    assert_eq!(modes(&both), (vec![(false, true)], 1));
}
