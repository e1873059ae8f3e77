//! Every parser on something short that repeats: work must grow with the text, not with its square.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::growth;

fuzz_target!(|bytes: &[u8]| growth::check(bytes));
