//! What an expression holds: the type by which constants beside it are read.

use super::TableFamily;
use super::expr::{BinOp, CT, Const, CtKey, Expr, FibResult, META, Part};
use super::types::Type;

/// A comparison with a prefix that has bits beyond its length, such as `ip6 daddr ::1/16`, as what it is: `ip6 daddr & ffff:: == ::1`, which
/// never holds.
///
/// nft prints any comparison under a mask that is a prefix's so (`binop_postprocess` in nftables `src/netlink_delinearize.c`); the value of
/// a prefix that was typed as one is masked before it is sent.
pub(super) fn beyond_prefix(left: &mut Expr<'_>, right: &mut Expr<'_>, addr: u128, bits: u32) {
    let Expr::Part(Part::Range(lo, hi)) = *right else {
        return;
    };
    if addr == lo || bits == 0 {
        return;
    }
    let number = |n| Expr::Part(Part::One(Const::Num(n)));
    let all = u128::MAX
        .checked_shr(128u32.saturating_sub(bits))
        .unwrap_or(0);
    let whole = std::mem::replace(left, number(0));
    *left = Expr::Binary {
        op: BinOp::And,
        left: Box::new(whole),
        right: Box::new(number(all & !(lo ^ hi))),
    };
    *right = number(addr);
}

/// The types of an expression, one for each of its components. [`Type::Invalid`] where it is not known.
///
/// Addresses of `ct` are of the table's family; in inet tables the expression's words do not tell it.
pub(super) fn types_of(expr: &Expr<'_>, family: TableFamily) -> Vec<Type> {
    match expr {
        Expr::Concat(parts) => parts.iter().map(|p| type_of(p, family)).collect(),
        one => vec![type_of(one, family)],
    }
}

/// The type of an expression that is no concatenation.
pub(super) fn type_of(expr: &Expr<'_>, family: TableFamily) -> Type {
    match expr {
        Expr::Payload(field) => field.ty,
        Expr::Raw { len, .. } => Type::Integer(u8::try_from(*len).unwrap_or(128).min(128)),
        Expr::TcpOption(words) => option(words),
        Expr::Exthdr(words) => exthdr(words),
        Expr::Meta(key) => META
            .iter()
            .find(|(_, k, _)| k == key)
            .map_or(Type::Invalid, |(_, _, ty)| *ty),
        Expr::Ct {
            key: CtKey::Saddr | CtKey::Daddr,
            ..
        } => address(family),
        Expr::Ct { key, .. } => CT
            .iter()
            .find(|(_, k, _)| k == key)
            .map_or(Type::Invalid, |(_, _, ty)| *ty),
        Expr::Fib(fib) => match fib.result {
            FibResult::Oif => Type::IfaceIndex,
            FibResult::Oifname => Type::Ifname,
            FibResult::Type => Type::FibAddrtype,
            FibResult::Check => Type::Boolean,
        },
        Expr::Rt(words) => match &**words {
            "classid" => Type::Realm,
            "mtu" => Type::Integer(16),
            "ipsec" => Type::Boolean,
            "ip nexthop" => Type::Ipv4Addr,
            "ip6 nexthop" => Type::Ipv6Addr,
            _ => address(family),
        },
        Expr::Other(words) => other(words),
        Expr::Numgen { .. } | Expr::Jhash { .. } | Expr::Symhash { .. } => Type::Integer(32),
        Expr::Binary { left, .. } => type_of(left, family),
        Expr::Part(Part::Wild(_)) => Type::Ifname,
        Expr::Part(_)
        | Expr::Concat(_)
        | Expr::Map { .. }
        | Expr::SetRef(_)
        | Expr::Set(_)
        | Expr::Opaque(_) => Type::Invalid,
    }
}

/// A question to the routing tables for a device is one for whether there is a route where it is compared with no device.
///
/// Index 0 is no route (`nft_fib_store_result`); 1 is what `nft -n` prints for `exists`: the device of this index has a name.
pub(super) fn settle_fib(left: &mut Expr<'_>, right: &Expr<'_>) {
    if let Expr::Fib(fib) = left
        && matches!(fib.result, FibResult::Oif | FibResult::Oifname)
        && matches!(right, Expr::Part(Part::One(Const::Num(0 | 1))))
    {
        fib.result = FibResult::Check;
    }
}

/// The type of an address in tables of this family; not known where both families meet.
pub(super) fn address(family: TableFamily) -> Type {
    match family {
        TableFamily::Ip => Type::Ipv4Addr,
        TableFamily::Ip6 => Type::Ipv6Addr,
        _ => Type::Invalid,
    }
}

/// The type of a TCP option's field (`src/tcpopt.c` of nftables). An option alone is there or is not.
fn option(words: &str) -> Type {
    if words.starts_with('@') {
        return Type::Integer(128);
    }
    match words.rsplit_once(' ') {
        Some((_, "left" | "right" | "tsval" | "tsecr")) => Type::Integer(32),
        Some((_, "size")) => Type::Integer(16),
        Some(_) => Type::Integer(8),
        None => Type::Boolean,
    }
}

/// The type of a field of an extension header, an IP option or an SCTP chunk (`src/exthdr.c`, `src/ipopt.c`, `src/sctp_chunk.c`).
fn exthdr(words: &str) -> Type {
    let mut parts = words.split(' ');
    let field = match parts.next() {
        Some("ip" | "sctp") => parts.nth(2),
        Some("exthdr" | "dccp") => None,
        Some("mh") if words == "mh type" => return Type::MhType,
        _ => parts.next(),
    };
    match field {
        None => Type::Boolean,
        Some("nexthdr") => Type::InetProto,
        Some(f) if f.starts_with("addr[") || f.starts_with("sid[") => Type::Ipv6Addr,
        Some("addr") if !words.starts_with("ip ") => Type::Ipv6Addr,
        Some(_) => Type::Integer(32),
    }
}

/// `socket`, `osf`, `ipsec`, and fields of headers inside of tunnels.
fn other(words: &str) -> Type {
    match words {
        "socket transparent" | "socket wildcard" => return Type::Boolean,
        "socket mark" => return Type::Mark,
        "meta ibrpvid" => return Type::Integer(16),
        "meta ibrvproto" => return Type::EtherType,
        "meta ibrhwaddr" => return Type::EtherAddr,
        "tunnel path" => return Type::Boolean,
        "tunnel id" => return Type::Integer(32),
        _ => {}
    }
    let last_two = words.rsplitn(3, ' ').take(2).collect::<Vec<_>>();
    match last_two.as_slice() {
        ["reqid" | "spi", _] if words.starts_with("ipsec ") => Type::Integer(32),
        ["saddr" | "daddr", "ip"] if words.starts_with("ipsec ") => Type::Ipv4Addr,
        ["saddr" | "daddr", "ip6"] if words.starts_with("ipsec ") => Type::Ipv6Addr,
        _ if words.starts_with("osf ") || words.starts_with("socket cgroupv2") => Type::Ifname,
        ["type", "vxlan" | "geneve"] => Type::EtherType,
        [_, "vxlan" | "geneve"] => Type::Integer(32),
        [field, header] => super::fields::find(header, field).map_or(Type::Invalid, |f| f.ty),
        _ => Type::Invalid,
    }
}
