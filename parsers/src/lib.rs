//! Text that a Linux node prints about its network, as records with byte spans.
//!
//! Every parser is total: it returns what it read and a list of [`Diagnostic`]s, and never panics. Nothing here does I/O or knows what
//! the kernel does with what it reads.

pub mod arping;
pub mod calico_bpf;
pub mod cilium;
pub mod common;
pub mod conntrack;
pub mod iproute;
pub mod ipset;
pub mod iptables;
pub mod ipvs;
pub mod kube;
pub mod nft;
pub mod pcap;
pub mod programs;
pub mod recognise;
pub mod speaker;
pub mod sysctl;
pub mod tcpdump;
pub mod transcript;

pub use common::{Diagnostic, Family, Masked, Neg, Parsed, Proto, Range, Severity, Span, Text};
