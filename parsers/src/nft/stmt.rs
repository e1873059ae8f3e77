//! Statements: what a rule does.

use super::TableFamily;
use super::expr::{Expr, MapRef, RelOp};
use crate::common::Text;

/// One step of a rule. The packet goes on to the next one as long as matches hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Stmt<'a> {
    /// A comparison.
    Match {
        /// What of the packet.
        left: Expr<'a>,
        /// How.
        op: RelOp,
        /// With what.
        right: Expr<'a>,
    },
    /// A verdict.
    Verdict(Verdict<'a>),
    /// `EXPR vmap ...`: the verdict of the element that is found; none, and the rule goes on.
    Vmap {
        /// What is looked up.
        key: Expr<'a>,
        /// Where.
        map: MapRef<'a>,
    },
    /// `counter`, with what it says. `nft -s` prints none.
    Counter(Option<(u64, u64)>),
    /// `counter name X`, `quota name X`, `limit name X`, `synproxy name X`: kind and name (or the map that gives it, as text).
    Named(Text<'a>, Text<'a>),
    /// `log ...`: its options, as written.
    Log(Text<'a>),
    /// `meta mark set ...`, `ct mark set ...`, `ip dscp set ...`: what is written, and what into it.
    Set {
        /// [`Expr::Meta`], [`Expr::Ct`], [`Expr::Payload`], [`Expr::Raw`], [`Expr::TcpOption`] or [`Expr::Exthdr`].
        key: Expr<'a>,
        /// The value.
        value: Expr<'a>,
    },
    /// `dnat`, `snat`, `masquerade`, `redirect`.
    Nat(Nat<'a>),
    /// `tproxy to ...`: address and port.
    Tproxy(Option<Expr<'a>>, Option<Expr<'a>>),
    /// `notrack`.
    Notrack,
    /// `reject`.
    Reject(Reject),
    /// `queue ...`: its options, as written.
    Queue(Text<'a>),
    /// `add @set { ... }`, `update`, `delete`.
    Update(Box<Update<'a>>),
    /// `limit rate ...`.
    Limit(Limit),
    /// `quota [over|until] N bytes`.
    Quota {
        /// `over`.
        over: bool,
        /// Bytes.
        bytes: u64,
        /// `used`, in bytes.
        used: Option<u64>,
    },
    /// `ct count [over] N`.
    Connlimit {
        /// `over`.
        over: bool,
        /// How many.
        count: u32,
    },
    /// `flow add @ft` (older: `flow offload @ft`).
    Flow(Text<'a>),
    /// `ct helper set "x"`, `ct timeout set`, `ct expectation set`, `secmark`: has no bearing on where the packet goes; the words.
    Aside(Text<'a>),
    /// `xt match "addrtype"`, `xt target "SET"`: an extension of iptables, whose options nft does not print. Kind and name.
    Xt(Text<'a>, Text<'a>),
    /// `dup`, `fwd`, `synproxy`, and what is not understood: the text up to the end of the statement or, if that is not known, of the rule.
    Opaque(Text<'a>),
}

/// What becomes of the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// `accept`: ends the base chain.
    Accept,
    /// `drop`.
    Drop,
    /// `continue`: on to the next rule.
    Continue,
    /// `return`.
    Return,
    /// `jump`.
    Jump(Text<'a>),
    /// `goto`.
    Goto(Text<'a>),
    /// `queue` as a map's verdict.
    Queue,
}

/// Which translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NatKind {
    /// `snat`.
    Snat,
    /// `dnat`.
    Dnat,
    /// `masquerade`.
    Masquerade,
    /// `redirect`.
    Redirect,
}

/// A translation.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags that nft prints")]
pub struct Nat<'a> {
    /// Which.
    pub kind: NatKind,
    /// `dnat ip to`, `dnat ip6 to` in inet tables.
    pub family: Option<crate::common::Family>,
    /// Address, range or prefix; or a map to addresses, or to `addr . port`.
    pub addr: Option<Expr<'a>>,
    /// Port or range.
    pub port: Option<Expr<'a>>,
    /// `random`.
    pub random: bool,
    /// `fully-random`.
    pub fully_random: bool,
    /// `persistent`.
    pub persistent: bool,
    /// `snat ip prefix to`: the host part of the address stays (NETMAP).
    pub prefix: bool,
}

/// How `reject` answers (`net/netfilter/nft_reject*.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// `reject` alone: port unreachable of the packet's family.
    Default,
    /// `with icmp CODE`.
    Icmp(u8),
    /// `with icmpv6 CODE`.
    Icmpv6(u8),
    /// `with icmpx CODE`: number of [`super::types::Type::IcmpxCode`].
    Icmpx(u8),
    /// `with tcp reset`.
    TcpReset,
}

impl Reject {
    /// [`Self::Default`] for the code that `reject` alone stands for in a table of this family: text prints that one
    /// without a code (`reject_stmt_print` in nftables `src/statement.c`), JSON with it.
    #[must_use]
    pub fn normal(self, family: TableFamily) -> Self {
        match (self, family) {
            (Self::Icmp(3), TableFamily::Ip)
            | (Self::Icmpv6(4), TableFamily::Ip6)
            | (Self::Icmpx(1), _) => Self::Default,
            (other, _) => other,
        }
    }
}

/// `add`, `update` or `delete` of an element.
#[derive(Clone, Debug, PartialEq)]
pub struct Update<'a> {
    /// Which.
    pub op: UpdateOp,
    /// The set.
    pub set: Text<'a>,
    /// The element's key.
    pub key: Expr<'a>,
    /// What a map gets for it.
    pub data: Option<Expr<'a>>,
    /// `timeout`, in milliseconds.
    pub timeout: Option<u64>,
    /// `limit rate ...`, `counter`, ... inside of the braces.
    pub stmts: Vec<Stmt<'a>>,
}

/// How a set is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpdateOp {
    /// `add`: an element that is there stays as it is.
    Add,
    /// `update`: its timeout starts anew.
    Update,
    /// `delete`.
    Delete,
}

/// `limit rate [over] N[ UNIT]/TIME [burst N ...]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// `over`: matches what exceeds the rate.
    pub over: bool,
    /// Packets or bytes in each unit of time.
    pub rate: u64,
    /// Seconds of the unit: 1, 60, 3600, 86400, 604800.
    pub per: u32,
    /// Burst, in packets or bytes.
    pub burst: u64,
    /// Bytes, not packets.
    pub bytes: bool,
}
