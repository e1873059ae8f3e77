//! Constants, by the type of what they stand beside.

use super::read::{Data, Value};
use crate::common::Text;
use crate::nft::types::Type;
use crate::nft::{Const, Part};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A constant, a prefix or a range; `None` where it is none of this type.
pub(super) fn part<'a>(v: &Value<'a>, ty: Type) -> Option<Part<'a>> {
    match &v.data {
        Data::Object(_) => match v.tagged()? {
            ("prefix", inner) => prefix(inner, ty),
            ("range", inner) => match inner.array()? {
                [from, to] => range(number(from, ty)?, number(to, ty)?),
                _ => None,
            },
            // Flags within a set: `{"|": ["syn", "ack"]}`.
            ("|", inner) => flags(inner.array()?, ty),
            _ => None,
        },
        // ["established", "related"]
        Data::Array(a) => flags(a, ty),
        Data::Str(s) if ty.is_text() => Some(text(s)),
        _ => constant(v, ty).map(Part::One),
    }
}

/// Many flags as one number.
fn flags<'a>(values: &[Value<'a>], ty: Type) -> Option<Part<'a>> {
    let (first, rest) = values.split_first()?;
    let all = rest
        .iter()
        .try_fold(number(first, ty)?, |all, v| Some(all | number(v, ty)?))?;
    Some(Part::One(Const::Num(all)))
}

/// A name; `*` at its end stands for anything.
fn text<'a>(s: &Text<'a>) -> Part<'a> {
    let cut = |s: &Text<'a>, len: usize| -> Text<'a> {
        match s {
            Cow::Borrowed(b) => Cow::Borrowed(b.get(..len).unwrap_or_default()),
            Cow::Owned(o) => Cow::Owned(o.get(..len).unwrap_or_default().to_owned()),
        }
    };
    if let Some(start) = s.strip_suffix("\\*") {
        return Part::One(Const::Text(Cow::Owned(format!("{start}*"))));
    }
    match s.strip_suffix('*') {
        Some(start) => Part::Wild(cut(s, start.len())),
        None => Part::One(Const::Text(s.clone())),
    }
}

/// A range; one value where its ends are the same.
fn range<'a>(lo: u128, hi: u128) -> Option<Part<'a>> {
    match lo.cmp(&hi) {
        Ordering::Less => Some(Part::Range(lo, hi)),
        Ordering::Equal => Some(Part::One(Const::Num(lo))),
        Ordering::Greater => None,
    }
}

/// One constant.
fn constant<'a>(v: &Value<'a>, ty: Type) -> Option<Const<'a>> {
    let number = number(v, ty).map(Const::Num);
    match (&v.data, ty) {
        // A device is printed by its index where its name is not known.
        (Data::Str(s), Type::IfaceIndex | Type::Invalid) => {
            number.or_else(|| Some(Const::Text(s.clone())))
        }
        _ => number,
    }
}

/// A constant that is a number.
pub(super) fn number(v: &Value<'_>, ty: Type) -> Option<u128> {
    let n = match &v.data {
        Data::Bool(b) => return Some(u128::from(*b)),
        Data::Number => v.number()?,
        Data::Str(s) => {
            // nft 1.0 has lost the type of some numbers.
            let s = s.strip_suffix(" [invalid type]").unwrap_or(s);
            return if ty == Type::Invalid {
                untyped(s)
            } else {
                ty.number(s)
            };
        }
        _ => return None,
    };
    match ty {
        // A label is printed as the number of its bit (`ct_label_type_json`).
        Type::CtLabel => 1_u128.checked_shl(u32::try_from(n).ok()?),
        // `nft -jn` prints constants that have names byte by byte (`symbolic_constant_json`), others as they are.
        Type::EtherType | Type::ArpOp => {
            let n = u16::try_from(n).ok()?;
            let swapped = n.swap_bytes();
            let named: &[u16] = match ty {
                Type::EtherType => &[0x0800, 0x0806, 0x86dd, 0x8100, 0x88a8],
                _ => &[1, 2, 3, 4, 8, 9, 10],
            };
            Some(if named.contains(&swapped) { swapped } else { n }.into())
        }
        // A flag of one bit may be printed as the number it is compared with.
        Type::Boolean => (n < 256).then_some(n),
        _ => match ty.bits() {
            0 | 128.. => Some(n),
            bits => (n >> bits == 0).then_some(n),
        },
    }
}

/// A number or an address, told by its form; no name.
fn untyped(s: &str) -> Option<u128> {
    let first = if s.starts_with(|c: char| c.is_ascii_digit()) {
        Type::Integer(128).number(s)
    } else {
        None
    };
    let addresses = [Type::Ipv4Addr, Type::EtherAddr, Type::Ipv6Addr];
    first.or_else(|| addresses.iter().find_map(|ty| ty.number(s)))
}

/// `{"addr": A, "len": N}`. A full one is [`Part::One`].
fn prefix<'a>(v: &Value<'a>, ty: Type) -> Option<Part<'a>> {
    let (addr, len) = (v.get("addr")?, v.get("len")?.u32()?);
    let bits = match (ty, addr.str()) {
        (Type::Invalid, Some(s)) if s.contains(':') => 128,
        (Type::Invalid, Some(s)) if s.contains('.') => 32,
        // The beginning of a name, in bits.
        (Type::Ifname, Some(s)) if len < 128 => {
            return match text(s) {
                Part::One(Const::Text(s)) | Part::Wild(s) => Some(Part::Wild(s)),
                _ => None,
            };
        }
        _ => ty.bits(),
    };
    let n = number(addr, ty)?;
    let low = bits.checked_sub(len).filter(|low| *low <= 128)?;
    let host = u128::MAX.checked_shr(128 - low).unwrap_or(0);
    range(n & !host, n | host)
}

#[cfg(test)]
mod tests {
    use super::super::read::Cursor;
    use super::*;

    fn read(json: &'static str, ty: Type) -> Option<Part<'static>> {
        let v = Cursor::new(json, 0).value().expect("JSON");
        part(&v, ty)
    }

    #[expect(clippy::unnecessary_wraps, reason = "what `read` gives")]
    fn one(n: u128) -> Option<Part<'static>> {
        Some(Part::One(Const::Num(n)))
    }

    #[test]
    fn constants_by_type() {
        for (json, ty, expected) in [
            ("\"tcp\"", Type::InetProto, one(6)),
            ("99", Type::InetProto, one(99)),
            ("65536", Type::InetService, None),
            ("[\"established\", \"related\"]", Type::CtState, one(6)),
            ("{\"|\": [\"syn\", \"ack\"]}", Type::TcpFlag, one(18)),
            ("[\"syn\", \"nothing\"]", Type::TcpFlag, None),
            ("[]", Type::CtState, None),
            ("true", Type::Boolean, one(1)),
            ("false", Type::IfaceIndex, one(0)),
            ("5", Type::CtLabel, one(32)),
            ("128", Type::CtLabel, None),
            ("8", Type::EtherType, one(0x0800)),
            ("56710", Type::EtherType, one(0x86dd)),
            ("2048", Type::EtherType, one(0x0800)),
            ("4660", Type::EtherType, one(0x1234)),
            ("256", Type::ArpOp, one(1)),
            ("1", Type::ArpOp, one(1)),
            ("30", Type::Time, one(30)),
            (
                "\"0x20010db8000000000000000000000001\"",
                Type::Integer(128),
                one(0x2001_0db8_0000_0000_0000_0000_0000_0001),
            ),
            ("\"10.0.0.1\"", Type::Invalid, one(0x0a00_0001)),
            (
                "\"ef\"",
                Type::Invalid,
                Some(Part::One(Const::Text("ef".into()))),
            ),
            ("-1", Type::Mark, None),
            ("1.5", Type::Mark, None),
        ] {
            assert_eq!(read(json, ty), expected, "{json} {ty:?}");
        }
    }

    #[test]
    fn names() {
        let text = |s| Some(Part::One(Const::Text(Cow::Borrowed(s))));
        assert_eq!(read("\"eth0\"", Type::Ifname), text("eth0"));
        assert_eq!(read("\"lo\"", Type::IfaceIndex), text("lo"));
        assert_eq!(read("7", Type::IfaceIndex), one(7));
        assert_eq!(read("\"7\"", Type::IfaceIndex), one(7));
        assert_eq!(read("\"odd*\"", Type::IfaceIndex), text("odd*"));
        assert_eq!(read("\"eth\\\\*\"", Type::Ifname), text("eth*"));
        assert_eq!(
            read("\"cali*\"", Type::Ifname),
            Some(Part::Wild("cali".into()))
        );
        assert_eq!(read("\"2026-01-02 03:04:05\"", Type::Time), None);
    }

    #[test]
    fn prefixes() {
        for (json, ty, expected) in [
            (
                r#"{"prefix": {"addr": "10.1.2.3", "len": 8}}"#,
                Type::Ipv4Addr,
                Some(Part::Range(0x0a00_0000, 0x0aff_ffff)),
            ),
            (
                r#"{"prefix": {"addr": "10.1.2.3", "len": 32}}"#,
                Type::Ipv4Addr,
                one(0x0a01_0203),
            ),
            (
                r#"{"prefix": {"addr": "0.0.0.0", "len": 0}}"#,
                Type::Ipv4Addr,
                Some(Part::Range(0, 0xffff_ffff)),
            ),
            (
                r#"{"prefix": {"addr": "10.1.2.3", "len": 33}}"#,
                Type::Ipv4Addr,
                None,
            ),
            (
                r#"{"prefix": {"addr": "::", "len": 0}}"#,
                Type::Ipv6Addr,
                Some(Part::Range(0, u128::MAX)),
            ),
            (
                r#"{"prefix": {"addr": "::1", "len": 127}}"#,
                Type::Invalid,
                Some(Part::Range(0, 1)),
            ),
            (
                r#"{"range": [80, 90]}"#,
                Type::InetService,
                Some(Part::Range(80, 90)),
            ),
            (r#"{"range": [80]}"#, Type::InetService, None),
            (r#"{"range": [80, 80]}"#, Type::InetService, one(80)),
            (r#"{"range": [90, 80]}"#, Type::InetService, None),
            (
                r#"{"prefix": {"addr": 8, "len": 12}}"#,
                Type::InetService,
                Some(Part::Range(0, 15)),
            ),
        ] {
            assert_eq!(read(json, ty), expected, "{json}");
        }
    }
}
