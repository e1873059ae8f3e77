//! Packets that are none.

use crate::node;
use crate::program::{Folder, nfwhy, nfwhy_with, trace};

#[test]
fn nonsense_on_the_command_line_is_refused() {
    let f = Folder::of(&node());
    for (args, what) in [
        (&["192.168.0.99", "10.244.0.4:0"][..], "port"),
        (&["192.168.0.99", "10.244.0.4:65536"], "65536"),
        (&["192.168.0.99", "10.244.0.4:http"], "http"),
        (&["192.168.0.99", "10.244.0.4:"], "port"),
        (&["192.168.0.99", "10.244.0.256:80"], "10.244.0.256"),
        (&["192.168.0.99", "my-service:80"], "names are not resolved"),
        (
            &["192.168.0.0/24", "10.244.0.4:80"],
            "one address, not a range",
        ),
        (&["192.168.0.99", "10.244.0.4:80/tpc"], "tpc"),
        (&["192.168.0.99", "10.244.0.4:80/icmp"], "no ports"),
        (&["192.168.0.99", "10.244.0.4:80/256"], "256"),
        (
            &["192.168.0.99", "[2001:db8::1]:80"],
            "different address families",
        ),
        (&["192.168.0.99", "[2001:db8::1:80"], "]"),
        (&["192.168.0.99", "2001:db8::zz"], "2001:db8::zz"),
        (&["192.168.0.99", ""], "not an IP address"),
        (&["", "10.244.0.4:80"], "not an IP address"),
        (&["--in", "eth7", "192.168.0.99", "10.244.0.4:80"], "eth0"),
        (
            &["--mark", "0xfffffffff", "192.168.0.99", "10.244.0.4:80"],
            "mark",
        ),
        (&["--mark", "blue", "192.168.0.99", "10.244.0.4:80"], "blue"),
        (
            &["--ct-state", "odd", "192.168.0.99", "10.244.0.4:80"],
            "odd",
        ),
        (
            &["--expect", "verdict", "192.168.0.99", "10.244.0.4:80"],
            "verdict",
        ),
        (
            &["--expect", "colour=red", "192.168.0.99", "10.244.0.4:80"],
            "colour",
        ),
        (&["192.168.0.99"], "TO"),
        (&[], "nothing to trace"),
        (&["--packets", "/no/such/file"], "/no/such/file"),
        (&["--from-node", "--in", "eth0", "10.244.0.4:80"], "--in"),
        (
            &["--format", "yaml", "192.168.0.99", "10.244.0.4:80"],
            "yaml",
        ),
    ] {
        trace(&f, args).fails_with(what);
    }
    nfwhy(&[]).fails_with("Usage");
    nfwhy(&["trase"]).fails_with("trase");
    nfwhy(&[
        "trace",
        "--netns",
        "no-such-name",
        "192.168.0.99",
        "10.244.0.4:80",
    ])
    .fails_with("no-such-name");
    nfwhy(&[
        "trace",
        "-s",
        ".",
        "--pid",
        "1",
        "192.168.0.99",
        "10.244.0.4:80",
    ])
    .fails_with("--pid");
}

/// Lines that are no packets, each between two that are.
#[test]
fn nonsense_in_a_file_of_packets_does_not_keep_the_others_from_being_answered() {
    let f = Folder::of(&node());
    let good = r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80}"#;
    for bad in [
        "not json",
        "{",
        "[]",
        "null",
        "7",
        "\"10.244.0.4\"",
        "{}",
        r#"{"src":"192.168.0.99"}"#,
        r#"{"dst":"10.244.0.4"}"#,
        r#"{"src":"192.168.0.99","dst":""}"#,
        r#"{"src":"192.168.0.99","dst":null}"#,
        r#"{"src":7,"dst":"10.244.0.4"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":-1}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":1e9}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80.5}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":0}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":99999999999999999999}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmp","dport":80}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":"icmpv6"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":300}"#,
        r#"{"src":"192.168.0.99","dst":"fd00::1","dport":80}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","iif":"nope"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","iif":"eth0","origin":"local"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","origin":"mars"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","mark":4294967296}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","mark":"0x"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","tos":256}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","ttl":-1}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","flags":["sin"]}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","flags":"syn"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","ct_state":"fresh"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","mac":"02:00"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","colour":"red"}"#,
        "{\"src\":\"192.168.0.99\",\"dst\":\"\u{1b}[2J\"}",
        "{\"src\":\"192.168.0.99\",\"dst\":\"10.244.0.4\",\"iif\":\"\\u001b]0;owned\\u0007\"}",
        "\u{0}\u{1}\u{2}",
    ] {
        let input = format!("{good}\n{bad}\n\n{good}\r\n");
        for form in ["json", "minimal", "text"] {
            let ran = nfwhy_with(
                &["trace", "-s", f.path(), "--packets", "-", "--format", form],
                input.clone(),
                &[],
            );
            assert_eq!(ran.code, 2, "{bad}: {}", ran.out);
            assert_eq!(ran.out.matches("error").count(), 1, "{bad}: {}", ran.out);
            if form == "json" {
                let lines = ran.json_lines();
                assert_eq!(lines.len(), 3, "{bad}: {}", ran.out);
                assert!(lines[1]["error"].is_string(), "{bad}: {}", ran.out);
                assert_eq!(lines[0]["outcomes"][0]["verdict"], "forwarded");
                assert_eq!(lines[2], lines[0], "{bad}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_in_a_file_of_packets_are_refused() {
    let f = Folder::of(&node());
    let good = br#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":80}"#;
    let input = [&good[..], b"\n\xff\xfe\x80\n", good].concat();
    let ran = nfwhy_with(
        &[
            "trace",
            "-s",
            f.path(),
            "--packets",
            "-",
            "--format",
            "json",
        ],
        input,
        &[],
    );
    assert_eq!(ran.code, 2);
    let lines = ran.json_lines();
    assert_eq!(lines.len(), 3, "{}", ran.out);
    assert_eq!(lines[0]["outcomes"][0]["verdict"], "forwarded");
    assert!(lines[1]["error"].is_string(), "{}", ran.out);
    assert_eq!(lines[2], lines[0], "a bad line does not end the run");
}

#[test]
fn extreme_packets_are_answered() {
    let f = Folder::of(&node());
    for packet in [
        r#"{"src":"0.0.0.0","dst":"255.255.255.255","proto":"udp","sport":68,"dport":67,"iif":"eth0"}"#,
        r#"{"src":"255.255.255.255","dst":"0.0.0.0","iif":"eth0"}"#,
        r#"{"src":"224.0.0.1","dst":"239.255.255.255","iif":"cni0"}"#,
        r#"{"src":"127.0.0.1","dst":"127.0.0.1","dport":1}"#,
        r#"{"src":"::","dst":"::","iif":"eth0"}"#,
        r#"{"src":"::ffff:10.1.1.1","dst":"::ffff:10.244.0.4","dport":80,"iif":"eth0"}"#,
        r#"{"src":"fe80::1","dst":"ff02::1","iif":"eth0"}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":0}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","proto":255,"ttl":0,"tos":255}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","dport":65535,"sport":1,"mark":4294967295,"length":4294967295,"flags":[]}"#,
        r#"{"src":"192.168.0.99","dst":"10.244.0.4","flags":["fin","syn","rst","psh","ack","urg","ece","cwr"]}"#,
        r#"{"dst":"10.244.0.4","origin":"local"}"#,
        r#"{"src":"10.244.0.4","dst":"10.244.0.4","dport":80,"iif":"cni0"}"#,
    ] {
        let ran = nfwhy_with(
            &[
                "trace",
                "-s",
                f.path(),
                "--packets",
                "-",
                "--format",
                "json",
            ],
            format!("{packet}\n"),
            &[],
        );
        assert_eq!(ran.code, 0, "{packet}: {}{}", ran.out, ran.err);
        let lines = ran.json_lines();
        assert!(
            lines[0]["outcomes"]
                .as_array()
                .is_some_and(|o| !o.is_empty()),
            "{packet}: {}",
            ran.out
        );
    }
}

#[test]
fn an_unanswerable_number_of_forks_is_refused_and_named() {
    // Each rule doubles the branches.
    let rules: Vec<String> = (0..20)
        .map(|i| {
            let bit = 1 << i;
            format!("-A FORWARD -m statistic --mode random --probability 0.5 -j MARK --set-xmark {bit:#x}/{bit:#x}")
        })
        .collect();
    let f = Folder::of(&node().table("mangle", &rules.join("\n")));
    trace(&f, &["192.168.0.99", "10.244.0.4:80"]).fails_with("iptables-save.txt");
}

/// Whoever sends `iptables-save` and nothing else is told what else to send, and is answered as far as that goes.
#[test]
fn rules_alone_are_answered_as_far_as_they_go() {
    let f = Folder::empty();
    f.write(
        "iptables-save.txt",
        b"# Generated by iptables-save v1.8.9\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n",
    );
    trace(&f, &["192.168.0.99", "10.0.0.5:80"]).fails_with("ip route show table all");
    let ran = trace(&f, &["--in", "eth0", "192.168.0.99", "10.0.0.5:80"]);
    ran.answers("10.0.0.5 is not an address of this node (none were captured)");
    // Delivered here, the answer has the address for a source: nothing may say that it is not the node's.
    let answer = ran.json_lines().remove(0);
    let codes: Vec<_> = answer["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|f| f["code"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(codes, ["unknown", "client-ip-kept", "unknown"]);
}
