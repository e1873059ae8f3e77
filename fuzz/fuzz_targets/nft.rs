//! `nft list ruleset` as text: tables, chains and sets; each rule and all elements; the whole text as one rule.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| checks::nft(&text(bytes)));
