//! Forms of an answer, one file each, over `impl Write`.

pub mod json;
mod reason;
pub mod text;
mod warnings;

pub use reason::reason;
pub use warnings::write_warnings;

/// Input never reaches the terminal raw: control characters, bidirectional overrides and zero-width characters are shown by
/// their numbers.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                out.push_str(&format!("\\x{:02x}", u32::from(c)));
            }
            '\u{80}'..='\u{9f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
