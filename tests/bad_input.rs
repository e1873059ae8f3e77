//! Whatever it is given, the program says what is wrong, answers what it can, and neither panics nor passes control characters on.
//!
//! All of it goes through the built program: every run is checked for a panic, for silence, and for raw escape characters.

mod common;
#[path = "bad_input/packets.rs"]
mod packets;
#[path = "bad_input/program.rs"]
mod program;

use common::Files;
use program::{Folder, nfwhy, trace};

const PACKET: [&str; 2] = ["192.168.0.99", "10.244.0.4:80"];

/// A small node: the world behind eth0, pods behind cni0.
fn node() -> Files {
    Files::new(&["eth0 192.168.0.10/24", "cni0 10.244.0.1/24"])
        .route("default via 192.168.0.1 dev eth0")
}

/// The node with rules of table filter.
fn filter(rules: &str) -> Folder {
    Folder::of(&node().table("filter", rules))
}

#[test]
fn an_unreadable_path_is_named() {
    let ran = nfwhy(&["trace", "-s", "/no/such/folder", "10.0.0.1", "10.0.0.2:80"]);
    ran.fails_with("/no/such/folder");
}

#[test]
fn an_empty_folder_holds_no_files() {
    let f = Folder::empty();
    trace(&f, &PACKET).fails_with("holds no files");
}

#[test]
fn a_folder_of_folders_names_them() {
    let f = Folder::empty();
    f.folder("node-a");
    f.folder("node-b");
    let ran = trace(&f, &PACKET);
    ran.fails_with("node-a");
    ran.fails_with("node-b");
}

#[test]
fn a_binary_file_is_not_taken_for_text() {
    let f = Folder::empty();
    let bytes: Vec<u8> = (0..=255u8).cycle().step_by(7).take(4096).collect();
    f.write("core", &bytes);
    trace(&f, &PACKET).fails_with("core");
    // Beside a capture it is skipped, and that is said.
    let f = Folder::of(&node());
    f.write("core", &bytes);
    let ran = trace(&f, &PACKET);
    ran.answers("forwarded");
    ran.remarks("core");
}

#[test]
fn something_else_altogether_is_not_taken_for_a_capture() {
    let f = Folder::empty();
    f.write(
        "letter.txt",
        b"Dear colleague,\nplease find the logs attached.\n",
    );
    trace(&f, &PACKET).fails_with("letter.txt");
}

#[test]
fn a_file_without_a_byte_is_no_capture() {
    let f = Folder::of(&node());
    f.write("ipset.txt", b"");
    trace(&f, &PACKET).answers("forwarded");
}

#[test]
fn a_truncated_dump_is_read_as_far_as_it_goes() {
    let files = node().table(
        "filter",
        "-A FORWARD -s 192.168.0.99/32 -j DROP\n-A FORWARD -j ACCEPT",
    );
    let whole = Folder::of(&files);
    trace(&whole, &PACKET).answers("dropped");
    let text = whole.read("iptables-save.txt");
    // Cut at every line, and in the middle of each.
    let cuts: Vec<usize> = text
        .match_indices('\n')
        .flat_map(|(i, _)| [i, i.saturating_sub(9)])
        .collect();
    assert!(cuts.len() > 40);
    for cut in cuts.into_iter().step_by(5) {
        let f = Folder::of(&files);
        f.write(
            "iptables-save.txt",
            text.get(..cut).unwrap_or("").as_bytes(),
        );
        trace(&f, &PACKET).answers("");
    }
}

#[test]
fn a_rule_with_a_syntax_error_is_unknown_where_it_matters_and_named() {
    let f = filter("-A FORWARD -p tcp -m tcp --dport eighty -j DROP\n-A FORWARD -j ACCEPT");
    let ran = trace(&f, &PACKET);
    ran.remarks("iptables-save.txt");
    ran.remarks("eighty");
    // It could match and it could not.
    let outcomes = ran.json_outcomes();
    assert!(outcomes.len() > 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|o| o["probability"].is_null()));
    // A packet that certainly misses it is not in doubt.
    let udp = trace(&f, &["192.168.0.99", "10.244.0.4:80/udp"]).json_outcomes();
    assert_eq!(udp.len(), 1, "{udp:?}");
    assert_eq!(udp[0]["probability"], 1.0);
}

#[test]
fn an_unknown_match_or_target_is_unknown_and_the_others_stand() {
    let f = filter("-A FORWARD -m frobnicate --level 7 -j DROP\n-A FORWARD -p udp -j FROB --deep");
    let outcomes = trace(&f, &PACKET).json_outcomes();
    let verdicts: Vec<_> = outcomes.iter().map(|o| o["verdict"].clone()).collect();
    assert_eq!(verdicts.len(), 2, "{verdicts:?}");
    assert!(verdicts.iter().any(|v| v == "dropped"));
    assert!(verdicts.iter().any(|v| v == "forwarded"));
}

#[test]
fn a_set_of_unknown_type_is_unknown() {
    let files = node()
        .table("filter", "-A FORWARD -m set --match-set ODD dst -j DROP")
        .ipset("create ODD hash:quantum family inet hashsize 1024\nadd ODD 10.244.0.4\n");
    let ran = trace(&Folder::of(&files), &PACKET);
    ran.remarks("hash:quantum");
    let outcomes = ran.json_outcomes();
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes.iter().all(|o| o["probability"].is_null()));
}

#[test]
fn a_set_that_is_not_there_names_the_command() {
    let f = filter("-A FORWARD -m set --match-set GONE dst -j DROP");
    let ran = trace(&f, &PACKET);
    assert_eq!(ran.json_outcomes().len(), 2);
    ran.answers("`ipset save`");
}

#[test]
fn a_chain_jumped_to_but_absent_is_unknown() {
    let files = node().without("iptables-save").file(
        "iptables-save.txt",
        "# Generated by iptables-save v1.8.9\n*filter\n:FORWARD ACCEPT [0:0]\n-A FORWARD -j KUBE-GONE\nCOMMIT\n",
    );
    let ran = trace(&Folder::of(&files), &PACKET);
    ran.remarks("KUBE-GONE");
    // It lets the packet go on, or decides; neither is certain, and the answer says what would tell.
    let outcomes = ran.json_outcomes();
    let verdicts: Vec<&str> = outcomes
        .iter()
        .filter_map(|o| o["verdict"].as_str())
        .collect();
    assert_eq!(verdicts, ["forwarded", "unknown"]);
    assert!(outcomes.iter().all(|o| o["probability"].is_null()));
    ran.answers("chain KUBE-GONE of table filter");
}

#[test]
fn chains_that_jump_in_a_circle_end() {
    for rules in [
        "-A FORWARD -j A\n-A A -j B\n-A B -j A",
        "-A FORWARD -j A\n-A A -j A",
        "-A FORWARD -g A\n-A A -g B\n-A B -g A",
        "-A FORWARD -j A\n-A A -g B\n-A B -j A",
    ] {
        let ran = trace(&filter(rules), &PACKET);
        assert_eq!(ran.json_outcomes()[0]["verdict"], "unknown", "{rules}");
    }
}

#[test]
fn a_chain_called_from_two_places_is_no_circle() {
    let f = filter(
        "-A FORWARD -j A\n-A FORWARD -g A\n-A A -j B\n-A A -j B\n-A B -s 1.2.3.4/32 -j DROP",
    );
    trace(&f, &PACKET).answers("forwarded");
    // Legal, but no one waits for the end of it.
    let levels: String = (0..40)
        .map(|i| format!("-A L{i} -j L{n}\n-A L{i} -j L{n}", n = i + 1))
        .collect::<Vec<_>>()
        .join("\n");
    let f = filter(&format!(
        "-A FORWARD -j L0\n{levels}\n-A L40 -p udp -j DROP"
    ));
    trace(&f, &PACKET).answers("call each other too often");
}

#[test]
fn an_ipv6_address_in_an_ipv4_rule_is_named_and_does_not_blind_the_rest() {
    let f = filter(
        "-A FORWARD -d 2001:db8::1/128 -j DROP\n-A FORWARD -p tcp -j REJECT --reject-with tcp-reset",
    );
    let ran = trace(&f, &PACKET);
    ran.remarks("2001:db8::1");
    ran.answers("rejected");
}

#[test]
fn captures_of_two_nodes_in_one_folder_are_remarked_upon() {
    let f = Folder::of(&node());
    let other = Files::new(&["ens9 172.16.0.1/24"]).snapshot();
    for file in other.files.iter().filter(|f| f.name == "ip-addr.txt") {
        f.write("ip-addr-other.txt", file.text.as_bytes());
    }
    trace(&f, &PACKET).remarks("different moments or nodes");
}

#[test]
fn no_control_character_of_the_input_comes_out_raw() {
    let nasty = "a\u{1b}[2J\u{1b}]0;owned\u{7}b\u{9b}31m\u{7f}\u{202e}gpj";
    let comment = format!("-A FORWARD -m comment --comment \"{nasty}\" -j DROP");
    let chain = format!("-A FORWARD -j X{}Y", '\u{1b}');
    let broken = format!("-A FORWARD --{nasty} -j DROP");
    for rules in [comment, chain, broken] {
        let f = filter(&rules);
        for form in ["text", "json", "minimal"] {
            for colour in ["0", "1"] {
                let ran = program::nfwhy_with(
                    &[
                        "trace",
                        "-s",
                        f.path(),
                        "--format",
                        form,
                        "--detail",
                        PACKET[0],
                        PACKET[1],
                    ],
                    "",
                    &[("CLICOLOR_FORCE", colour)],
                );
                for bad in [
                    "\u{1b}[2J",
                    "\u{1b}]0",
                    "\u{7}",
                    "\u{9b}",
                    "\u{7f}",
                    "\u{202e}",
                ] {
                    // JSON is for programs: what its grammar wants escaped is, which is C0.
                    let only_c0 = form == "json" && !bad.contains(|c| c < ' ');
                    assert!(
                        (only_c0 || !ran.out.contains(bad)) && !ran.err.contains(bad),
                        "{bad:?} in {form}: {}{}",
                        ran.out,
                        ran.err
                    );
                }
            }
        }
    }
}

#[test]
fn names_of_files_and_devices_are_not_trusted_either() {
    let f = Folder::of(&node());
    f.write("x\u{1b}[31mred.txt", b"\x00\x01\x02binary\x00");
    let ran = trace(&f, &PACKET);
    ran.answers("forwarded");
    trace(&f, &["--in", "eth\u{1b}[0m", PACKET[0], PACKET[1]]).fails_with("no device eth");
}

#[test]
fn a_line_of_a_megabyte_is_read() {
    let long = "x".repeat(1 << 20);
    let f = filter(&format!(
        "-A FORWARD -m comment --comment \"{long}\" -j DROP"
    ));
    trace(&f, &PACKET).answers("dropped");
    let f = filter(&format!("-A FORWARD --{long}\n-A FORWARD -j ACCEPT"));
    trace(&f, &PACKET).answers("");
}

#[test]
fn nul_bytes_crlf_bom_and_latin_1_do_not_blind_the_reader() {
    let drop = "-A FORWARD -s 192.168.0.99/32 -m comment --comment \"caf\u{e9}\" -j DROP";
    let text = filter(drop).read("iptables-save.txt");
    let with = |bytes: Vec<u8>| {
        let f = filter(drop);
        f.write("iptables-save.txt", &bytes);
        trace(&f, &PACKET)
    };
    with(text.replace('\n', "\r\n").into_bytes()).answers("dropped");
    with(format!("\u{feff}{text}").into_bytes()).answers("dropped");
    let latin1: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'))
        .collect();
    let ran = with(latin1);
    ran.answers("dropped");
    ran.remarks("UTF-8");
    // A byte that cannot be in a dump: an answer, whatever it is, but no panic.
    with(text.replace("caf", "c\0f").into_bytes()).answers("");
    let f = Folder::of(&node());
    for (name, crlf) in [
        ("ip-addr.txt", true),
        ("ip-route.txt", true),
        ("ip-rule.txt", true),
        ("sysctl.txt", true),
    ] {
        assert!(crlf);
        let t = f.read(name);
        f.write(name, t.replace('\n', "\r\n").as_bytes());
    }
    trace(&f, &PACKET).answers("forwarded");
}

#[test]
fn every_file_cut_anywhere_is_survived() {
    let files = node()
        .table("nat", "-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.244.0.4:80\n-A POSTROUTING -m set --match-set S src,dst -j MASQUERADE")
        .ipset("create S hash:ip,port family inet hashsize 1024 maxelem 65536\nadd S 10.244.0.4,tcp:80\n")
        .ipvs("TCP 10.96.0.10:53 rr\n-> 10.244.0.7:53 Masq 1");
    let whole = Folder::of(&files);
    for name in [
        "ip-addr.txt",
        "ip-route.txt",
        "ip-rule.txt",
        "sysctl.txt",
        "ipset.txt",
        "ipvsadm.txt",
    ] {
        let text = whole.read(name);
        for part in 1..6 {
            let f = Folder::of(&files);
            let cut = text.len() * part / 6;
            f.write(name, text.get(..cut).unwrap_or("").as_bytes());
            // Without the device's line the packet may be refused; that is an answer too.
            let ran = trace(&f, &["--in", "eth0", PACKET[0], PACKET[1]]);
            assert!(
                matches!(ran.code, 0 | 2),
                "{name} cut at {cut}: {}",
                ran.err
            );
        }
    }
}

#[test]
fn numbers_beyond_their_range_are_not_wrapped() {
    let files = node()
        .table("filter", "-A FORWARD -m mark --mark 0x1ffffffff -j DROP\n-A FORWARD -p tcp -m tcp --dport 65616 -j DROP\n-A FORWARD -d 10.244.0.4/33 -j DROP")
        .route("10.9.0.0/40 dev eth0 scope link\n999.1.1.1 dev eth0");
    let ran = trace(&Folder::of(&files), &PACKET);
    ran.remarks("iptables-save.txt");
    assert!(
        ran.json_outcomes()
            .iter()
            .all(|o| o["probability"].is_null()),
        "{}",
        ran.out
    );
}
