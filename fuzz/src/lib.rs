//! What the fuzz targets share.

#[path = "../../parsers/tests/checks/mod.rs"]
pub mod checks;
pub mod growth;
pub mod node;

use std::borrow::Cow;

/// The bytes as the program reads a file: what is not UTF-8 is replaced.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
