//! Expressions: operators, concatenations, maps.

use super::keys::Typed;
use super::lex::Tok;
use super::parser::{DEPTH, OPERATORS, Parser};
use super::value::{Stands, Value, guess};
use crate::nft::expr::{BinOp, MapRef};
use crate::nft::{Const, Expr, Part, Type};

/// What the elements of a literal map are mapped to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Data<'t> {
    /// Nothing: a set.
    Nothing,
    Verdict,
    /// One for each component; more may come.
    Value(&'t [Type]),
    /// Names of objects.
    Object,
}

impl<'a> Parser<'a> {
    /// `A . B`, or a map of it. Constants are read by `types`, the data of a map too; without `types` they are read by their looks.
    pub fn concat(&mut self, types: &[Type], depth: u8) -> Option<(Expr<'a>, Vec<Type>)> {
        let (first, ty) = self.binary(types.first().copied(), depth)?;
        let mut given = vec![ty];
        let mut expr = first;
        if self.lex.tok == Tok::Word(".") {
            let mut all = vec![expr];
            while self.lex.eat(".") {
                let (next, ty) = self.binary(types.get(all.len()).copied(), depth)?;
                all.push(next);
                given.push(ty);
            }
            expr = Expr::Concat(all);
        }
        if self.lex.eat("map") {
            let map = Box::new(self.map_ref(&given, Data::Value(types), depth)?);
            let key = Box::new(expr);
            return Some((Expr::Map { key, map }, types.to_vec()));
        }
        Some((expr, given))
    }

    /// `@name` or `{ ... }` behind `map` and `vmap`.
    pub fn map_ref(&mut self, keys: &[Type], data: Data<'_>, depth: u8) -> Option<MapRef<'a>> {
        if self.lex.tok == Tok::Open {
            self.lex.advance();
            return Some(MapRef::Literal(self.literal(keys, data, depth)?));
        }
        let word = self.lex.word_here()?.strip_prefix('@')?;
        // `map @m:80` of a translation.
        if let Some(colon) = word.find(':') {
            self.lex.skip(colon + 1);
            return Some(MapRef::Named(word.get(..colon)?.into()));
        }
        self.lex.advance();
        Some(MapRef::Named(word.into()))
    }

    /// Operators by how tightly they bind (`expr_binop_precedence` in nftables `src/expression.c`), from the left.
    fn binary(&mut self, ty: Option<Type>, depth: u8) -> Option<Typed<'a>> {
        if depth >= DEPTH {
            return None;
        }
        let first = self.primary(ty, depth)?;
        // Operands whose operators bind less tightly than what may still come.
        let mut stack: Vec<(Typed<'a>, BinOp)> = Vec::new();
        let mut top = first;
        let mut count = 0;
        while let Some(op) = self.lex.word_here().and_then(operator) {
            count += 1;
            if count > OPERATORS {
                return None;
            }
            self.lex.advance();
            top = reduce(&mut stack, top, binds(op));
            let of = top.1;
            stack.push((top, op));
            // `meta mark set ip dscp | 0x40`: as wide as what it is written into.
            let wide = |ty: Type| match self.lex.tok {
                Tok::Word(w) => {
                    w.starts_with(|c: char| c.is_ascii_digit())
                        && ty.number(w).is_none()
                        && Type::Integer(128).number(w).is_some()
                }
                _ => false,
            };
            let operand = match op {
                BinOp::Shl | BinOp::Shr => Type::Integer(32),
                _ if wide(of) => Type::Integer(128),
                _ => of,
            };
            top = self.primary(Some(operand), depth)?;
        }
        Some(reduce(&mut stack, top, u8::MAX))
    }

    /// One operand. With a type, what can be a constant of it is one.
    fn primary(&mut self, ty: Option<Type>, depth: u8) -> Option<Typed<'a>> {
        match self.lex.tok {
            Tok::LParen if !ty.is_some_and(Type::is_bitmask) => {
                self.lex.advance();
                let inner = self.binary(ty, depth + 1)?;
                self.expect(Tok::RParen)?;
                return Some(inner);
            }
            Tok::Word(w) => {
                let constant = ty.is_some_and(|ty| ty.number(w).is_some());
                if !constant && let Some(key) = self.key(depth) {
                    return Some(key);
                }
            }
            _ => {}
        }
        match ty {
            Some(ty) => Some((self.constant(ty, Stands::Operand)?.expr(), ty)),
            None => self.untyped(),
        }
    }

    /// A constant among keys, whose type only the set tells: `add @s { ip saddr . 22 }`, `ip saddr . "lo" @s`.
    fn untyped(&mut self) -> Option<Typed<'a>> {
        let ty = match self.lex.tok {
            Tok::Word(w) => guess(w).filter(|ty| ty.number(w).is_some())?,
            Tok::Str(_) => Type::Ifname,
            _ => return None,
        };
        Some((self.constant(ty, Stands::Operand)?.expr(), Type::Invalid))
    }

    /// The right side of a comparison.
    pub fn right(&mut self, types: &[Type], depth: u8) -> Option<Expr<'a>> {
        match self.lex.tok {
            Tok::Open => {
                self.lex.advance();
                return Some(Expr::Set(self.literal(types, Data::Nothing, depth)?));
            }
            Tok::Word(w) if w.starts_with('@') => {
                self.lex.advance();
                return Some(Expr::SetRef(w.strip_prefix('@')?.into()));
            }
            _ => {}
        }
        let mut all = Vec::new();
        loop {
            let ty = types.get(all.len()).copied().unwrap_or(Type::Invalid);
            all.push(self.constant(ty, Stands::Alone).map(Value::expr)?);
            if !self.lex.eat(".") {
                break;
            }
        }
        Some(if all.len() == 1 {
            all.pop()?
        } else {
            Expr::Concat(all)
        })
    }
}

fn operator(word: &str) -> Option<BinOp> {
    Some(match word {
        "&" | "and" => BinOp::And,
        "|" | "or" => BinOp::Or,
        "^" | "xor" => BinOp::Xor,
        "<<" | "lshift" => BinOp::Shl,
        ">>" | "rshift" => BinOp::Shr,
        _ => return None,
    })
}

fn binds(op: BinOp) -> u8 {
    match op {
        BinOp::Shl | BinOp::Shr => 1,
        BinOp::And => 2,
        BinOp::Xor => 3,
        BinOp::Or => 4,
    }
}

/// Joins what binds at least as tightly as `level`.
fn reduce<'a>(stack: &mut Vec<(Typed<'a>, BinOp)>, mut top: Typed<'a>, level: u8) -> Typed<'a> {
    while let Some(((left, ty), op)) = stack.pop_if(|(_, op)| binds(*op) <= level) {
        top = (join(op, left, top.0), ty);
    }
    top
}

/// `left op right`; of two numbers, what comes out.
fn join<'a>(op: BinOp, left: Expr<'a>, right: Expr<'a>) -> Expr<'a> {
    if let (Expr::Part(Part::One(Const::Num(a))), Expr::Part(Part::One(Const::Num(b)))) =
        (&left, &right)
    {
        let shift = u32::try_from(*b).unwrap_or(u32::MAX);
        let n = match op {
            BinOp::And => a & b,
            BinOp::Or => a | b,
            BinOp::Xor => a ^ b,
            BinOp::Shl => a.checked_shl(shift).unwrap_or(0),
            BinOp::Shr => a.checked_shr(shift).unwrap_or(0),
        };
        return Expr::Part(Part::One(Const::Num(n)));
    }
    Expr::Binary {
        op,
        left: Box::new(left),
        right: Box::new(right),
    }
}
