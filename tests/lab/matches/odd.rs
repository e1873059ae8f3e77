//! Matches whose answer is not to be had from a capture: both answers are simulated, and the kernel must have given one.

use super::super::prng::Prng;
use super::{IN, PRE, Place};

/// One of them.
pub fn any(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    let not = r.not(30);
    match r.below(18) {
        0 => " -m bpf --bytecode \"1,6 0 0 65535\"".into(),
        // The protocol in the IPv4 header is TCP.
        1 => " -m bpf --bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"".into(),
        2 => format!(" -m u32 {not}--u32 \"0x6&0xff=0x6\""),
        3 => format!(" -m u32 {not}--u32 \"0x0>>0x16&0x3c@0x0>>0x10=0x50\""),
        4 => format!(" -m string {not}--string \"lab\" --algo bm"),
        5 => format!(
            " -m string {not}--hex-string \"|6c61622100|\" --algo kmp --from 20 --to 60 --icase"
        ),
        6 => " -m time --timestart 01:00:00 --timestop 12:00:00".into(),
        7 => format!(
            " -m time --weekdays {}",
            r.one(&["Mon,Tue,Wed,Sun", "Thu,Fri,Sat"])
        ),
        8 | 17 => format!(" -m cpu {not}--cpu {}", r.one(&[0, 1])),
        9 | 10 | 16 if p.only(PRE | IN) => format!(
            " -m socket{}",
            r.one(&[
                "",
                " --transparent",
                " --nowildcard",
                " --transparent --nowildcard"
            ])
        ),
        11 => " -m connbytes --connbytes 1:10 --connbytes-dir both --connbytes-mode packets".into(),
        12 => format!(" -m ecn {not}--ecn-ip-ect {}", r.one(&[0, 1])),
        13 => format!(" -m connlabel {not}--label 1"),
        14 if proto == "tcp" => format!(" -m tcpmss {not}--mss 1000:1500"),
        _ => " -m cluster --cluster-total-nodes 2 --cluster-local-node 1 --cluster-hash-seed 0x1"
            .into(),
    }
}
