//! What the tally calls the steps of a rule.

use nfwhy_parsers::nft::expr::{BinOp, MapRef, RelOp};
use nfwhy_parsers::nft::{Const, Expr, Part, Stmt, Verdict};

/// The name of a step.
pub fn of(s: &Stmt<'_>) -> String {
    match s {
        Stmt::Match { left, op, right } => {
            let op = match op {
                RelOp::Eq => "",
                RelOp::Ne => "!=",
                RelOp::Lt => "<",
                RelOp::Le => "<=",
                RelOp::Gt => ">",
                RelOp::Ge => ">=",
                RelOp::Any => "any of",
                RelOp::None => "!",
            };
            format!("nft {} {op} {}", expr(left), right_side(right))
        }
        Stmt::Verdict(v) => format!("nft {}", verdict(v)),
        Stmt::Vmap { key, map } => format!("nft {} vmap {}", expr(key), map_ref(map)),
        Stmt::Counter(_) => "nft counter".into(),
        Stmt::Named(kind, _) => format!("nft {kind} name"),
        Stmt::Log(_) => "nft log".into(),
        Stmt::Set { key, value } => format!("nft {} set {}", expr(key), value_of(value)),
        Stmt::Nat(n) => {
            let mut out = format!("nft {:?}", n.kind).to_lowercase();
            for (has, word) in [
                (n.prefix, " prefix"),
                (n.random, " random"),
                (n.fully_random, " fully-random"),
                (n.persistent, " persistent"),
            ] {
                if has {
                    out += word;
                }
            }
            if let Some(a) = &n.addr {
                out += &format!(" to {}", value_of(a));
            }
            if let Some(p) = &n.port {
                out += &format!(" :{}", value_of(p));
            }
            out
        }
        Stmt::Tproxy(..) => "nft tproxy".into(),
        Stmt::Notrack => "nft notrack".into(),
        Stmt::Reject(how) => format!("nft reject {how:?}"),
        Stmt::Queue(_) => "nft queue".into(),
        Stmt::Update(u) => {
            let with: Vec<String> = u.stmts.iter().map(of).collect();
            format!("nft {:?} @set {}", u.op, with.join(" "))
                .trim()
                .to_owned()
        }
        Stmt::Limit(l) => format!(
            "nft limit{}{}",
            if l.over { " over" } else { "" },
            if l.bytes { " bytes" } else { "" }
        ),
        Stmt::Quota { over, .. } => format!("nft quota{}", if *over { " over" } else { "" }),
        Stmt::Connlimit { over, .. } => format!("nft ct count{}", if *over { " over" } else { "" }),
        Stmt::Flow(_) => "nft flow".into(),
        Stmt::Aside(_) => "nft aside".into(),
        Stmt::Xt(..) => "nft xt".into(),
        Stmt::Opaque(_) => "nft opaque".into(),
    }
}

fn verdict(v: &Verdict<'_>) -> &'static str {
    match v {
        Verdict::Accept => "accept",
        Verdict::Drop => "drop",
        Verdict::Continue => "continue",
        Verdict::Return => "return",
        Verdict::Jump(_) => "jump",
        Verdict::Goto(_) => "goto",
        Verdict::Queue => "queue",
    }
}

fn map_ref(m: &MapRef<'_>) -> &'static str {
    match m {
        MapRef::Named(_) => "@map",
        MapRef::Literal(_) => "{}",
    }
}

fn right_side(e: &Expr<'_>) -> &'static str {
    match e {
        Expr::Part(Part::One(Const::Num(_))) => "N",
        Expr::Part(Part::One(Const::Text(_))) => "text",
        Expr::Part(Part::Range(..)) => "range",
        Expr::Part(Part::Wild(_)) => "text*",
        Expr::Set(_) => "{}",
        Expr::SetRef(_) => "@set",
        Expr::Concat(_) => "N . N",
        _ => "expression",
    }
}

fn value_of(e: &Expr<'_>) -> String {
    match e {
        Expr::Part(Part::One(_)) => "N".into(),
        Expr::Part(_) => "range".into(),
        e => expr(e),
    }
}

fn expr(e: &Expr<'_>) -> String {
    match e {
        Expr::Part(_) => "N".into(),
        Expr::Concat(list) => list.iter().map(expr).collect::<Vec<_>>().join(" . "),
        Expr::Payload(f) => format!("{f:?}"),
        Expr::Raw { base, .. } => format!("@{base:?}").to_lowercase(),
        Expr::TcpOption(_) => "tcp option".into(),
        Expr::Exthdr(_) => "exthdr".into(),
        Expr::Meta(m) => format!("meta {m:?}").to_lowercase(),
        Expr::Ct { reply, key } => {
            let way = match reply {
                None => "",
                Some(false) => "original ",
                Some(true) => "reply ",
            };
            format!("ct {way}{key:?}").to_lowercase()
        }
        Expr::Fib(f) => {
            let mut out = "fib".to_owned();
            for (has, word) in [
                (f.saddr, " saddr"),
                (f.daddr, " daddr"),
                (f.mark, " mark"),
                (f.iif, " iif"),
                (f.oif, " oif"),
            ] {
                if has {
                    out += word;
                }
            }
            format!("{out} {:?}", f.result).to_lowercase()
        }
        Expr::Rt(t) | Expr::Other(t) => t.to_string(),
        Expr::Numgen { random, .. } => if *random {
            "numgen random"
        } else {
            "numgen inc"
        }
        .into(),
        Expr::Jhash { .. } => "jhash".into(),
        Expr::Symhash { .. } => "symhash".into(),
        Expr::SetRef(_) => "@set".into(),
        Expr::Set(_) => "{}".into(),
        Expr::Map { key, map } => format!("{} map {}", expr(key), map_ref(map)),
        Expr::Binary { op, left, .. } => {
            let op = match op {
                BinOp::And => "&",
                BinOp::Or => "|",
                BinOp::Xor => "^",
                BinOp::Shl => "<<",
                BinOp::Shr => ">>",
            };
            format!("{} {op}", expr(left))
        }
        Expr::Opaque(_) => "opaque".into(),
    }
}
