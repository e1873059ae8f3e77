//! The IPVS lab: random nodes as kube-proxy's IPVS mode makes them, under a kernel that has IPVS.
//!
//! The kernel under this program seldom has IPVS, so one is booted in an emulator ([`vm`]), with this same program inside. There
//! [`guest`] makes each [`scenario`] in a [`node`] of its own, captures it by the ordinary commands, sends its packets, and hands
//! what it saw out as a [`record`]. Outside, [`judge`] holds the simulator against the records. Both sides draw the scenario from
//! the same seed, so the records need not say what was sent.

pub mod article;
#[path = "../lab/beside.rs"]
pub mod beside;
pub mod counting;
#[path = "../lab/frame.rs"]
#[allow(dead_code)]
pub mod frame;
pub mod guest;
pub mod judge;
pub mod kube;
pub mod live;
pub mod node;
pub mod outer;
#[path = "../lab/place.rs"]
pub mod place;
pub mod places;
#[path = "../lab/prng.rs"]
#[allow(dead_code)]
pub mod prng;
pub mod probes;
pub mod record;
pub mod scenario;
pub mod services;
#[path = "../lab/sh.rs"]
#[allow(dead_code)]
pub mod sh;
pub mod table;
pub mod tally;
pub mod vm;
pub mod watch;
