//! Forms of an answer, one file each, over `impl Write`.

pub mod json;
mod ranges;
mod reason;
pub mod sources;
pub mod text;
mod vip_json;
mod vip_words;
mod warnings;

pub use reason::reason;
pub use vip_json::{VIP_SCHEMA, arp_line, write_arp, write_vip};
pub use warnings::write_warnings;

/// Control characters, bidirectional overrides and zero-width characters: what a terminal acts on or hides.
pub fn acts_on_terminal(c: char) -> bool {
    matches!(
        c,
        '\u{0}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}'
    )
}

/// Input never reaches the terminal raw: what a terminal would act on is shown by its number.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            _ if !acts_on_terminal(c) => out.push(c),
            n if n <= 0x7f => out.push_str(&format!("\\x{n:02x}")),
            n => out.push_str(&format!("\\u{{{n:x}}}")),
        }
    }
    out
}
