//! `sysctl -a` and its like.

use nfwhy_parsers::sysctl::{Sysctl, parse};
use proptest::prelude::*;

const ALL: &str = include_str!("data/sysctl-a.txt");
const GREP: &str = include_str!("data/sysctl-grep.txt");

/// Path (joined by spaces) and value of one line.
#[track_caller]
fn check(line: &str, path: &str, value: &str) {
    let p = parse(line);
    assert_eq!(p.diagnostics, [], "{line}");
    let s: Vec<(String, &str)> = p
        .value
        .iter()
        .map(|s| (s.path().join(" "), s.value))
        .collect();
    assert_eq!(s, [(path.to_owned(), value)], "{line}");
}

#[test]
fn keys_and_values() {
    check("net.ipv4.ip_forward = 1", "net ipv4 ip_forward", "1");
    check("net.ipv4.ip_forward=1\r\n", "net ipv4 ip_forward", "1");
    check(
        "net.ipv4.ip_local_port_range = 32768\t60999",
        "net ipv4 ip_local_port_range",
        "32768\t60999",
    );
    check(
        "net.ipv4.ip_local_reserved_ports = ",
        "net ipv4 ip_local_reserved_ports",
        "",
    );
    check(
        "kernel.version = #1 SMP a=b",
        "kernel version",
        "#1 SMP a=b",
    );
    check(
        "-net.ipv4.conf.all.rp_filter = 0",
        "net ipv4 conf all rp_filter",
        "0",
    );
}

#[test]
fn dots_in_device_names() {
    check(
        "net.ipv4.conf.vxlan/1.forwarding = 1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
    check(
        "net/ipv4/conf/vxlan.1/forwarding = 1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
    check(
        "/proc/sys/net/ipv4/conf/vxlan.1/forwarding:1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
    check(
        "/proc/sys/net/ipv4/conf/vxlan.1/forwarding = 1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
    check(
        "./net/ipv4/conf/vxlan.1/forwarding:1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
    check(
        "net/ipv4/conf/vxlan.1/forwarding:1",
        "net ipv4 conf vxlan.1 forwarding",
        "1",
    );
}

#[test]
fn both_captures_of_a_device_agree() {
    let (all, grep) = (parse(ALL), parse(GREP));
    assert_eq!(grep.diagnostics, []);
    for g in &grep.value {
        let same: Vec<&Sysctl<'_>> = all.value.iter().filter(|s| s.path() == g.path()).collect();
        assert_eq!(same.len(), 1, "{}", g.key);
        assert_eq!(same[0].value, g.value, "{}", g.key);
    }
    assert_eq!(grep.value.len(), 33);
    assert_eq!(
        all.value
            .iter()
            .filter(|s| s.key == "kernel.core_modes")
            .count(),
        3
    );
    let errors: Vec<&str> = all.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        errors,
        ["a setting could not be read: permission denied on key 'net.ipv4.tcp_fastopen_key'"]
    );
}

#[test]
fn lines_that_are_no_settings_are_reported() {
    let p = parse(
        "# comment\n; comment\n\nroot@n:~# sysctl -a\n{\"a.b\"=1}\nsection = 3\ngrep: /proc/sys/a: Permission denied\n/proc/sys/=1\n",
    );
    let seen: Vec<(u32, &str)> = p
        .diagnostics
        .iter()
        .map(|d| (d.line, d.message.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (4, "no `key = value`"),
            (5, "not the name of a setting"),
            (6, "not the name of a setting"),
            (
                7,
                "a setting could not be read: /proc/sys/a: Permission denied"
            ),
            (8, "not the name of a setting"),
        ]
    );
    assert!(p.value.is_empty());
}

#[test]
fn cut_lines_never_panic() {
    for line in ALL.lines().chain(GREP.lines()) {
        for (i, _) in line.char_indices() {
            let p = parse(&line[..i]);
            assert!(p.value.len() + p.diagnostics.len() <= 1);
            assert!(p.value.iter().all(|s| !s.path().is_empty()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_key_is_survived(text in "[./a-z=: -]{0,20}") {
        let p = parse(&text);
        prop_assert!(p.value.iter().all(|s| !s.path().is_empty()));
    }
}
