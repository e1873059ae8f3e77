//! Named sets and maps of a table.

use super::super::prng::Prng;
use super::native::NamedSet;
use super::values::{Ty, keys, name};

/// What a rule must know of a named set or map.
#[derive(Clone, Debug)]
pub struct SetDef {
    /// Its name.
    pub name: String,
    /// Its key.
    pub types: Vec<Ty>,
    /// Its addresses are of IPv6; `None` where it has none.
    pub v6: Option<bool>,
    /// What it maps to.
    pub data: Data,
    /// Rules may change it.
    pub dynamic: bool,
}

/// What a set's elements lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing: a set.
    None,
    /// Verdicts.
    Verdict,
    /// Marks.
    Mark,
    /// Ports.
    Port,
    /// Addresses.
    Addr,
    /// Addresses with ports.
    AddrPort,
}

const SHAPES: [&[Ty]; 12] = [
    &[Ty::Addr],
    &[Ty::Addr],
    &[Ty::Port],
    &[Ty::Proto],
    &[Ty::If],
    &[Ty::Mark],
    &[Ty::Mac],
    &[Ty::Proto, Ty::Port],
    &[Ty::Addr, Ty::Proto, Ty::Port],
    &[Ty::Addr, Ty::Port],
    &[Ty::Addr, Ty::If],
    &[Ty::Addr, Ty::Addr],
];

/// Sets and maps. `leaves` are chains that every hook may run, to which verdicts lead.
pub fn make(
    r: &mut Prng,
    families: &[bool],
    leaves: &[String],
    stateful: bool,
) -> (Vec<SetDef>, Vec<NamedSet>) {
    let mut defs = Vec::new();
    let mut sets = Vec::new();
    for i in 0..2 + r.below(7) {
        let types = r.one(&SHAPES);
        let v6 = r.one(families);
        let data = r.one(&[
            Data::None,
            Data::None,
            Data::Verdict,
            Data::Verdict,
            Data::Mark,
            Data::Port,
            Data::Addr,
            Data::AddrPort,
        ]);
        let dynamic = stateful && data == Data::None && r.chance(60);
        // Hash tables that rules fill take no ranges.
        let interval = !dynamic && r.chance(50) && !matches!(types, [Ty::Mac | Ty::Proto]);
        let what = if data == Data::None { "set" } else { "map" };
        let set_name = format!("{}{i}", if data == Data::None { "s" } else { "m" });
        let key: Vec<&str> = types.iter().map(|t| name(*t, v6)).collect();
        let mut body = format!("type {}", key.join(" . "));
        body += match data {
            Data::None => "",
            Data::Verdict => " : verdict",
            Data::Mark => " : mark",
            Data::Port => " : inet_service",
            Data::Addr if v6 => " : ipv6_addr",
            Data::Addr => " : ipv4_addr",
            Data::AddrPort if v6 => " : ipv6_addr . inet_service",
            Data::AddrPort => " : ipv4_addr . inet_service",
        };
        body += ";";
        let timeout = data == Data::None && r.chance(25) || dynamic && r.chance(60);
        let mut flags = Vec::new();
        if interval {
            flags.push("interval");
        }
        if timeout {
            flags.push("timeout");
        }
        if dynamic {
            flags.push("dynamic");
        }
        if data == Data::None && !dynamic && !timeout && r.chance(10) {
            flags.push("constant");
        }
        if !flags.is_empty() {
            body += &format!(" flags {};", flags.join(","));
        }
        if timeout && r.chance(60) {
            body += " timeout 3h;";
        }
        if dynamic || r.chance(10) {
            body += " size 65535;";
        }
        if r.chance(15) {
            body += " comment \"a set; its comment\";";
        }
        let mut elements = Vec::new();
        for k in keys(r, types, v6, interval, 6) {
            let mut e = k;
            if timeout && r.chance(40) {
                e += r.one(&[" timeout 2h", " timeout 1d3h"]);
            }
            if r.chance(10) {
                e += r.one(&[" comment \"an element\"", " comment \"a, b : c\""]);
            }
            if data != Data::None {
                e += &format!(" : {}", value(r, data, v6, leaves));
            }
            elements.push(e);
        }
        // What nothing else matches.
        if types.len() == 1 && data == Data::Verdict && r.chance(15) {
            elements.push(format!("* : {}", value(r, data, v6, leaves)));
        }
        if r.chance(5) {
            elements.clear();
        }
        sets.push(NamedSet {
            head: format!("{what} {set_name}"),
            body,
            elements,
        });
        defs.push(SetDef {
            name: set_name,
            types: types.to_vec(),
            v6: types.contains(&Ty::Addr).then_some(v6).or(matches!(
                data,
                Data::Addr | Data::AddrPort
            )
            .then_some(v6)),
            data,
            dynamic,
        });
    }
    (defs, sets)
}

/// A value of a map.
pub fn value(r: &mut Prng, data: Data, v6: bool, leaves: &[String]) -> String {
    match data {
        Data::None => String::new(),
        Data::Verdict => verdict(r, leaves),
        Data::Mark => r
            .one(&["0x1", "0x10", "0x4000", "0x8000", "0x0"])
            .to_owned(),
        Data::Port => r.one(&["8080", "80", "443", "5000"]).to_owned(),
        Data::Addr => target(r, v6).to_owned(),
        Data::AddrPort => format!("{} . {}", target(r, v6), r.one(&["8080", "80", "53"])),
    }
}

/// An address that a packet may be sent to.
pub fn target(r: &mut Prng, v6: bool) -> &'static str {
    if v6 {
        r.one(&[
            "fd03::10", "fd03::11", "fd03::20", "fd01::50", "fd02::60", "fd01::1",
        ])
    } else {
        r.one(&[
            "10.3.0.10",
            "10.3.0.11",
            "10.3.0.20",
            "10.1.0.50",
            "10.2.0.60",
            "10.1.0.1",
        ])
    }
}

/// A verdict of a map.
pub fn verdict(r: &mut Prng, leaves: &[String]) -> String {
    match r.below(10) {
        0 | 1 => "accept".into(),
        2 => "drop".into(),
        3 => "return".into(),
        4 => "continue".into(),
        5..8 if !leaves.is_empty() => format!("jump {}", r.one(leaves)),
        _ if !leaves.is_empty() => format!("goto {}", r.one(leaves)),
        _ => "accept".into(),
    }
}
