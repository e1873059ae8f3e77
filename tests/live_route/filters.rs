//! Programs that hang on devices.

use crate::lab::sh;
use crate::{apart, live, ready};
use nfwhy::capture::live::Reading;
use nfwhy_parsers::programs;
use nix::sched::{CloneFlags, unshare};

#[test]
fn filters_of_tc_read_live_are_what_bpftool_shows() {
    if !ready() {
        return;
    }
    apart(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a namespace");
        sh::must(
            &[
                "ip", "link", "add", "a0", "type", "veth", "peer", "name", "a1",
            ],
            "",
        );
        let pass = ["bytecode", "1,6 0 0 4294967295"];
        let mut made = sh::run(&["tc", "qdisc", "add", "dev", "a0", "clsact"], "").ok;
        for way in ["ingress", "egress"] {
            let line = ["tc", "filter", "add", "dev", "a0", way, "bpf"];
            made &= sh::run(&[&line[..], &pass[..]].concat(), "").ok;
        }
        made &= sh::run(&["tc", "qdisc", "add", "dev", "a1", "ingress"], "").ok;
        let line = ["tc", "filter", "add", "dev", "a1", "parent", "ffff:", "bpf"];
        made &= sh::run(&[&line[..], &pass[..]].concat(), "").ok;
        let reading = Reading::of_this_namespace(None);
        let text = &live(&reading, "bpftool-net").text;
        let told = programs::parse(text);
        assert_eq!(told.diagnostics, [], "{text}");
        if !made {
            return;
        }
        let shown: Vec<String> = told
            .value
            .iter()
            .map(|p| format!("{} {}", p.device, p.hook))
            .collect();
        assert_eq!(
            shown,
            ["a1 tc ingress", "a0 tc ingress", "a0 tc egress"],
            "{text}"
        );
        if sh::exists(&["bpftool", "version"]) {
            let command = sh::must(&["bpftool", "net"], "");
            // Of the qdisc `ingress`, bpftool 7.1 shows the filter once for each parent that it asks for.
            let of_a0 = |text| -> Vec<String> {
                let all = programs::parse(text).value;
                all.iter()
                    .filter(|p| p.device == "a0")
                    .map(ToString::to_string)
                    .collect()
            };
            let (mut a, mut b) = (of_a0(text), of_a0(&command));
            a.sort();
            b.sort();
            assert_eq!(a, b, "{text}\n{command}");
        }
    });
}
