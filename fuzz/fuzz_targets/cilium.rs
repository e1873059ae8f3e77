//! What Cilium's agent prints of its load balancer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::{checks, text};

fuzz_target!(|bytes: &[u8]| checks::cilium(&text(bytes)));
