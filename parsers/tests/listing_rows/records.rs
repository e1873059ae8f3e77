//! Matches and targets as records.

use super::{one_match, one_target};
use nfwhy_parsers::common::{Neg, Range};
use nfwhy_parsers::iptables::matches::{
    AddrTypes, Addrtype, Conntrack, CtStates, IcmpType, Ports, Recent, RecentMode, Rpfilter,
};
use nfwhy_parsers::iptables::targets::{Connmark, CtTarget, Nat, RejectWith};
use nfwhy_parsers::iptables::{Match, Target};

#[test]
fn matches_as_records() {
    one_match(
        "ctstate NEW ctdir ORIGINAL",
        &Match::Conntrack(Box::new(Conntrack {
            state: Some(Neg::yes(CtStates(CtStates::NEW))),
            dir_original: Some(true),
            ..Conntrack::default()
        })),
    );
    one_match(
        "! ctstate RELATED,ESTABLISHED,DNAT",
        &Match::Conntrack(Box::new(Conntrack {
            state: Some(Neg {
                not: true,
                value: CtStates(CtStates::RELATED | CtStates::ESTABLISHED | CtStates::DNAT),
            }),
            ..Conntrack::default()
        })),
    );
    one_match(
        "ADDRTYPE match src-type !LOCAL limit-out",
        &Match::Addrtype(Addrtype {
            src: Some(Neg {
                not: true,
                value: AddrTypes(1 << 2),
            }),
            limit_out: true,
            ..Addrtype::default()
        }),
    );
    one_match(
        "statistic mode random probability 0.33333333349",
        &Match::StatisticRandom(Neg::yes(715_827_883)),
    );
    one_match(
        "statistic mode random probability 1.00000000000",
        &Match::StatisticRandom(Neg::yes(1 << 31)),
    );
    one_match(
        "recent: CHECK seconds: 10800 reap name: KUBE-SEP-Q side: source mask: 255.255.255.255",
        &Match::Recent(Box::new(Recent {
            not: false,
            mode: RecentMode::Rcheck,
            seconds: Some(10800),
            hitcount: None,
            reap: true,
            rttl: false,
            name: "KUBE-SEP-Q".into(),
            mask: Some([255, 255, 255, 255].into()),
            source: true,
        })),
    );
    one_match(
        "rpfilter validmark invert",
        &Match::Rpfilter(Rpfilter {
            validmark: true,
            invert: true,
            ..Rpfilter::default()
        }),
    );
    one_match(
        "icmp !type 3 code 4",
        &Match::Icmp(Neg {
            not: true,
            value: IcmpType {
                ty: Some(3),
                codes: Range { lo: 4, hi: 4 },
            },
        }),
    );
    one_match(
        "udp spt:!53",
        &Match::Udp(Ports {
            sport: Some(Neg {
                not: true,
                value: Range { lo: 53, hi: 53 },
            }),
            dport: None,
        }),
    );
    // The byte at the end is printed by 1.8.9.
    one_match(
        "match bpf 48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\0",
        &Match::Bpf("--bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"".into()),
    );
}

#[test]
fn targets_as_records() {
    let save = Connmark::Save {
        nf: 0xff,
        ct: 0xff00,
    };
    one_target(
        "CONNMARK",
        "CONNMARK save nfmask 0xff ctmask ~0xff00",
        &Target::Connmark(save),
    );
    one_target(
        "REJECT",
        "reject-with icmp-port-unreachable",
        &Target::Reject(RejectWith::IcmpPort),
    );
    let notrack = CtTarget {
        spelled_notrack: true,
        notrack: true,
        ..CtTarget::default()
    };
    one_target("CT", "NOTRACK", &Target::Ct(Box::new(notrack.clone())));
    one_target("NOTRACK", "", &Target::Ct(Box::new(notrack)));
    let nat = Nat {
        ports: Some(Range { lo: 8080, hi: 8080 }),
        ..Nat::default()
    };
    one_target("DNAT", "to::8080", &Target::Dnat(nat));
    one_target("BLUE", "[goto] ", &Target::Goto("BLUE".into()));
}
