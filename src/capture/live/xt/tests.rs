//! Matches and targets one by one, as far as no tool of this machine makes them.

use super::{Decoder, SetNames};
use nfwhy_parsers::Family;
use proptest::prelude::*;

fn matching(family: Family, name: &str, revision: u32, blob: &[u8]) -> String {
    let sets = SetNames::of(&[(3, "KUBE-CLUSTER-IP")]);
    let mut out = String::new();
    Decoder::new(family, &sets).matching(&mut out, name, revision, blob);
    out
}

fn target(family: Family, name: &str, revision: u32, blob: &[u8]) -> String {
    let sets = SetNames::of(&[(3, "KUBE-CLUSTER-IP")]);
    let mut out = String::new();
    Decoder::new(family, &sets).target(&mut out, name, revision, blob);
    out
}

/// Fields at their offsets, in a structure of so many bytes.
fn blob(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut out = vec![0; len];
    for (at, bytes) in fields {
        out[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    out
}

/// Revisions that iptables 1.8.9 no longer asks for where the kernel has newer ones.
#[test]
fn older_revisions() {
    let ports = |n: u16| n.to_ne_bytes();
    let multiport = blob(32, &[(0, &[1, 2]), (2, &ports(80)), (4, &ports(443))]);
    assert_eq!(
        matching(Family::V4, "multiport", 0, &multiport),
        " -m multiport --dports 80,443"
    );
    let conntrack = blob(
        152,
        &[
            (146, &0x2001u16.to_ne_bytes()),
            (150, &[2 | 4]),
            (138, &80u16.to_be_bytes()),
        ],
    );
    assert_eq!(
        matching(Family::V4, "conntrack", 1, &conntrack),
        " -m state --state RELATED,ESTABLISHED"
    );
    let set = blob(8, &[(0, &3u16.to_ne_bytes()), (2, &[2, 0b10 | 1 | 0x80])]);
    let text = " -m set ! --match-set KUBE-CLUSTER-IP src,dst";
    assert_eq!(matching(Family::V4, "set", 1, &set), text);
    assert_eq!(
        matching(Family::V4, "set", 2, &set),
        format!("{text} --return-nomatch")
    );
    let range = blob(
        17,
        &[(0, &[10, 0, 0, 1]), (4, &[10, 0, 0, 9]), (16, &[0x11])],
    );
    assert_eq!(
        matching(Family::V4, "iprange", 0, &range),
        " -m iprange ! --src-range 10.0.0.1-10.0.0.9"
    );
    let dnat = blob(
        40,
        &[
            (0, &3u32.to_ne_bytes()),
            (4, &[0xfd]),
            (20, &[0xfd]),
            (36, &80u16.to_be_bytes()),
            (38, &80u16.to_be_bytes()),
        ],
    );
    assert_eq!(
        target(Family::V6, "DNAT", 1, &dnat),
        " -j DNAT --to-destination [fd00::]:80"
    );
    let queue = blob(4, &[(0, &7u16.to_ne_bytes()), (2, &3u16.to_ne_bytes())]);
    assert_eq!(
        target(Family::V4, "NFQUEUE", 1, &queue),
        " -j NFQUEUE --queue-balance 7:9"
    );
}

/// The IPVS match needs a module that the lab's kernel has not.
#[test]
fn ipvs() {
    let vaddr = blob(
        40,
        &[
            (0, &[10, 96, 0, 1]),
            (16, &[255; 4]),
            (32, &443u16.to_be_bytes()),
            (34, &[6, 0]),
            (36, &21u16.to_be_bytes()),
            (38, &[0x10 | 4, 0x7e]),
        ],
    );
    assert_eq!(
        matching(Family::V4, "ipvs", 0, &vaddr),
        " -m ipvs --vproto 6 ! --vaddr 10.96.0.1 --vport 443 --vdir REPLY --vmethod MASQ --vportctl 21"
    );
    let any = blob(40, &[(38, &[1, 1])]);
    assert_eq!(matching(Family::V4, "ipvs", 0, &any), " -m ipvs ! --ipvs");
}

/// A test that nothing passes is not left out.
#[test]
fn a_negated_test_for_everything_is_told() {
    let tcp = blob(16, &[(2, &[0xff; 2]), (6, &[0xff; 2]), (11, &[2])]);
    assert_eq!(
        matching(Family::V4, "tcp", 0, &tcp),
        " -m tcp ! --dport 0:65535"
    );
    let esp = blob(12, &[(4, &[0xff; 4]), (8, &[1])]);
    assert_eq!(
        matching(Family::V4, "esp", 0, &esp),
        " -m esp ! --espspi 0:4294967295"
    );
}

#[test]
fn what_is_not_known_stays_opaque_and_is_remarked_on() {
    let sets = SetNames::of(&[]);
    let mut decoder = Decoder::new(Family::V4, &sets);
    let mut out = String::new();
    decoder.matching(&mut out, "layer7", 0, &[0; 24]);
    decoder.matching(&mut out, "tcp", 9, &[0; 16]);
    // A set that nobody names.
    decoder.matching(&mut out, "set", 4, &[0; 48]);
    decoder.target(&mut out, "MARK", 2, &[0; 4]);
    assert_eq!(
        out,
        " -m layer7 --revision 0 --size 24 -m tcp --revision 9 --size 16 -m set --revision 4 --size 48 \
         -j MARK --revision 2 --size 4"
    );
    assert_eq!(decoder.undecoded().count(), 4);
    let line = format!("*filter\n:F - [0:0]\n-A F{out}\nCOMMIT\n");
    let sets = nfwhy_parsers::iptables::save::index_all(&line).value;
    let at = sets[0].tables[0]
        .chains
        .iter()
        .next()
        .expect("a chain")
        .rules[0];
    let (rule, _) = nfwhy_parsers::iptables::rule::parse_rule(&line, at, sets[0].form, Family::V4);
    assert_eq!(rule.broken, None);
    let opaque = |m: &_| matches!(m, nfwhy_parsers::iptables::Match::Opaque { .. });
    assert!(rule.matches.iter().all(opaque), "{rule:?}");
    assert!(
        matches!(rule.target, nfwhy_parsers::iptables::Target::Opaque { .. }),
        "{rule:?}"
    );
}

const NAMES: [&str; 60] = [
    "comment",
    "tcp",
    "udp",
    "mark",
    "conntrack",
    "set",
    "statistic",
    "addrtype",
    "multiport",
    "recent",
    "owner",
    "physdev",
    "rpfilter",
    "ipvs",
    "nfacct",
    "limit",
    "hashlimit",
    "connlimit",
    "quota",
    "rateest",
    "icmp",
    "icmp6",
    "sctp",
    "dccp",
    "esp",
    "ah",
    "ipcomp",
    "state",
    "helper",
    "connbytes",
    "connlabel",
    "cluster",
    "iprange",
    "devgroup",
    "realm",
    "policy",
    "socket",
    "mac",
    "pkttype",
    "length",
    "tcpmss",
    "dscp",
    "tos",
    "ttl",
    "hl",
    "ecn",
    "frag",
    "rt",
    "hbh",
    "dst",
    "ipv6header",
    "mh",
    "srh",
    "eui64",
    "bpf",
    "cgroup",
    "cpu",
    "string",
    "time",
    "u32",
];

const TARGETS: [&str; 36] = [
    "DNAT",
    "SNAT",
    "MASQUERADE",
    "REDIRECT",
    "NETMAP",
    "SNPT",
    "DNPT",
    "MARK",
    "CONNMARK",
    "REJECT",
    "CT",
    "NOTRACK",
    "TRACE",
    "TPROXY",
    "LOG",
    "NFLOG",
    "NFQUEUE",
    "AUDIT",
    "IDLETIMER",
    "RATEEST",
    "LED",
    "TEE",
    "DSCP",
    "TOS",
    "TTL",
    "HL",
    "TCPMSS",
    "TCPOPTSTRIP",
    "CHECKSUM",
    "CLASSIFY",
    "CONNSECMARK",
    "SECMARK",
    "ECN",
    "HMARK",
    "SET",
    "SYNPROXY",
];

proptest! {
    /// No bytes make it panic, and a rule stays one rule.
    #[test]
    fn any_bytes_make_words(
        which in 0usize..96,
        revision in 0u32..5,
        v6: bool,
        bytes in proptest::collection::vec(any::<u8>(), 0..2100),
        zeros in 0usize..600,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let mut bytes = bytes;
        let end = bytes.len().min(zeros);
        bytes[..end].fill(0);
        match which.checked_sub(NAMES.len()) {
            None => matching(family, NAMES[which], revision, &bytes),
            Some(at) => target(family, TARGETS[at], revision, &bytes),
        };
    }
}
