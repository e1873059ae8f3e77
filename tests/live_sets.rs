//! Sets, flows and IPVS as the kernel tells them beside what the ordinary commands print.
//!
//! `NFWHY_LIVE_NODES` is how many random namespaces are made, `NFWHY_LAB_SEED` where they begin; `NFWHY_LAB=require` fails where none
//! can be made.

#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]
#![expect(dead_code, reason = "the lab has more than this test needs")]

mod lab;

use lab::prng::Prng;
use lab::wanted::{self, goes_on, knob, say};
use lab::{netns, sets, sh};
use nfwhy::capture::live::Reading;
use nfwhy_parsers::common::{Span, Text};
use nfwhy_parsers::conntrack::{self, Flow};
use nfwhy_parsers::ipset::{self, IpSet};
use nix::sched::{CloneFlags, unshare};

/// Whether this cannot run here; says so, or fails where it must run.
fn skip() -> bool {
    let tools: [&[&str]; 3] = [&["ipset", "-v"], &["conntrack", "-V"], &["ip", "-V"]];
    !goes_on(|| netns::obstacle().or_else(|| sh::missing(&tools)))
}

/// The text of a source, which must have been read.
fn live(name: &str) -> String {
    let reading = Reading::of_this_namespace(None);
    let found = reading.outputs.iter().find(|o| o.name == name);
    found
        .unwrap_or_else(|| panic!("no {name}: {:?}", reading.unread))
        .text
        .clone()
}

/// Records of sets without what belongs to the text, in an order of their own. The hash's size and seed stay.
fn plain(text: &str) -> Vec<IpSet<'_>> {
    let parsed = ipset::parse(text);
    assert!(
        parsed.diagnostics.is_empty(),
        "{:?}\n{text}",
        parsed.diagnostics
    );
    let mut sets = parsed.value;
    for s in &mut sets {
        s.line = 0;
        s.span = Span::default();
        for m in &mut s.members {
            m.line = 0;
        }
        s.members.sort_by_key(|m| format!("{m:?}"));
        // Seconds go by between the two readings.
        for m in &mut s.members {
            if let Some(t) = m.timeout.as_mut().filter(|t| **t > 0) {
                *t = 0;
            }
        }
    }
    sets.sort_by_key(|s| s.name.clone());
    sets
}

/// Seconds left of each member, in the order of [`plain`].
fn seconds(text: &str) -> Vec<(String, u32)> {
    let mut out: Vec<(String, u32)> = ipset::parse(text)
        .value
        .iter()
        .flat_map(|s| {
            let name = s.name.to_string();
            s.members
                .iter()
                .filter_map(move |m| Some((format!("{name} {}", m.text), m.timeout?)))
        })
        .collect();
    out.sort();
    out
}

/// Compares sets with `ipset save`; the number of sets and members.
fn same_sets(what: &str) -> (usize, usize) {
    let text = sh::must(&["ipset", "save"], "");
    let ours = live("ipset-save");
    let (a, b) = (plain(&ours), plain(&text));
    assert_eq!(a, b, "{what}\nlive:\n{ours}\nipset save:\n{text}");
    for ((n, x), (m, y)) in seconds(&ours).iter().zip(&seconds(&text)) {
        assert_eq!(n, m);
        // 0 is for ever; and what ends within a second may be gone.
        assert!(
            x.abs_diff(*y) <= 2 && (*x == 0) == (*y == 0),
            "{what} {n}: {x} {y}"
        );
    }
    // The tool takes our text as its own.
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        let restored = sh::run(&["ipset", "restore"], &ours);
        assert!(restored.ok, "{what}: {}\n{ours}", restored.err);
        let again = sh::must(&["ipset", "save"], "");
        let strip = |t| {
            let mut s = plain(t);
            // A new seed, if the text had none.
            for s in &mut s {
                s.header = Text::Borrowed("");
            }
            s
        };
        assert_eq!(strip(&again), strip(&ours), "{what}: restored");
    }
    (a.len(), a.iter().map(|s| s.members.len()).sum())
}

fn fresh() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
}

#[test]
fn random_sets_are_those_of_ipset_save() {
    if skip() {
        return;
    }
    let (from, nodes) = (knob("NFWHY_LAB_SEED", 1), knob("NFWHY_LIVE_NODES", 12));
    let (mut all_sets, mut all_members) = (0, 0);
    for seed in from..from + nodes {
        fresh();
        let (_, lines) = sets::make(&mut Prng::new(seed));
        // The tool refuses a member now and then, and the generator does not mind.
        let script = format!("ipset -exist {}\n", lines.join("\nipset -exist "));
        sh::run(&["sh"], &script);
        let (s, m) = same_sets(&format!("seed {seed}"));
        all_sets += s;
        all_members += m;
    }
    say(&format!(
        "{nodes} namespaces, {all_sets} sets, {all_members} members are equal"
    ));
    assert!(all_members > 0);
}

/// Sets of every type and option: lines, each of which must be taken unless the kernel lacks the type.
const EVERY: &[&str] = &[
    "create a hash:ip family inet timeout 600 counters comment skbinfo hashsize 128 maxelem 1000 bucketsize 8",
    "add a 10.0.0.1 timeout 0 comment \"a b\" skbmark 0x10/0xff skbprio 1:10 skbqueue 3 packets 5 bytes 7",
    "add a 10.0.0.2 skbmark 0x10",
    "add a 10.0.0.3 comment \"nomatch timeout 5 \\ 'x' \u{e4}\"",
    "create b hash:net family inet6 forceadd",
    "add b fe80::/64 nomatch",
    "add b fe80::1",
    "add b ::/1",
    "create c hash:net,iface family inet comment counters",
    "add c 10.0.0.0/8,physdev:eth0 nomatch comment x",
    "add c 0.0.0.0/0,eth wildcard",
    "add c 10.0.0.0/9,eth0.5",
    "create c6 hash:net,iface family inet6 timeout 50",
    "add c6 ::/0,eth0",
    "create d hash:ip,port family inet6",
    "add d ::1,icmpv6:128/0",
    "add d ::1,icmpv6:129/7",
    "add d ::1,vrrp:0",
    "add d ::1,250:0",
    "add d ::1,sctp:77",
    "add d ::1,udplite:77",
    "create d4 hash:ip,port family inet netmask 24 timeout 40 counters skbinfo",
    "add d4 1.2.3.4,icmp:8/0",
    "add d4 1.2.3.4,icmp:200/3",
    "add d4 1.2.3.4,gre:0",
    "add d4 1.2.3.4,89:0 skbprio 0:1",
    "add d4 1.2.4.4,tcp:0-10 skbqueue 65535",
    "create d5 hash:ip,port family inet bitmask 255.0.255.0 timeout 40 counters skbinfo",
    "add d5 1.2.3.4,dccp:0",
    "create e bitmap:port range 1-100 timeout 50",
    "add e 80-90",
    "create f bitmap:ip range 10.0.0.0/16 netmask 28 timeout 0 counters",
    "add f 10.0.0.48",
    "add f 10.0.1.0/24",
    "create g bitmap:ip,mac range 10.0.0.0/24 comment skbinfo",
    "add g 10.0.0.1",
    "add g 10.0.0.2,02:ab:00:00:00:01 comment \"\"",
    "create h hash:mac",
    "add h 02:ab:00:00:00:01",
    "create i hash:ip,mark markmask 0xffff timeout 9",
    "add i 10.0.0.1,0x1ff",
    "create j hash:net,port,net counters",
    "add j 10.0.0.0/8,tcp:80,10.1.0.0/16 nomatch",
    "create k hash:net,net bitmask 255.255.0.255 timeout 50",
    "add k 10.0.0.0/8,10.1.0.0/16",
    "create l hash:ip,mac",
    "add l 10.0.0.1,02:ab:00:00:00:01",
    "create n hash:ip bitmask 255.255.0.255 timeout 50",
    "add n 10.1.2.3",
    "create o hash:ip netmask 24 timeout 100 skbinfo",
    "add o 10.1.2.3",
    "create p hash:ip,port,ip",
    "add p 1.1.1.1,tcp:1,1.1.1.1",
    "create q hash:ip,port,net family inet6 comment",
    "add q fd00::1,udp:53,fd01::/16 nomatch comment \"q\"",
    "create r hash:net,port",
    "add r 10.0.0.0/9,tcp:1-3",
    "create s bitmap:ip range 10.0.0.1-10.0.0.77 counters comment skbinfo timeout 77",
    "create u.v:w hash:ip family inet6 bitmask ffff::ff",
    "add u.v:w fe80::1",
    "create m list:set size 4 timeout 90 counters comment skbinfo",
    "add m a",
    "add m b before a timeout 30 packets 3 comment y",
    "add m p after a skbmark 0x1",
];

#[test]
fn sets_of_every_type_and_option_are_those_of_ipset_save() {
    if skip() {
        return;
    }
    fresh();
    let mut missing = std::collections::HashSet::new();
    for line in EVERY {
        let name = line.split(' ').nth(1).unwrap_or_default();
        if missing.contains(name) {
            continue;
        }
        let said = sh::run(&["sh", "-c", &format!("ipset {line}")], "");
        if said.err.contains("set type not supported") {
            missing.insert(name);
        } else {
            assert!(said.ok, "{line}: {}", said.err);
        }
    }
    let (sets, members) = same_sets("every type");
    say(&format!(
        "{sets} sets, {members} members; the kernel has not {missing:?}"
    ));
    assert!(sets >= 15);
}

#[test]
fn a_namespace_without_sets_or_flows_is_known_to_be_empty() {
    if skip() {
        return;
    }
    fresh();
    assert_eq!(live("ipset-save"), "");
    assert_eq!(live("conntrack"), "");
}

#[test]
fn a_large_set_is_read_faster_than_ipset_saves_it() {
    if skip() {
        return;
    }
    fresh();
    let mut lines = String::from("create big hash:ip,port maxelem 70000\n");
    for i in 0..60_000u32 {
        lines += &format!(
            "add big 10.{}.{}.{},tcp:80\n",
            i >> 16,
            i >> 8 & 255,
            i & 255
        );
    }
    sh::must(&["ipset", "restore"], &lines);
    let before = std::time::Instant::now();
    let theirs = sh::must(&["ipset", "save"], "");
    let tool = before.elapsed();
    let before = std::time::Instant::now();
    let ours = Reading::of_this_namespace(None);
    let own = before.elapsed();
    say(&format!("60,000 members: {own:?}, ipset save {tool:?}"));
    assert_eq!(
        ours.outputs
            .iter()
            .find(|o| o.name == "ipset-save")
            .map(|o| o.text.lines().count()),
        Some(theirs.lines().count())
    );
}

/// Flows without what belongs to the text, sorted; times apart.
fn flows(text: &str) -> Vec<(Flow<'_>, u32)> {
    let parsed = conntrack::parse(text);
    assert!(
        parsed.diagnostics.is_empty(),
        "{:?}\n{text}",
        parsed.diagnostics
    );
    let mut all: Vec<_> = parsed
        .value
        .into_iter()
        .map(|mut f| {
            let time = f.timeout.map_or(0, |t| t + 1);
            f.timeout = f.timeout.map(|_| 0);
            f.line = 0;
            f.span = Span::default();
            (f, time)
        })
        .collect();
    all.sort_by_key(|(f, _)| format!("{f:?}"));
    all
}

fn same_flows(what: &str) -> usize {
    let text = sh::must(&["conntrack", "-L"], "");
    let ours = live("conntrack");
    let (a, b) = (flows(&ours), flows(&text));
    let only = |all: &[(Flow<'_>, u32)]| -> Vec<String> {
        all.iter().map(|(f, _)| format!("{f:?}")).collect()
    };
    assert_eq!(
        only(&a),
        only(&b),
        "{what}\nlive:\n{ours}\nconntrack -L:\n{text}"
    );
    for ((f, x), (_, y)) in a.iter().zip(&b) {
        assert!(x.abs_diff(*y) <= 2, "{what}: {f:?} {x} {y}");
    }
    // Not only the records: every word but the seconds and the count of references.
    let words = |t: &str| {
        let mut lines: Vec<String> = t
            .lines()
            .map(|l| {
                let mut w: Vec<&str> = l
                    .split_ascii_whitespace()
                    .filter(|w| !w.starts_with("use=") && !w.starts_with("delta-time="))
                    .collect();
                if w.get(2).is_some_and(|w| w.parse::<u32>().is_ok()) {
                    w[2] = "T";
                }
                w.join(" ")
            })
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(words(&ours), words(&text), "{what}");
    a.len()
}

#[test]
fn flows_of_every_protocol_are_those_of_conntrack() {
    if skip() {
        return;
    }
    fresh();
    let tcp = [
        "SYN_SENT",
        "SYN_RECV",
        "ESTABLISHED",
        "FIN_WAIT",
        "CLOSE_WAIT",
        "LAST_ACK",
        "TIME_WAIT",
        "CLOSE",
    ];
    let sctp = [
        "CLOSED",
        "COOKIE_WAIT",
        "COOKIE_ECHOED",
        "ESTABLISHED",
        "SHUTDOWN_SENT",
        "SHUTDOWN_RECD",
        "SHUTDOWN_ACK_SENT",
    ];
    let mut made = 0;
    let mut add = |args: String| {
        let said = sh::run(&["sh", "-c", &format!("conntrack -I {args}")], "");
        made += usize::from(said.ok);
        said
    };
    std::fs::write("/proc/sys/net/netfilter/nf_conntrack_acct", "1").ok();
    for (n, s) in tcp.iter().enumerate() {
        add(format!(
            "-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport {n} --dport 2 --state {s} -t 100 -m {n} -u ASSURED,SEEN_REPLY"
        ));
        add(format!(
            "-p tcp -s fd00::1 -d fd00::2 --sport {n} --dport 2 --state {s} -t 100 -w {n}"
        ));
        add(format!(
            "-p tcp -s 10.0.0.1 -d 10.96.0.1 -r 10.1.1.1 -q 10.0.0.9 --sport 7{n} --dport 2 --reply-port-src 80 --reply-port-dst 9 --state {s} -t 100"
        ));
    }
    for (n, s) in sctp.iter().enumerate() {
        add(format!(
            "-p sctp -s 10.0.0.1 -d 10.0.0.2 --sport {n} --dport 2 --state {s} --orig-vtag 1 --reply-vtag 2 -t 100"
        ));
    }
    for args in [
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 -t 100",
        "-p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 -t 100 -w 9",
        "-p udp -s fd00::1 -d fd00::2 --sport 1 --dport 2 -t 100 -w 3 -m 0xffffffff",
        "-p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77 -t 100",
        "-p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 77 -t 100",
        "-p dccp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state OPEN --role client -t 100",
        "-p udplite -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 -t 100 --orig-zone 3",
        "-p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 1 --dstkey 2 -t 100",
        "-p 50 -s 10.0.0.1 -d 10.0.0.2 -t 100 --reply-zone 4",
        "-p 50 -s fd00::5 -d fd00::6 -t 100 --reply-zone 4",
        "-p 89 -s fd00::5 -d fd00::6 -t 100",
    ] {
        let said = add(args.into());
        assert!(said.ok, "{args}: {}", said.err);
    }
    let seen = same_flows("every protocol");
    say(&format!("{seen} flows made by the tool are equal"));
    assert!(seen >= made.min(30), "{seen} of {made}");
}

#[test]
fn flows_of_real_packets_are_those_of_conntrack() {
    if skip() {
        return;
    }
    fresh();
    // Counters, helpers and NAT; a rule that asks for tracking makes the kernel track.
    let script = "
        ip link set lo up
        ip addr add 10.9.9.1/32 dev lo
        ip -6 addr add fd09::1/128 dev lo nodad
        sysctl -qw net.netfilter.nf_conntrack_acct=1 net.netfilter.nf_conntrack_timestamp=1
        for i in iptables-nft ip6tables-nft; do
            $i -A OUTPUT -m conntrack --ctstate NEW -j CONNMARK --set-mark 0x4007
            $i -t raw -A OUTPUT -p udp --dport 5000:5009 -j CT --zone 7
            $i -t raw -A OUTPUT -p udp --dport 5010:5019 -j CT --zone-orig 8
            $i -t raw -A OUTPUT -p tcp --dport 21 -j CT --helper ftp
            $i -t nat -A OUTPUT -p udp --dport 5300 -j REDIRECT --to-ports 5301
        done";
    let said = sh::run(&["sh"], script);
    for (bind, to) in [
        ("127.0.0.1:0", "127.0.0.1"),
        ("10.9.9.1:0", "10.9.9.1"),
        ("[::1]:0", "::1"),
        ("[fd09::1]:0", "fd09::1"),
    ] {
        let to: std::net::IpAddr = to.parse().expect("an address");
        let socket = std::net::UdpSocket::bind(bind).expect("a socket");
        for port in [53, 5001, 5011, 5300, 9] {
            let _ = socket.send_to(b"x", (to, port));
        }
        // Answered, so that it is seen both ways and assured in time.
        let answers = std::net::UdpSocket::bind((to, 0)).expect("a socket");
        let at = answers.local_addr().expect("its address");
        for _ in 0..5 {
            let _ = socket.send_to(b"x", at);
            let mut got = [0; 4];
            if let Ok((_, from)) = answers.recv_from(&mut got) {
                let _ = answers.send_to(b"y", from);
            }
        }
        let listener = std::net::TcpListener::bind((to, 0)).expect("a listener");
        let ends = std::net::TcpStream::connect(listener.local_addr().expect("its address"));
        std::mem::forget((ends, listener));
        let ftp = std::net::TcpListener::bind((to, 21));
        std::mem::forget((std::net::TcpStream::connect((to, 21)), ftp));
        let _ = std::net::TcpStream::connect((to, 22));
    }
    sh::run(
        &["sh", "-c", "ping -c1 -W1 10.9.9.1; ping -c1 -W1 fd09::1"],
        "",
    );
    let seen = same_flows("real packets");
    say(&format!(
        "{seen} flows of real packets are equal {}",
        said.err
    ));
    assert!(seen >= 20, "{seen}: {}", said.err);
}

#[test]
fn what_may_not_be_read_is_not_empty() {
    const INSIDE: &str = "NFWHY_LIVE_WITHOUT_RIGHTS";
    if std::env::var_os(INSIDE).is_some() {
        let reading = Reading::of_this_namespace(None);
        for (name, what) in [
            ("ipset-save", "ipsets"),
            ("conntrack", "flows of conntrack"),
        ] {
            assert!(!reading.outputs.iter().any(|o| o.name == name), "{name}");
            let found = reading.unread.iter().find(|u| u.what == what);
            assert!(
                found.is_some_and(|u| u.why.contains("CAP_NET_ADMIN")),
                "{what}"
            );
        }
        return;
    }
    let without = [
        "setpriv",
        "--bounding-set=-all",
        "--reuid=65534",
        "--clear-groups",
    ];
    if skip() || !sh::exists(&[&without[..], &["true"]].concat()) {
        return;
    }
    let me = std::env::current_exe().expect("the test's own program");
    // Another user may not be able to see this one's folders.
    let copy = std::env::temp_dir().join(format!("nfwhy-live-sets-{}", std::process::id()));
    wanted::copy_program(&me, &copy);
    let status = std::process::Command::new(without[0])
        .args(&without[1..])
        .arg(&copy)
        .args(["what_may_not_be_read_is_not_empty", "--exact"])
        .env(INSIDE, "1")
        .current_dir("/")
        .status();
    let _ = std::fs::remove_file(&copy);
    assert!(status.expect("setpriv was there").success());
}
