//! The counters of native rules, asked for as `nft list ruleset` asks: a dump of all rules (`NFT_MSG_GETRULE`). Starting the tool for it
//! would take most of a run's time.

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

use super::super::spec::{Backend, Counters};

/// `NFNL_SUBSYS_NFTABLES << 8`.
const NFTABLES: u16 = 10 << 8;
const NEWRULE: u16 = NFTABLES | 6;
const GETRULE: u16 = NFTABLES | 7;
const DONE: u16 = 3;
const ERROR: u16 = 2;

/// Packets by rule, of all tables of `nft` in the thread's namespace.
pub fn read(out: &mut Counters) -> nix::Result<()> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    // struct nlmsghdr: length, type, NLM_F_REQUEST | NLM_F_DUMP; struct nfgenmsg: any family, version 0, no resource.
    let mut message = 20u32.to_ne_bytes().to_vec();
    message.extend_from_slice(&GETRULE.to_ne_bytes());
    message.extend_from_slice(&0x301u16.to_ne_bytes());
    message.resize(20, 0);
    let kernel = NetlinkAddr::new(0, 0);
    sendto(fd.as_raw_fd(), &message, &kernel, MsgFlags::empty())?;
    let mut next: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut buf = vec![0u8; 1 << 18];
    loop {
        let n = recv(fd.as_raw_fd(), &mut buf, MsgFlags::empty())?;
        let mut rest = &buf[..n];
        while rest.len() >= 16 {
            let len = u32::from_ne_bytes([rest[0], rest[1], rest[2], rest[3]]) as usize;
            let kind = u16::from_ne_bytes([rest[4], rest[5]]);
            if kind == DONE || kind == ERROR || len < 16 || len > rest.len() {
                return Ok(());
            }
            if kind == NEWRULE
                && let Some((table, chain, count)) = rule(&rest[16..len])
            {
                let at = next.entry((table.clone(), chain.clone())).or_default();
                out.insert((Backend::Native, table, chain, *at), count);
                *at += 1;
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// Attributes by number.
fn attributes(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut out = Vec::new();
    while bytes.len() >= 4 {
        let len = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & 0x3fff;
        let Some(data) = bytes.get(4..len) else { break };
        out.push((kind, data));
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    out
}

fn find<'b>(list: &[(u16, &'b [u8])], kind: u16) -> Option<&'b [u8]> {
    list.iter().find(|(k, _)| *k == kind).map(|(_, d)| *d)
}

/// The table with its family, the chain, and what the first counter says; 0 without one.
fn rule(message: &[u8]) -> Option<(String, String, u64)> {
    let family = match message.first()? {
        1 => "inet",
        2 => "ip",
        10 => "ip6",
        _ => return None,
    };
    let text = |b: &[u8]| String::from_utf8_lossy(b).trim_end_matches('\0').to_owned();
    // NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS.
    let a = attributes(message.get(4..)?);
    let (table, chain) = (text(find(&a, 1)?), text(find(&a, 2)?));
    let mut count = 0;
    for (_, e) in attributes(find(&a, 4).unwrap_or_default()) {
        // NFTA_EXPR_NAME, NFTA_EXPR_DATA; NFTA_COUNTER_PACKETS.
        let e = attributes(e);
        if find(&e, 1).is_some_and(|n| text(n) == "counter") {
            let packets = attributes(find(&e, 2)?);
            count = u64::from_be_bytes(find(&packets, 2)?.try_into().ok()?);
            break;
        }
    }
    Some((format!("{family} {table}"), chain, count))
}
