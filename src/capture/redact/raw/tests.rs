use super::super::redact_with;
use super::super::trie::Seed;
use nfwhy_parsers::recognise::Kind;
use std::net::{IpAddr, Ipv4Addr};

/// The text once redacted, what became of addresses, and how many lines were left.
fn redacted(name: &str, kind: Kind, text: &str) -> (String, impl Fn(&str) -> u32, usize) {
    let mut files = [(name.to_owned(), kind, text.to_owned())];
    let report = redact_with(&mut files, Seed(3, 4)).expect("addresses to spare");
    let left = report.left.len();
    let [(_, _, new)] = files;
    let image = move |ip: &str| {
        let ip: IpAddr = ip.parse().expect("an address");
        match report.address(ip) {
            IpAddr::V4(a) => a.to_bits(),
            IpAddr::V6(_) => panic!("the family stays"),
        }
    };
    (new, image, left)
}

fn rule(test: &str) -> String {
    format!("-A X -s 10.1.2.3/32 -m {test} -j DROP\n")
}

/// What the rule's test becomes, and whether it is named.
fn test_of(name: &str, test: &str) -> (String, bool) {
    let (new, _, left) = redacted(name, Kind::IptablesSave, &rule(test));
    let from = new.find("-m ").map_or(0, |n| n + 3);
    let to = new.find(" -j").unwrap_or(new.len());
    (new.get(from..to).unwrap_or("").to_owned(), left > 0)
}

#[test]
fn words_that_are_no_address_stay_and_are_not_named() {
    for test in [
        "u32 --u32 \"0x6&0xff=0x6\"",
        "u32 --u32 \"0x0>>0x16&0x3c@0x0>>0x10=0x50\"",
        "u32 --u32 \"0x4&0x1fff=0x0&&0x0>>0x16&0x3c@0x4=0x1:0xffffffff\"",
        // The first octet stays by itself.
        "u32 --u32 \"0xc>>0x18=0xa\"",
        "bpf --bytecode \"1,6 0 0 65535\"",
        "bpf --bytecode \"4,48 0 0 9,21 0 1 6,6 0 0 1,6 0 0 0\"",
    ] {
        assert_eq!(test_of("iptables-save", test), (test.to_owned(), false));
    }
}

#[test]
fn words_that_may_be_an_address_are_named() {
    for test in [
        "u32 --u32 \"0xc=0xa010200:0xa0102ff\"",
        "u32 --u32 \"0xc&0xff=0x3\"",
        "u32 --u32 \"0xe=0x2030a01\"",
        "u32 --u32 \"0xc>>0x8&0xffff=0x102\"",
        "u32 --u32 \"0x0>>0x16&0x3c@0x14=0x1\"",
        // Identification and offset, and by chance the number of an address.
        "u32 --u32 \"0x4=0xa010203\"",
        "bpf --bytecode \"4,32 0 0 12,37 0 1 167838211,6 0 0 1,6 0 0 0\"",
        "bpf --bytecode \"4,40 0 0 14,21 0 1 515,6 0 0 1,6 0 0 0\"",
        "bpf --bytecode \"2,32 0 0 12,22 0 0 0\"",
        "bpf --bytecode \"what\"",
    ] {
        assert_eq!(test_of("iptables-save", test), (test.to_owned(), true));
    }
    // Of IPv6 other bytes are addresses.
    let test = "u32 --u32 \"0xc=0x1\"";
    assert_eq!(test_of("ip6tables-save", test), (test.to_owned(), true));
    let test = "u32 --u32 \"0x6&0xff=0x6\"";
    assert_eq!(test_of("unknown", test), (test.to_owned(), false));
}

#[test]
fn words_that_are_an_address_become_its_image() {
    let text = "-A X -s 10.1.2.3/32 -d 10.1.0.0/16 -j DROP\n\
        -A X -m u32 --u32 \"0xc=0xa010203&&0x10&0xffff0000=0xa010000\" -j DROP\n\
        -A X -m bpf --bytecode \"4,32 0 0 16,21 0 1 167838211,6 0 0 1,6 0 0 0\" -j DROP\n\
        -A X -m bpf --bytecode \"5,32 0 0 12,84 0 0 4294901760,21 0 1 167837696,6 0 0 1,6 0 0 0\" -j DROP\n";
    let (new, image, left) = redacted("iptables-save", Kind::IptablesSave, text);
    assert_eq!(left, 0, "{new}");
    let host = image("10.1.2.3");
    let net = image("10.1.2.3") & 0xffff_0000;
    assert_ne!(host, 0x0a01_0203);
    for expected in [
        format!("-s {}/32", Ipv4Addr::from_bits(host)),
        format!("-d {}/16", Ipv4Addr::from_bits(net)),
        format!("\"0xc=0x{host:x}&&0x10&0xffff0000=0x{net:x}\""),
        format!("\"4,32 0 0 16,21 0 1 {host},6"),
        format!("84 0 0 4294901760,21 0 1 {net},6"),
    ] {
        assert!(new.contains(&expected), "{expected}\n{new}");
    }
}

#[test]
fn raw_payload_of_nft() {
    let table = |family: &str, rule: &str| {
        let text = format!("table {family} t {{\n\tchain c {{\n\t\t{rule}\n\t}}\n}}\n");
        let (new, image, left) = redacted("nft", Kind::Nft, &text);
        let line = new.lines().nth(2).unwrap_or("").trim().to_owned();
        (line, image("10.96.0.1"), left)
    };
    for (family, rule, left) in [
        ("ip", "@nh,72,8 6 accept", 0),
        ("ip6", "@nh,48,8 6 accept", 0),
        ("ip", "@th,32,32 0 accept", 0),
        ("inet", "@th,16,16 { 53, 80 } accept", 0),
        ("ip", "@th,64,32 0 accept", 1),
        ("inet", "@nh,128,32 0xa600001 accept", 1),
        ("ip6", "@nh,128,32 0xa600001 accept", 1),
        ("ip", "@nh,128,32 { 0xa600001 } accept", 1),
        ("ip", "@nh,128,32 0xa600001-0xa600009 accept", 1),
        ("ip", "@nh,128,32 & 0xff == 1 accept", 1),
        ("ip", "@ll,0,48 0xa600001 accept", 1),
        ("ip", "@ih,0,32 0xa600001 accept", 1),
    ] {
        let (new, _, n) = table(family, rule);
        assert_eq!((new.as_str(), n), (rule, left), "{family}");
    }
    for op in ["", "!= "] {
        let (new, image, left) = table("ip", &format!("@nh,128,32 {op}0x0a600001 accept"));
        assert_eq!(new, format!("@nh,128,32 {op}0x{image:08x} accept"));
        assert_eq!(left, 0);
    }
    let json = "{\"match\": {\"op\": \"==\", \"left\": {\"payload\": {\"base\": \"nh\", \"offset\": 128, \"len\": 32}}, \"right\": 1}}\n";
    assert_eq!(redacted("nft", Kind::Nft, json).2, 1);
    let json = json.replace("128", "0");
    assert_eq!(redacted("nft", Kind::Nft, &json).2, 0);
}

#[test]
fn strings_that_are_searched_for_are_replaced_by_others_as_long() {
    let text = "-A X -m string --string \"acme \\\" 10.1.2.3\" --algo bm -j DROP\n\
        -A X -m string --hex-string \"|61 63 6d|e|00|\" --algo kmp -j DROP\n";
    let (new, _, left) = redacted("iptables-save", Kind::IptablesSave, text);
    assert_eq!((left, new.len()), (0, text.len()));
    assert!(!new.contains("acme") && !new.contains("10.1.2.3"), "{new}");
    let hex = new.split("--hex-string ").nth(1).unwrap_or("");
    let form: String = hex
        .chars()
        .map(|c| if c.is_ascii_hexdigit() { 'h' } else { c })
        .collect();
    assert!(form.starts_with("\"|hh hh hh|h|hh|\" "), "{new}");
}
