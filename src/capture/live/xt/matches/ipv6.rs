//! Extension headers of IPv6.

use super::super::words::{Words, dec, ipv6};
use super::transport::spi;
use crate::capture::live::attr::Numbers as _;

/// `struct ip6t_ah`
pub(super) fn ah(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    spi(w, b, 13, "--ahspi")?;
    let not = b.u8(13)? & 2 != 0;
    let len = b.u32(8)?;
    if len != 0 || not {
        w.value(not, "--ahlen", len);
    }
    w.switch(b.u8(12)? != 0, "--ahres");
    Some(())
}

/// `struct ip6t_frag`
pub(super) fn frag(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    spi(w, b, 13, "--fragid")?;
    let flags = b.u8(12)?;
    if flags & 2 != 0 {
        w.value(b.u8(13)? & 2 != 0, "--fraglen", b.u32(8)?);
    }
    w.switch(flags & 4 != 0, "--fragres");
    w.switch(flags & 8 != 0, "--fragfirst");
    w.switch(flags & 0x10 != 0, "--fragmore");
    w.switch(flags & 0x20 != 0, "--fraglast");
    Some(())
}

/// `struct ip6t_rt`
pub(super) fn rt(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (flags, inverted) = (b.u8(16)?, b.u8(17)?);
    if flags & 1 != 0 {
        w.value(inverted & 1 != 0, "--rt-type", b.u32(0)?);
    }
    let (lo, hi) = (b.u32(4)?, b.u32(8)?);
    if (lo, hi) != (0, u32::MAX) || inverted & 2 != 0 {
        w.option(inverted & 2 != 0, "--rt-segsleft");
        w.range(lo, hi, ':');
    }
    if flags & 4 != 0 {
        w.value(inverted & 4 != 0, "--rt-len", b.u32(12)?);
    }
    w.switch(flags & 8 != 0, "--rt-0-res");
    w.switch(flags & 0x10 != 0, "--rt-0-addrs");
    for i in 0..usize::from(b.u8(276)?) {
        w.out.push(if i == 0 { ' ' } else { ',' });
        ipv6(w.out, b.get(20..276)?.get(16 * i..)?.first_chunk()?);
    }
    w.switch(flags & 0x20 != 0, "--rt-0-not-strict");
    Some(())
}

/// `struct ip6t_opts`, of hop-by-hop and of destination options.
pub(super) fn options(w: &mut Words<'_>, b: &[u8], len: &str, list: &str) -> Option<()> {
    let flags = b.u8(4)?;
    if flags & 1 != 0 {
        w.value(b.u8(5)? & 1 != 0, len, b.u32(0)?);
    }
    w.switch(flags & 2 != 0, list);
    for i in 0..usize::from(b.u8(38)?) {
        let [kind, len] = b.get(6..38)?.u16(2 * i)?.to_be_bytes();
        w.out.push(if i == 0 { ' ' } else { ',' });
        dec(w.out, kind.into());
        if len != 0xff {
            w.out.push(':');
            dec(w.out, len.into());
        }
    }
    Some(())
}

/// By the names that `/etc/protocols` has for them, in the order in which they are printed.
const HEADERS: &[(&str, u32)] = &[
    ("hop-by-hop", 128),
    ("ipv6-opts", 64),
    ("ipv6-route", 32),
    ("ipv6-frag", 16),
    ("ah", 8),
    ("esp", 4),
    ("ipv6-nonxt", 2),
    ("protocol", 1),
];

/// `struct ip6t_ipv6header_info`
pub(super) fn header(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    w.option(b.u8(1)? != 0, "--header");
    w.bits(b.u8(0)?.into(), HEADERS, "NONE");
    w.switch(b.u8(2)? != 0, "--soft");
    Some(())
}

/// `struct ip6t_mh`
pub(super) fn mh(w: &mut Words<'_>, b: &[u8]) -> Option<()> {
    let (lo, hi, not) = (b.u8(0)?, b.u8(1)?, b.u8(2)? & 1 != 0);
    if (lo, hi) != (0, u8::MAX) || not {
        w.option(not, "--mh-type");
        w.range(lo, hi, ':');
    }
    Some(())
}

/// `struct ip6t_srh` and `struct ip6t_srh1`
pub(super) fn srh(w: &mut Words<'_>, revision: u32, b: &[u8]) -> Option<()> {
    let at = if revision == 0 { 6 } else { 104 };
    let (tested, inverted) = (b.u16(at)?, b.u16(at + 2)?);
    let values = [
        ("--srh-next-hdr", 0),
        ("--srh-hdr-len-eq", 1),
        ("--srh-hdr-len-gt", 1),
        ("--srh-hdr-len-lt", 1),
        ("--srh-segs-left-eq", 2),
        ("--srh-segs-left-gt", 2),
        ("--srh-segs-left-lt", 2),
        ("--srh-last-entry-eq", 3),
        ("--srh-last-entry-gt", 3),
        ("--srh-last-entry-lt", 3),
    ];
    for (bit, (name, place)) in values.into_iter().enumerate() {
        if tested >> bit & 1 != 0 {
            w.value(inverted >> bit & 1 != 0, name, b.u8(place)?);
        }
    }
    if tested & 0x400 != 0 {
        w.value(inverted & 0x400 != 0, "--srh-tag", b.u16(4)?);
    }
    if revision == 0 {
        return Some(());
    }
    for (bit, name, at) in [
        (0x800, "--srh-psid", 8),
        (0x1000, "--srh-nsid", 24),
        (0x2000, "--srh-lsid", 40),
    ] {
        if tested & bit != 0 {
            w.option(inverted & bit != 0, name);
            w.net(b.get(at..at + 16)?, b.get(at + 48..at + 64)?)?;
        }
    }
    Some(())
}
