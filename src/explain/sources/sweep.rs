//! Telling all sources apart.

use super::{
    Class, Fare, Kind, Question, Region, Sources, Span, SweepError, WhatIf, add, address, packet,
    watched,
};
use crate::node::Node;
use crate::sim::BitTest;
use crate::trace::Hit;
use nfwhy_parsers::common::bits;
use std::collections::HashMap;
use std::net::IpAddr;

/// Walks after which it is looked whether tests of scattered bits draw the lines.
const PLAIN: usize = 1000;
/// Tests of scattered bits by which classes are made, and classes.
const TESTS: usize = 12;
const CLASSES: usize = 64;

/// Tells all sources apart.
pub fn sweep(node: &Node<'_>, question: &Question) -> Result<Sources, SweepError> {
    let mut s = Sweep {
        node,
        question,
        walks: 0,
        fares: Vec::new(),
        known: HashMap::new(),
        drawn: HashMap::new(),
        asked: Vec::new(),
    };
    // By interval alone, as almost every rule set has it.
    match s.pass(&Class::default(), PLAIN) {
        Ok(pieces) => return Ok(s.whole(pieces)),
        Err(Stop::Scattered) => {}
        Err(Stop::TooMany(e)) => return Err(e),
    }
    loop {
        let tests = s.asked.clone();
        let classes = Class::of(&tests);
        if tests.len() > TESTS || classes.len() > CLASSES {
            return match s.pass(&Class::default(), usize::MAX) {
                Ok(pieces) => Ok(s.whole(pieces)),
                Err(Stop::TooMany(e)) => Err(e),
                Err(Stop::Scattered) => Err(s.too_many(question.packet.dst)),
            };
        }
        match s.all(&classes) {
            Ok(by_class) => return Ok(s.merged(classes, &by_class)),
            Err(Stop::Scattered) => {}
            Err(Stop::TooMany(e)) => return Err(e),
        }
    }
}

/// Why a pass was broken off.
enum Stop {
    /// Tests of scattered bits draw the lines, which are noted.
    Scattered,
    TooMany(SweepError),
}

/// A walked piece, and the index of how it fares.
type Piece = (Span, usize);

struct Sweep<'a, 'n> {
    node: &'a Node<'n>,
    question: &'a Question,
    walks: usize,
    fares: Vec<Fare>,
    known: HashMap<String, usize>,
    drawn: HashMap<Option<Hit>, usize>,
    asked: Vec<BitTest>,
}

impl Sweep<'_, '_> {
    fn end(&self) -> u128 {
        let width = u32::from(self.question.packet.family().bits());
        u128::MAX >> (128 - width)
    }

    fn too_many(&self, at: IpAddr) -> SweepError {
        let by = self.drawn.iter().max_by_key(|(_, n)| **n);
        SweepError::TooMany {
            walks: self.walks,
            at,
            by: by.and_then(|(h, _)| *h).map_or_else(
                || "routes, addresses and sets".to_owned(),
                |h| super::super::names::full_rule(self.node, h),
            ),
        }
    }

    /// All pieces of a class. After `patience` walks it ends where tests of scattered bits were made that were not settled.
    fn pass(&mut self, class: &Class, patience: usize) -> Result<Vec<Piece>, Stop> {
        let family = self.question.packet.family();
        let begun = self.walks;
        let mut pieces = Vec::new();
        let mut next = Some(0);
        while let Some(from) = next {
            let Some(src) = class
                .next(from, self.end())
                .map_err(|()| Stop::TooMany(self.too_many(self.question.packet.dst)))?
                .and_then(|n| address(family, n))
            else {
                break;
            };
            if self.walks >= self.question.walks {
                return Err(Stop::TooMany(self.too_many(src)));
            }
            if self.walks - begun >= patience && !self.asked.is_empty() {
                return Err(Stop::Scattered);
            }
            self.walks += 1;
            let region = if class.tests.is_empty() {
                Region::around(src)
            } else {
                class.region(src)
            };
            let (span, fare, region) = watched(self.node, self.question, region, src);
            *self.drawn.entry(region.drawn_by()).or_default() += 1;
            for test in region.asked() {
                if !self.asked.contains(&test) {
                    self.asked.push(test);
                }
            }
            let at = *self.known.entry(fare.key()).or_insert_with(|| {
                self.fares.push(fare);
                self.fares.len() - 1
            });
            pieces.push((Span { first: src, ..span }, at));
            next = bits(span.last).checked_add(1).filter(|n| *n <= self.end());
        }
        Ok(pieces)
    }

    /// The pieces of every class; broken off where one meets a test that made none.
    fn all(&mut self, classes: &[Class]) -> Result<Vec<Vec<Piece>>, Stop> {
        let settled = self.asked.len();
        let mut out = Vec::new();
        for c in classes {
            out.push(self.pass(c, usize::MAX)?);
            if self.asked.len() > settled {
                return Err(Stop::Scattered);
            }
        }
        Ok(out)
    }

    /// Kinds of sources without classes.
    fn whole(self, pieces: Vec<Piece>) -> Sources {
        let mut kinds = self.kinds();
        for (piece, at) in pieces {
            if let Some(kind) = kinds.get_mut(at) {
                kind.pieces.push(piece);
                add(&mut kind.spans, piece);
            }
        }
        self.finish(kinds, Vec::new())
    }

    /// Kinds of sources: between two ends all alike where the classes agree, else each class for itself.
    fn merged(self, classes: Vec<Class>, by_class: &[Vec<Piece>]) -> Sources {
        let family = self.question.packet.family();
        let end = self.end();
        let mut kinds = self.kinds();
        for (c, pieces) in by_class.iter().enumerate() {
            for (piece, at) in pieces {
                if let Some(kind) = kinds.get_mut(*at) {
                    kind.pieces.push(Span {
                        class: Some(c),
                        ..*piece
                    });
                }
            }
        }
        let mut ends: Vec<u128> = by_class
            .iter()
            .flatten()
            .map(|(s, _)| bits(s.last))
            .collect();
        ends.push(end);
        ends.sort_unstable();
        ends.dedup();
        let mut at = vec![0; by_class.len()];
        let mut first = 0;
        for last in ends {
            let mut here: Vec<(usize, Span, usize)> = Vec::new();
            for (c, pieces) in by_class.iter().enumerate() {
                while at
                    .get(c)
                    .and_then(|i| pieces.get(*i))
                    .is_some_and(|(s, _)| bits(s.last) < first)
                {
                    if let Some(i) = at.get_mut(c) {
                        *i += 1;
                    }
                }
                let piece = at.get(c).and_then(|i| pieces.get(*i));
                let member = classes
                    .get(c)
                    .and_then(|k| k.next(first, last).ok().flatten());
                if let (Some((s, kind)), Some(_)) = (piece, member) {
                    here.push((c, *s, *kind));
                }
            }
            let one = here.first().copied();
            let agree = here
                .iter()
                .all(|(_, s, kind)| one.is_some_and(|(_, t, k)| *kind == k && s.from == t.from));
            let range = address(family, first).zip(address(family, last));
            let many = if agree { 1 } else { here.len() };
            for (c, s, kind) in here.into_iter().take(many) {
                if let (Some((first, last)), Some(kind)) = (range, kinds.get_mut(kind)) {
                    kind.spans.push(Span {
                        first,
                        last,
                        from: s.from,
                        class: (!agree).then_some(c),
                    });
                }
            }
            match last.checked_add(1) {
                Some(n) => first = n,
                None => break,
            }
        }
        for kind in &mut kinds {
            let mut joined = Vec::new();
            kind.spans.sort_by_key(|s| (s.class, s.first));
            for s in kind.spans.drain(..) {
                add(&mut joined, s);
            }
            joined.sort_by_key(|s| (s.first, s.class));
            kind.spans = joined;
        }
        self.finish(kinds, classes)
    }

    fn kinds(&self) -> Vec<Kind> {
        let kind = |fare: &Fare| Kind {
            fare: fare.clone(),
            spans: Vec::new(),
            pieces: Vec::new(),
            packet: self.question.packet.clone(),
        };
        self.fares.iter().map(kind).collect()
    }

    fn finish(self, mut kinds: Vec<Kind>, classes: Vec<Class>) -> Sources {
        // A pass that was broken off may have met some that no other did.
        kinds.retain(|k| !k.spans.is_empty());
        let family = self.question.packet.family();
        for k in &mut kinds {
            let widest = k.spans.iter().max_by_key(|s| s.width());
            let source = widest.and_then(|s| match s.class.and_then(|c| classes.get(c)) {
                Some(c) => address(family, c.next(bits(s.first), bits(s.last)).ok()??),
                None => Some(s.first),
            });
            let packet =
                source.and_then(|s| packet(self.node, self.question, s, &WhatIf::default()).1);
            if let Some(p) = packet {
                k.packet = p;
            }
        }
        kinds.sort_by_key(|k| (k.size(&classes), k.spans.first().map(|s| bits(s.first))));
        Sources {
            question: self.question.clone(),
            kinds,
            classes,
            walks: self.walks,
        }
    }
}
