//! The kernel lab: random nodes and random packets, the running kernel beside the simulator, rule hit by rule hit.
//!
//! In the order of use: a [`spec`] of a node is drawn ([`topology`], [`sets`], [`rules`] of [`matches`] and [`targets`], [`kube`]), made in a
//! [`netns`] by the ordinary tools and captured by them; [`packets`] are sent and watched by [`probe`] with the help of [`nflog`], and
//! [`answers`] go back; [`judge`] holds the simulator's answer against it; where they differ, [`shrink`] looks for the smallest node that
//! still shows it. [`tally`] counts what decided; COVERAGE.md lists what is made.

pub mod answers;
pub mod case;
pub mod combine;
pub mod connections;
pub mod draw;
pub mod expected;
pub mod figures;
pub mod frame;
pub mod hashes;
pub mod judge;
pub mod kube;
pub mod matches;
pub mod netns;
pub mod nfacct;
pub mod nflog;
pub mod nft;
pub mod packets;
pub mod place;
pub mod pool;
pub mod prng;
pub mod probe;
pub mod rules;
pub mod run;
pub mod sets;
pub mod sh;
pub mod shrink;
pub mod spec;
pub mod tally;
pub mod targets;
pub mod topology;
pub mod wanted;
