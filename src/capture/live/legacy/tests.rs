//! Tables as a 6.18 kernel gave them, beside what `iptables-legacy-save -c` of iptables 1.8.9 printed of them; see `tests/live_xt/rare.rs`.

use super::*;

/// A table's description and entries, and its text.
type Data = (Family, &'static str, &'static [u8], &'static str);

macro_rules! data {
    ($family:expr, $file:literal, $table:literal) => {
        (
            $family,
            $table,
            include_bytes!(concat!(
                "../../../../tests/data/live/",
                $file,
                "-",
                $table,
                ".bin"
            )),
            include_str!(concat!(
                "../../../../tests/data/live/",
                $file,
                "-",
                $table,
                ".txt"
            )),
        )
    };
}

const DATA: [Data; 8] = [
    data!(Family::V4, "iptables", "filter"),
    data!(Family::V4, "iptables", "mangle"),
    data!(Family::V4, "iptables", "nat"),
    data!(Family::V4, "iptables", "raw"),
    data!(Family::V6, "ip6tables", "filter"),
    data!(Family::V6, "ip6tables", "mangle"),
    data!(Family::V6, "ip6tables", "nat"),
    data!(Family::V6, "ip6tables", "raw"),
];

/// In the order in which they were made.
const SETS: [(u16, &str); 5] = [(0, "foo"), (1, "foo6"), (2, "ips"), (3, "skb"), (4, "ips6")];

fn decode(family: Family, name: &str, bytes: &[u8]) -> Option<String> {
    let sets = SetNames::of(&SETS);
    let mut decoder = Decoder::new(family, &sets);
    let (info, entries) = bytes.split_at_checked(INFO)?;
    let mut out = String::new();
    Table::parse(family, info, entries)?.print(name, "x", &mut out, &mut decoder)?;
    assert_eq!(decoder.undecoded().count(), 0);
    Some(out)
}

#[cfg(target_endian = "little")]
#[test]
fn tables_read_as_the_tool_prints_them() {
    for (family, name, bytes, expected) in DATA {
        let text = decode(family, name, bytes).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
        let expected: Vec<&str> = expected.lines().filter(|l| !l.is_empty()).collect();
        assert_eq!(lines, expected, "{family:?} {name}");
    }
}

/// Neither what is cut off nor what is garbled makes it panic or go on for ever.
#[test]
fn any_bytes_end() {
    for (family, name, bytes, _) in DATA {
        let sets = SetNames::of(&SETS);
        let try_it = |bytes: &[u8]| {
            let mut decoder = Decoder::new(family, &sets);
            let (info, entries) = bytes.split_at_checked(INFO)?;
            let table = Table::parse(family, info, entries)?;
            table.print(name, "x", &mut String::new(), &mut decoder)
        };
        let step = bytes.len() / 97 + 1;
        for len in (0..bytes.len()).step_by(step) {
            let _ = try_it(bytes.get(..len).unwrap_or_default());
        }
        let mut garbled = bytes.to_vec();
        for at in (0..bytes.len()).step_by(step) {
            for value in [0, 1, 0x7f, 0xff] {
                let before = std::mem::replace(&mut garbled[at], value);
                let _ = try_it(&garbled);
                garbled[at] = before;
            }
        }
    }
}
