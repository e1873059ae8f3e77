//! The rules of iptables, legacy and nft, read from the kernel beside the same rules as the tools print them: the records must be the same.
//! `NFWHY_LIVE_NODES` and `NFWHY_LAB_SEED` make the run longer or another; `NFWHY_LAB=require` fails where no network namespaces can be made,
//! `NFWHY_LAB=off` skips.

#![expect(clippy::disallowed_methods, reason = "knobs come from the environment")]

#[allow(dead_code, reason = "only what makes rules is of use here")]
mod lab;
mod live_xt {
    pub mod rare;
}

use lab::prng::Prng;
use lab::spec::{Backend, Spec, tool};
use lab::wanted::{self, knob, say};
use lab::{kube, netns, nfacct, rules, sets, sh};
use live_xt::rare;
use nfwhy::capture::live::Reading;
use nfwhy_parsers::iptables::rule::parse_rule;
use nfwhy_parsers::iptables::{self, Match, RuleLine, Target, save};
use nix::sched::{CloneFlags, unshare};
use std::sync::atomic::{AtomicU64, Ordering};

const TOOLS: [&[&str]; 4] = [
    &["iptables-legacy-save", "-V"],
    &["iptables-nft-save", "-V"],
    &["ipset", "-v"],
    &["nft", "-v"],
];

/// Set where the test has started itself in a user namespace.
const INSIDE: &str = "NFWHY_LAB_INSIDE";

/// Whether the test goes on here; if not, why is said, or it is run again as root of a user namespace.
fn goes_on(test: &str) -> bool {
    let become_root = ["unshare", "--map-root-user", "--net"];
    if netns::obstacle().is_some()
        && std::env::var(INSIDE).is_err()
        && sh::exists(&[&become_root[..], &["true"]].concat())
    {
        let me = std::env::current_exe().expect("the test's own program");
        let status = std::process::Command::new(become_root[0])
            .args(&become_root[1..])
            .arg(me)
            .args([test, "--exact", "--nocapture"])
            .env(INSIDE, "1")
            .status()
            .expect("unshare was there a moment ago");
        assert!(status.success(), "in a user namespace of its own: {status}");
        return false;
    }
    wanted::goes_on(|| netns::obstacle().or_else(|| sh::missing(&TOOLS)))
}

/// Runs in a thread that has a network namespace of its own.
fn in_a_namespace<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            f()
        });
        inside
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e))
    })
}

/// Name, policy, packets and bytes.
type Head = (String, Option<iptables::Policy>, Option<(u64, u64)>);

/// A table as records, without places: its name; of each chain its name, policy and counters; of each rule its chain and itself.
#[derive(Debug, PartialEq)]
struct Records<'a> {
    name: String,
    backend: Option<iptables::Backend>,
    chains: Vec<Head>,
    rules: Vec<(String, iptables::Rule<'a>)>,
}

fn records(text: &str) -> Vec<Records<'_>> {
    let mut out = Vec::new();
    for set in save::index_all(text).value {
        let family = set.family.unwrap_or(nfwhy_parsers::Family::V4);
        for t in &set.tables {
            let mut rules = Vec::new();
            for chain in &t.chains {
                for at in &chain.rules {
                    let (mut rule, _) = parse_rule(text, *at, set.form, family);
                    rule.at = RuleLine::default();
                    assert!(rule.broken.is_none(), "{}", at.span.of(text));
                    normal(&mut rule);
                    rules.push((chain.name.to_string(), rule));
                }
            }
            out.push(Records {
                name: t.name.to_string(),
                backend: set.backend,
                chains: t
                    .chains
                    .iter()
                    .map(|c| (c.name.to_string(), c.policy, c.counters))
                    .collect(),
                rules,
            });
        }
    }
    out
}

/// Blanks within what is kept as written say nothing.
fn normal(rule: &mut iptables::Rule<'_>) {
    for m in &mut rule.matches {
        if let Match::Opaque { args, .. } = m {
            *args = args
                .split_ascii_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .into();
        }
    }
    if let Target::Opaque { args, .. } | Target::Continue { args, .. } = &mut rule.target {
        *args = args
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .into();
    }
}

/// What was compared, and what differs.
#[derive(Default)]
struct Outcome {
    rules: u64,
    same_text: u64,
    differences: Vec<String>,
}

/// The rules of the thread's namespace by the tools and by the reading.
fn compare(what: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let reading = Reading::of_this_namespace(None);
    outcome
        .differences
        .extend(reading.remarks.iter().map(|r| format!("{what}: {r}")));
    for (backend, v6, name) in [
        (Backend::Legacy, false, "iptables-legacy-save"),
        (Backend::Legacy, true, "ip6tables-legacy-save"),
        (Backend::Nft, false, "iptables-save"),
        (Backend::Nft, true, "ip6tables-save"),
    ] {
        let printed = sh::must(&[&tool(backend, v6, "save"), "-c"], "");
        let Some(read) = reading.outputs.iter().find(|o| o.name == name) else {
            outcome
                .differences
                .push(format!("{what}: no {name}: {:?}", reading.unread));
            continue;
        };
        let lines = |text: &str| -> Vec<String> {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.retain(|l| !l.starts_with('#'));
            lines
        };
        outcome.same_text += u64::from(lines(&printed) == lines(&read.text));
        let (left, right) = (records(&printed), records(&read.text));
        outcome.rules += left.iter().map(|t| t.rules.len() as u64).sum::<u64>();
        if left == right {
            continue;
        }
        let mut said = 0;
        for (a, b) in left.iter().zip(&right) {
            for ((chain, a), (_, b)) in a.rules.iter().zip(&b.rules) {
                if a != b && said < 5 {
                    said += 1;
                    let a = a.display(chain).counters().to_string();
                    let b = b.display(chain).counters();
                    outcome
                        .differences
                        .push(format!("{what}: {name}\n  tool {a}\n  read {b}"));
                }
            }
        }
        if said == 0 {
            let heads = |all: &[Records<'_>]| {
                let head = |t: &Records<'_>| format!("{} {:?} {}", t.name, t.chains, t.rules.len());
                all.iter().map(head).collect::<Vec<_>>().join("\n  ")
            };
            outcome.differences.push(format!(
                "{what}: {name}\n  {}\nread\n  {}",
                heads(&left),
                heads(&right)
            ));
        }
    }
    outcome
}

/// A node of its seed.
fn draw(seed: u64) -> Spec {
    let mut r = Prng::new(seed);
    let (set_specs, lines) = sets::make(&mut r);
    let mut spec = Spec {
        sets: lines,
        ..Spec::default()
    };
    if r.chance(15) {
        let backend = r.one(&[Backend::Legacy, Backend::Nft]);
        for v6 in [false, true] {
            spec.tables.extend(kube::make(&mut r, backend, v6));
        }
        return spec;
    }
    let mood = rules::Mood {
        random: r.chance(60),
        stateful: r.chance(60),
        odd: r.chance(60),
        rules: 20 + r.below(60),
    };
    spec.tables = rules::make(&mut r, &set_specs, mood);
    spec
}

fn hold(total: &Outcome, nodes: u64) {
    say(&format!(
        "{nodes} namespaces, {} rules, {} of {} texts the same line by line",
        total.rules,
        total.same_text,
        4 * nodes
    ));
    let shown = total.differences.iter().take(20).cloned();
    assert!(
        total.differences.is_empty(),
        "{} differences:\n{}",
        total.differences.len(),
        shown.collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn rules_of_random_nodes_read_as_the_tools_print_them() {
    if !goes_on("rules_of_random_nodes_read_as_the_tools_print_them") {
        return;
    }
    let nodes = knob("NFWHY_LIVE_NODES", 8);
    let first = knob("NFWHY_LAB_SEED", 1).wrapping_mul(1_000_003);
    let next = AtomicU64::new(0);
    let mut total = Outcome::default();
    std::thread::scope(|scope| {
        let work = || {
            let mut mine = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= nodes {
                    return mine;
                }
                let seed = first.wrapping_add(n);
                mine.push(in_a_namespace(|| {
                    nfacct::make();
                    draw(seed).load();
                    compare(&format!("seed {seed}"))
                }));
            }
        };
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            for of_node in worker
                .join()
                .unwrap_or_else(|e| std::panic::resume_unwind(e))
            {
                total.rules += of_node.rules;
                total.same_text += of_node.same_text;
                total.differences.extend(of_node.differences);
            }
        }
    });
    hold(&total, nodes);
}

/// Every option of every extension that the lab's nodes do not have.
#[test]
fn rare_matches_and_targets_read_as_the_tools_print_them() {
    if !goes_on("rare_matches_and_targets_read_as_the_tools_print_them") {
        return;
    }
    let (total, refused) = in_a_namespace(|| {
        sh::must(&["ipset", "restore"], rare::SETS);
        let mut refused = Vec::new();
        for (v6, lists) in [(false, rare::IPV4), (true, rare::IPV6)] {
            for backend in [Backend::Legacy, Backend::Nft] {
                let tool = tool(backend, v6, "restore");
                for (table, rules) in [rare::BOTH, lists].concat() {
                    for rule in rules.lines().map(str::trim).filter(|l| !l.is_empty()) {
                        let text = format!("*{table}\n-A {rule}\nCOMMIT\n");
                        let said = sh::run(&[&tool, "-n", "-w"], &text);
                        if !said.ok {
                            refused.push(format!("{tool} {table} {rule}: {}", said.err.trim()));
                        }
                    }
                }
            }
        }
        (compare("rare"), refused)
    });
    if !refused.is_empty() {
        say(&format!("refused:\n{}", refused.join("\n")));
    }
    assert!(total.rules > 4 * 60, "{} rules only", total.rules);
    hold(&total, 1);
}

/// As text without `-c` and comments.
fn read(name: &str) -> String {
    let reading = Reading::of_this_namespace(None);
    let output = reading.outputs.into_iter().find(|o| o.name == name);
    output.expect(name).text
}

/// iptables-nft 1.8.8 to 1.8.10 compare two inverted ports at once, which the tool's text does not show.
#[test]
fn ports_that_are_compared_at_once_are_told_from_others() {
    if !goes_on("ports_that_are_compared_at_once_are_told_from_others") {
        return;
    }
    in_a_namespace(|| {
        let load = |rule: &str| {
            sh::must(
                &["iptables-nft-restore", "-n", "-w"],
                &format!("*filter\n-A FORWARD {rule}\nCOMMIT\n"),
            );
        };
        // By xt_tcp, which compares them one by one.
        load("-p tcp -m tcp ! --sport 80 ! --dport 443 --tcp-option 5");
        let apart = read("iptables-save");
        assert!(
            apart.contains(" -m tcp ! --sport 80 ! --dport 443 --tcp-option 5"),
            "{apart}"
        );
        let version = |text: &str| {
            let set = save::index_all(text).value.into_iter().next();
            set.and_then(|s| s.version.map(std::borrow::Cow::into_owned))
        };
        assert_eq!(version(&apart), None);
        load("-p udp -m udp ! --sport 53 ! --dport 53");
        let text = read("iptables-save");
        if !text.contains(" -m udp ! --sport 53 ! --dport 53") {
            // Another release of the tool: it has written two comparisons.
            assert_eq!(version(&text), None, "{text}");
            return;
        }
        if version(&text).is_none() {
            return;
        }
        assert_eq!(version(&text).as_deref(), Some("1.8.9"), "{text}");
        assert!(
            text.contains(" -m tcp ! --sport 80 -m tcp ! --dport 443 --tcp-option 5"),
            "{text}"
        );
    });
}

/// What nft has put into a table of iptables stands at its place, and says that iptables has no words for it.
#[test]
fn rules_that_iptables_has_no_words_for_say_so() {
    if !goes_on("rules_that_iptables_has_no_words_for_say_so") {
        return;
    }
    in_a_namespace(|| {
        sh::must(
            &["iptables-nft-restore", "-n", "-w"],
            "*filter\n-A FORWARD -m comment --comment first -j ACCEPT\nCOMMIT\n",
        );
        let nft = "\
add set ip filter s { type ipv4_addr; }
add rule ip filter FORWARD ip daddr @s drop
add rule ip filter FORWARD tcp dport vmap { 81 : drop, 82 : accept }
add rule ip filter FORWARD ip saddr 203.0.113.3-203.0.113.9 counter drop
add rule ip filter FORWARD ct state new accept
add rule ip filter FORWARD meta mark set 0x5
add rule ip filter FORWARD ip saddr 10.0.0.0/8 tcp dport >= 1024 iifname \"eth*\" drop comment \"plain enough\"
add chain ip filter late { type filter hook forward priority 5; }
add rule ip filter late drop
add table ip nat
add chain ip nat POSTROUTING { type nat hook postrouting priority 100; }
add rule ip nat POSTROUTING masquerade
add table ip6 mangle { flags dormant; }
add chain ip6 mangle FORWARD { type filter hook forward priority -150; }
add rule ip6 mangle FORWARD drop
";
        sh::must(&["nft", "-f", "-"], nft);
        let text = read("iptables-save");
        let lines: Vec<&str> = text.lines().filter(|l| !l.contains("[0:0]\n")).collect();
        let rules: Vec<&str> = lines
            .iter()
            .filter_map(|l| l.find("-A ").map(|at| &l[at..]))
            .collect();
        assert_eq!(
            rules,
            [
                "-A FORWARD -m comment --comment first -j ACCEPT",
                "-A FORWARD -m nft -j DROP",
                "-A FORWARD -p tcp -m nft",
                "-A FORWARD -m nft -j DROP",
                "-A FORWARD -m nft -j ACCEPT",
                "-A FORWARD -j MARK --set-xmark 0x5/0xffffffff",
                "-A FORWARD -s 10.0.0.0/8 -i eth+ -p tcp -m tcp --dport 1024:65535 -m comment --comment \"plain enough\" -j DROP",
            ]
        );
        assert!(!text.contains(":late"), "{text}");
        assert!(
            text.contains("# Table `nat' is incompatible, use 'nft' tool."),
            "{text}"
        );
        let v6 = read("ip6tables-save");
        assert!(!v6.contains("-A"), "dormant: {v6}");
    });
}
