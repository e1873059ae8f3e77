//! `bridge fdb show` of iproute2 6.1 on Linux 6.18: text and JSON of one moment, and lines of other versions.

use nfwhy_parsers::Span;
use nfwhy_parsers::iproute::fdb::{Entry, parse};
use nfwhy_parsers::recognise::{Kind, recognise};

const TEXT: &str = include_str!("data/bridge-fdb.txt");
const JSON: &str = include_str!("data/bridge-fdb.json");

fn whole(source: &str) -> Vec<Entry<'_>> {
    let parsed = parse(source);
    assert_eq!(parsed.diagnostics, []);
    assert!(!parsed.value.is_empty());
    let bare = |mut e: Entry<'_>| {
        (e.line, e.span) = (0, Span::default());
        Entry {
            mac: e.mac.into_owned().into(),
            dev: e.dev.into_owned().into(),
            via: e.via.map(|v| v.into_owned().into()),
            master: e.master.map(|v| v.into_owned().into()),
            flags: e.flags.into_iter().map(|f| f.into_owned().into()).collect(),
            ..e
        }
    };
    parsed.value.into_iter().map(bare).collect()
}

#[test]
fn text_and_json_are_the_same_and_known_by_their_content() {
    assert_eq!(whole(TEXT), whole(JSON));
    assert_eq!(recognise(TEXT.as_bytes()), Kind::Fdb);
    assert_eq!(recognise(JSON.as_bytes()), Kind::Fdb);
}

#[test]
fn every_line_is_printed_as_it_was() {
    for (line, e) in TEXT.lines().zip(parse(TEXT).value) {
        assert_eq!(e.to_string(), line.trim_end());
    }
}

#[test]
fn entries_of_vxlan() {
    let all = whole(TEXT);
    let of = |mac: &str| -> Vec<_> { all.iter().filter(|e| e.mac == mac).collect() };
    let one = of("02:00:00:00:00:02")[0];
    let (port, vni, via) = (one.port, one.vni, one.via.as_deref());
    assert_eq!((port, vni, via), (Some(4790), Some(12), Some("d0")));
    assert_eq!(of("02:00:00:00:00:06")[0].nhid, Some(10));
    let all_zeros = of("00:00:00:00:00:00");
    assert_eq!(all_zeros.len(), 3);
    assert!(all_zeros.iter().all(|e| e.is_default() && e.dst.is_some()));
    assert!(all.iter().any(|e| e.master.as_deref() == Some("br0")));
}

#[test]
fn odd_lines() {
    // `link-netnsid`, a name of a VTEP in IPv6, counters of `-s`, and what newer ones say.
    let e = &whole(
        "aa:bb:cc:dd:ee:ff dev vx dst fd00::2 via ifindex 7 link-netnsid 0 used 1/2 self router offload \n",
    )[0];
    assert_eq!(e.via.as_deref(), Some("ifindex 7"));
    assert_eq!(e.dst, "fd00::2".parse().ok());
    assert_eq!(e.flags, ["self", "router", "offload"]);
    for bad in [
        "nonsense",
        "aa:bb dev x",
        "10.0.0.1 dev eth0 lladdr aa:bb:cc:dd:ee:ff",
    ] {
        let parsed = parse(bad);
        assert_eq!(
            (parsed.value.len(), parsed.diagnostics.len()),
            (0, 1),
            "{bad}"
        );
    }
}
