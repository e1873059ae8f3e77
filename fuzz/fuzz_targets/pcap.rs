//! Binary captures of packets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::checks;

fuzz_target!(|bytes: &[u8]| checks::pcap(bytes));
