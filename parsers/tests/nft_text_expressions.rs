//! Matches of `nft list ruleset` as text: what expressions and constants become.

mod nft_rules;

use nft_rules::{NET, bin, check, ct, element, field, is, num, one, range, word};
use nfwhy_parsers::nft::expr::{BinOp, CtKey, Fib, FibResult, MapRef, Meta, RawBase, RelOp};
use nfwhy_parsers::nft::{ElementData, Expr, Part, Stmt, Verdict};

#[test]
fn prefixes_and_ranges_are_ranges() {
    let saddr = || field("ip", "saddr");
    check("ip saddr 10.0.0.1", is(saddr(), RelOp::Eq, num(NET + 1)));
    check("ip saddr 10.0.0.1/32", is(saddr(), RelOp::Eq, num(NET + 1)));
    let all = range(NET, NET + 0xff_ffff);
    check("ip saddr != 10.0.0.0/8", is(saddr(), RelOp::Ne, all));
    let some = range(NET + 1, NET + 9);
    check("ip saddr 10.0.0.1-10.0.0.9", is(saddr(), RelOp::Eq, some));
    let ports = range(1024, 65535);
    check(
        "tcp sport 1024-65535",
        is(field("tcp", "sport"), RelOp::Eq, ports),
    );
    check(
        "ip length > 100",
        is(field("ip", "length"), RelOp::Gt, num(100)),
    );
    check(
        "ip6 saddr ::/0",
        is(field("ip6", "saddr"), RelOp::Eq, range(0, u128::MAX)),
    );
}

#[test]
fn names_of_devices() {
    let name = || Expr::Meta(Meta::Iifname);
    check(r#"iifname "lo""#, is(name(), RelOp::Eq, word("lo")));
    check(r#"iifname "a\*""#, is(name(), RelOp::Eq, word("a*")));
    let wild = Expr::Part(Part::Wild("cali".into()));
    check(r#"meta iifname != "cali*""#, is(name(), RelOp::Ne, wild));
    // An index is printed as the name of its device, or as a number where there is none any more.
    let index = || Expr::Meta(Meta::Iif);
    check(r#"iif "lo""#, is(index(), RelOp::Eq, word("lo")));
    check("iif lo", is(index(), RelOp::Eq, word("lo")));
    check("iif 77", is(index(), RelOp::Eq, num(77)));
}

#[test]
fn flags() {
    let state = || ct(CtKey::State);
    check("ct state new", is(state(), RelOp::Any, num(8)));
    check(
        "ct state established,related",
        is(state(), RelOp::Any, num(6)),
    );
    check(
        "ct state established, related",
        is(state(), RelOp::Any, num(6)),
    );
    check("ct state == established", is(state(), RelOp::Eq, num(2)));
    check("ct state != invalid", is(state(), RelOp::Ne, num(1)));
    check(
        "ct state @s",
        is(state(), RelOp::Eq, Expr::SetRef("s".into())),
    );
    check(
        "ct status ! dnat",
        is(ct(CtKey::Status), RelOp::None, num(32)),
    );
    let literal = Expr::Set(vec![
        element(vec![one(2)], None),
        element(vec![one(8)], None),
    ]);
    check(
        "ct state { established, new }",
        is(state(), RelOp::Eq, literal),
    );
    // A label is the number of its bit.
    check("ct label 3", is(ct(CtKey::Label), RelOp::Any, num(8)));
}

#[test]
fn tcp_flags_with_a_mask_are_spelt_in_many_ways() {
    let tcp = || field("tcp", "flags");
    let masked = || bin(BinOp::And, tcp(), num(0x17));
    check("tcp flags syn", is(tcp(), RelOp::Any, num(2)));
    check("tcp flags != syn", is(tcp(), RelOp::Ne, num(2)));
    for line in [
        "tcp flags syn / fin,syn,rst,ack",
        "tcp flags & (fin | syn | rst | ack) == syn",
        "tcp flags & (fin|syn|rst|ack) == syn",
        "tcp flags & 0x17 == 0x2",
    ] {
        check(line, is(masked(), RelOp::Eq, num(2)));
    }
    check(
        "tcp flags != syn / fin,syn,rst,ack",
        is(masked(), RelOp::Ne, num(2)),
    );
    check(
        "tcp flags & (syn | ack) == syn | ack",
        is(bin(BinOp::And, tcp(), num(18)), RelOp::Eq, num(18)),
    );
}

#[test]
fn operators_bind_as_in_c() {
    let mark = || Expr::Meta(Meta::Mark);
    let expected = || Stmt::Set {
        key: mark(),
        value: bin(BinOp::Or, bin(BinOp::And, mark(), num(0xff)), num(1)),
    };
    check("meta mark set meta mark & 0xff | 0x1", expected());
    check("meta mark set meta mark and 0xff or 0x1", expected());
    check("meta mark set (meta mark & 0xff) | 0x1", expected());
    check(
        "meta mark set meta mark & (0xff | 0x100)",
        Stmt::Set {
            key: mark(),
            value: bin(BinOp::And, mark(), num(0x1ff)),
        },
    );
    check(
        "meta mark set 0x1 | meta mark & 0x2",
        Stmt::Set {
            key: mark(),
            value: bin(BinOp::Or, num(1), bin(BinOp::And, mark(), num(2))),
        },
    );
    check(
        "mark and 0x4000 == 0x4000",
        is(bin(BinOp::And, mark(), num(0x4000)), RelOp::Eq, num(0x4000)),
    );
    check(
        "ct mark set ip dscp << 2 | 0x100",
        Stmt::Set {
            key: ct(CtKey::Mark),
            value: bin(
                BinOp::Or,
                bin(BinOp::Shl, field("ip", "dscp"), num(2)),
                num(0x100),
            ),
        },
    );
}

/// What libxtables makes of iptables' `CONNMARK --set-xmark 0x1/0xff`; the kernel masks first.
#[test]
fn a_connection_mark_of_iptables_is_masked_first() {
    let masked = bin(BinOp::And, ct(CtKey::Mark), num(0xffff_ff00));
    check(
        "ct mark set ct mark xor 0x1 and 0xffffff00",
        Stmt::Set {
            key: ct(CtKey::Mark),
            value: bin(BinOp::Xor, masked, num(1)),
        },
    );
}

#[test]
fn keys() {
    let at = |base, offset, len| Expr::Raw { base, offset, len };
    check(
        "@th,16,16 0x50",
        is(at(RawBase::Transport, 16, 16), RelOp::Eq, num(0x50)),
    );
    check(
        "ct original ip6 saddr ::1",
        is(
            Expr::Ct {
                reply: Some(false),
                key: CtKey::Saddr6,
            },
            RelOp::Eq,
            num(1),
        ),
    );
    let fib = |result, iif| {
        Expr::Fib(Fib {
            result,
            saddr: iif,
            daddr: !iif,
            mark: false,
            iif,
            oif: false,
        })
    };
    check(
        "fib daddr type local",
        is(fib(FibResult::Type, false), RelOp::Eq, num(2)),
    );
    // nft 1.1 and the versions before.
    for line in [
        "fib saddr . iif check missing",
        "fib saddr . iif oif missing",
    ] {
        check(line, is(fib(FibResult::Check, true), RelOp::Eq, num(0)));
    }
    check(
        "meta skuid root",
        is(Expr::Meta(Meta::Skuid), RelOp::Eq, num(0)),
    );
    check(
        "tcp option maxseg size set rt mtu",
        Stmt::Set {
            key: Expr::TcpOption("maxseg size".into()),
            value: Expr::Rt("mtu".into()),
        },
    );
    check(
        "arp saddr ip 10.0.0.1",
        is(field("arp", "saddr ip"), RelOp::Eq, num(NET + 1)),
    );
    check(
        "jhash ip saddr . tcp sport mod 4 seed 0x1 == 2",
        is(
            Expr::Jhash {
                key: Box::new(Expr::Concat(vec![
                    field("ip", "saddr"),
                    field("tcp", "sport"),
                ])),
                modulus: 4,
                seed: Some(1),
                offset: 0,
            },
            RelOp::Eq,
            num(2),
        ),
    );
}

#[test]
fn maps_of_verdicts() {
    let key = || Expr::Numgen {
        random: true,
        modulus: 2,
        offset: 0,
    };
    let verdict = |v| Some(ElementData::Verdict(v));
    check(
        "numgen random mod 2 vmap { 0 : goto a/b__10.0.0.1/80,\n\t\t\t     1 : drop, * : accept }",
        Stmt::Vmap {
            key: key(),
            map: MapRef::Literal(vec![
                element(
                    vec![one(0)],
                    verdict(Verdict::Goto("a/b__10.0.0.1/80".into())),
                ),
                element(vec![one(1)], verdict(Verdict::Drop)),
                element(Vec::new(), verdict(Verdict::Accept)),
            ]),
        },
    );
    check(
        "ip daddr . meta l4proto . th dport vmap @service-ips",
        Stmt::Vmap {
            key: Expr::Concat(vec![
                field("ip", "daddr"),
                Expr::Meta(Meta::L4proto),
                field("th", "dport"),
            ]),
            map: MapRef::Named("service-ips".into()),
        },
    );
}

/// nft prints `ip6 daddr & ffff:: == ::1`, which never holds, as `ip6 daddr ::1/16` (seen with 1.0.6).
#[test]
fn a_prefix_with_bits_beyond_its_length_is_a_comparison_under_a_mask() {
    let under = |header, mask| bin(BinOp::And, field(header, "daddr"), num(mask));
    check(
        "ip6 daddr ::1/16",
        is(under("ip6", 0xffff << 112), RelOp::Eq, num(1)),
    );
    check(
        "ip daddr != 10.0.0.1/8",
        is(under("ip", 0xff00_0000), RelOp::Ne, num(0x0a00_0001)),
    );
    check(
        "ip daddr 10.0.0.0/8",
        is(
            field("ip", "daddr"),
            RelOp::Eq,
            range(0x0a00_0000, 0x0aff_ffff),
        ),
    );
}
