//! What tcpdump prints.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| checks::tcpdump(&text(bytes)));
