//! Options of a device's kind that need no more than a table: attribute, word, form.

use super::super::attr::{Numbers as _, attrs};
use super::text::{AF_INET, AF_INET6, Attributes, Devices, Hex, hardware, host};
use std::fmt::Write as _;

/// An option: its attribute, its word, and how its value is printed.
pub(super) struct Opt(pub(super) u16, pub(super) &'static str, pub(super) Form);

/// The forms.
pub(super) enum Form {
    /// Decimal, of whatever width.
    Number,
    /// `0x10`.
    Hex,
    /// `on` or `off`.
    OnOff,
    /// A word by its number.
    Name(&'static [&'static str]),
    /// The names of the bits that are set, or their values.
    Bits(&'static [(u32, &'static str)]),
    /// A device by its index; nothing where that is 0.
    Device,
    /// `02:00:00:00:00:01`.
    Hardware,
    /// `802.1Q`.
    EtherType,
    /// `8000.2:0:0:0:0:1`.
    BridgeId,
    /// Hundredths of seconds.
    Timer,
    /// Addresses of either family, with commas between.
    Addresses,
    /// Options of their own; the word is not printed.
    Nested(&'static [Opt]),
}

/// Prints the options that are there, in the order of the table.
pub(super) fn print(out: &mut String, table: &[Opt], data: &[u8], devices: &Devices) {
    let tb = Attributes::<64>::of(data);
    for Opt(attr, word, form) in table {
        let Some(bytes) = tb.get(*attr) else { continue };
        let number = tb.number(*attr).unwrap_or(0);
        match form {
            Form::Number => {
                let _ = write!(out, "{word} {number} ");
            }
            Form::Hex => {
                let _ = write!(out, "{word} {} ", Hex(number));
            }
            Form::OnOff => {
                let _ = write!(out, "{word} {} ", if number == 0 { "off" } else { "on" });
            }
            Form::Name(names) => {
                let name = usize::try_from(number).ok().and_then(|n| names.get(n));
                let _ = write!(out, "{word} {} ", name.unwrap_or(&"UNKNOWN"));
            }
            Form::Bits(names) => {
                let words: Vec<String> = (0..16)
                    .filter(|bit| number >> bit & 1 != 0)
                    .map(|bit| match names.iter().find(|(n, _)| *n == bit) {
                        Some((_, name)) => (*name).to_owned(),
                        None => format!("{:#x}", 1u32 << bit),
                    })
                    .collect();
                let words = if words.is_empty() {
                    "0x0".to_owned()
                } else {
                    words.join(",")
                };
                let _ = write!(out, "{word} {words} ");
            }
            Form::Device => {
                let index = u32::try_from(number).unwrap_or(0);
                if index != 0 {
                    let _ = write!(out, "{word} {} ", devices.name(index));
                }
            }
            Form::Hardware => {
                let _ = write!(out, "{word} ");
                hardware(out, bytes, 1);
                out.push(' ');
            }
            Form::EtherType => {
                let _ = write!(out, "{word} ");
                ether_type(out, bytes.be16(0).unwrap_or(0));
                out.push(' ');
            }
            Form::BridgeId => bridge_id(out, word, bytes),
            Form::Timer => {
                // In USER_HZ, which is 100 wherever Linux runs Kubernetes (`jiffies_to_clock_t`).
                let _ = write!(out, "{word} {:4}.{:02} ", number / 100, number % 100);
            }
            Form::Addresses => addresses(out, word, bytes),
            // Tables are constants, and none holds itself.
            Form::Nested(inner) => print(out, inner, bytes, devices),
        }
    }
}

/// `ll_proto_n2a` of `lib/ll_proto.c`, of the protocols of VLANs.
pub(super) fn ether_type(out: &mut String, n: u16) {
    match n {
        0x8100 => out.push_str("802.1Q"),
        0x88a8 => out.push_str("802.1ad"),
        _ => {
            let _ = write!(out, "[{n}]");
        }
    }
}

/// `struct ifla_bridge_id`: `br_dump_bridge_id` of `ip/iplink_bridge.c`.
fn bridge_id(out: &mut String, word: &str, bytes: &[u8]) {
    if let [p0, p1, mac @ ..] = bytes
        && let Some(mac) = mac.get(..6)
    {
        let _ = write!(out, "{word} {p0:02x}{p1:02x}.");
        for (i, b) in mac.iter().enumerate() {
            let _ = write!(out, "{}{b:x}", if i == 0 { "" } else { ":" });
        }
        out.push(' ');
    }
}

fn addresses(out: &mut String, word: &str, bytes: &[u8]) {
    let mut separator = "";
    for (_, a) in attrs(bytes) {
        if separator.is_empty() {
            let _ = write!(out, "{word} ");
        }
        let family = if a.len() == 4 { AF_INET } else { AF_INET6 };
        let _ = write!(out, "{separator}{}", host(family, a));
        separator = ",";
    }
    if !separator.is_empty() {
        out.push(' ');
    }
}
