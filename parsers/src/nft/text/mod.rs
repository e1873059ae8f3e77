//! The text that `nft list ruleset` prints, of nft 1.0.2 to 1.1.
//!
//! [`index`] walks over lines and finds what there is and where; [`parse_rule`] and [`elements`] read one rule and the elements of one set.
//! What a word means follows the printing functions of nftables (`src/rule.c`, `src/statement.c`, `src/expression.c`), and the grammar
//! (`src/parser_bison.y`) where older versions print otherwise.

mod chain;
mod element;
mod expr;
mod index;
mod keys;
mod lex;
mod nat;
mod options;
mod parser;
mod scan;
mod set;
mod stmt;
mod value;

pub use element::elements;
pub use index::index;
pub use stmt::parse_rule;
