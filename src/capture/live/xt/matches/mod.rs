//! Matches.

mod conn;
mod header;
mod ipv6;
mod odd;
mod place;
mod state;
mod transport;

pub(super) use place::{set_info, set_info_v0};
pub(in crate::capture::live) use state::limited;
pub(in crate::capture::live) use transport::{flags, ports};

use super::words::{Words, text};
use nfwhy_parsers::Family;

/// Appends ` -m NAME` and the options; `None` where the structure is not one that is known.
#[inline]
pub(super) fn decode(w: &mut Words<'_>, name: &str, revision: u32, b: &[u8]) -> Option<()> {
    // Not called by its name where it was written as `-m state` (`conntrack_print_name_alias` in libxt_conntrack.c).
    if name != "conntrack" {
        w.out.push_str(" -m");
        w.word(name);
    }
    match (name, revision) {
        ("comment", 0) => {
            w.raw("--comment");
            w.quoted(&text(b.get(..b.len().min(255))?));
        }
        ("tcp", 0) => transport::tcp(w, b)?,
        ("udp" | "udplite", 0) => transport::udp(w, b)?,
        ("mark" | "connmark", 1) => conn::mark(w, b)?,
        ("conntrack", 1..=3) => conn::conntrack(w, revision, b)?,
        ("set", _) => place::set(w, revision, b)?,
        ("statistic", 0) => state::statistic(w, b)?,
        ("addrtype", _) => place::addrtype(w, revision, b)?,
        ("multiport", _) => transport::multiport(w, revision, b)?,
        ("recent", _) => state::recent(w, revision, b)?,
        ("owner", 1) => place::owner(w, b)?,
        ("physdev", 0) => place::physdev(w, b)?,
        ("rpfilter", 0) => place::rpfilter(w, b)?,
        ("ipvs", 0) => place::ipvs(w, b)?,
        ("nfacct", 0 | 1) => {
            w.raw("--nfacct-name");
            w.quoted(&text(b.get(..32)?));
        }
        ("limit", 0) => state::limit(w, b)?,
        ("hashlimit", 1..=3) => state::hashlimit(w, revision, b)?,
        ("connlimit", 0 | 1) => conn::connlimit(w, revision, b)?,
        ("quota", 0) => state::quota(w, b)?,
        ("rateest", 0) => state::rateest(w, b)?,
        ("icmp", 0) => transport::icmp(w, b)?,
        ("icmp6", 0) => transport::icmp6(w, b)?,
        ("sctp", 0) => transport::sctp(w, b)?,
        ("dccp", 0) => transport::dccp(w, b)?,
        ("esp", 0) => transport::spi(w, b, 8, "--espspi")?,
        ("ah", 0) if w.family == Family::V4 => transport::spi(w, b, 8, "--ahspi")?,
        ("ah", 0) => ipv6::ah(w, b)?,
        ("ipcomp", 0) => transport::ipcomp(w, b)?,
        ("state", 0) => conn::state(w, b)?,
        ("helper", 0) => conn::helper(w, b)?,
        ("connbytes", 0) => conn::connbytes(w, b)?,
        ("connlabel", 0) => conn::connlabel(w, b)?,
        ("cluster", 0) => conn::cluster(w, b)?,
        ("iprange", _) => place::iprange(w, revision, b)?,
        ("devgroup", 0) => place::devgroup(w, b)?,
        ("realm", 0) => place::realm(w, b)?,
        ("policy", 0) => place::policy(w, b)?,
        ("socket", _) => place::socket(w, revision, b)?,
        ("mac", 0) => header::mac(w, b)?,
        ("pkttype", 0) => header::pkttype(w, b)?,
        ("length", 0) => header::length(w, b, "--length")?,
        ("tcpmss", 0) => header::length(w, b, "--mss")?,
        ("dscp", 0) => header::dscp(w, b)?,
        ("tos", _) => header::tos(w, revision, b)?,
        ("ttl", 0) => header::ttl(w, b, "--ttl-eq", "--ttl-lt", "--ttl-gt")?,
        ("hl", 0) => header::ttl(w, b, "--hl-eq", "--hl-lt", "--hl-gt")?,
        ("ecn", 0) => header::ecn(w, b)?,
        ("frag", 0) => ipv6::frag(w, b)?,
        ("rt", 0) => ipv6::rt(w, b)?,
        ("hbh", 0) => ipv6::options(w, b, "--hbh-len", "--hbh-opts")?,
        ("dst", 0) => ipv6::options(w, b, "--dst-len", "--dst-opts")?,
        ("ipv6header", 0) => ipv6::header(w, b)?,
        ("mh", 0) => ipv6::mh(w, b)?,
        ("srh", 0 | 1) => ipv6::srh(w, revision, b)?,
        ("eui64", 0) => {}
        ("bpf", _) => odd::bpf(w, revision, b)?,
        ("cgroup", _) => odd::cgroup(w, revision, b)?,
        ("cpu", 0) => odd::cpu(w, b)?,
        ("osf", 0) => odd::osf(w, b)?,
        ("string", 0 | 1) => odd::string(w, revision, b)?,
        ("time", 0) => odd::time(w, b)?,
        ("u32", 0) => odd::u32(w, b)?,
        _ => return None,
    }
    Some(())
}
