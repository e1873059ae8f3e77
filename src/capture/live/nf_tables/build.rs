//! Records of dumps.

use super::read::{
    Chain, Data, Dumps, Element, Flowtable, Hook, Object, Rule, Ruleset, Set, Table, counters,
    data, expression, list, text,
};
use crate::capture::live::attr::{Numbers as _, attrs, find};
use crate::capture::live::socket::Messages;
use std::borrow::Cow;
use std::collections::HashMap;

/// `struct nfgenmsg` before the attributes.
const HEADER: usize = 4;

impl Dumps {
    /// Records of it.
    pub fn ruleset(&self) -> Ruleset<'_> {
        let mut builder = Builder::default();
        for (_, m) in self.tables.iter() {
            builder.table(m);
        }
        for (_, m) in self.chains.iter() {
            builder.chain(m);
        }
        for (_, m) in self.rules.iter() {
            builder.rule(m);
        }
        for (i, (_, m)) in self.sets.iter().enumerate() {
            builder.set(m, self.elements.get(i));
        }
        for (_, m) in self.objects.iter() {
            builder.object(m);
        }
        for (_, m) in self.flowtables.iter() {
            builder.flowtable(m);
        }
        builder.ruleset
    }
}

/// Family and name of a table, name of a chain, places of both.
type Last<'a> = (u8, &'a [u8], &'a [u8], usize, usize);

/// Puts messages where they belong.
#[derive(Default)]
struct Builder<'a> {
    ruleset: Ruleset<'a>,
    tables: HashMap<(u8, &'a [u8]), usize>,
    /// By table and name.
    chains: HashMap<(usize, &'a [u8]), usize>,
    /// Of the last rule: its table's family and name, its chain's name, and where that chain is. Rules of a chain come together.
    last: Option<Last<'a>>,
}

impl<'a> Builder<'a> {
    /// The place of the table that a message names in its first attribute.
    fn place(&self, message: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let body = message.get(HEADER..)?;
        let key = (message.u8(0)?, find(body, 1)?);
        Some((*self.tables.get(&key)?, body))
    }

    fn table_of(&mut self, message: &'a [u8]) -> Option<(&mut Table<'a>, &'a [u8])> {
        let (place, body) = self.place(message)?;
        Some((self.ruleset.tables.get_mut(place)?, body))
    }

    fn table(&mut self, message: &'a [u8]) -> Option<()> {
        let family = message.u8(0)?;
        let body = message.get(HEADER..)?;
        let name = find(body, 1)?;
        self.tables
            .insert((family, name), self.ruleset.tables.len());
        self.ruleset.tables.push(Table {
            family,
            name: text(name),
            flags: find(body, 2).and_then(|v| v.be32(0)).unwrap_or_default(),
            handle: find(body, 4).and_then(|v| v.be64(0)).unwrap_or_default(),
            userdata: find(body, 6).unwrap_or_default(),
            chains: Vec::new(),
            sets: Vec::new(),
            objects: Vec::new(),
            flowtables: Vec::new(),
        });
        Some(())
    }

    fn chain(&mut self, message: &'a [u8]) -> Option<()> {
        let (place, body) = self.place(message)?;
        let mut chain = Chain {
            name: Cow::default(),
            handle: 0,
            hook: None,
            policy: None,
            kind: Cow::default(),
            counters: None,
            flags: 0,
            userdata: &[],
            rules: Vec::new(),
        };
        let mut name: &[u8] = &[];
        for (kind, v) in attrs(body) {
            match kind {
                2 => chain.handle = v.be64(0).unwrap_or_default(),
                3 => name = v,
                4 => chain.hook = Some(hook(v)),
                5 => chain.policy = v.be32(0),
                7 => chain.kind = text(v),
                8 => chain.counters = counters(v),
                10 => chain.flags = v.be32(0).unwrap_or_default(),
                12 => chain.userdata = v,
                _ => {}
            }
        }
        chain.name = text(name);
        let table = self.ruleset.tables.get_mut(place)?;
        self.chains.insert((place, name), table.chains.len());
        table.chains.push(chain);
        Some(())
    }

    fn rule(&mut self, message: &'a [u8]) -> Option<()> {
        let family = message.u8(0)?;
        let mut rule = Rule {
            handle: 0,
            userdata: &[],
            compat: &[],
            list: &[],
        };
        let (mut table, mut chain): (&[u8], &[u8]) = (&[], &[]);
        for (kind, v) in attrs(message.get(HEADER..)?) {
            match kind {
                1 => table = v,
                2 => chain = v,
                3 => rule.handle = v.be64(0).unwrap_or_default(),
                4 => rule.list = v,
                5 => rule.compat = v,
                7 => rule.userdata = v,
                _ => {}
            }
        }
        let (at, which) = match self.last {
            Some((f, t, c, at, which)) if (f, t, c) == (family, table, chain) => (at, which),
            _ => {
                let at = *self.tables.get(&(family, table))?;
                (at, *self.chains.get(&(at, chain))?)
            }
        };
        self.last = Some((family, table, chain, at, which));
        let chain = self.ruleset.tables.get_mut(at)?.chains.get_mut(which)?;
        chain.rules.push(rule);
        Some(())
    }

    fn set(&mut self, message: &'a [u8], elements: Option<&'a Messages>) -> Option<()> {
        let (table, body) = self.table_of(message)?;
        let mut set = Set::default();
        for (kind, v) in attrs(body) {
            match kind {
                2 => set.name = text(v),
                3 => set.flags = v.be32(0).unwrap_or_default(),
                4 => set.key_type = v.be32(0).unwrap_or_default(),
                5 => set.key_len = v.be32(0).unwrap_or_default(),
                6 => set.data_type = v.be32(0),
                7 => set.data_len = v.be32(0).unwrap_or_default(),
                8 => set.policy = v.be32(0).unwrap_or_default(),
                9 => {
                    set.size = find(v, 1).and_then(|v| v.be32(0));
                    set.fields = attrs(find(v, 2).unwrap_or_default())
                        .filter_map(|(_, field)| find(field, 1)?.be32(0))
                        .collect();
                }
                11 => set.timeout = v.be64(0),
                12 => set.gc_interval = v.be32(0),
                13 => set.userdata = v,
                15 => set.object_type = v.be32(0),
                16 => set.handle = v.be64(0).unwrap_or_default(),
                // One expression has an attribute of its own, several have a list.
                17 => set.expressions.extend(expression(v)),
                18 => set.expressions = list(v).collect(),
                _ => {}
            }
        }
        for (_, m) in elements.iter().flat_map(|m| m.iter()) {
            let list = find(m.get(HEADER..).unwrap_or_default(), 3).unwrap_or_default();
            set.elements.extend(
                attrs(list)
                    .filter(|(kind, _)| *kind == 1)
                    .map(|(_, v)| element(v)),
            );
        }
        table.sets.push(set);
        Some(())
    }

    fn object(&mut self, message: &'a [u8]) -> Option<()> {
        let (table, body) = self.table_of(message)?;
        table.objects.push(Object {
            name: find(body, 2).map(text).unwrap_or_default(),
            kind: find(body, 3).and_then(|v| v.be32(0)).unwrap_or_default(),
            data: find(body, 4).unwrap_or_default(),
            handle: find(body, 6).and_then(|v| v.be64(0)).unwrap_or_default(),
            userdata: find(body, 8).unwrap_or_default(),
        });
        Some(())
    }

    fn flowtable(&mut self, message: &'a [u8]) -> Option<()> {
        let (table, body) = self.table_of(message)?;
        table.flowtables.push(Flowtable {
            name: find(body, 2).map(text).unwrap_or_default(),
            hook: hook(find(body, 3).unwrap_or_default()),
            handle: find(body, 5).and_then(|v| v.be64(0)).unwrap_or_default(),
            flags: find(body, 7).and_then(|v| v.be32(0)).unwrap_or_default(),
        });
        Some(())
    }
}

/// Of a chain (`nft_dump_basechain_hook`) and of a flowtable (`nf_tables_fill_flowtable_info`), whose numbers agree.
fn hook(bytes: &[u8]) -> Hook<'_> {
    let number = |kind| find(bytes, kind).and_then(|v| v.be32(0));
    let mut devices = Vec::new();
    let mut one = None;
    for (kind, v) in attrs(bytes) {
        match kind {
            // A flowtable has its list here, a chain of one device the device.
            3 if find(v, 1).is_none() => one = Some(text(v)),
            // The list is there in any case, the device where it is the only one.
            3 | 4 => devices = attrs(v).map(|(kind, name)| device(kind, name)).collect(),
            _ => {}
        }
    }
    if devices.is_empty() {
        devices.extend(one);
    }
    // As nft lists them.
    devices.sort();
    Hook {
        number: number(1).unwrap_or_default(),
        priority: number(2).unwrap_or_default().cast_signed(),
        devices,
    }
}

/// A device, or the beginning of devices' names (`NFTA_DEVICE_PREFIX` of newer kernels), which nft writes with a star.
fn device(kind: u16, name: &[u8]) -> Cow<'_, str> {
    let name = text(name);
    if kind == 2 {
        Cow::Owned(format!("{name}*"))
    } else {
        name
    }
}

fn element(bytes: &[u8]) -> Element<'_> {
    let mut e = Element::default();
    let value = |v| match data(v) {
        Some(Data::Value(v)) => Some(v),
        _ => None,
    };
    for (kind, v) in attrs(bytes) {
        match kind {
            1 => e.key = value(v).unwrap_or_default(),
            2 => e.data = data(v),
            3 => e.flags = v.be32(0).unwrap_or_default(),
            4 => e.timeout = v.be64(0),
            5 => e.expiration = v.be64(0),
            6 => e.userdata = v,
            7 => e.expressions.extend(expression(v)),
            9 => e.object = Some(text(v)),
            10 => e.key_end = value(v),
            11 => e.expressions = list(v).collect(),
            _ => {}
        }
    }
    e
}
