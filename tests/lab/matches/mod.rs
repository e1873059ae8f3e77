//! Random matches, as text that the tools of the running machine take.
//!
//! One file per subject: [`header`] what the IP header and the frame say, [`proto`] the transport, [`conn`] connections, [`place`]
//! addresses, devices, sets and sockets, [`state`] what remembers earlier packets, [`odd`] what a simulator cannot know.

mod conn;
mod header;
mod odd;
mod place;
mod proto;
mod state;

use super::pool;
use super::prng::Prng;
use super::sets::SetSpec;

/// Hooks as bits, in the kernel's order.
pub const PRE: u8 = 1;
pub const IN: u8 = 2;
pub const FWD: u8 = 4;
pub const OUT: u8 = 8;
pub const POST: u8 = 16;

/// Where a rule will stand.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// IPv6.
    pub v6: bool,
    /// The table.
    pub table: &'static str,
    /// Hooks from which its chain can be reached.
    pub hooks: u8,
    /// A built-in chain, where the tools check the devices against the hook.
    pub base: bool,
    /// Sets of the node.
    pub sets: &'a [SetSpec],
    /// Matches that draw a number are wanted.
    pub random: bool,
    /// Matches that keep state are wanted.
    pub stateful: bool,
    /// Matches whose answer is not to be had from a capture are wanted, a few.
    pub odd: bool,
}

impl Place<'_> {
    /// Whether all hooks from which the rule can be reached are among `hooks`.
    pub fn only(&self, hooks: u8) -> bool {
        self.hooks & !hooks == 0
    }
}

/// Matches with a leading space, or nothing.
pub fn some(r: &mut Prng, p: &Place<'_>) -> String {
    let mut out = header::addresses(r, p);
    let proto = proto::name(r, p);
    if proto.starts_with('!') {
        out += &format!(" {proto}");
        return out + &any(r, p, "");
    }
    if proto.is_empty() {
        return out + &any(r, p, "");
    }
    out += &format!(" -p {proto}");
    if r.chance(75) {
        out += &proto::of(r, p, proto);
    }
    if r.chance(35) {
        out += &any(r, p, proto);
    }
    out
}

fn any(r: &mut Prng, p: &Place<'_>, proto: &str) -> String {
    if p.stateful && r.chance(30) {
        return state::any(r, p);
    }
    if p.random && r.chance(20) {
        return state::statistic(r);
    }
    if p.odd && r.chance(12) {
        return odd::any(r, p, proto);
    }
    let not = r.not(30);
    match r.below(40) {
        0..5 => conn::conntrack(r, p),
        5 => conn::state(r),
        6..8 => format!(" -m mark {not}--mark {}", pool::mark(r)),
        8 => format!(" -m connmark {not}--mark {}", pool::mark(r)),
        9..12 => place::addrtype(r, p),
        12..18 => place::set(r, p),
        18..20 => place::owner(r, p),
        20..22 => place::rpfilter(r, p),
        22 => header::length(r),
        23 => header::dscp(r),
        24 => header::tos(r),
        25..27 => header::ttl(r, p),
        27..29 => header::iprange(r, p),
        29 if p.only(PRE | IN | FWD) => header::mac(r),
        30 => header::pkttype(r),
        31..33 => place::devgroup(r, p),
        33 => place::policy(r, p),
        34 => place::physdev(r, p),
        35 if proto.is_empty() => conn::helper(r),
        36 if !p.v6 && proto.is_empty() => place::realm(r, p),
        37 => format!(" -m nfacct --nfacct-name {}", r.pick(&super::nfacct::NAMES)),
        38 => String::from(" -m comment --comment \"a \\\"b\\\" c\""),
        _ => format!(
            " -m comment --comment \"{}\"",
            r.one(&["plain", "two words", "-j DROP"])
        ),
    }
}
