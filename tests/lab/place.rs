//! Where a rule stands, in words that do not rest on numbers of tables and chains.

use nfwhy::node::{Node, TableView};
use nfwhy::trace::Hit;
use nfwhy_parsers::iptables::Backend;

/// A rule's place: backend of iptables or none, table, chain, index.
pub fn place(node: &Node<'_>, h: &Hit) -> (Option<Backend>, String, String, usize) {
    let t = node.netfilter.view(h.table).expect("a hit is of a table");
    let (backend, table) = match t {
        TableView::Nft(_) => (None, format!("{} {}", t.family(), t.name())),
        TableView::Xt(x) => (Some(x.backend), t.name().to_owned()),
    };
    (backend, table, t.chain_name(h.chain).to_owned(), h.rule)
}
