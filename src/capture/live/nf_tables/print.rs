//! A rule set as `nft -a list ruleset` prints it.

use super::elements::{self, ANONYMOUS, Gives, INTERVAL, MAP, Part};
use super::expr::Ex;
use super::read::{Chain, Flowtable, Hook, Object, Ruleset, Set, Table};
use super::value::{self, Devices};
use super::words::put;
use super::{datatype, lift, objects, stmt, userdata};
use std::collections::HashMap;
use std::fmt::Write as _;

pub(super) use super::words::reads;

/// What a rule's words depend on beside its program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env<'e> {
    /// Of the table.
    pub family: u8,
    /// The table's, by name.
    pub sets: &'e HashMap<&'e str, &'e Set<'e>>,
    /// Chains that are part of a rule, by name.
    pub bound: &'e HashMap<&'e str, &'e Chain<'e>>,
    pub devices: &'e Devices,
    /// How many rules this one stands in.
    pub depth: u8,
}

impl<'e> Env<'e> {
    /// Whether addresses are IPv6; `None` in tables of both families.
    pub fn v6(&self) -> Option<bool> {
        match self.family {
            2 => Some(false),
            10 => Some(true),
            _ => None,
        }
    }

    /// The chain that is part of a rule.
    pub fn bound(&self, name: &str) -> Option<&'e Chain<'e>> {
        (self.depth < 2).then(|| self.bound.get(name).copied())?
    }
}

/// Bound to a rule (`NFT_CHAIN_BINDING`).
const BINDING: u32 = 4;

/// The listing, and what could not be said in words.
pub(super) fn ruleset(ruleset: &Ruleset<'_>, devices: &Devices) -> (String, Vec<String>) {
    let rules: usize = ruleset
        .tables
        .iter()
        .flat_map(|t| &t.chains)
        .map(|c| c.rules.len() + 1)
        .sum();
    let mut out = String::with_capacity(rules.saturating_mul(128));
    let mut remarks = Vec::new();
    for t in &ruleset.tables {
        table(&mut out, t, devices, &mut remarks);
    }
    (out, remarks)
}

fn family(number: u8) -> Option<&'static str> {
    Some(match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    })
}

fn table(out: &mut String, t: &Table<'_>, devices: &Devices, remarks: &mut Vec<String>) {
    let Some(name) = family(t.family) else {
        remarks.push(format!(
            "nftables: table `{}` is of family {}, which is not known",
            t.name, t.family
        ));
        return;
    };
    let sets = t.sets.iter().map(|s| (s.name.as_ref(), s)).collect();
    let bound = t
        .chains
        .iter()
        .filter(|c| c.flags & BINDING != 0)
        .map(|c| (c.name.as_ref(), c))
        .collect();
    let env = Env {
        family: t.family,
        sets: &sets,
        bound: &bound,
        devices,
        depth: 0,
    };
    let _ = writeln!(out, "table {name} {} {{ # handle {}", t.name, t.handle);
    let flags: Vec<&str> = [(1, "dormant"), (2, "owner"), (4, "persist")]
        .into_iter()
        .filter(|(bit, _)| t.flags & bit != 0)
        .map(|(_, name)| name)
        .collect();
    if !flags.is_empty() {
        let _ = writeln!(out, "\tflags {}", flags.join(","));
    }
    comment(out, "\t", userdata::comment(t.userdata));
    let mut strange = |what: &str, why: String| {
        remarks.push(format!("nftables: {what} in `{name} {}`: {why}", t.name));
    };
    let mut between = if flags.is_empty() { "" } else { "\n" };
    let mut gap = |out: &mut String| out.push_str(std::mem::replace(&mut between, "\n"));
    for o in &t.objects {
        gap(out);
        object(out, o);
    }
    for s in t.sets.iter().filter(|s| s.flags & ANONYMOUS == 0) {
        gap(out);
        if set(out, s, &env).is_none() {
            strange(
                &format!("set `{}`", s.name),
                "its elements have no words".into(),
            );
        }
    }
    for f in &t.flowtables {
        gap(out);
        flowtable(out, f);
    }
    for c in t.chains.iter().filter(|c| c.flags & BINDING == 0) {
        gap(out);
        let _ = writeln!(out, "\tchain {} {{ # handle {}", c.name, c.handle);
        comment(out, "\t\t", userdata::comment(c.userdata));
        if let Some(hook) = &c.hook {
            base(out, c, hook, t.family);
        }
        for (handle, name) in rules(out, c, &env, "\t\t") {
            let why = format!(
                "the expression `{name}` is not read; what the rule does from there on is left open"
            );
            strange(
                &format!("rule with handle {handle} of chain `{}`", c.name),
                why,
            );
        }
        out.push_str("\t}\n");
    }
    out.push_str("}\n");
}

/// The rules of a chain, a line each. Gives handles of those that were not understood, with the expression.
pub(super) fn rules<'a>(
    out: &mut String,
    c: &'a Chain<'a>,
    env: &'a Env<'a>,
    indent: &str,
) -> Vec<(u64, String)> {
    let mut strange = Vec::new();
    for r in &c.rules {
        out.push_str(indent);
        if let Some(name) = lift::rule(out, r, env) {
            strange.push((r.handle, name));
        }
        // Of rules within a rule nft says none.
        if env.depth == 0 {
            let _ = write!(out, " # handle {}", r.handle);
        }
        out.push('\n');
    }
    strange
}

/// The rules of a chain that is part of a rule.
pub(super) fn within(out: &mut String, c: &Chain<'_>, env: &Env<'_>) {
    let env = Env {
        depth: env.depth + 1,
        ..*env
    };
    rules(out, c, &env, "\t\t\t");
}

fn comment(out: &mut String, indent: &str, text: Option<&str>) {
    if let Some(text) = text {
        let _ = writeln!(out, "{indent}comment \"{text}\"");
    }
}

fn base(out: &mut String, c: &Chain<'_>, hook: &Hook<'_>, family: u8) {
    let _ = write!(
        out,
        "\t\ttype {} hook {}",
        c.kind,
        hook_name(family, hook.number)
    );
    match hook.devices.as_slice() {
        [] => {}
        [one] => {
            let _ = write!(out, " device \"{one}\"");
        }
        _ => {
            out.push_str(" devices = { ");
            devices(out, hook);
            out.push_str(" }");
        }
    }
    out.push_str(" priority ");
    priority(out, hook.priority, family, hook.number);
    out.push(';');
    if let Some(policy) = c.policy {
        let word = if policy == 0 { "drop" } else { "accept" };
        let _ = write!(out, " policy {word};");
    }
    if c.flags & 2 != 0 {
        out.push_str(" flags offload;");
    }
    out.push('\n');
}

fn devices(out: &mut String, hook: &Hook<'_>) {
    for (i, name) in hook.devices.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(out, "{comma}\"{name}\"");
    }
}

/// `enum nf_inet_hooks`, `enum nf_dev_hooks`, `enum nf_arp_hooks`.
fn hook_name(family: u8, number: u32) -> &'static str {
    match (family, number) {
        (5, 0) | (_, 5) => "ingress",
        (5, 1) => "egress",
        (3, 0) => "input",
        (3, 1) => "output",
        (3, 2) => "forward",
        (_, 0) => "prerouting",
        (_, 1) => "input",
        (_, 2) => "forward",
        (_, 3) => "output",
        (_, 4) => "postrouting",
        _ => "unknown",
    }
}

/// By name where one is near (`prio2str` in nftables `src/rule.c`).
fn priority(out: &mut String, n: i32, family: u8, hook: u32) {
    const REACH: i64 = 10;
    // NF_BR_PRI_*, NF_IP_PRI_*.
    let names: &[(i64, &str)] = match family {
        7 => &[
            (-300, "dstnat"),
            (-200, "filter"),
            (100, "out"),
            (300, "srcnat"),
        ],
        _ => &[
            (-300, "raw"),
            (-150, "mangle"),
            (-100, "dstnat"),
            (0, "filter"),
            (50, "security"),
            (100, "srcnat"),
        ],
    };
    let n = i64::from(n);
    let fits = |name: &str| match (family, name) {
        (3 | 5, name) => name == "filter",
        (_, "dstnat") => hook == 0,
        (_, "srcnat") => hook == 4,
        (7, "out") => hook == 3,
        _ => true,
    };
    let near = names
        .iter()
        .find(|(at, name)| (n - at).abs() <= REACH && fits(name));
    let _ = match near {
        Some((at, name)) if *at == n => write!(out, "{name}"),
        Some((at, name)) if *at < n => write!(out, "{name} + {}", n - at),
        Some((at, name)) => write!(out, "{name} - {}", at - n),
        None => write!(out, "{n}"),
    };
}

fn object(out: &mut String, o: &Object<'_>) {
    let _ = writeln!(
        out,
        "\t{} {} {{ # handle {}",
        objects::kind(o.kind),
        o.name,
        o.handle
    );
    comment(out, "\t\t", userdata::comment(o.userdata));
    objects::body(out, o);
    out.push_str("\t}\n");
}

fn flowtable(out: &mut String, f: &Flowtable<'_>) {
    let _ = writeln!(out, "\tflowtable {} {{ # handle {}", f.name, f.handle);
    out.push_str("\t\thook ingress priority ");
    priority(out, f.hook.priority, 5, 0);
    out.push('\n');
    if !f.hook.devices.is_empty() {
        out.push_str("\t\tdevices = { ");
        devices(out, &f.hook);
        out.push_str(" }\n");
    }
    if f.flags & 1 != 0 {
        out.push_str("\t\tflags offload\n");
    }
    if f.flags & 2 != 0 {
        out.push_str("\t\tcounter\n");
    }
    out.push_str("\t}\n");
}

/// A named set or map. `None` where its elements have no words; then it is written without them and with a type that is not known, so that
/// what it holds is left open.
fn set(out: &mut String, s: &Set<'_>, env: &Env<'_>) -> Option<()> {
    let start = out.len();
    if set_as_it_is(out, s, env).is_some() {
        return Some(());
    }
    out.truncate(start);
    let kind = if s.flags & MAP != 0 { "map" } else { "set" };
    let _ = writeln!(out, "\t{kind} {} {{ # handle {}", s.name, s.handle);
    out.push_str("\t\ttype unknown\n\t\telements = { unknown }\n\t}\n");
    None
}

fn set_as_it_is(out: &mut String, s: &Set<'_>, env: &Env<'_>) -> Option<()> {
    let map = s.flags & MAP != 0 || s.object_type.is_some();
    let kind = if map { "map" } else { "set" };
    let _ = writeln!(out, "\t{kind} {} {{ # handle {}", s.name, s.handle);
    let (key, gives) = declaration(out, s, env)?;
    let mut line = |text: &str| {
        let _ = writeln!(out, "\t\t{text}");
    };
    let constant = s.flags & 2 != 0;
    if !constant && s.policy == 1 {
        line("policy memory");
    }
    if let Some(size) = s.size.filter(|_| !constant) {
        line(&format!("size {size}"));
    }
    let timeout = s.timeout.filter(|ms| *ms != 0);
    let flags: Vec<&str> = [
        (2, "constant"),
        (32, "dynamic"),
        (INTERVAL, "interval"),
        (16, "timeout"),
    ]
    .into_iter()
    .filter(|(bit, _)| s.flags & bit != 0)
    .map(|(_, name)| name)
    .collect();
    // A default timeout says that there are timeouts.
    let said = flags == ["timeout"] && timeout.is_some();
    if !flags.is_empty() && !said {
        line(&format!("flags {}", flags.join(",")));
    }
    if !s.expressions.is_empty() {
        out.push_str("\t\t");
        for (i, e) in s.expressions.iter().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            stateless(out, *e, env)?;
        }
        out.push('\n');
    }
    if userdata::merges(s.userdata) {
        out.push_str("\t\tauto-merge\n");
    }
    if let Some(ms) = timeout {
        out.push_str("\t\ttimeout ");
        value::duration(out, ms);
        out.push('\n');
    }
    if let Some(ms) = s.gc_interval.filter(|ms| *ms != 0) {
        out.push_str("\t\tgc-interval ");
        value::duration(out, ms.into());
        out.push('\n');
    }
    comment(out, "\t\t", userdata::set_comment(s.userdata));
    if !s.elements.is_empty() {
        out.push_str("\t\telements = { ");
        elements::list(out, s, &key, &gives, env, ",\n\t\t\t     ")?;
        out.push_str(" }\n");
    }
    out.push_str("\t}\n");
    Some(())
}

/// What each new element gets, without what it has counted.
fn stateless(out: &mut String, e: super::read::Expression<'_>, env: &Env<'_>) -> Option<()> {
    if e.name == b"counter" {
        out.push_str("counter");
        return Some(());
    }
    stmt::stateful(out, e, env)
}

/// `type A . B : C` or `typeof ...`.
fn declaration(out: &mut String, s: &Set<'_>, env: &Env<'_>) -> Option<(Vec<Part>, Gives)> {
    let gives = Gives::of(s, env)?;
    let declared = userdata::type_of(s.userdata, 3, env.v6());
    let data = userdata::type_of(s.userdata, 4, env.v6());
    let interval = s.flags & INTERVAL != 0;
    let in_order = |parts| {
        if interval {
            elements::ordered(parts)
        } else {
            parts
        }
    };
    out.push_str("\t\t");
    let fits =
        |ex: &Ex<'_>| ex.bits.div_ceil(8).next_multiple_of(4) == s.key_len.next_multiple_of(4);
    let spoken = match &gives {
        Gives::Values(..) => data.is_some(),
        _ => true,
    };
    let key = if let Some(ex) = declared.filter(fits).filter(|_| spoken) {
        out.push_str("typeof ");
        put(out, &ex, env)?;
        elements::of_expression(&ex)
    } else {
        out.push_str("type ");
        names(out, s.key_type)?;
        let host = userdata::host_order(s.userdata, 0);
        elements::of_type(s.key_type, s.key_len, host)?
    };
    match &gives {
        Gives::Nothing => {}
        Gives::Verdict => out.push_str(" : verdict"),
        Gives::Object => {
            let _ = write!(out, " : {}", objects::kind(s.object_type?));
        }
        Gives::Values(_, interval) => {
            out.push_str(" : ");
            if *interval {
                out.push_str("interval ");
            }
            match &data {
                Some(ex) if out_is_typeof(out) => put(out, ex, env)?,
                _ => names(out, s.data_type?)?,
            }
        }
    }
    out.push('\n');
    Some((in_order(key), gives))
}

/// Whether the line at the end is one of `typeof`.
fn out_is_typeof(out: &str) -> bool {
    out.rsplit('\n')
        .next()
        .is_some_and(|line| line.trim_start().starts_with("typeof "))
}

fn names(out: &mut String, number: u32) -> Option<()> {
    let parts = datatype::parts(number);
    if parts.is_empty() {
        return None;
    }
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            out.push_str(" . ");
        }
        out.push_str(datatype::of(part)?.0);
    }
    Some(())
}
