//! What is said of an owner beside a rule, a set, a device, a mark: `kube-proxy: masquerade mark`.

use super::products::Owner;
use super::table::{In, MARKS, PATTERNS};
use super::{by_name, by_shape, find};
use crate::explain::Cause;
use crate::explain::marks::only_marks;
use crate::explain::names;
use crate::explain::nft::mark_bits;
use crate::explain::story::rule;
use crate::node::{Node, Origin, VirtualKey};
use crate::trace::Hit;
use nfwhy_parsers::iptables::{Match, Target};

/// Whose something is, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Whose it is.
    pub owner: Owner,
    /// What it is for; empty where the name tells no more.
    pub meaning: &'static str,
}

impl Claim {
    fn says_more(self) -> Option<Self> {
        (!self.meaning.is_empty()).then_some(self)
    }
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.meaning {
            "" => f.write_str(self.owner.name),
            meaning => write!(f, "{}: {meaning}", self.owner.name),
        }
    }
}

/// The owner of a rule, and what the rule is for.
pub fn of_rule_in_full(node: &Node<'_>, hit: Hit) -> Option<Claim> {
    let Some(named) = by_name(node, hit) else {
        return by_shape(node, hit).map(|owner| Claim {
            owner,
            meaning: "masquerade",
        });
    };
    // What a rule does with the mark says more than the chain it stands in.
    let native = node.netfilter.nft(hit.table).and_then(|t| {
        let bits = mark_bits(t.rules(hit.chain).get(hit.rule)?, false);
        of_mark(bits, Some(named.owner)).first().copied()
    });
    if let Some(claim) = native.filter(|_| named.meaning.is_empty()) {
        return Some(claim);
    }
    let more = rule(node, hit).and_then(|r| match &r.target {
        Target::Mark(m) => of_mark(m.value & m.mask, Some(named.owner))
            .first()
            .copied(),
        Target::Jump(to) | Target::Goto(to) => {
            let table = node.netfilter.tables.get(hit.table)?;
            let marks = only_marks(node, hit.table, table.chain(to)?);
            find(In::Chain, to).filter(|c| marks && c.owner == named.owner)
        }
        _ if named.meaning.is_empty() => {
            let bits = r.matches.iter().find_map(|m| match m {
                Match::Mark(n) if !n.not => Some(n.value.value & n.value.mask),
                _ => None,
            })?;
            of_mark(bits, Some(named.owner)).first().copied()
        }
        _ => None,
    });
    Some(more.and_then(Claim::says_more).unwrap_or(named))
}

/// The owner of a set. kube-proxy's sets for IPv6 begin with `6-`.
pub fn of_set(name: &str) -> Option<Claim> {
    let plain = ["6-", "inet6:"]
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name);
    find(In::Set, plain)
}

/// The owner of a device.
pub fn of_device(name: &str) -> Option<Claim> {
    find(In::Device, name)
}

/// Who uses bits of a mark, the best fitting first. Several programs use the same: `setter`, the owner of the rule that sets them, tells
/// which one it is.
pub fn of_mark(bits: u32, setter: Option<Owner>) -> Vec<Claim> {
    let mut list: Vec<(u32, Claim)> = MARKS
        .iter()
        .filter(|(_, _, owner, _)| setter.is_none_or(|s| s.name == owner.name))
        .filter(|(value, mask, ..)| match mask {
            // A whole mark says nothing of single bits.
            0xffff_ffff => bits == *value,
            _ => bits & mask == *value,
        })
        .map(|(value, _, owner, meaning)| {
            let claim = Claim {
                owner: *owner,
                meaning,
            };
            // Bits that the claim leaves unsaid.
            ((bits & !value).count_ones(), claim)
        })
        .collect();
    list.sort_by_key(|(rest, _)| *rest);
    list.into_iter().map(|(_, c)| c).collect()
}

/// Those of [`of_mark`] whose chains are in the rule set.
pub fn of_mark_here(node: &Node<'_>, bits: u32) -> Vec<Claim> {
    let mut list = of_mark(bits, None);
    list.retain(|c| is_here(node, c.owner));
    list
}

fn is_here(node: &Node<'_>, owner: Owner) -> bool {
    let prefixes: Vec<&str> = PATTERNS
        .iter()
        .filter(|(place, _, o, _)| *place == In::Chain && o.name == owner.name)
        .map(|(_, pattern, ..)| pattern.trim_end_matches('*'))
        .collect();
    let mut chains = node
        .netfilter
        .tables
        .iter()
        .flat_map(|t| t.chains.iter().map(|c| c.name.as_ref()));
    chains.any(|name: &str| {
        prefixes.iter().any(|p| name.starts_with(p))
            && find(In::Chain, name).is_some_and(|c| c.owner.name == owner.name)
    }) || node
        .netfilter
        .nft_tables()
        .any(|(_, t)| find(In::Table, &t.def.name).is_some_and(|c| c.owner.name == owner.name))
}

/// The owner of what is to blame.
pub fn of_cause(node: &Node<'_>, cause: &Cause) -> Option<Claim> {
    match cause {
        Cause::Rule(hit) => of_rule_in_full(node, *hit),
        Cause::Policy { table, .. } => {
            let native = node.netfilter.nft(*table)?;
            find(In::Table, names::table(node, *table)).filter(|_| native.def.chains.len() > 1)
        }
        Cause::Set { name, .. } => of_set(name),
        Cause::Route { at } => of_route(node, *at),
        Cause::Ipvs { service, .. } => {
            let VirtualKey::Addr { addr, .. } = node.ipvs.services.get(*service)?.key else {
                return None;
            };
            node.devices
                .iter()
                .filter(|d| d.addrs.iter().any(|a| a.local == addr))
                .find_map(|d| of_device(&d.name))
                .map(|c| Claim {
                    meaning: "a Service",
                    ..c
                })
        }
        Cause::Program { at } => node
            .programs
            .iter()
            .filter(|p| p.origin == *at)
            .find_map(|p| find(In::Program, p.name.as_deref()?)),
        Cause::Map { .. }
        | Cause::Sysctl { .. }
        | Cause::Conntrack { .. }
        | Cause::Packet { .. }
        | Cause::Object { .. } => None,
    }
}

/// Who wrote a route: by its protocol, else by its device.
fn of_route(node: &Node<'_>, at: Origin) -> Option<Claim> {
    let text = node.files.get(usize::from(at.file.0))?;
    let line = (at.line as usize).checked_sub(1)?;
    let words: Vec<&str> = text
        .text
        .lines()
        .nth(line)?
        .split_ascii_whitespace()
        .collect();
    let after = |key: &str| {
        let i = words.iter().position(|w| *w == key)?;
        words.get(i + 1).copied()
    };
    let by = |key: &str, place: In| after(key).and_then(|name| find(place, name));
    by("proto", In::Proto).or_else(|| by("dev", In::Device))
}

#[cfg(test)]
mod tests {
    use super::super::products::{AZURE_NPM, KUBE_PROXY, PORTMAP};
    use super::{of_mark, of_set};

    fn names(bits: u32) -> Vec<String> {
        of_mark(bits, None)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn bits_of_several_owners_are_candidates_until_the_setter_is_known() {
        let all = names(0x2000);
        for c in [
            "the portmap plugin: masquerade mark",
            "Podman (netavark): masquerade mark",
            "Azure NPM: allowed on ingress",
        ] {
            assert!(all.iter().any(|n| n == c), "{all:?}");
        }
        let one = |owner| {
            of_mark(0x2000, Some(owner))
                .first()
                .map(|c| c.meaning)
                .unwrap_or_default()
        };
        assert_eq!(one(PORTMAP), "masquerade mark");
        assert_eq!(one(AZURE_NPM), "allowed on ingress");
        assert_eq!(one(KUBE_PROXY), "");
    }

    #[test]
    fn a_digit_of_cilium_is_not_another() {
        assert!(names(0x200).contains(&"Cilium: to the L7 proxy".to_owned()));
        assert!(!names(0xe00).contains(&"Cilium: to the L7 proxy".to_owned()));
        assert!(names(0xe00).contains(&"Cilium: to be encrypted".to_owned()));
    }

    #[test]
    fn whole_marks_are_no_bits() {
        assert!(names(0x4000).contains(&"Azure NPM: refused on ingress".to_owned()));
        assert!(!names(0x14000).contains(&"Azure NPM: refused on ingress".to_owned()));
        assert!(names(0x14000).contains(&"kube-proxy: masquerade mark".to_owned()));
        assert_eq!(names(0), Vec::<String>::new());
    }

    #[test]
    fn sets_of_both_families_have_one_owner() {
        let meaning = |n: &str| of_set(n).map(|c| c.meaning);
        assert_eq!(meaning("6-KUBE-CLUSTER-IP"), meaning("KUBE-CLUSTER-IP"));
        assert_eq!(
            meaning("inet6:kube-router-svip"),
            Some("addresses of Services")
        );
        assert_eq!(meaning("mine"), None);
    }
}
