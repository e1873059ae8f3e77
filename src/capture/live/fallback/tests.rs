use super::super::Reading;
use super::{fill, is_set};
use nix::sched::{CloneFlags, unshare};
use std::cell::Cell;
use std::io::Write as _;
use std::process::Command;

thread_local! {
    /// The name of a match, target or type of set that there is no decoder for, as far as tests are concerned.
    pub(in crate::capture::live) static WITHOUT: Cell<&'static str> = const { Cell::new("") };
    /// Where commands are looked for.
    pub(super) static PATH: Cell<&'static str> = const { Cell::new(EVERYWHERE) };
}

const EVERYWHERE: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NOWHERE: &str = "/nonexistent";

const READ: &str = "\
*filter
:INPUT ACCEPT [0:0]
[1:40] -A INPUT -s 192.0.2.1/32 -m comment --comment \"-m x --revision 1 --size 2\" -j ACCEPT
[2:80] -A INPUT -m foo --revision 1 --size 24 -j DROP
-A INPUT -j BAR --revision 0 --size 8
-A INPUT -j ACCEPT
COMMIT
";
const TOLD: &str = "\
*filter
:INPUT ACCEPT [0:0]
-A INPUT -s 192.0.2.1/32 -j ACCEPT
-A INPUT -m foo --what 7 -j DROP
-A INPUT -j BAR --there
-A INPUT -j ACCEPT
COMMIT
";

fn filled(told: Result<&str, &str>) -> (String, Vec<Option<String>>) {
    let ask = |table: &str| {
        assert_eq!(table, "filter");
        told.map(str::to_owned).map_err(str::to_owned)
    };
    let (text, fates) = fill(READ, ask);
    (text, fates.into_values().collect())
}

#[test]
fn an_opaque_rule_is_taken_from_the_command_and_the_others_stay() {
    let (text, fates) = filled(Ok(TOLD));
    let expected = READ
        .replace("-m foo --revision 1 --size 24", "-m foo --what 7")
        .replace("--revision 0 --size 8", "--there");
    assert_eq!(text, expected);
    assert_eq!(fates, [None, None]);
}

#[test]
fn where_the_command_tells_of_other_rules_they_stay_opaque() {
    let less = TOLD.replacen("-A INPUT -j ACCEPT\n", "", 1);
    let other = TOLD.replace("-m foo --what 7", "-m baz");
    let elsewhere = TOLD.replace("INPUT", "OUTPUT");
    for told in [Ok(&*less), Ok(&*elsewhere), Ok(""), Ok(READ), Err("no")] {
        let (text, fates) = filled(told);
        assert_eq!(text, READ, "{told:?}");
        assert!(fates.iter().all(Option::is_some), "{told:?}: {fates:?}");
    }
    let (text, fates) = filled(Ok(&other));
    assert!(text.contains("-m foo --revision") && text.contains("--there"));
    assert_eq!(fates.iter().filter(|f| f.is_some()).count(), 1);
}

#[test]
fn a_set_is_taken_if_type_and_members_agree() {
    let text = "create S hash:qq size 4\nadd S 1\nadd S 2\n";
    assert!(is_set(text, "S", "hash:qq", 2));
    assert!(!is_set(text, "S", "hash:qq", 3));
    assert!(!is_set(text, "S", "hash:ip", 2));
    assert!(!is_set(text, "T", "hash:qq", 2));
    assert!(!is_set("", "S", "hash:qq", 0));
    assert!(!is_set("create S hash:qq\nadd T 1\n", "S", "hash:qq", 1));
}

fn command(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    let said = Command::new(words[0]).args(&words[1..]).output();
    said.is_ok_and(|o| o.status.success())
}

/// In a namespace with rules and a set; false where there can be none.
fn in_a_node(f: impl FnOnce() + Send) -> bool {
    let node = [
        "iptables-legacy -A INPUT -p tcp -m length --length 40:60 -j DROP",
        "ip6tables-legacy -t mangle -A FORWARD -m length --length 7 -j ACCEPT",
        "iptables-nft -A FORWARD -i lo -m length --length 9 -j ACCEPT",
        "ipset create S hash:net",
        "ipset add S 192.0.2.0/24",
    ];
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let there = nix::unistd::geteuid().is_root()
                && unshare(CloneFlags::CLONE_NEWNET).is_ok()
                && node.iter().all(|l| command(l));
            if there {
                f();
            }
            there
        });
        inside
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e))
    })
}

fn texts(r: &Reading) -> Vec<(&str, &str)> {
    let wanted = |name: &str| name.ends_with("tables-save") || name.ends_with("legacy-save");
    let all = r.outputs.iter().map(|o| (o.name, &*o.text));
    all.filter(|(name, _)| wanted(name) || *name == "ipset-save")
        .collect()
}

#[test]
fn a_node_with_an_unknown_match_reads_as_one_with_a_known_one() {
    let ran = in_a_node(|| {
        let known = Reading::of_this_namespace(None);
        assert!(known.remarks.is_empty(), "{:?}", known.remarks);
        WITHOUT.set("length");
        let filled = Reading::of_this_namespace(None);
        assert_eq!(texts(&filled), texts(&known));
        let mut said = filled.remarks.clone();
        said.sort();
        let programs = [
            "ip6tables-legacy-save: rules with match length (revision 0, 8 bytes) are as `ip6tables-legacy-save` prints them",
            "iptables-legacy-save: rules with match length (revision 0, 8 bytes) are as `iptables-legacy-save` prints them",
            "iptables-save: rules with match length (revision 0, 8 bytes) are as `iptables-nft-save` prints them",
        ];
        assert_eq!(said, programs);
        // Only tables that are there were asked for.
        for (file, tables) in [
            ("ip_tables_names", "filter"),
            ("ip6_tables_names", "mangle"),
        ] {
            let path = format!("/proc/thread-self/net/{file}");
            let names = std::fs::read_to_string(path).unwrap_or_default();
            assert_eq!(names.trim(), tables);
        }
        PATH.set(NOWHERE);
        let opaque = Reading::of_this_namespace(None);
        let all: String = texts(&opaque).into_iter().map(|(_, t)| t).collect();
        assert_eq!(all.matches("-m length --revision 0 --size 8").count(), 3);
        assert_eq!(opaque.remarks.len(), 3);
        let named = "rules that have it may match and do anything; `iptables-nft-save` would show them (`iptables-nft-save` cannot be run)";
        assert!(
            opaque.remarks.iter().any(|r| r.ends_with(named)),
            "{:?}",
            opaque.remarks
        );
        PATH.set(EVERYWHERE);
        WITHOUT.set("hash:net");
        let filled = Reading::of_this_namespace(None);
        assert_eq!(texts(&filled), texts(&known));
        assert!(filled.unread.is_empty(), "{:?}", filled.unread);
        assert_eq!(
            filled.remarks,
            ["ipset S of type `hash:net` is as `ipset save` prints it"]
        );
        PATH.set(NOWHERE);
        let opaque = Reading::of_this_namespace(None);
        let [u] = &*opaque.unread else {
            panic!("{:?}", opaque.unread);
        };
        assert_eq!((&*u.what, &*u.command), ("ipset S", "ipset save"));
        assert!(u.why.contains("cannot be run"), "{}", u.why);
    });
    if !ran {
        let why = "no namespace, or iptables and ipset are not installed";
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    }
}
