//! Every parser on any bytes, and on captured files that were damaged: no panic, spans within the text, and what is printed reads
//! back as the same record (see `checks`). The fuzz targets ask the same of more inputs.

mod checks;
mod mutate;

use mutate::{captures, damaged};
use nfwhy_parsers::recognise::Kind;
use proptest::prelude::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What the program makes of the bytes of a file.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Three tests of one format: captured files as they are, damaged, and any bytes.
macro_rules! every {
    ($name:ident, $kind:expr, $check:expr) => {
        mod $name {
            use super::*;

            #[test]
            fn captured() {
                for bytes in captures($kind) {
                    // The checks print and read every record; the larger files hold nothing new behind this.
                    let text = text(bytes);
                    let end = text.floor_char_boundary(64 * 1024);
                    ($check)(&text[..end]);
                }
            }

            proptest! {
                #![proptest_config(config())]

                #[test]
                fn damaged_captures(text in damaged($kind)) {
                    ($check)(&text);
                }

                #[test]
                fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                    ($check)(&text(&bytes));
                }
            }
        }
    };
}

every!(calico_bpf, Some(Kind::CalicoBpf), checks::calico_bpf);
every!(cilium, Some(Kind::Cilium), checks::cilium);
every!(conntrack, Some(Kind::Conntrack), checks::conntrack);
every!(ipset, Some(Kind::Ipset), checks::ipset);
every!(
    iptables_listing,
    Some(Kind::IptablesListing),
    checks::listing
);
every!(iptables_save, Some(Kind::IptablesSave), checks::save);
every!(ipvs, Some(Kind::Ipvs), checks::ipvs);
every!(kube, Some(Kind::Kube), checks::kube);
every!(kube_table, Some(Kind::KubeTable), checks::kube_table);
every!(link, Some(Kind::Link), checks::link);
every!(fdb, Some(Kind::Fdb), checks::fdb);
every!(neigh, Some(Kind::Neigh), checks::neigh);
every!(nexthop, Some(Kind::Nexthop), checks::nexthop);
every!(nft, Some(Kind::Nft), checks::nft);
every!(nft_json, Some(Kind::Nft), checks::nft_json);
every!(programs, Some(Kind::Programs), checks::programs);
every!(speaker, Some(Kind::Speaker), checks::speaker);
every!(arping, Some(Kind::Arping), checks::arping);
every!(tcpdump, Some(Kind::Tcpdump), checks::tcpdump);
every!(route, Some(Kind::Route), checks::route);
every!(route_n, Some(Kind::RouteN), checks::route_n);
every!(rule, Some(Kind::Rule), checks::rule);
every!(sysctl, Some(Kind::Sysctl), checks::sysctl);
every!(transcript, None, checks::transcript);
every!(recognise, None, |text: &str| checks::recognise(
    text.as_bytes()
));

proptest! {
    #![proptest_config(config())]

    /// A file of one kind may be taken for one of another.
    #[test]
    fn every_parser_takes_every_file(text in damaged(None)) {
        for (_, check) in checks::ALL {
            check(&text);
        }
    }
}

mod pcap {
    use super::*;

    const CAPTURES: [&[u8]; 4] = [
        include_bytes!("data/any.pcap"),
        include_bytes!("data/sll.pcap"),
        include_bytes!("data/va.pcap"),
        include_bytes!("data/vb-nano.pcap"),
    ];

    #[test]
    fn captured() {
        CAPTURES.into_iter().for_each(checks::pcap);
    }

    proptest! {
        #![proptest_config(config())]

        #[test]
        fn damaged_captures(
            which in 0..CAPTURES.len(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        ) {
            let mut bytes = CAPTURES[which].to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            checks::pcap(&bytes);
        }

        #[test]
        fn any_bytes(
            start in prop::sample::select(vec![
                &b"\xd4\xc3\xb2\xa1"[..],
                b"\xa1\xb2\x3c\x4d",
                b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a",
                b"",
            ]),
            bytes in prop::collection::vec(any::<u8>(), 0..400),
        ) {
            checks::pcap(&[start, &bytes].concat());
        }
    }
}
