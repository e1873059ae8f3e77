//! Link headers: what is before IP.

use super::bytes::Bytes;
use super::ip;
use crate::tcpdump::packet::{Dev, Packet, Way};

/// Why a frame gives no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// Its link type.
    Link(u32),
    /// It is of another protocol, or cut.
    NotIp,
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The packets of a frame: the outer one, and those within.
pub(super) fn read(link: u32, data: &[u8]) -> Result<Vec<Packet>, Unreadable> {
    let mut b = Bytes::of_wire(data);
    match link {
        // LINKTYPE_ETHERNET
        1 => ethernet(data, 0).ok_or(Unreadable::NotIp),
        // DLT_RAW of BSD and OpenBSD, LINKTYPE_RAW
        12 | 14 | 101 => raw(data).ok_or(Unreadable::NotIp),
        // LINKTYPE_LINUX_SLL: the way, the kind of device, its address, the protocol.
        113 => cooked(&mut b).ok_or(Unreadable::NotIp),
        // LINKTYPE_LINUX_SLL2: the protocol first, then the device.
        276 => cooked2(&mut b).ok_or(Unreadable::NotIp),
        other => Err(Unreadable::Link(other)),
    }
}

fn raw(data: &[u8]) -> Option<Vec<Packet>> {
    match data.first()? >> 4 {
        4 => ip::v4(data, 0),
        6 => ip::v6(data, 0),
        _ => None,
    }
}

pub(super) fn ethernet(data: &[u8], depth: u8) -> Option<Vec<Packet>> {
    let mut b = Bytes::of_wire(data);
    b.skip(12)?;
    let ethertype = b.u16()?;
    of_type(ethertype, &mut b, depth)
}

fn of_type(mut ethertype: u16, b: &mut Bytes<'_>, depth: u8) -> Option<Vec<Packet>> {
    // VLANs, one in another.
    for _ in 0..4 {
        if !matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
            break;
        }
        b.skip(2)?;
        ethertype = b.u16()?;
    }
    match ethertype {
        IPV4 => ip::v4(b.rest(), depth),
        IPV6 => ip::v6(b.rest(), depth),
        _ => None,
    }
}

/// `PACKET_HOST` to `PACKET_OUTGOING` of `include/uapi/linux/if_packet.h`.
fn way(n: u16) -> Option<Way> {
    Some(match n {
        0 => Way::In,
        1 => Way::Broadcast,
        2 => Way::Multicast,
        3 => Way::Other,
        4 => Way::Out,
        _ => return None,
    })
}

fn marked(mut list: Vec<Packet>, dev: &Dev, way: Option<Way>) -> Vec<Packet> {
    for p in &mut list {
        p.dev = dev.clone();
        p.way = way;
    }
    list
}

fn cooked(b: &mut Bytes<'_>) -> Option<Vec<Packet>> {
    let kind = b.u16()?;
    b.skip(12)?;
    let ethertype = b.u16()?;
    Some(marked(of_type(ethertype, b, 0)?, &Dev::Unknown, way(kind)))
}

fn cooked2(b: &mut Bytes<'_>) -> Option<Vec<Packet>> {
    let ethertype = b.u16()?;
    b.skip(2)?;
    let index = b.u32()?;
    b.skip(2)?;
    let kind = u16::from(b.u8()?);
    b.skip(9)?;
    Some(marked(
        of_type(ethertype, b, 0)?,
        &Dev::Index(index),
        way(kind),
    ))
}
