//! What targets change, as a rule behind them sees it.

use crate::matches::{says, with};
use crate::{IN, node};

/// A rule of mangle PREROUTING, then a match in FORWARD.
#[track_caller]
fn check(rows: &[(&str, &str, &str)]) {
    let marked = with(r#""mark":"0x8001","tos":184,"ttl":9"#);
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(first, then, expected)| {
            let rules = first.split(';').fold(String::new(), |all, rule| {
                all + "-A PREROUTING " + rule.trim() + "\n"
            });
            let said = says(node().table("mangle", &rules), then, &marked);
            (said != *expected).then(|| format!("{first}, then {then}: {said}, not {expected}"))
        })
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn marks() {
    check(&[
        (
            "-j MARK --set-xmark 0x4000/0x4000",
            "-m mark --mark 0xc001",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x4000/0x0",
            "-m mark --mark 0xc001",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x8000/0x0",
            "-m mark --mark 0x1",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x0/0x8000",
            "-m mark --mark 0x1",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x0/0x8000",
            "-m mark --mark 0x8001",
            "no",
        ),
        ("-j MARK --and-mark 0xff", "-m mark --mark 0x1", "yes"),
        ("-j MARK --or-mark 0x10", "-m mark --mark 0x8011", "yes"),
        ("-j MARK --xor-mark 0x11", "-m mark --mark 0x8010", "yes"),
    ]);
}

#[test]
fn connection_marks() {
    check(&[
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff",
            "-m connmark --mark 0x7",
            "yes",
        ),
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --set-xmark 0x2/0x2",
            "-m connmark --mark 0x7",
            "yes",
        ),
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --set-xmark 0x2/0x0",
            "-m connmark --mark 0x5",
            "yes",
        ),
        (
            "-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
            "-m connmark --mark 0x8001",
            "yes",
        ),
        (
            "-j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff",
            "-m connmark --mark 0x1",
            "yes",
        ),
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
            "-m mark --mark 0x8007",
            "yes",
        ),
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
            "-m mark --mark 0x7",
            "yes",
        ),
        (
            "-j MARK --set-xmark 0x9/0xffffffff",
            "-m connmark --mark 0x0",
            "yes",
        ),
        // Bits outside of the other side's mask are turned over (`connmark_tg_shift`).
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x8",
            "-m connmark --mark 0x6",
            "yes",
        ),
        (
            "-j CONNMARK --set-xmark 0x7/0xffffffff; -j CONNMARK --restore-mark --nfmask 0x10 --ctmask 0x1",
            "-m mark --mark 0x8000",
            "yes",
        ),
    ]);
}

#[test]
fn header_fields() {
    check(&[
        ("-j DSCP --set-dscp 0x04", "-m dscp --dscp 0x04", "yes"),
        ("-j DSCP --set-dscp 0x04", "-m dscp --dscp 0x2e", "no"),
        (
            "-j TOS --set-tos 0x10/0xff",
            "-m tos --tos 0x10/0xff",
            "yes",
        ),
        (
            "-j TOS --set-tos 0x01/0x03",
            "-m tos --tos 0xb9/0xff",
            "yes",
        ),
        ("-j TTL --ttl-set 30", "-m ttl --ttl-eq 29", "yes"),
        ("-j TTL --ttl-inc 3", "-m ttl --ttl-eq 11", "yes"),
        ("-j TTL --ttl-dec 3", "-m ttl --ttl-eq 5", "yes"),
        ("-j TTL --ttl-inc 255", "-m ttl --ttl-eq 254", "yes"),
    ]);
}

#[test]
fn verdicts_and_what_goes_on() {
    check(&[
        (
            "-j LOG; -j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "yes",
        ),
        (
            "-j NFLOG --nflog-group 1; -j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "yes",
        ),
        (
            "-j ACCEPT; -j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "no",
        ),
        (
            "-j RETURN; -j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "no",
        ),
        (
            "-m mark --mark 0x0 -j ACCEPT; -j MARK --set-xmark 0x2/0xffffffff",
            "-m mark --mark 0x2",
            "yes",
        ),
    ]);
}

/// Jumps come back, gotos do not, and a chain's end is a return.
#[test]
fn chains() {
    use crate::common::check;
    let s = |rules: &str| node().table("filter", rules).snapshot();
    let tail = "-A FORWARD -j DROP\n";
    check(
        &s(&format!(
            "-A FORWARD -j A\n{tail}-A A -j RETURN\n-A A -j ACCEPT\n"
        )),
        IN,
        &["dropped"],
    );
    check(
        &s(&format!("-A FORWARD -j A\n{tail}-A A -i eth0\n")),
        IN,
        &["dropped"],
    );
    check(
        &s(&format!("-A FORWARD -g A\n{tail}-A A -i eth0\n")),
        IN,
        &["forwarded"],
    );
    check(
        &s(&format!(
            "-A FORWARD -j A\n{tail}-A A -g B\n-A A -j ACCEPT\n-A B -i eth0\n"
        )),
        IN,
        &["dropped"],
    );
    check(
        &s(&format!(
            "-A FORWARD -j A\n{tail}-A A -j B\n-A A -j ACCEPT\n-A B -j RETURN\n"
        )),
        IN,
        &["forwarded"],
    );
    let queue = s("-A FORWARD -j NFQUEUE --queue-num 3\n");
    check(&queue, IN, &["queued"]);
    let reject = s("-A FORWARD -p tcp -j REJECT --reject-with tcp-reset\n");
    check(&reject, IN, &["rejected why=filter/FORWARD/1"]);
}

/// Whether somebody listens is not in a capture: with a socket TPROXY marks and accepts, without one it drops.
#[test]
fn tproxy_asks_for_a_socket() {
    use crate::common::check;
    let s = node()
        .table(
            "mangle",
            "-A PREROUTING -p tcp -j TPROXY --on-port 9000 --tproxy-mark 0x1/0x1\n-A FORWARD -m mark --mark 0x1/0x1\n",
        )
        .snapshot();
    check(
        &s,
        IN,
        &[
            "forwarded mark=0x1 hit=mangle/FORWARD/1",
            "dropped why=mangle/PREROUTING/1",
        ],
    );
}
