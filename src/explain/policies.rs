//! Policies of base chains: packets that no rule accepted.

use super::drops::by_owner;
use super::marks;
use super::names::{self, full_rule, short_rule};
use super::story::{Called, rule};
use super::{Cause, Code, Finding};
use crate::node::{ChainId, Node};
use crate::trace::{Effect, Hit, Packet, View};
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::Target;

/// That another table's accept does not help against a drop of this one.
pub(super) fn not_enough(
    node: &Node<'_>,
    story: &[Called],
    f: &mut Finding,
    table: usize,
    base: ChainId,
) {
    let Some(hit) = super::nft::accepted_elsewhere(node, story, table, base) else {
        return;
    };
    f.advise(format!(
        "{}{} accepts the packet, which ends the chains of its own table only: those of table {} run as well, and drop it",
        full_rule(node, hit),
        by_owner(node, hit),
        names::table_full(node, table)
    ));
    f.blame_rules([hit]);
}

/// Who set a policy, where it is known by custom.
fn whose(node: &Node<'_>, table: usize, chain: &str) -> &'static str {
    let Some(t) = node.netfilter.tables.get(table) else {
        return "";
    };
    let ufw = t.chains.iter().any(|c| c.name.starts_with("ufw"));
    let docker = ["DOCKER", "DOCKER-USER", "DOCKER-FORWARD"]
        .iter()
        .any(|c| t.chain(c).is_some());
    match chain {
        _ if ufw => " (ufw)",
        "FORWARD" if docker => " (Docker)",
        _ => "",
    }
}

/// What a base chain's policy drops.
pub(super) fn by_policy(
    node: &Node<'_>,
    packet: &Packet,
    story: &[Called],
    to: Option<View>,
    table: usize,
    chain: ChainId,
) -> Finding {
    let name = names::chain(node, table, chain);
    let native = node.netfilter.nft(table).is_some();
    let mut f = Finding::new(
        Code::DroppedByPolicy,
        format!(
            "dropped by the policy DROP of {} {name}{}: no rule {}accepted it",
            names::table_full(node, table),
            whose(node, table, name),
            if native { "there " } else { "" }
        ),
    );
    f.blame(Cause::Policy { table, chain });
    let command = to.and_then(|to| super::nft::accept_command(node, table, chain, &to));
    if let Some(command) = command {
        f.advise(format!(
            "accept it there, `{command}`, and in the file that the table is loaded from"
        ));
        not_enough(node, story, &mut f, table, chain);
        return f;
    }
    // An ACCEPT for marked packets that this one missed for want of the mark.
    let visited: Vec<(usize, ChainId)> = story
        .iter()
        .filter(|c| c.hit.table == table && c.effect == Effect::Jump)
        .filter_map(|c| {
            let r = rule(node, c.hit)?;
            let (Target::Jump(to) | Target::Goto(to)) = &r.target else {
                return None;
            };
            Some((table, node.netfilter.tables.get(table)?.chain(to)?))
        })
        .collect();
    for (t, c) in visited {
        let Some(tb) = node.netfilter.tables.get(t) else {
            continue;
        };
        let missed = tb.rules(c).iter().enumerate().find_map(|(i, r)| {
            let hit = Hit {
                table: t,
                chain: c,
                rule: i,
            };
            (r.target == Target::Accept && marks::looks_at_mark(node, hit)).then_some(hit)
        });
        if let Some(hit) = missed {
            f.advise(format!(
                "{} accepts marked packets only, and this one has no such mark",
                short_rule(node, hit)
            ));
            break;
        }
    }
    let program = match packet.family() {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    let ufw = node
        .netfilter
        .tables
        .get(table)
        .is_some_and(|t| t.chains.iter().any(|c| c.name.starts_with("ufw")));
    let docker = node
        .netfilter
        .tables
        .get(table)
        .is_some_and(|t| t.chain("DOCKER").is_some() || t.chain("DOCKER-USER").is_some());
    f.advise(match (name, docker) {
        ("INPUT", _) if ufw => format!("the policy is ufw's: {}", ufw_allow(packet)),
        ("FORWARD", true) => {
            "Docker sets this policy when it starts: `iptables -P FORWARD ACCEPT`, or accept the pod network with rules of your own".to_owned()
        }
        _ => format!("accept the packet with a rule, or `{program} -P {name} ACCEPT`"),
    });
    f
}

/// `ufw allow proto tcp from 192.0.2.1 to any port 443`.
fn ufw_allow(packet: &Packet) -> String {
    let from = packet
        .src
        .map_or_else(|| "any".to_owned(), |s| s.to_string());
    match packet.dport.known() {
        Some(p) => format!(
            "`ufw allow proto {} from {from} to any port {p}`",
            packet.proto
        ),
        None => format!("`ufw allow from {from}`"),
    }
}
