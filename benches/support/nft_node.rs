//! A generated node in kube-proxy's nftables mode, as `nft list ruleset` prints it (pkg/proxy/nftables/proxier.go).

use std::fmt::Write as _;

/// The rule set: so many Services with so many endpoints each, all in the same form as kube-proxy's.
pub fn ruleset(services: u32, endpoints: u32) -> String {
    let mut sets = String::new();
    let mut chains = String::new();
    let mut ips = Vec::new();
    let mut map = Vec::new();
    for s in 0..services {
        let ip = address(10, 96 << 16 | (s + 1));
        let name = format!(
            "{:08X}-ns{}/svc{s}/tcp/http",
            s.wrapping_mul(0x9e37_79b9),
            s % 50
        );
        ips.push(ip.clone());
        map.push(format!("{ip} . tcp . 80 : goto service-{name}"));
        let mut targets = Vec::new();
        for e in 0..endpoints {
            let pod = address(10, 128 << 16 | (s * endpoints + e + 1));
            let chain = format!(
                "endpoint-{:08X}-ns{}/svc{s}/tcp/http__{pod}/8080",
                (s * endpoints + e).wrapping_mul(0x85eb_ca6b),
                s % 50
            );
            let _ = write!(
                chains,
                "\n\tchain {chain} {{\n\t\tip saddr {pod} jump mark-for-masquerade\n\t\tmeta l4proto tcp dnat to {pod}:8080\n\t}}\n"
            );
            targets.push(format!("{e} : goto {chain}"));
        }
        let _ = write!(
            chains,
            "\n\tchain service-{name} {{\n\t\tip daddr {ip} tcp dport 80 ip saddr != 10.128.0.0/9 jump mark-for-masquerade\n\t\tnumgen random mod {endpoints} vmap {{ {} }}\n\t}}\n",
            targets.join(", ")
        );
    }
    let list = |items: &[String], each: usize| {
        let rows: Vec<String> = items.chunks(each).map(|row| row.join(", ")).collect();
        rows.join(",\n\t\t\t     ")
    };
    let _ = write!(
        sets,
        "\tset cluster-ips {{\n\t\ttype ipv4_addr\n\t\tcomment \"Active ClusterIPs\"\n\t\telements = {{ {} }}\n\t}}\n\n",
        list(&ips, 2)
    );
    let _ = write!(
        sets,
        "\tmap service-ips {{\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\t\tcomment \"ClusterIP, ExternalIP and LoadBalancer IP traffic\"\n\t\telements = {{ {} }}\n\t}}\n",
        list(&map, 1)
    );
    format!("table ip kube-proxy {{\n\tcomment \"rules for kube-proxy\"\n{sets}{FIXED}{chains}}}\n")
}

/// `FIRST.x.y.z` of a number of 24 bits.
fn address(first: u32, rest: u32) -> String {
    std::net::Ipv4Addr::from_bits(first << 24 | rest).to_string()
}

const FIXED: &str = "
	chain cluster-ips-check {
		ip daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"
		ip daddr 10.96.0.0/12 drop comment \"Drop traffic to unallocated ClusterIPs\"
	}

	chain filter-forward {
		type filter hook forward priority -110; policy accept;
		ct state new jump cluster-ips-check
	}

	chain filter-output-post-dnat {
		type filter hook output priority -90; policy accept;
		ct state new jump cluster-ips-check
	}

	chain mark-for-masquerade {
		meta mark set meta mark | 0x00004000
	}

	chain masquerading {
		meta mark & 0x00004000 == 0x00000000 return
		meta mark set meta mark ^ 0x00004000
		masquerade fully-random
	}

	chain nat-output {
		type nat hook output priority -100; policy accept;
		jump services
	}

	chain nat-postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		jump masquerading
	}

	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump services
	}

	chain services {
		ip daddr . meta l4proto . th dport vmap @service-ips
	}
";
