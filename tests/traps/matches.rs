//! What each match says of a packet, yes and no, as the kernel lab has seen it say on Linux 6.18.

use crate::common::{Files, walk};
use crate::{IN, node};
use nfwhy::trace::Verdict;

/// `yes`, `no` or `?` for a rule in FORWARD that drops what matches.
pub fn says(files: Files, matches: &str, packet: &str) -> &'static str {
    let s = files
        .table("filter", &format!("-A FORWARD {matches} -j DROP"))
        .snapshot();
    let ends = walk(&s, packet);
    let dropped = ends.iter().any(|o| o.verdict == Verdict::Dropped);
    let passed = ends.iter().any(|o| o.verdict == Verdict::Forwarded);
    match (dropped, passed) {
        (true, true) => "?",
        (true, false) => "yes",
        (false, true) => "no",
        (false, false) => "neither",
    }
}

/// The packet from outside with more keys.
pub fn with(more: &str) -> String {
    IN.replace('}', &format!(",{more}}}"))
}

#[track_caller]
pub fn check(rows: &[(&str, &str, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(matches, packet, expected)| {
            let said = says(node(), matches, packet);
            (said != *expected).then(|| format!("{matches}: {said}, not {expected}, for {packet}"))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn ports_and_flags() {
    let udp = with(r#""proto":"udp""#);
    let sctp = with(r#""proto":"sctp""#);
    let ack = with(r#""flags":["ack"]"#);
    check(&[
        ("-p tcp -m tcp --dport 80", IN, "yes"),
        ("-p tcp -m tcp --dport 81", IN, "no"),
        ("-p tcp -m tcp ! --dport 80", IN, "no"),
        ("-p tcp -m tcp --sport 40000:50000", IN, "yes"),
        ("-p tcp -m tcp ! --sport 40000:50000", IN, "no"),
        ("-p tcp -m tcp --sport 30000:39999 --dport 80", IN, "no"),
        ("-p tcp -m tcp --tcp-flags SYN,ACK SYN", IN, "yes"),
        ("-p tcp -m tcp --tcp-flags SYN,ACK SYN", &ack, "no"),
        ("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN", &ack, "yes"),
        ("-p tcp -m tcp --tcp-option 8", IN, "?"),
        ("-p tcp -m tcp --dport 81 --tcp-option 8", IN, "no"),
        ("-p udp -m udp --dport 80", &udp, "yes"),
        ("-p udp -m udp --dport 80", IN, "no"),
        ("-p sctp -m sctp --dport 80", &sctp, "yes"),
        ("-p sctp -m sctp --dport 81", &sctp, "no"),
        (
            "-p sctp -m sctp --dport 80 --chunk-types any INIT",
            &sctp,
            "?",
        ),
        ("-p tcp -m multiport --dports 79,80", IN, "yes"),
        ("-p tcp -m multiport --dports 79,81:90", IN, "no"),
        ("-p tcp -m multiport ! --dports 79,81:90", IN, "yes"),
        ("-p tcp -m multiport --sports 40000", IN, "yes"),
        ("-p tcp -m multiport --sports 80", IN, "no"),
        ("-p tcp -m multiport --ports 40000", IN, "yes"),
        ("-p tcp -m multiport --ports 80", IN, "yes"),
        ("-p tcp -m multiport --ports 81", IN, "no"),
        ("-p tcp -m multiport ! --ports 80", IN, "no"),
    ]);
    // A port that is not told may be any.
    let open = IN.replace(r#""sport":40000,"#, "");
    check(&[
        ("-p tcp -m multiport --sports 40000", &open, "?"),
        ("-p tcp -m multiport --ports 80,40000", &open, "yes"),
        ("-p tcp -m multiport --ports 81,40000", &open, "?"),
        ("-p tcp -m tcp --sport 40000 --dport 81", &open, "no"),
        ("-p tcp -m tcp ! --sport 40000", &open, "?"),
    ]);
}

#[test]
fn icmp_types() {
    let ping = |ty: u8, code: u8| {
        format!(
            r#"{{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","icmp_type":{ty},"icmp_code":{code},"iif":"eth0"}}"#
        )
    };
    check(&[
        ("-p icmp -m icmp --icmp-type 8", &ping(8, 0), "yes"),
        ("-p icmp -m icmp --icmp-type 8", &ping(3, 0), "no"),
        ("-p icmp -m icmp ! --icmp-type 8", &ping(3, 0), "yes"),
        ("-p icmp -m icmp --icmp-type 3/1", &ping(3, 1), "yes"),
        ("-p icmp -m icmp --icmp-type 3/1", &ping(3, 2), "no"),
        ("-p icmp -m icmp --icmp-type any", &ping(3, 2), "yes"),
        ("-p icmp -m icmp --icmp-type 8", IN, "no"),
    ]);
}

#[test]
fn header_fields() {
    let tos = with(r#""tos":184"#);
    let short = with(r#""length":60"#);
    let ttl = with(r#""ttl":9"#);
    check(&[
        ("-m dscp --dscp 0x2e", &tos, "yes"),
        ("-m dscp --dscp 0x2e", IN, "no"),
        ("-m dscp ! --dscp 0x2e", IN, "yes"),
        ("-m tos --tos 0xb8/0xff", &tos, "yes"),
        ("-m tos --tos 0xb0/0xf0", &tos, "yes"),
        ("-m tos --tos 0x10/0xff", &tos, "no"),
        ("-m tos ! --tos 0x10/0xff", &tos, "yes"),
        ("-m length --length 60", &short, "yes"),
        ("-m length --length 0:59", &short, "no"),
        ("-m length ! --length 0:59", &short, "yes"),
        // The time to live is lowered before FORWARD.
        ("-m ttl --ttl-eq 8", &ttl, "yes"),
        ("-m ttl --ttl-eq 9", &ttl, "no"),
        ("-m ttl ! --ttl-eq 8", &ttl, "no"),
        ("-m ttl --ttl-lt 9", &ttl, "yes"),
        ("-m ttl --ttl-lt 8", &ttl, "no"),
        ("-m ttl --ttl-gt 7", &ttl, "yes"),
        ("-m ttl --ttl-gt 8", &ttl, "no"),
        (
            "-m iprange --src-range 192.168.0.90-192.168.0.99",
            IN,
            "yes",
        ),
        ("-m iprange --src-range 192.168.0.90-192.168.0.98", IN, "no"),
        (
            "-m iprange ! --src-range 192.168.0.90-192.168.0.98",
            IN,
            "yes",
        ),
        ("-m iprange --dst-range 10.244.0.4-10.244.0.5", IN, "yes"),
        ("-m iprange --dst-range 10.244.0.5-10.244.0.9", IN, "no"),
        ("-m iprange ! --dst-range 10.244.0.4-10.244.0.5", IN, "no"),
        (
            "-m iprange --src-range 192.168.0.1-192.168.0.9 --dst-range 10.244.0.4-10.244.0.5",
            IN,
            "no",
        ),
        ("-m pkttype --pkt-type unicast", IN, "yes"),
        ("-m pkttype --pkt-type multicast", IN, "no"),
        ("-m pkttype ! --pkt-type broadcast", IN, "yes"),
        ("-m realm --realm 0x0", IN, "yes"),
        ("-m realm --realm 0x1", IN, "no"),
        ("-m realm ! --realm 0x1", IN, "yes"),
        ("-m cpu --cpu 0", IN, "?"),
        ("-f", IN, "no"),
        ("! -f", IN, "yes"),
    ]);
}

#[test]
fn devices_marks_and_hardware_addresses() {
    let mac = with(r#""mac":"02:00:00:00:00:07""#);
    let marked = with(r#""mark":"0x4001""#);
    check(&[
        ("-i eth0", IN, "yes"),
        ("-i eth+", IN, "yes"),
        ("-i eth", IN, "no"),
        ("! -i eth+", IN, "no"),
        ("-o cni0", IN, "yes"),
        ("-o eth0", IN, "no"),
        ("! -o eth0", IN, "yes"),
        ("-m mac --mac-source 02:00:00:00:00:07", &mac, "yes"),
        ("-m mac --mac-source 02:00:00:00:00:08", &mac, "no"),
        ("-m mac ! --mac-source 02:00:00:00:00:08", &mac, "yes"),
        ("-m mac --mac-source 02:00:00:00:00:07", IN, "?"),
        ("-m mark --mark 0x4000/0x4000", &marked, "yes"),
        ("-m mark --mark 0x4000", &marked, "no"),
        ("-m mark ! --mark 0x4000/0x4000", &marked, "no"),
        ("-m mark ! --mark 0x8000/0x8000", &marked, "yes"),
        ("-m connmark --mark 0x0", IN, "yes"),
        ("-m connmark --mark 0x1", IN, "no"),
        ("-m connmark ! --mark 0x1", IN, "yes"),
        ("-m devgroup --src-group 0x0", IN, "yes"),
        ("-m devgroup --src-group 0x1", IN, "no"),
        ("-m devgroup ! --dst-group 0x1", IN, "yes"),
        ("-m devgroup --src-group 0x0 --dst-group 0x1", IN, "no"),
        ("-m physdev --physdev-is-in", IN, "no"),
        ("-m physdev ! --physdev-is-in", IN, "yes"),
        ("-m physdev --physdev-is-bridged", IN, "no"),
        ("-m physdev --physdev-in eth0", IN, "no"),
        ("-m physdev ! --physdev-in eth0", IN, "yes"),
    ]);
}

#[test]
fn matches_that_keep_state_meet_a_client_never_seen() {
    check(&[
        ("-m limit --limit 1/sec", IN, "yes"),
        ("-m limit --limit 1/sec --limit-burst 1", IN, "yes"),
        (
            "-m hashlimit --hashlimit-upto 1/sec --hashlimit-mode srcip --hashlimit-name h",
            IN,
            "yes",
        ),
        (
            "-m hashlimit --hashlimit-above 1/sec --hashlimit-mode srcip --hashlimit-name h",
            IN,
            "no",
        ),
        (
            "-m connlimit --connlimit-upto 1 --connlimit-mask 32 --connlimit-saddr",
            IN,
            "yes",
        ),
        (
            "-m connlimit --connlimit-upto 0 --connlimit-mask 32 --connlimit-saddr",
            IN,
            "no",
        ),
        (
            "-m connlimit --connlimit-above 0 --connlimit-mask 32 --connlimit-saddr",
            IN,
            "yes",
        ),
        (
            "-m connlimit --connlimit-above 1 --connlimit-mask 32 --connlimit-saddr",
            IN,
            "no",
        ),
        ("-m quota --quota 40", IN, "yes"),
        ("-m quota --quota 39", IN, "no"),
        ("-m quota ! --quota 39", IN, "yes"),
        ("-m recent --rcheck --name a --rsource", IN, "no"),
        ("-m recent ! --rcheck --name a --rsource", IN, "yes"),
        ("-m recent --set --name a --rsource", IN, "yes"),
        ("-m recent ! --set --name a --rsource", IN, "no"),
        ("-m recent --remove --name a --rsource", IN, "no"),
        ("-m policy --dir in --pol none", IN, "yes"),
        ("-m policy --dir in --pol ipsec", IN, "no"),
        ("-m socket", IN, "?"),
        ("-m string --algo bm --string x", IN, "?"),
        ("-m helper --helper ftp", IN, "no"),
        ("-m helper ! --helper ftp", IN, "yes"),
    ]);
}

/// A list remembers within one packet's way, by source or by destination.
#[test]
fn recent_finds_what_an_earlier_rule_put_into_its_list() {
    let after = |first: &str| {
        node().table(
            "mangle",
            &format!("-A PREROUTING -m recent {first} --mask 255.255.255.255"),
        )
    };
    for (first, then, expected) in [
        (
            "--set --name a --rsource",
            "--rcheck --name a --rsource",
            "yes",
        ),
        (
            "--set --name a --rsource",
            "! --rcheck --name a --rsource",
            "no",
        ),
        (
            "--set --name a --rsource",
            "--rcheck --name b --rsource",
            "no",
        ),
        (
            "--set --name a --rdest",
            "--rcheck --name a --rsource",
            "no",
        ),
        ("--set --name a --rdest", "--rcheck --name a --rdest", "yes"),
        (
            "--set --name a --rsource",
            "--remove --name a --rsource",
            "yes",
        ),
        (
            "--set --name a --rsource",
            "--update --hitcount 1 --name a --rsource",
            "yes",
        ),
        (
            "--set --name a --rsource",
            "--update --hitcount 2 --name a --rsource",
            "no",
        ),
    ] {
        let said = says(
            after(first),
            &format!("-m recent {then} --mask 255.255.255.255"),
            IN,
        );
        assert_eq!(said, expected, "{first}, then {then}");
    }
}

/// That a client is not in a list is assumed where that is asked, and neither of what a rule put there nor of what puts it.
#[test]
fn recent_assumes_only_what_it_asks() {
    use crate::common::check;
    for (rules, end) in [
        (
            "-A FORWARD -m recent --set --name a --rsource\n",
            "forwarded sure=yes",
        ),
        (
            "-A FORWARD -m recent --set --name a --rsource\n-A FORWARD -m recent --rcheck --name a --rsource -j DROP\n",
            "dropped sure=yes",
        ),
        (
            "-A FORWARD -m recent --rcheck --name a --rsource -j DROP\n",
            "forwarded sure=no",
        ),
    ] {
        check(&node().table("filter", rules).snapshot(), IN, &[end]);
    }
}

/// The same limit asked twice gives twice: a burst of 1 is used up by the first rule.
#[test]
fn a_limit_gives_no_more_than_its_burst() {
    let rules = |burst: u32| {
        format!(
            "-A FORWARD -m hashlimit --hashlimit-upto 1/sec --hashlimit-burst {burst} --hashlimit-mode srcip --hashlimit-name h"
        )
    };
    for (burst, expected) in [(1, "no"), (2, "yes")] {
        let files = node().table("mangle", &rules(burst));
        let said = says(files, &rules(burst).replace("-A FORWARD ", ""), IN);
        assert_eq!(said, expected, "{burst}");
    }
}

/// Bytes are not counted: a packet that asks six times is within its rate, as five packets would not be.
#[test]
fn a_limit_of_bytes_is_not_one_of_packets() {
    for (rate, expected) in [("512kb/s", "yes"), ("1/sec", "no")] {
        let rule = format!(
            "-m hashlimit --hashlimit-upto {rate} --hashlimit-mode srcip --hashlimit-name h"
        );
        let files = node().table("mangle", &format!("-A FORWARD {rule}\n").repeat(5));
        assert_eq!(says(files, &rule, IN), expected, "{rate}");
    }
}

/// `__nf_conncount_add`: a packet that asks the same rule twice is two connections to it.
#[test]
fn connlimit_counts_a_packet_each_time_it_asks() {
    let rules = "\
-A FORWARD -j ONCE
-A ONCE -m connlimit --connlimit-above 1 --connlimit-mask 0 --connlimit-saddr -j DROP
";
    let end = |rules: &str| {
        let s = node().table("filter", rules).snapshot();
        walk(&s, IN).iter().map(|o| o.verdict).collect::<Vec<_>>()
    };
    assert_eq!(end(rules), [Verdict::Forwarded]);
    let twice = format!("-A FORWARD -j ONCE\n{rules}");
    assert_eq!(end(&twice), [Verdict::Dropped]);
}

#[test]
fn random_matches_have_their_probabilities() {
    use crate::common::check;
    let s = |matches: &str| {
        node()
            .table(
                "filter",
                &format!("-A FORWARD -m statistic {matches} -j DROP"),
            )
            .snapshot()
    };
    for (matches, p) in [
        ("--mode random --probability 0.25000000000", "1/4"),
        ("--mode random ! --probability 0.25000000000", "3/4"),
        ("--mode nth --every 4 --packet 0", "1/4"),
        ("--mode nth ! --every 4 --packet 0", "3/4"),
    ] {
        let q = if p == "1/4" { "3/4" } else { "1/4" };
        check(
            &s(matches),
            IN,
            &[&format!("dropped p={p}"), &format!("forwarded p={q}")],
        );
    }
}

#[test]
fn addresses_by_type() {
    check(&[
        ("-m addrtype --dst-type LOCAL", IN, "no"),
        ("-m addrtype ! --dst-type LOCAL", IN, "yes"),
        ("-m addrtype --dst-type UNICAST", IN, "yes"),
        ("-m addrtype --src-type UNICAST --dst-type LOCAL", IN, "no"),
        ("-m addrtype --src-type LOCAL,UNICAST", IN, "yes"),
        ("-m addrtype --src-type BROADCAST", IN, "no"),
        ("-m addrtype --src-type UNICAST --limit-iface-in", IN, "yes"),
        ("-m addrtype --dst-type LOCAL --limit-iface-out", IN, "no"),
    ]);
}

#[test]
fn connections_by_state_and_tuple() {
    check(&[
        ("-m conntrack --ctstate NEW", IN, "yes"),
        ("-m conntrack --ctstate ESTABLISHED,RELATED", IN, "no"),
        ("-m conntrack ! --ctstate NEW", IN, "no"),
        ("-m state --state NEW", IN, "yes"),
        ("-m state ! --state NEW", IN, "no"),
        ("-m conntrack --ctstate DNAT", IN, "no"),
        ("-m conntrack --ctdir ORIGINAL", IN, "yes"),
        ("-m conntrack --ctdir REPLY", IN, "no"),
        ("-m conntrack --ctproto 6", IN, "yes"),
        ("-m conntrack --ctproto 17", IN, "no"),
        ("-m conntrack ! --ctproto 17", IN, "yes"),
        ("-m conntrack --ctorigsrc 192.168.0.99", IN, "yes"),
        ("-m conntrack --ctorigsrc 192.168.0.98", IN, "no"),
        ("-m conntrack ! --ctorigdst 10.244.0.4", IN, "no"),
        ("-m conntrack --ctreplsrc 10.244.0.4", IN, "yes"),
        ("-m conntrack --ctrepldst 10.244.0.4", IN, "no"),
        ("-m conntrack --ctorigsrcport 40000", IN, "yes"),
        ("-m conntrack --ctorigdstport 81:90", IN, "no"),
        ("-m conntrack --ctreplsrcport 80", IN, "yes"),
        ("-m conntrack ! --ctrepldstport 40000", IN, "no"),
        ("-m conntrack --ctstatus NONE", IN, "no"),
        ("-m conntrack --ctstatus SEEN_REPLY", IN, "no"),
        ("-m conntrack ! --ctstatus SEEN_REPLY", IN, "yes"),
        ("-m conntrack --ctstatus ASSURED", IN, "no"),
        ("-m conntrack --ctstatus CONFIRMED", IN, "no"),
    ]);
    // A lone RST has no connection, and only its state can be asked.
    let reset = with(r#""flags":["rst"]"#);
    check(&[
        ("-m conntrack --ctstate INVALID", &reset, "yes"),
        ("-m conntrack --ctstate INVALID --ctproto 6", &reset, "yes"),
        ("-m conntrack --ctproto 6", &reset, "no"),
        ("-m conntrack ! --ctproto 17", &reset, "no"),
        ("-m connmark --mark 0x0", &reset, "no"),
        ("-m connmark ! --mark 0x1", &reset, "no"),
    ]);
}

/// What is asked of a payload or a clock is named by what it is, and a limit that only logs is nobody's concern.
#[test]
fn assumptions_name_what_decides() {
    use crate::common::check;
    for (matches, what) in [
        ("-m string --algo bm --string x", "string in the payload"),
        ("-m bpf --bytecode \"1,6 0 0 0\"", "bpf program"),
        ("-m u32 --u32 \"0&1=1\"", "u32 test"),
        ("-m time --timestart 09:00", "time of day"),
        ("-m rateest --rateest x", "-m rateest"),
        ("-p tcp -m tcp --tcp-option 8", "TCP option 8"),
        ("-m cpu --cpu 3", "CPU 3"),
        ("-m mac --mac-source 02:00:00:00:00:0A", "02:00:00:00:00:0a"),
    ] {
        let s = node()
            .table("filter", &format!("-A FORWARD {matches} -j DROP"))
            .snapshot();
        let ends = walk(&s, IN);
        assert_eq!(ends.len(), 2, "{matches}");
        for o in ends {
            let said = o.assumptions.join("; ");
            assert!(said.contains(what), "{matches}: {said}");
        }
    }
    let open = IN.replace(r#""sport":40000,"#, "");
    let s = node()
        .table(
            "filter",
            "-A FORWARD -p tcp -m multiport --sports 40000,50000:50010 -j DROP",
        )
        .snapshot();
    for o in walk(&s, &open) {
        let said = o.assumptions.join("; ");
        assert!(said.contains("one of 40000,50000:50010"), "{said}");
    }
    for (ports, said) in [("40000", "40000"), ("40000:50000", "40000-50000")] {
        let rule = format!("-A FORWARD -p tcp -m tcp --sport {ports} -j DROP");
        for o in walk(&node().table("filter", &rule).snapshot(), &open) {
            let all = o.assumptions.join("; ");
            let told = all.split(' ').any(|w| w == said);
            assert!(told, "{ports}: {all}");
        }
    }
    let limited = |target: &str| {
        node()
            .table(
                "filter",
                &format!("-A FORWARD -m limit --limit 1/sec {target}"),
            )
            .snapshot()
    };
    check(&limited("-j LOG"), IN, &["forwarded sure=yes"]);
    check(&limited(""), IN, &["forwarded sure=yes"]);
    check(&limited("-j DROP"), IN, &["dropped sure=no"]);
}
