//! Random ipsets of every type that the running kernel has.

use super::pool;
use super::prng::Prng;

/// What a rule must know of a set.
#[derive(Clone, Copy, Debug)]
pub struct SetSpec {
    /// Its name.
    pub name: &'static str,
    /// Its family; `None` for sets without addresses.
    pub v6: Option<bool>,
    /// What each `src` or `dst` stands for.
    pub dims: &'static [&'static str],
    /// It may have members marked `nomatch`.
    pub nomatch: bool,
}

const ALL: &[(SetSpec, &str)] = &[
    (
        spec("hip", Some(false), &["ip"], false),
        "hash:ip family inet",
    ),
    (
        spec("hipm", Some(false), &["ip"], false),
        "hash:ip family inet netmask 24",
    ),
    (
        spec("hip6", Some(true), &["ip"], false),
        "hash:ip family inet6",
    ),
    (
        spec("hipt", Some(false), &["ip"], false),
        "hash:ip family inet timeout 600",
    ),
    (
        spec("hipc", Some(false), &["ip"], false),
        "hash:ip family inet counters comment",
    ),
    (
        spec("hipb", Some(false), &["ip"], false),
        "hash:ip family inet bitmask 255.255.0.255",
    ),
    (
        spec("hip6m", Some(true), &["ip"], false),
        "hash:ip family inet6 netmask 64",
    ),
    (
        spec("hippm", Some(false), &["ip", "port"], false),
        "hash:ip,port family inet netmask 24",
    ),
    (
        spec("hnett", Some(false), &["ip"], true),
        "hash:net family inet timeout 600 counters",
    ),
    (
        spec("hnet", Some(false), &["ip"], true),
        "hash:net family inet",
    ),
    (
        spec("hnet6", Some(true), &["ip"], true),
        "hash:net family inet6",
    ),
    (
        spec("hipp", Some(false), &["ip", "port"], false),
        "hash:ip,port family inet",
    ),
    (
        spec("hipp6", Some(true), &["ip", "port"], false),
        "hash:ip,port family inet6",
    ),
    (
        spec("hippi", Some(false), &["ip", "port", "ip"], false),
        "hash:ip,port,ip family inet",
    ),
    (
        spec("hippi6", Some(true), &["ip", "port", "ip"], false),
        "hash:ip,port,ip family inet6",
    ),
    (
        spec("hippn", Some(false), &["ip", "port", "ip"], true),
        "hash:ip,port,net family inet",
    ),
    (
        spec("hippn6", Some(true), &["ip", "port", "ip"], true),
        "hash:ip,port,net family inet6",
    ),
    (
        spec("hnp", Some(false), &["ip", "port"], true),
        "hash:net,port family inet",
    ),
    (
        spec("hnp6", Some(true), &["ip", "port"], true),
        "hash:net,port family inet6",
    ),
    (
        spec("hni", Some(false), &["ip", "iface"], true),
        "hash:net,iface family inet",
    ),
    (
        spec("hni6", Some(true), &["ip", "iface"], true),
        "hash:net,iface family inet6",
    ),
    (
        spec("bip", Some(false), &["ip"], false),
        "bitmap:ip range 10.1.0.0-10.1.0.255",
    ),
    (
        spec("bmac", Some(false), &["ip", "mac"], false),
        "bitmap:ip,mac range 10.1.0.0/24",
    ),
    (
        spec("bipn", Some(false), &["ip"], false),
        "bitmap:ip range 10.1.0.0/16 netmask 28 timeout 600",
    ),
    (
        spec("bport", None, &["port"], false),
        "bitmap:port range 0-65535",
    ),
];

const LISTS: &[SetSpec] = &[
    spec("list4", Some(false), &["ip"], false),
    spec("list4p", Some(false), &["ip", "port"], false),
    spec("list6", Some(true), &["ip"], false),
    spec("list46", None, &["ip"], false),
];

const fn spec(
    name: &'static str,
    v6: Option<bool>,
    dims: &'static [&'static str],
    nomatch: bool,
) -> SetSpec {
    SetSpec {
        name,
        v6,
        dims,
        nomatch,
    }
}

/// Some sets, and the lines that make them.
pub fn make(r: &mut Prng) -> (Vec<SetSpec>, Vec<String>) {
    let mut specs = Vec::new();
    let mut lines = Vec::new();
    for (s, create) in ALL {
        if !r.chance(35) {
            continue;
        }
        specs.push(*s);
        lines.push(format!("create {} {create}", s.name));
        for _ in 0..r.below(7) {
            lines.push(format!("add {} {}", s.name, member(r, s)));
        }
    }
    for list in LISTS {
        let fit: Vec<&SetSpec> = specs
            .iter()
            .filter(|s| list.v6.is_none_or(|v6| s.v6 == Some(v6)))
            .filter(|s| s.dims.len() <= list.dims.len() && !s.name.starts_with("list"))
            .collect();
        if fit.len() < 2 || !r.chance(50) {
            continue;
        }
        let timeout = if r.chance(30) { " timeout 600" } else { "" };
        lines.push(format!("create {} list:set{timeout}", list.name));
        for _ in 0..2 {
            lines.push(format!(
                "add {} {}",
                list.name,
                fit[r.below(fit.len())].name
            ));
        }
        specs.push(*list);
    }
    (specs, lines)
}

fn member(r: &mut Prng, s: &SetSpec) -> String {
    let v6 = s.v6 == Some(true);
    if s.name.starts_with("bip") {
        return r
            .one(&[
                "10.1.0.1",
                "10.1.0.50",
                "10.1.0.48/29",
                "10.1.0.2-10.1.0.60",
            ])
            .to_owned();
    }
    if s.name == "bmac" {
        return r
            .one(&[
                "10.1.0.50,02:00:00:00:01:01",
                "10.1.0.51,02:00:00:00:01:02",
                "10.1.0.1,02:00:00:00:01:01",
            ])
            .to_owned();
    }
    let mut parts = Vec::new();
    let net = s.nomatch;
    for (i, dim) in s.dims.iter().enumerate() {
        parts.push(match *dim {
            "port" if s.dims.len() == 1 => r.one(&["80", "443", "20000-24999", "8080"]).to_owned(),
            "port" => {
                let icmp = if v6 { "icmpv6:128/0" } else { "icmp:8/0" };
                r.one(&[
                    "tcp:80",
                    "udp:53",
                    "tcp:443",
                    "tcp:8080",
                    "tcp:80-443",
                    icmp,
                    "udp:5000",
                    "80",
                    "sctp:80",
                    "udplite:443",
                    "gre:0",
                    "esp:0",
                ])
                .to_owned()
            }
            "iface" => r
                .one(&[
                    "ext0",
                    "pod0",
                    "ext1",
                    "pod1",
                    "ext0",
                    "pod0",
                    "physdev:ext0",
                ])
                .to_owned(),
            // Only hash:net,iface takes all addresses at once.
            "ip" if s.dims.contains(&"iface") && r.chance(20) => {
                if v6 { "::/0" } else { "0.0.0.0/0" }.to_owned()
            }
            // In hash:ip,port,net only the last is a network.
            _ if net && (s.dims.len() < 3 || i == 2) => pool::prefix(r, v6).to_owned(),
            _ => loop {
                let a = pool::addr(r, v6);
                if a != "255.255.255.255" {
                    break a.to_owned();
                }
            },
        });
    }
    let mut out = parts.join(",");
    if matches!(s.name, "hipt" | "hnett" | "bipn") {
        out += r.one(&["", " timeout 0", " timeout 900"]);
    }
    if s.name == "hipc" {
        out += r.one(&[
            "",
            " comment \"a b\"",
            " packets 3 bytes 100",
            " comment \"nomatch\"",
        ]);
    }
    // An interface known by the beginning of its name.
    if s.dims.contains(&"iface")
        && out.ends_with("ext0")
        && !out.contains("physdev")
        && r.chance(20)
    {
        out.truncate(out.len() - 1);
        out += " wildcard";
    }
    if net && r.chance(25) {
        out += " nomatch";
    }
    out
}
