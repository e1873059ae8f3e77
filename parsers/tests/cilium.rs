//! What Cilium's agent prints. The texts are in the formats of cilium-dbg/cmd/bpf_lb_list.go and its neighbours, as published in Cilium's
//! issues; addresses are of documentation.

use nfwhy_parsers::Proto;
use nfwhy_parsers::cilium::{Entry, Flags, Kind, Listing, State, parse};
use nfwhy_parsers::recognise::{self, recognise};
use nfwhy_parsers::transcript;

fn read(text: &str) -> Listing {
    let parsed = parse(text);
    assert_eq!(parsed.diagnostics, [], "{text}");
    assert_eq!(
        recognise(text.as_bytes()),
        recognise::Kind::Cilium,
        "{text}"
    );
    parsed.value
}

/// Key and entry of each row, as printed.
fn rows(text: &str) -> Vec<String> {
    read(text).rows.iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_and_its_backends_in_any_order() {
    let list = read(
        "SERVICE ADDRESS       BACKEND ADDRESS (REVNAT_ID) (SLOT)\n\
         10.96.0.10:53/UDP     10.244.1.31:53/UDP (2) (1)\n\
         \x20                     0.0.0.0:0 (2) (0) [ClusterIP, InternalLocal, sessionAffinity, non-routable]\n\
         10.20.1.240:80/TCP/i  0.0.0.0:0 (6) (0) [LoadBalancer, Local, two-scopes, check source-range, deny]\n",
    );
    let keys: Vec<_> = list
        .rows
        .iter()
        .map(|r| (r.key.proto, r.key.internal, r.line))
        .collect();
    let (udp, tcp) = (Some(Proto::UDP), Some(Proto::TCP));
    assert_eq!(keys, [(udp, false, 2), (udp, false, 3), (tcp, true, 4)]);
    let Entry::Service { flags, id: 6, .. } = list.rows[2].entry else {
        panic!("{:?}", list.rows[2]);
    };
    assert_eq!(flags.kind, Kind::LoadBalancer);
    let bits = Flags::LOCAL | Flags::TWO_SCOPES | Flags::SOURCE_RANGE | Flags::DENY;
    assert_eq!(flags.bits, bits);
}

#[test]
fn every_release_has_its_own_rows() {
    // Before 1.8: no slot. Before 1.17: no protocol. Since 1.19: a row for each slot, which stands behind the service.
    for text in [
        "SERVICE ADDRESS      BACKEND ADDRESS\n10.43.13.198:80   0.0.0.0:0 (26) [ClusterIP]\n                     10.42.2.234:8080 (26)\n",
        "SERVICE ADDRESS      BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.43.13.198:80   0.0.0.0:0 (26) (0) [ClusterIP, non-routable]\n                     10.42.2.234:8080 (26) (1)\n",
        "SERVICE ADDRESS      BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.43.13.198:80/TCP (1)   10.42.2.234:8080/TCP (26) (1)\n10.43.13.198:80/TCP (0)   0.0.0.0:0 (26) (0) [ClusterIP, non-routable]\n",
        "{\n  \"10.43.13.198:80/TCP (0)\": [\n    \"0.0.0.0:0 (26) (0) [ClusterIP, non-routable] \"\n  ],\n  \"10.43.13.198:80/TCP (1)\": [\n    \"10.42.2.234:8080/TCP (26) (1)\"\n  ]\n}\n",
    ] {
        let list = read(text);
        assert_eq!(list.rows.len(), 2, "{text}");
        let backend = list.rows.iter().find_map(|r| match r.entry {
            Entry::Backend { id, addr, port, .. } => Some((id, addr.to_string(), port)),
            _ => None,
        });
        assert_eq!(
            backend,
            Some((Some(26), "10.42.2.234".to_owned(), 8080)),
            "{text}"
        );
    }
}

#[test]
fn ipv6_and_the_proxys_port() {
    assert_eq!(
        rows(
            "SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n[fd00::1]:443/TCP   [::]:0 (30) (0) [LoadBalancer, l7-load-balancer] (L7LB Proxy Port: 15735)\n                    [fd00::5]:8443/TCP (30) (1)\n"
        ),
        [
            "[fd00::1]:443/TCP   [::]:0 (30) (0) [LoadBalancer, l7-load-balancer] (L7LB Proxy Port: 15735)",
            "[fd00::1]:443/TCP   [fd00::5]:8443 (30) (1)",
        ]
    );
}

#[test]
fn a_backend_that_the_map_lacks_is_said() {
    let parsed = parse(
        "SERVICE ADDRESS   BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.96.0.1:443   backend 5 not found\n",
    );
    assert_eq!(parsed.diagnostics.len(), 1);
    assert_eq!(parsed.value.rows[0].entry, Entry::Missing(5));
}

#[test]
fn the_agents_list_as_table_and_as_json() {
    let text = "ID   Frontend            Service Type   Backend\n1    10.96.0.1:443/TCP   ClusterIP      1 => 10.60.0.40:6443/TCP (active)\n                                        2 => 10.60.0.41:6443/TCP (terminating)\n";
    let json = r#"[
  {
    "spec": {
      "backend-addresses": [
        { "ip": "10.60.0.40", "nodeName": "n1", "port": 6443, "protocol": "TCP", "state": "active" },
        { "ip": "10.60.0.41", "nodeName": "n2", "port": 6443, "protocol": "TCP", "state": "terminating" }
      ],
      "flags": { "name": "kubernetes", "namespace": "default", "type": "ClusterIP" },
      "frontend-address": { "ip": "10.96.0.1", "port": 443, "protocol": "TCP", "scope": "external" },
      "id": 1
    },
    "status": { "realized": { "frontend-address": { "ip": "10.96.0.1", "port": 443, "protocol": "TCP" } } }
  }
]
"#;
    for list in [read(text), read(json)] {
        let states: Vec<_> = list
            .rows
            .iter()
            .filter_map(|r| match r.entry {
                Entry::Backend { addr, state, .. } => Some((addr.to_string(), state)),
                _ => None,
            })
            .collect();
        let want = [
            ("10.60.0.40".to_owned(), Some(State::Active)),
            ("10.60.0.41".to_owned(), Some(State::Terminating)),
        ];
        assert_eq!(states, want);
        assert!(list.rows.iter().all(|r| r.agent));
    }
}

#[test]
fn ranges_endpoints_and_addresses() {
    let list = read("SOURCE RANGE (REVNAT_ID)   \n10.20.9.0/24 (9)   \nfd00::/64 (9)\n");
    assert_eq!(
        list.ranges
            .iter()
            .map(|r| (r.net.1, r.id))
            .collect::<Vec<_>>(),
        [(24, 9), (64, 9)]
    );
    let list = read(
        "IP ADDRESS       LOCAL ENDPOINT INFO\n172.18.0.2:0     (localhost)\n10.244.3.168:0   id=1371  sec_id=16771 flags=0x0000 ifindex=8   mac=DA:D8:BD:AC:A6:C0 nodemac=96:E9:98:4F:8E:1D\n",
    );
    let ends: Vec<_> = list.endpoints.iter().map(|e| (e.host, e.ifindex)).collect();
    assert_eq!(ends, [(true, None), (false, Some(8))]);
    let list = read(
        "IP PREFIX/ADDRESS   IDENTITY\n10.244.0.0/24       identity=2 encryptkey=0 tunnelendpoint=192.0.2.2 flags=hastunnel\n10.244.1.87/32      identity=22446 encryptkey=0 tunnelendpoint=0.0.0.0 flags=<none>\n",
    );
    let tunnels: Vec<_> = list.prefixes.iter().map(|p| p.tunnel.is_some()).collect();
    assert_eq!(tunnels, [true, false]);
}

#[test]
fn the_mode_is_in_the_status_or_the_config_map() {
    let value = |text: &str, key: &str| {
        let list = read(text);
        let s = list.settings.into_iter().find(|s| s.key == key);
        s.map(|s| s.value)
    };
    let status = "KubeProxyReplacement:    True   [eth0   10.30.0.21 2001:db8:30::21 fe80::1 (Direct Routing)]\nRouting:                 Network: Tunnel [vxlan]   Host: Legacy\nKubeProxyReplacement Details:\n  Status:                 True\n  Mode:                   Hybrid\n    DSR Dispatch Mode:    Geneve\n  Services:\n  - NodePort:       Enabled (Range: 30000-40000)\n";
    for (key, want) in [
        ("bpf-lb-mode", "hybrid"),
        ("bpf-lb-dsr-dispatch", "geneve"),
        ("kube-proxy-replacement", "true"),
        ("direct-routing-device", "eth0"),
        ("direct-routing-address", "10.30.0.21"),
        ("routing-mode", "tunnel"),
        ("host-routing", "Legacy"),
        ("node-port-range", "30000-40000"),
    ] {
        assert_eq!(value(status, key).as_deref(), Some(want), "{key}");
    }
    for text in [
        "apiVersion: v1\ndata:\n  bpf-lb-mode: dsr\n  debug: \"false\"\nkind: ConfigMap\nmetadata:\n  name: cilium-config\n",
        "{\"apiVersion\":\"v1\",\"data\":{\"bpf-lb-mode\":\"dsr\",\"debug\":\"false\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cilium-config\"}}",
        "bpf-lb-acceleration    disabled\nbpf-lb-mode            dsr\n",
    ] {
        assert_eq!(value(text, "bpf-lb-mode").as_deref(), Some("dsr"), "{text}");
    }
}

#[test]
fn its_commands_are_known_in_sessions() {
    let text = "root@n1:~# kubectl -n kube-system exec ds/cilium -- cilium-dbg bpf lb list\nSERVICE ADDRESS     BACKEND ADDRESS (REVNAT_ID) (SLOT)\n10.96.0.1:443/TCP   10.60.0.40:6443/TCP (1) (1)\n                    0.0.0.0:0 (1) (0) [ClusterIP, non-routable]\nroot@n1:~# \n";
    let kinds: Vec<_> = transcript::read(text)
        .blocks
        .iter()
        .map(|b| b.kind)
        .collect();
    assert_eq!(kinds, [recognise::Kind::Cilium]);
}
