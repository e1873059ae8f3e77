//! What the kernel does with native rules of nftables, one test for each thing that the kernel lab found and the simulator did not know.
//! Linux 6.18, nftables 1.0.6.

mod chains;
#[path = "../common/mod.rs"]
mod common;
mod conntrack;
mod counting;
mod routes;
mod values;

use common::Files;
use nfwhy::capture::Snapshot;

fn node(listing: &str) -> Snapshot {
    Files::new(&["eth0 10.1.0.1/24 fd01::1/64", "pod0 10.3.0.1/24 fd03::1/64"])
        .without("iptables-save")
        .file("nft.txt", listing)
        .snapshot()
}

const THROUGH: &str =
    r#"{"src":"10.1.0.50","sport":40000,"dst":"10.3.0.10","dport":80,"iif":"eth0"}"#;
const THROUGH6: &str =
    r#"{"src":"fd01::50","sport":40000,"dst":"fd03::10","dport":80,"iif":"eth0"}"#;
/// What the node sends to itself.
const TO_ITSELF: &str = r#"{"src":"10.1.0.1","sport":40000,"dst":"10.3.0.1","dport":80,"origin":"local","uid":1000,"gid":1000}"#;
const OUT: &str = r#"{"src":"10.1.0.1","sport":40000,"dst":"10.3.0.10","dport":80,"origin":"local","uid":1000,"gid":1000}"#;
