//! `ip route`, text and JSON, and `route -n`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    checks::route(&text);
    checks::route_n(&text);
});
