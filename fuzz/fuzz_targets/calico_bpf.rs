//! The maps of Calico's eBPF datapath.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| checks::calico_bpf(&text(bytes)));
