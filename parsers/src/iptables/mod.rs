//! iptables-save, ip6tables-save, `-S` and `-nvL` text.
//!
//! A rule set is read in two steps. [`save::index`] finds tables, chains and the rule lines of each chain without looking into the
//! rules; [`rule::parse_rule`] turns one line into a [`Rule`]. A node with 200,000 rules is indexed as a whole and only the
//! chains a packet enters are parsed.

mod chains;
mod lex;
pub mod listing;
pub mod matches;
pub mod print;
pub mod rule;
pub mod save;
pub mod targets;
mod value;

use crate::common::{Family, Masked, Neg, Proto, Span, Text};
pub use chains::Chains;
pub use matches::Match;
pub use targets::Target;

/// Which program printed a rule set, as far as its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// `iptables-legacy`: the xtables interface.
    Legacy,
    /// `iptables-nft`: xtables rules in `nf_tables`.
    Nft,
}

/// In which form the rule lines stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `-A CHAIN ...` lines.
    #[default]
    Save,
    /// `iptables -L` columns; the flags tell which.
    Listing(ListingColumns),
}

/// The columns of an `iptables -L` listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingColumns {
    /// `--line-numbers`: a `num` column.
    pub numbers: bool,
    /// `-v`: `pkts bytes ... in out` columns.
    pub verbose: bool,
    /// The family: IPv6 leaves `opt` blank before 1.8.9.
    pub ipv6: bool,
}

/// The tables of one address family as one program printed them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet<'a> {
    /// From the header or from the addresses in the rules; `None` where nothing tells.
    pub family: Option<Family>,
    /// From the header; `None` for 1.4 headers, `-S` and listings.
    pub backend: Option<Backend>,
    /// The header's version, such as `1.8.9`.
    pub version: Option<Text<'a>>,
    /// Save or listing.
    pub form: Form,
    /// In the order of the text.
    pub tables: Vec<Table<'a>>,
}

/// One table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table<'a> {
    /// `nat`, `filter`, ...; empty where the text does not say (`-S`, listings).
    pub name: Text<'a>,
    /// Line of `*table`, from 1.
    pub line: u32,
    /// Whether `COMMIT` was seen (always true for `-S` and listings).
    pub committed: bool,
    /// In the order of the text. A chain that rules are appended to without a declaration is added and reported.
    pub chains: Chains<'a>,
}

/// One chain.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// The policy of a built-in chain; `None` for a user chain (`-`).
    pub policy: Option<Policy>,
    /// Packets and bytes.
    pub counters: Option<(u64, u64)>,
    /// Line of the declaration, from 1; 0 where it is missing.
    pub line: u32,
    /// Whether `:CHAIN`, `-N`, `-P` or a `Chain` heading declared it.
    pub declared: bool,
    /// Its rules, in order.
    pub rules: Vec<RuleLine>,
}

/// Policy of a built-in chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// `ACCEPT`.
    Accept,
    /// `DROP`.
    Drop,
}

/// Where a rule stands; a logical line may span several physical ones (a newline inside a quoted comment).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleLine {
    /// The bytes of the logical line without its line end.
    pub span: Span,
    /// Number of its first line, from 1.
    pub line: u32,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule<'a> {
    /// Where it stands.
    pub at: RuleLine,
    /// Packets and bytes, with `-c` or from a listing (listings round: `302K`).
    pub counters: Option<(u64, u64)>,
    /// `-s`.
    pub src: Option<Neg<Masked>>,
    /// `-d`.
    pub dst: Option<Neg<Masked>>,
    /// `-i`, with a trailing `+` kept.
    pub iif: Option<Neg<Text<'a>>>,
    /// `-o`, with a trailing `+` kept.
    pub oif: Option<Neg<Text<'a>>>,
    /// `-p`.
    pub proto: Option<Neg<Proto>>,
    /// `-f`: second and further fragments.
    pub fragment: Option<Neg<()>>,
    /// `-m ...`, in order.
    pub matches: Vec<Match<'a>>,
    /// `-j` or `-g`.
    pub target: Target<'a>,
    /// Why the line as a whole is not understood: nothing in this record is then complete, and the rule may match and do anything.
    pub broken: Option<Box<str>>,
}
