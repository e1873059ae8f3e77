//! `bridge fdb`, text and JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| checks::fdb(&text(bytes)));
