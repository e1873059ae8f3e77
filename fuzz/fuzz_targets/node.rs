//! The whole program: files to a node, packets through it, answers as text and JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nfwhy_fuzz::node;

fuzz_target!(|bytes: &[u8]| node::check(bytes));
