//! Random matches, as text that the tools of the running machine take.

use super::pool;
use super::prng::Prng;
use super::sets::SetSpec;

/// Hooks as bits, in the kernel's order.
pub const PRE: u8 = 1;
pub const IN: u8 = 2;
pub const FWD: u8 = 4;
pub const OUT: u8 = 8;
pub const POST: u8 = 16;

/// Where a rule will stand.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// IPv6.
    pub v6: bool,
    /// The table.
    pub table: &'static str,
    /// Hooks from which its chain can be reached.
    pub hooks: u8,
    /// A built-in chain, where the tools check the devices against the hook.
    pub base: bool,
    /// Sets of the node.
    pub sets: &'a [SetSpec],
    /// Matches that draw a number are wanted.
    pub random: bool,
    /// Matches that keep state are wanted.
    pub stateful: bool,
}

impl Place<'_> {
    /// Whether all hooks from which the rule can be reached are among `hooks`.
    pub fn only(&self, hooks: u8) -> bool {
        self.hooks & !hooks == 0
    }
}

/// Matches with a leading space, or nothing.
pub fn some(r: &mut Prng, p: &Place<'_>) -> String {
    let mut out = String::new();
    if r.chance(20) {
        out += &format!(" {}-s {}", r.not(30), pool::net(r, p.v6));
    }
    if r.chance(25) {
        out += &format!(" {}-d {}", r.not(30), pool::net(r, p.v6));
    }
    if r.chance(12) && (!p.base || p.only(PRE | IN | FWD)) {
        out += &format!(" {}-i {}", r.not(25), pool::device(r));
    }
    if r.chance(12) && (!p.base || p.only(FWD | OUT | POST)) {
        out += &format!(" {}-o {}", r.not(25), pool::device(r));
    }
    let icmp = if p.v6 { "ipv6-icmp" } else { "icmp" };
    let proto = match r.below(20) {
        0..5 => "tcp",
        5..8 => "udp",
        8 => icmp,
        9 => "",
        10 => {
            out += &format!(" ! -p {}", r.one(&["tcp", "udp", icmp, "47"]));
            return out + &any(r, p, "");
        }
        _ => {
            return out + &any(r, p, "");
        }
    };
    if !proto.is_empty() {
        out += &format!(" -p {proto}");
        if r.chance(75) {
            out += &of_proto(r, p, proto);
        }
    }
    if r.chance(35) {
        out += &any(r, p, proto);
    }
    out
}

fn of_proto(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    match proto {
        "tcp" | "udp" => {
            if r.chance(25) {
                let (which, list) = match r.below(4) {
                    0 => ("--sports", "1:1023,20000:24999"),
                    1 => ("--ports", "80,20000:22000,30080"),
                    2 => ("--dports", "53,80,443"),
                    _ => ("--dports", "8080,30000:32767"),
                };
                return format!(" -m multiport {}{which} {list}", r.not(25));
            }
            let mut s = format!(" -m {proto}");
            if r.chance(70) {
                s += &format!(" {}--dport {}", r.not(25), pool::port(r));
            }
            if r.chance(25) {
                s += &format!(" {}--sport {}", r.not(25), pool::sport(r));
            }
            if proto == "tcp" && r.chance(30) {
                s += &match r.below(4) {
                    0 => format!(" {}--syn", r.not(40)),
                    1 => format!(" {}--tcp-flags SYN,ACK,FIN,RST SYN", r.not(40)),
                    2 => format!(" {}--tcp-flags ALL NONE", r.not(40)),
                    _ => format!(" {}--tcp-flags FIN,ACK ACK", r.not(40)),
                };
            }
            s
        }
        _ => {
            let types = if p.v6 {
                ["128", "129", "1", "3/0", "echo-request"]
            } else {
                ["8", "0", "3", "11/0", "echo-request"]
            };
            let (module, option) = if p.v6 {
                ("icmp6", "--icmpv6-type")
            } else {
                ("icmp", "--icmp-type")
            };
            format!(" -m {module} {}{option} {}", r.not(30), r.one(&types))
        }
    }
}

fn any(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    if p.stateful && r.chance(30) {
        return stateful(r, p, proto);
    }
    if p.random && r.chance(20) {
        return if r.chance(70) {
            let chance = r.one(&[
                "0.50000000000",
                "0.33333333349",
                "0.20000000019",
                "1.00000000000",
            ]);
            format!(
                " -m statistic --mode random {}--probability {chance}",
                r.not(20)
            )
        } else {
            format!(
                " -m statistic --mode nth {}--every {} --packet 0",
                r.not(20),
                r.one(&[2, 3])
            )
        };
    }
    let not = r.not(30);
    match r.below(30) {
        0..3 => conntrack(r, p),
        3 => format!(" -m state {not}--state {}", states(r, false)),
        4..6 => format!(" -m mark {not}--mark {}", pool::mark(r)),
        6 => format!(" -m connmark {not}--mark {}", pool::mark(r)),
        7..10 => addrtype(r, p),
        10..15 => set(r, p),
        15 => owner(r, p),
        16..18 => rpfilter(r, p),
        18 => format!(
            " -m length {not}--length {}",
            r.one(&["0:60", "100:500", "48", "1000:", "36:60"])
        ),
        19 => format!(
            " -m dscp {not}--dscp {}",
            r.one(&["0x2e", "0x0a", "0x00", "0x04"])
        ),
        20 => format!(
            " -m tos {not}--tos {}",
            r.one(&["0x10/0x3f", "0xb8/0xff", "0x00/0xff", "0x28/0x38"])
        ),
        21 => {
            let (m, o) = if p.v6 { ("hl", "hl") } else { ("ttl", "ttl") };
            match r.below(4) {
                0 => format!(" -m {m} {not}--{o}-eq {}", r.one(&[64, 63, 2])),
                1 => format!(" -m {m} --{o}-lt {}", r.one(&[64, 3])),
                2 => format!(" -m {m} --{o}-gt {}", r.one(&[64, 3])),
                _ => format!(" -m {m} {not}--{o}-eq 1"),
            }
        }
        22..24 => {
            let mut s = " -m iprange".to_owned();
            let which = r.below(3);
            if which != 0 {
                s += &format!(" {not}--src-range {}", pool::span(r, p.v6));
            }
            if which != 1 {
                s += &format!(" {}--dst-range {}", r.not(30), pool::span(r, p.v6));
            }
            s
        }
        24 if p.only(PRE | IN | FWD) => {
            format!(
                " -m mac {not}--mac-source 02:00:00:00:01:0{}",
                r.one(&[1, 2])
            )
        }
        25 => format!(
            " -m pkttype {not}--pkt-type {}",
            r.one(&["unicast", "multicast", "broadcast", "unicast"])
        ),
        26 => devgroup(r, p),
        27 => policy(r, p),
        28 => match r.below(4) {
            0 if proto.is_empty() => format!(" -m helper {not}--helper ftp"),
            1 if !p.v6 => format!(" -m realm {not}--realm {}", r.one(&["0x0", "0x1"])),
            2 if p.only(PRE | FWD | POST) => {
                let dir = if p.only(POST | FWD) && r.chance(50) {
                    "out"
                } else {
                    "in"
                };
                if p.only(POST) && dir == "in" {
                    format!(" -m physdev {not}--physdev-is-bridged")
                } else {
                    format!(" -m physdev {not}--physdev-is-{dir}")
                }
            }
            _ => String::from(" -m comment --comment \"a \\\"b\\\" c\""),
        },
        _ => format!(
            " -m comment --comment \"{}\"",
            r.one(&["plain", "two words", "-j DROP"])
        ),
    }
}

fn states(r: &mut Prng, nat: bool) -> String {
    let all: &[&str] = if nat {
        &[
            "NEW",
            "ESTABLISHED",
            "RELATED",
            "INVALID",
            "UNTRACKED",
            "DNAT",
            "SNAT",
        ]
    } else {
        &["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"]
    };
    let mut out: Vec<&str> = Vec::new();
    for _ in 0..=r.below(2) {
        let s = r.pick(all);
        if !out.contains(&s) {
            out.push(s);
        }
    }
    out.join(",")
}

fn conntrack(r: &mut Prng, p: &Place<'_>) -> String {
    let mut s = " -m conntrack".to_owned();
    let start = s.len();
    if r.chance(55) {
        s += &format!(" {}--ctstate {}", r.not(25), states(r, true));
    }
    for (option, percent) in [
        ("--ctorigsrc", 12),
        ("--ctorigdst", 18),
        ("--ctreplsrc", 12),
        ("--ctrepldst", 12),
    ] {
        if r.chance(percent) {
            s += &format!(" {}{option} {}", r.not(25), pool::net(r, p.v6));
        }
    }
    if r.chance(12) {
        s += &format!(" {}--ctproto {}", r.not(25), r.one(&[6, 17]));
    }
    if r.chance(12) {
        s += &format!(" {}--ctorigdstport {}", r.not(25), pool::port(r));
    }
    if r.chance(8) {
        s += &format!(" {}--ctreplsrcport {}", r.not(25), pool::port(r));
    }
    if r.chance(8) {
        s += &format!(" {}--ctorigsrcport {}", r.not(25), pool::sport(r));
    }
    if r.chance(6) {
        s += &format!(" {}--ctrepldstport {}", r.not(25), pool::sport(r));
    }
    if r.chance(15) {
        let v = r.one(&[
            "NONE",
            "SEEN_REPLY",
            "CONFIRMED",
            "ASSURED",
            "EXPECTED",
            "SEEN_REPLY,CONFIRMED",
        ]);
        s += &format!(" {}--ctstatus {v}", r.not(25));
    }
    if r.chance(15) || s.len() == start {
        s += &format!(" --ctdir {}", r.one(&["ORIGINAL", "REPLY"]));
    }
    s
}

fn addrtype(r: &mut Prng, p: &Place<'_>) -> String {
    let types = if p.v6 {
        // IPv6 refuses the others (`addrtype_mt_checkentry_v1`).
        [
            "LOCAL",
            "UNICAST",
            "ANYCAST",
            "MULTICAST",
            "UNREACHABLE",
            "LOCAL",
            "UNICAST",
            "LOCAL",
            "LOCAL",
            "LOCAL,UNREACHABLE",
        ]
    } else {
        [
            "LOCAL",
            "UNICAST",
            "LOCAL",
            "BROADCAST",
            "MULTICAST",
            "BLACKHOLE",
            "UNREACHABLE",
            "PROHIBIT",
            "THROW",
            "LOCAL,BROADCAST",
        ]
    };
    let mut s = " -m addrtype".to_owned();
    let which = r.below(4);
    if which != 0 {
        s += &format!(" {}--dst-type {}", r.not(30), r.one(&types));
    }
    if which == 0 || which == 3 {
        s += &format!(" {}--src-type {}", r.not(30), r.one(&types));
    }
    if r.chance(25) {
        if p.only(PRE | IN | FWD) {
            s += " --limit-iface-in";
        } else if p.only(FWD | OUT | POST) {
            s += " --limit-iface-out";
        }
    }
    s
}

fn set(r: &mut Prng, p: &Place<'_>) -> String {
    let fit: Vec<&SetSpec> = p
        .sets
        .iter()
        .filter(|s| s.v6.is_none_or(|v6| v6 == p.v6))
        .collect();
    if fit.is_empty() {
        return String::new();
    }
    let s = fit[r.below(fit.len())];
    let mut flags = Vec::new();
    for dim in s.dims {
        flags.push(match *dim {
            // The source address of a frame is there only on the way in.
            "mac" => "src",
            "iface" if p.only(PRE | IN) => "src",
            "iface" if p.only(OUT | POST) => "dst",
            _ => r.one(&["src", "dst", "dst"]),
        });
    }
    let extra = if s.nomatch && r.chance(25) {
        " --return-nomatch"
    } else {
        ""
    };
    format!(
        " -m set {}--match-set {} {}{extra}",
        r.not(30),
        s.name,
        flags.join(",")
    )
}

fn owner(r: &mut Prng, p: &Place<'_>) -> String {
    if !p.only(OUT | POST) {
        return format!(" -m mark {}--mark {}", r.not(30), pool::mark(r));
    }
    match r.below(4) {
        0 => format!(" -m owner {}--uid-owner 1000", r.not(30)),
        1 => format!(" -m owner {}--uid-owner 0-999", r.not(30)),
        2 => format!(" -m owner {}--gid-owner 0", r.not(30)),
        _ => format!(" -m owner {}--socket-exists", r.not(30)),
    }
}

fn rpfilter(r: &mut Prng, p: &Place<'_>) -> String {
    if !p.only(PRE) || !matches!(p.table, "raw" | "mangle") {
        return addrtype(r, p);
    }
    let mut s = " -m rpfilter".to_owned();
    for (o, percent) in [
        ("--loose", 35),
        ("--validmark", 35),
        ("--accept-local", 30),
        ("--invert", 50),
    ] {
        if r.chance(percent) {
            s += " ";
            s += o;
        }
    }
    s
}

fn devgroup(r: &mut Prng, p: &Place<'_>) -> String {
    let g = r.one(&["0x0", "0x5", "0x4/0x4"]);
    if p.only(PRE | IN | FWD) {
        format!(" -m devgroup {}--src-group {g}", r.not(30))
    } else if p.only(FWD | OUT | POST) {
        format!(" -m devgroup {}--dst-group {g}", r.not(30))
    } else {
        String::new()
    }
}

fn policy(r: &mut Prng, p: &Place<'_>) -> String {
    let dir = if p.only(PRE | IN | FWD) {
        "in"
    } else if p.only(FWD | OUT | POST) {
        "out"
    } else {
        return String::new();
    };
    format!(" -m policy --dir {dir} --pol {}", r.one(&["none", "ipsec"]))
}

fn stateful(r: &mut Prng, p: &Place<'_>, _proto: &str) -> String {
    let n = r.below(3);
    match r.below(9) {
        0 => " -m limit --limit 5/min --limit-burst 2".into(),
        1 => {
            let above = r.one(&["--hashlimit-upto", "--hashlimit-above"]);
            format!(
                " -m hashlimit {above} 5/min --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-name h{n}{}",
                u8::from(p.v6)
            )
        }
        2 => format!(
            " -m connlimit --connlimit-{} {}",
            r.one(&["above", "upto"]),
            r.one(&[0, 1, 2])
        ),
        3 => format!(" -m quota {}--quota {}", r.not(20), r.one(&[50, 5000])),
        4 => format!(" -m recent {}--rcheck --seconds 60 --name R{n}", r.not(20)),
        5 => format!(" -m recent {}--set --name R{n}", r.not(10)),
        6 => format!(
            " -m recent {}--update --seconds 60 --hitcount {} --name R{n} --rdest",
            r.not(20),
            r.one(&[1, 2])
        ),
        7 => format!(" -m recent --set --name R{n} --rdest"),
        _ => format!(" -m recent {}--remove --name R{n}", r.not(20)),
    }
}
