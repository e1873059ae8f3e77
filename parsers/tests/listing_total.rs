//! Whatever stands in a listing, reading it ends without a panic, and spans point into the text.

use nfwhy_parsers::iptables::{Form, ListingColumns, RuleLine, listing};
use nfwhy_parsers::{Diagnostic, Family, Span};
use proptest::prelude::*;

const COLUMNS: [ListingColumns; 4] = [
    columns(false, false),
    columns(false, true),
    columns(true, false),
    columns(true, true),
];

const fn columns(numbers: bool, verbose: bool) -> ListingColumns {
    ListingColumns {
        numbers,
        verbose,
        ipv6: false,
    }
}

fn point_into(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let Span { start, end } = diagnostic.span;
        assert!(
            text.get(start as usize..end as usize).is_some(),
            "{diagnostic:?}"
        );
    }
}

/// Reads `text` as a listing and its every row; gives the number of rows.
fn read_all(text: &str) -> usize {
    let parsed = listing::index(text);
    point_into(text, &parsed.diagnostics);
    let Form::Listing(columns) = parsed.value.form else {
        panic!("index of a listing gave another form");
    };
    let chains = parsed.value.tables.iter().flat_map(|t| &t.chains);
    let mut rows = 0;
    for at in chains.flat_map(|c| &c.rules) {
        for family in [Family::V4, Family::V6] {
            let (rule, diagnostics) = listing::parse_listing_rule(text, *at, columns, family);
            assert_eq!(rule.at, *at);
            point_into(text, &diagnostics);
        }
        rows += 1;
    }
    rows
}

fn read_row_as(row: &str, columns: ListingColumns, family: Family) {
    let at = RuleLine {
        span: Span::new(0, row.len()),
        line: 1,
    };
    let (rule, diagnostics) = listing::parse_listing_rule(row, at, columns, family);
    assert!(rule.broken.is_none() || !diagnostics.is_empty());
    point_into(row, &diagnostics);
}

fn read_row(row: &str) {
    for columns in COLUMNS {
        for family in [Family::V4, Family::V6] {
            read_row_as(row, columns, family);
        }
    }
}

const SAMPLES: [&str; 4] = [
    include_str!("data/listing/legacy4.nvL.txt"),
    include_str!("data/listing/legacy4.vL.txt"),
    include_str!("data/listing/legacy6.nvL.txt"),
    include_str!("data/listing/nft6.nL.txt"),
];

#[test]
fn samples_cut_anywhere() {
    for sample in SAMPLES {
        let set = listing::index(sample).value;
        let Form::Listing(columns) = set.form else {
            panic!("index of a listing gave another form");
        };
        let family = set.family.expect("the samples tell their family");
        for line in sample.lines() {
            for (at, _) in line.char_indices() {
                read_row_as(&line[..at], columns, family);
                read_row_as(&line[at..], columns, family);
            }
        }
        let whole = read_all(sample);
        assert!(whole > 80);
        for (at, _) in sample.char_indices().step_by(1499) {
            assert!(read_all(&sample[..at]) <= whole);
        }
    }
}

#[test]
fn rows_full_of_comment_ends_end() {
    let head =
        "    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0            ";
    for piece in ["/* */ ", "*/ ", "/* a */ mark match 0x1 ", "LOG ", "\" "] {
        let row = format!("{head}/* {} unknown", piece.repeat(20_000));
        read_row(&row);
    }
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read_row(&text);
        read_all(&text);
    }

    #[test]
    fn any_listing(lines in prop::collection::vec("(Chain [A-Z]{1,4} \\((policy ACCEPT|2 references)\\)|target prot opt source destination|(ACCEPT|DNAT|MARK|LOG|KUBE-A)? (all|tcp|!6) -- (!?10.0.0.0/8|anywhere|::/0) (0.0.0.0/0|x.example) .{0,40}|\\.\\.\\.|)", 0..12)) {
        read_all(&lines.join("\n"));
    }

    #[test]
    fn any_extras(target in "(ACCEPT|DNAT|MARK|CT|LOG|SET|TPROXY|NFQUEUE|CONNMARK|TOS|IDLETIMER|TEE|KUBE-A)",
        words in prop::collection::vec(prop::sample::select(WORDS), 0..12)) {
        let row = format!("    0     0 {target} 6 -- * * 0.0.0.0/0 0.0.0.0/0 {}", words.join(" "));
        read_row(&row);
    }
}

const WORDS: &[&str] = &[
    "/*",
    "*/",
    "!",
    "[goto]",
    "tcp",
    "udp",
    "sctp",
    "dccp",
    "icmp",
    "icmptype",
    "type",
    "8",
    "code",
    "codes",
    "0-3",
    "dpt:80",
    "spts:!1:2",
    "flags:0x17/0x02",
    "option=!8",
    "any",
    "all",
    "0x0001:Be",
    "ctstate",
    "NEW,DNAT",
    "ctdir",
    "REPLY",
    "state",
    "mark",
    "match",
    "0x1/0x2",
    "connmark",
    "ADDRTYPE",
    "src-type",
    "LOCAL",
    "limit-out",
    "match-set",
    "S1",
    "dst,src",
    "return-nomatch",
    "packets-eq",
    "statistic",
    "mode",
    "random",
    "nth",
    "every",
    "3",
    "packet",
    "probability",
    "0.5",
    "1.9999999999999999999",
    "multiport",
    "dports",
    "1,2:3",
    "owner",
    "UID",
    "GID",
    "root",
    "recent:",
    "SET",
    "name:",
    "side:",
    "mask:",
    "PHYSDEV",
    "--physdev-in",
    "rpfilter",
    "invert",
    "limit:",
    "avg",
    "up",
    "to",
    "above",
    "10/sec",
    "burst",
    "5",
    "#conn",
    "src/24",
    "<=",
    "quota:",
    "bytes",
    "policy",
    "dir",
    "in",
    "pol",
    "ipsec",
    "strict",
    "[0]",
    "proto",
    "50",
    "esp",
    "spi:1",
    "ah",
    "spis:!1:2length:3",
    "bpf",
    "1",
    "0,1",
    "u32",
    "\"",
    "\"x\"",
    "STRING",
    "ALGO",
    "name",
    "bm",
    "TIME",
    "from",
    "on",
    "1st",
    "until",
    "date",
    "MAC",
    "02:42:ac:11:00:0a",
    "PKTTYPE",
    "=",
    "unicast",
    "src-group",
    "realm",
    "ipvs",
    "vaddr",
    "vport",
    "connbytes",
    "connlabel",
    "cluster",
    "a=b",
    "ECN",
    "ECT=1",
    "OS",
    "fingerprint",
    "comp",
    "frag",
    "id:1",
    "to:1.2.3.4:80",
    "to:[::1]:80",
    "to::80-90/1",
    "random-fully",
    "MARK",
    "or",
    "CONNMARK",
    "save",
    "nfmask",
    "~0xff",
    "CT",
    "zone",
    "helper",
    "NOTRACK",
    "LOG",
    "level",
    "prefix",
    "flags",
    "TPROXY",
    "redirect",
    "1.2.3.4:5",
    "NFQUEUE",
    "num",
    "bypass",
    "add-set",
    "timeout",
    "TOS",
    "set",
    "TEE",
    "gw:1.2.3.4",
    "oif=eth0",
    "timeout:1",
    "label:x",
    "é",
    "\u{2028}",
];
