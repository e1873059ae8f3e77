//! What is read through rtnetlink and /proc beside what the ordinary commands print in the same namespace, as the parsers read both.
//! `NFWHY_LIVE_NODES` (with `NFWHY_LAB_SEED`) is how many random nodes are compared; `NFWHY_LAB=require` fails where no network
//! namespaces can be made, `NFWHY_LAB=off` skips.

#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]

#[path = "live_route/filters.rs"]
mod filters;
#[path = "live_route/kinds.rs"]
mod kinds;
#[expect(dead_code, reason = "most of the lab sends packets")]
mod lab;

use lab::prng::Prng;
use lab::spec::Spec;
use lab::wanted::{goes_on, knob, say};
use lab::{netns, sh, topology};
use nfwhy::capture::live::{Output, Reading};
use nfwhy_parsers::common::Span;
use nfwhy_parsers::iproute::{link, neigh, nexthop, route, rule};
use nfwhy_parsers::sysctl;
use nix::sched::{CloneFlags, unshare};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// Runs in a thread of its own, which may enter namespaces as it likes.
fn apart(work: impl FnOnce() + Send) {
    std::thread::scope(|s| {
        if let Err(e) = s.spawn(work).join() {
            std::panic::resume_unwind(e);
        }
    });
}

/// Whether the lab can run; a panic where it must.
fn ready() -> bool {
    goes_on(|| {
        let mut obstacle = None;
        apart(|| obstacle = netns::obstacle());
        obstacle.or_else(|| sh::missing(&[&["ip", "-V"]]))
    })
}

fn live<'a>(reading: &'a Reading, name: &str) -> &'a Output {
    let found = reading.outputs.iter().find(|o| o.name == name);
    found.unwrap_or_else(|| panic!("no {name}: {:?}", reading.unread))
}

/// The records of both texts; a difference shows the first record that differs and both texts.
fn same<T: PartialEq + Debug>(what: &str, live: &[T], command: &[T], texts: [&str; 2]) {
    if live == command {
        return;
    }
    let at = live
        .iter()
        .zip(command)
        .position(|(a, b)| a != b)
        .unwrap_or(live.len().min(command.len()));
    panic!(
        "{what} differ at record {at}:\nlive    {:#?}\ncommand {:#?}\n--- live\n{}\n--- command\n{}",
        live.get(at),
        command.get(at),
        texts[0],
        texts[1]
    );
}

/// A text's records without their places; what a clock moves is taken out.
fn links(text: &str) -> Vec<link::Link<'_>> {
    let parsed = link::parse(text);
    assert!(
        parsed.diagnostics.is_empty(),
        "{:?}\n{text}",
        parsed.diagnostics
    );
    let mut all = parsed.value;
    for l in &mut all {
        (l.line, l.span) = (0, Span::default());
        if l.kind.as_deref() == Some("bridge") {
            let words = l.info.rest.as_deref().unwrap_or_default();
            let mut kept = Vec::new();
            let mut words = words.split_whitespace();
            while let Some(w) = words.next() {
                kept.push(w);
                if w.ends_with("_timer") {
                    words.next();
                }
            }
            l.info.rest = Some(kept.join(" ").into());
        }
        for a in &mut l.addresses {
            (a.line, a.span) = (0, Span::default());
        }
    }
    all
}

/// The same for the other formats.
macro_rules! records {
    ($name:ident, $module:ident, $record:ident) => {
        fn $name(text: &str) -> Vec<$module::$record<'_>> {
            let parsed = $module::parse(text);
            assert!(
                parsed.diagnostics.is_empty(),
                "{:?}\n{text}",
                parsed.diagnostics
            );
            let mut all = parsed.value;
            for r in &mut all {
                (r.line, r.span) = (0, Span::default());
            }
            all
        }
    };
}
records!(routes, route, Route);
records!(rules, rule, PolicyRule);
records!(neighbours, neigh, Neighbour);
records!(objects, nexthop, NextHopObject);

fn settings(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for s in sysctl::parse(text).value {
        let words: Vec<&str> = s.value.split_ascii_whitespace().collect();
        let path = s.path().join("/");
        let read = ["net/ipv4/", "net/ipv6/", "net/netfilter/", "net/bridge/"];
        // Counters, and what is drawn anew at each reading.
        let moves = ["nf_conntrack_count", "tcp_fastopen_key", "/stat"];
        if read.iter().any(|p| path.starts_with(p)) && !moves.iter().any(|m| path.ends_with(m)) {
            all.entry(path).or_default().push(words.join(" "));
        }
    }
    all
}

/// How many records were compared.
#[derive(Debug, Default)]
struct Count {
    links: usize,
    addresses: usize,
    routes: usize,
    rules: usize,
    neighbours: usize,
    objects: usize,
    settings: usize,
    altnames: usize,
    namespaces: usize,
    /// Of these, those whose devices are printed word for word as `ip` does.
    same_text: usize,
}

/// The text without what moves between two readings.
fn still(text: &str) -> String {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    for i in 0..words.len() {
        let moves = ["_timer", "_lft", "expires"];
        if moves.iter().any(|m| words[i].ends_with(m))
            && let Some(w) = words.get_mut(i + 1)
        {
            *w = "-";
        }
    }
    words.join(" ")
}

/// Compares this thread's namespace.
fn compare(count: &mut Count) {
    let mut tries = 0;
    loop {
        // Timers of the kernel (duplicate address detection, neighbour states) run between two readings.
        let before = commands();
        let reading = Reading::of_this_namespace(None);
        if before == commands() || tries == 20 {
            judge(&reading, &before, count);
            return;
        }
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// What the commands print.
fn commands() -> Vec<String> {
    let neigh = sh::must(&["ip", "neigh"], "") + &sh::must(&["ip", "neigh", "show", "proxy"], "");
    let addr = sh::must(&["ip", "-d", "addr"], "");
    // Timers and lifetimes move.
    let addr: Vec<&str> = addr.lines().filter(|l| !l.contains("valid_lft")).collect();
    vec![
        addr.join("\n"),
        sh::must(&["ip", "route", "show", "table", "all"], ""),
        sh::must(&["ip", "-6", "route", "show", "table", "all"], ""),
        sh::must(&["ip", "rule"], ""),
        sh::must(&["ip", "-6", "rule"], ""),
        neigh,
        sh::must(&["ip", "nexthop"], ""),
    ]
}

fn judge(reading: &Reading, commands: &[String], count: &mut Count) {
    let [addr, route4, route6, rule4, rule6, neigh, nexthop] = commands else {
        panic!("seven commands");
    };
    let text = &live(reading, "ip-addr").text;
    let (a, b) = (links(text), links(addr));
    count.links += a.len();
    count.altnames += a.iter().map(|l| l.altnames.len()).sum::<usize>();
    count.addresses += a.iter().map(|l| l.addresses.len()).sum::<usize>();
    same("devices", &a, &b, [text, addr]);
    let told: Vec<&str> = text.lines().filter(|l| !l.contains("valid_lft")).collect();
    count.same_text += usize::from(still(&told.join("\n")) == still(addr));
    count.namespaces += 1;
    for (name, command) in [("ip-route", route4), ("ip-6-route", route6)] {
        let text = &live(reading, name).text;
        let (a, b) = (routes(text), routes(command));
        count.routes += a.len();
        same(name, &a, &b, [text, command]);
    }
    for (name, command) in [("ip-rule", rule4), ("ip-6-rule", rule6)] {
        let text = &live(reading, name).text;
        let (a, b) = (rules(text), rules(command));
        count.rules += a.len();
        same(name, &a, &b, [text, command]);
    }
    let text = &live(reading, "ip-neigh").text;
    let (a, b) = (neighbours(text), neighbours(neigh));
    count.neighbours += a.len();
    same("neighbours", &a, &b, [text, neigh]);
    let text = &live(reading, "ip-nexthop").text;
    let (a, b) = (objects(text), objects(nexthop));
    count.objects += a.len();
    same("next hop objects", &a, &b, [text, nexthop]);
    if sh::exists(&["sysctl", "-V"]) {
        let command = sh::run(&["sysctl", "-a"], "").out;
        let (a, b) = (settings(&live(reading, "sysctl").text), settings(&command));
        count.settings += a.len();
        for (key, value) in &b {
            assert_eq!(a.get(key), Some(value), "{key}");
        }
        let more: Vec<_> = a.keys().filter(|k| !b.contains_key(*k)).collect();
        assert!(more.is_empty(), "sysctl does not show {more:?}");
    }
}

/// Commands of `ip` that topologies do not draw; those that the kernel refuses are left out.
fn more(r: &mut Prng) -> Vec<String> {
    [
        "neigh add 10.1.0.77 lladdr 02:00:00:00:01:77 dev ext0 nud permanent",
        "neigh add 10.2.0.78 lladdr 02:00:00:00:01:78 dev ext1 nud stale",
        "neigh add fd01::77 lladdr 02:00:00:00:01:77 dev ext0 nud permanent router",
        "neigh add proxy 10.3.0.99 dev pod0",
        "neigh add proxy fd03::99 dev pod1",
        "nexthop add id 7 via 10.1.0.254 dev ext0 proto bgp",
        "nexthop add id 8 via fd02::fe dev ext1",
        "nexthop add id 9 blackhole",
        "nexthop add id 10 dev pod0",
        "nexthop add id 11 via 10.2.0.254 dev ext1 onlink",
        "nexthop add id 20 group 7/11,5",
        "nexthop add id 21 group 7,2/11,7 type resilient buckets 8 idle_timer 120",
        "route add 203.0.113.0/24 nhid 20",
        "route add 203.0.114.0/24 nhid 7 metric 30",
        "route add 203.0.115.0/24 via inet6 fe80::99 dev ext0",
        "route add 203.0.116.0/24 via 10.1.0.254 mtu lock 1400 advmss 1360 rtt 2s hoplimit 9",
        "route add 203.0.117.0/24 via 10.1.0.254 realm 5 table 7000",
        "route add 203.0.118.0/24 via 10.1.0.254 proto zebra src 10.1.0.1",
        "route add 203.0.119.0/24 encap ip id 5 dst 192.0.2.9 ttl 3 key dev ext0",
        "route add fd77::/64 encap seg6 mode encap segs fd01::1,fd01::2 dev ext0",
        "route add fd78::/64 via fd01::fe expires 5000",
        "route add fd79::/64 via fd01::fe pref high",
        "route add broadcast 10.77.0.255 dev ext0 table local scope link",
        "route add multicast 239.1.0.0/16 dev ext0",
        "route add anycast fd7a::1 dev ext0",
        "rule add from 10.1.0.0/24 tos 0x10 fwmark 0x40/0xf0 iif ext0 lookup 100 priority 501",
        "rule add oif ext1 uidrange 5-900 ipproto udp sport 53 dport 1000-2000 lookup 100 priority 502",
        "rule add not from all fwmark 0x8 lookup main suppress_prefixlength 0 priority 503",
        "rule add lookup main suppress_ifgroup 5 priority 504",
        "rule add goto 9000 priority 505",
        "rule add nop priority 506",
        "rule add l3mdev priority 507",
        "rule add tun_id 77 lookup 100 priority 508",
        "rule add from 10.1.0.0/24 realms 3/4 lookup 100 priority 509",
        "rule add ipproto icmp lookup local protocol static priority 510",
        "rule add ipproto 253 lookup 100 priority 511",
        "link set dev ext1 alias uplink",
        "link property add dev pod0 altname other-name",
        "addr add 10.66.0.1/24 dev pod1 label pod1:1",
        "addr add 10.66.0.2/24 dev pod1 metric 70 valid_lft 4000 preferred_lft 0",
        "addr add fd66::2/64 dev pod1 home mngtmpaddr nodad",
        "link set dev pod1 group 77",
    ]
    .into_iter()
    .filter(|_| r.chance(60))
    .map(str::to_owned)
    .collect()
}

#[test]
fn random_nodes_read_live_are_what_the_commands_print() {
    if !ready() {
        return;
    }
    let (nodes, seed) = (knob("NFWHY_LIVE_NODES", 12), knob("NFWHY_LAB_SEED", 1));
    let mut count = Count::default();
    for n in seed..seed + nodes {
        apart(|| {
            let _node = netns::Netns::new().expect("a node");
            let mut r = Prng::new(n);
            let plain = r.chance(10);
            let mut spec: Spec = topology::make(&mut r, plain);
            spec.load();
            for line in more(&mut r) {
                // One at a time: a line that `ip` does not understand ends its whole batch.
                let six = if line.contains("fd") { "-6" } else { "-4" };
                let words: Vec<&str> = ["ip", six].into_iter().chain(line.split(' ')).collect();
                sh::run(&words, "");
            }
            compare(&mut count);
        });
    }
    if std::env::var("NFWHY_LAB_VERBOSE").is_ok() {
        say(&format!("{nodes} nodes: {count:?}"));
    }
    assert!(count.routes > 20 && count.links > 4 && count.rules > 5);
}

#[test]
fn a_peer_in_a_named_namespace_has_that_name() {
    if !ready() {
        return;
    }
    let name = format!("nfwhy-live-{}", std::process::id());
    if !sh::run(&["ip", "netns", "add", &name], "").ok {
        return;
    }
    apart(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        sh::must(
            &["ip", "-batch", "-"],
            &format!("link add a0 type veth peer name a1\nlink set a1 netns {name}\n"),
        );
        let reading = Reading::of_this_namespace(None);
        assert!(
            live(&reading, "ip-addr")
                .text
                .contains(&format!("link-netns {name}")),
            "{}",
            live(&reading, "ip-addr").text
        );
        compare(&mut Count::default());
    });
    sh::must(&["ip", "netns", "del", &name], "");
}

#[test]
fn settings_are_those_of_the_namespace_that_the_thread_entered() {
    if !ready() {
        return;
    }
    apart(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        sh::must(&["ip", "link", "set", "lo", "up"], "");
        std::fs::write(
            "/proc/thread-self/../../../sys/net/ipv4/ip_default_ttl",
            "77",
        )
        .or_else(|_| std::fs::write("/proc/sys/net/ipv4/ip_default_ttl", "77"))
        .expect("a setting of the new namespace");
        let reading = Reading::of_this_namespace(None);
        let all = settings(&live(&reading, "sysctl").text);
        assert_eq!(
            all.get("net/ipv4/ip_default_ttl").map(Vec::as_slice),
            Some(&["77".to_owned()][..])
        );
    });
    // The process itself stayed where it was.
    let here = std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").expect("a setting");
    assert_ne!(here.trim(), "77");
}
