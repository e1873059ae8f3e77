//! What the IP header and the frame say.

use super::super::words::Words;
use crate::capture::live::attr::Numbers as _;

/// `struct xt_length_info` and `struct xt_tcpmss_match_info`
pub(super) fn length(w: &mut Words<'_>, b: &[u8], name: &str) -> Option<()> {
    w.option(b.u8(4)? != 0, name);
    w.range(b.u16(0)?, b.u16(2)?, ':');
    Some(())
}

/// `struct xt_dscp_info`
pub(super) fn dscp(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u8(1)? != 0, "--dscp");
    w.formatted(format_args!("{:#04x}", b.u8(0)?));
    Some(())
}

/// `struct ipt_tos_info`, whose mask is the whole byte, and `struct xt_tos_match_info`
pub(super) fn tos(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    match revision {
        0 => {
            w.option(b.u8(1)? != 0, "--tos");
            w.formatted(format_args!("{:#04x}", b.u8(0)?));
        }
        1 => {
            w.option(b.u8(2)? != 0, "--tos");
            w.formatted(format_args!("{:#04x}/{:#04x}", b.u8(1)?, b.u8(0)?));
        }
        _ => return None,
    }
    Some(())
}

/// `struct ipt_ttl_info` and `struct ip6t_hl_info`
pub(in super::super) fn ttl(
    w: &mut Words<'_>,
    b: &[u8],
    eq: &str,
    lt: &str,
    gt: &str,
) -> Option<()> {
    let (not, name) = match b.u8(0)? {
        0 => (false, eq),
        1 => (true, eq),
        2 => (false, lt),
        3 => (false, gt),
        _ => return None,
    };
    w.value(not, name, b.u8(1)?);
    Some(())
}

/// `struct xt_ecn_info`
pub(super) fn ecn(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (tested, inverted) = (b.u8(0)?, b.u8(1)?);
    for (bit, name) in [(0x10, "--ecn-tcp-ece"), (0x20, "--ecn-tcp-cwr")] {
        if tested & bit != 0 {
            w.option(inverted & bit != 0, name);
        }
    }
    if tested & 1 != 0 {
        w.value(inverted & 1 != 0, "--ecn-ip-ect", b.u8(2)?);
    }
    Some(())
}

/// `struct xt_mac_info`
pub(super) fn mac(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u32(8)? != 0, "--mac-source");
    let [a, b, c, d, e, f] = *b.first_chunk()?;
    w.formatted(format_args!(
        "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
    ));
    Some(())
}

/// `struct xt_pkttype_info`
pub(super) fn pkttype(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u32(4)? != 0, "--pkt-type");
    match b.u32(0)? {
        0 => w.raw("unicast"),
        1 => w.raw("broadcast"),
        2 => w.raw("multicast"),
        3 => w.raw("otherhost"),
        n => w.num(n),
    }
    Some(())
}
