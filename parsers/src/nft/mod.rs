//! `nft list ruleset`, as text and as JSON: one set of records for both.
//!
//! A rule set is read in two steps, as with iptables: `text::index` or `json::index` finds tables, chains, sets and the place of
//! each rule; `parse_rule` turns one rule's text into a [`Rule`], `elements` the elements of one set. A node with 50,000 chains is indexed as a
//! whole and only what a packet meets is parsed.
//!
//! Constants are read by the datatype of what they are compared with ([`types::Type`]), so that `tcp`, `6` and JSON's `"tcp"` are one value.
//! What is not understood is kept as text ([`Expr::Opaque`], [`Stmt::Opaque`]) and reported; the rest of its rule stands.

pub mod expr;
pub mod fields;
pub mod json;
pub mod stmt;
pub mod text;
pub mod types;
mod typing;

pub use expr::{Const, Expr, Part};
pub use stmt::{Stmt, Verdict};
pub use types::Type;

use crate::common::{Span, Text};
use crate::iptables::Policy;

/// In which form a rule set stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `nft list ruleset`, with or without `-a`, `-s`, `-n`.
    #[default]
    Text,
    /// `nft -j list ruleset`.
    Json,
}

/// Family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableFamily {
    /// `ip`: IPv4.
    Ip,
    /// `ip6`: IPv6.
    Ip6,
    /// `inet`: both.
    Inet,
    /// `arp`.
    Arp,
    /// `bridge`.
    Bridge,
    /// `netdev`: ingress and egress of devices.
    Netdev,
}

impl TableFamily {
    /// By name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ip" => Self::Ip,
            "ip6" => Self::Ip6,
            "inet" => Self::Inet,
            "arp" => Self::Arp,
            "bridge" => Self::Bridge,
            "netdev" => Self::Netdev,
            _ => return None,
        })
    }

    /// As nft prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Inet => "inet",
            Self::Arp => "arp",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }
}

/// Where something stands: the bytes and the number of the first line, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The bytes.
    pub span: Span,
    /// Line of the first of them, from 1. In JSON on a single line it is 1 throughout.
    pub line: u32,
}

/// A whole rule set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruleset<'a> {
    /// Text or JSON.
    pub form: Form,
    /// In the order of the text, which is the order in which tables were added.
    pub tables: Vec<Table<'a>>,
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<'a> {
    /// Its family.
    pub family: TableFamily,
    /// Its name.
    pub name: Text<'a>,
    /// `flags dormant`: its chains are not hooked in.
    pub dormant: bool,
    /// `# handle N` of `-a`, or JSON's.
    pub handle: Option<u64>,
    /// `comment`.
    pub comment: Option<Text<'a>>,
    /// `table ...` up to its closing brace; in JSON the object.
    pub at: Place,
    /// `# Warning: table ip nat is managed by iptables-nft, do not touch!` stands before it.
    pub of_iptables: bool,
    /// In the order of the text.
    pub chains: Vec<Chain<'a>>,
    /// Sets and maps, in the order of the text.
    pub sets: Vec<Set<'a>>,
    /// Counters, quotas, limits, flowtables and others, in the order of the text.
    pub objects: Vec<Object<'a>>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Chain<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Handle.
    pub handle: Option<u64>,
    /// `comment`.
    pub comment: Option<Text<'a>>,
    /// `type ... hook ... priority ...`; `None` for a chain that others jump to.
    pub base: Option<Base<'a>>,
    /// The chain's heading.
    pub at: Place,
    /// Its rules, in order. Text: the line without its indentation, line end and `# handle N`. JSON: the value of `"rule"`.
    pub rules: Vec<RuleAt>,
}

/// Where a rule stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleAt {
    /// Its text.
    pub at: Place,
    /// Handle.
    pub handle: Option<u64>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq)]
pub struct Base<'a> {
    /// `type`.
    pub kind: ChainType,
    /// `hook`.
    pub hook: Hook,
    /// `priority`, names and offsets resolved for the table's family.
    pub priority: i32,
    /// `policy`; accept where none is written.
    pub policy: Policy,
    /// `device "eth0"` or `devices = { ... }` of netdev and inet ingress.
    pub devices: Vec<Text<'a>>,
}

/// Type of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainType {
    /// `filter`.
    Filter,
    /// `nat`.
    Nat,
    /// `route`: OUTPUT routes again when mark, addresses or traffic class change.
    Route,
}

/// Hook of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hook {
    /// `ingress`.
    Ingress,
    /// `prerouting`.
    Prerouting,
    /// `input`.
    Input,
    /// `forward`.
    Forward,
    /// `output`.
    Output,
    /// `postrouting`.
    Postrouting,
    /// `egress`.
    Egress,
}

impl Hook {
    /// By name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "ingress" => Self::Ingress,
            "prerouting" => Self::Prerouting,
            "input" => Self::Input,
            "forward" => Self::Forward,
            "output" => Self::Output,
            "postrouting" => Self::Postrouting,
            "egress" => Self::Egress,
            _ => return None,
        })
    }
}

/// A named set or map, without its elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Set<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Handle.
    pub handle: Option<u64>,
    /// `comment`.
    pub comment: Option<Text<'a>>,
    /// `type`, or what `typeof` stands for; several for concatenations. [`Type::Invalid`] for a type that is not known.
    pub key: Vec<Type>,
    /// What a map maps to; `None` for a set.
    pub data: Option<SetData>,
    /// `flags interval`.
    pub interval: bool,
    /// `flags constant`.
    pub constant: bool,
    /// `timeout`, in milliseconds.
    pub timeout: Option<u64>,
    /// `size`.
    pub size: Option<u32>,
    /// The whole of it; in JSON the object.
    pub at: Place,
    /// The elements: text between the braces of `elements = { ... }`, JSON's array. `None` where there are none.
    pub elements: Option<Place>,
}

/// What a map maps to.
#[derive(Clone, Debug, PartialEq)]
pub enum SetData {
    /// `: verdict`.
    Verdict,
    /// Values; several for concatenations.
    Value(Vec<Type>),
    /// Names of objects: `: counter`, `: quota`, `: limit`.
    Object(String),
}

/// Something of a table that is neither chain nor set: `counter`, `quota`, `limit`, `flowtable`, `ct helper`, `secmark`, ...
#[derive(Clone, Debug, PartialEq)]
pub struct Object<'a> {
    /// What it is, as nft calls it; JSON's `ct helper` has a blank too.
    pub kind: Text<'a>,
    /// Its name.
    pub name: Text<'a>,
    /// Handle.
    pub handle: Option<u64>,
    /// The whole of it.
    pub at: Place,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<'a> {
    /// Expressions and statements, in order.
    pub stmts: Vec<Stmt<'a>>,
    /// `comment`.
    pub comment: Option<Text<'a>>,
}

/// An element of a set or a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Element<'a> {
    /// A component for each of the key's types; empty for `*`, which matches what nothing else does.
    pub key: Vec<Part<'a>>,
    /// What it maps to.
    pub data: Option<ElementData<'a>>,
    /// `timeout`, in milliseconds.
    pub timeout: Option<u64>,
    /// `expires`, in milliseconds.
    pub expires: Option<u64>,
    /// `comment`.
    pub comment: Option<Text<'a>>,
    /// `counter`, `limit`, `quota`, ...: run for a packet that finds the element.
    pub stmts: Vec<Stmt<'a>>,
}

/// What an element maps to.
#[derive(Clone, Debug, PartialEq)]
pub enum ElementData<'a> {
    /// A verdict.
    Verdict(Verdict<'a>),
    /// Values, one for each of the map's types.
    Value(Vec<Part<'a>>),
    /// The name of an object.
    Object(Text<'a>),
}
