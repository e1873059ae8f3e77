//! What nf_tables says over nfnetlink: tables, chains, rules, sets with their elements, objects, flowtables, all of one generation.
//!
//! Rules and elements stay as the kernel sent them: names, handles and attribute bytes (`nf_tables_fill_rule_info`,
//! `nf_tables_fill_setelem` in net/netfilter/nf_tables_api.c). Who wants to know what they do lifts them.

use crate::capture::live::attr::{Numbers as _, attrs, find};
use crate::capture::live::socket::{Messages, Refusal, Request, Socket, nfnetlink};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::borrow::Cow;
use std::collections::HashMap;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u8 = 10;
const GETTABLE: u8 = 1;
const GETCHAIN: u8 = 4;
const GETRULE: u8 = 7;
const GETSET: u8 = 10;
const GETSETELEM: u8 = 13;
const GETGEN: u8 = 16;
const GETOBJ: u8 = 19;
const GETFLOWTABLE: u8 = 23;

/// `NFPROTO_UNSPEC`: of every family.
const ANY_FAMILY: u8 = 0;

/// `struct nfgenmsg` before the attributes.
const HEADER: usize = 4;

/// How often a rule set that changes under the reading is read anew.
const TRIES: usize = 20;

/// The dumps of one generation. [`Self::ruleset`] makes records of them.
#[derive(Debug, Default)]
pub(in crate::capture::live) struct Dumps {
    tables: Messages,
    chains: Messages,
    rules: Messages,
    sets: Messages,
    /// Of each set, in the order of `sets`.
    elements: Vec<Messages>,
    objects: Messages,
    flowtables: Messages,
}

/// A rule set.
#[derive(Clone, Debug, Default)]
pub(in crate::capture::live) struct Ruleset<'a> {
    /// In the kernel's order, which is the order in which they were added.
    pub tables: Vec<Table<'a>>,
}

/// One table.
#[derive(Clone, Debug)]
pub(in crate::capture::live) struct Table<'a> {
    /// `NFPROTO_*`: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    pub name: Cow<'a, str>,
    /// 1 dormant, 2 owner, 4 persist.
    pub flags: u32,
    pub handle: u64,
    pub userdata: &'a [u8],
    pub chains: Vec<Chain<'a>>,
    /// Named and anonymous sets and maps.
    pub sets: Vec<Set<'a>>,
    pub objects: Vec<Object<'a>>,
    pub flowtables: Vec<Flowtable<'a>>,
}

/// One chain.
#[derive(Clone, Debug)]
pub(in crate::capture::live) struct Chain<'a> {
    pub name: Cow<'a, str>,
    pub handle: u64,
    /// A base chain's.
    pub hook: Option<Hook<'a>>,
    /// A base chain's: 0 drop, 1 accept.
    pub policy: Option<u32>,
    /// A base chain's type: `filter`, `nat`, `route`.
    pub kind: Cow<'a, str>,
    /// Packets and bytes that met the policy, where they are counted.
    pub counters: Option<(u64, u64)>,
    /// 1 base, 2 hardware offload, 4 bound to a rule (`jump { ... }`).
    pub flags: u32,
    pub userdata: &'a [u8],
    pub rules: Vec<Rule<'a>>,
}

/// Where a base chain or a flowtable is hooked in.
#[derive(Clone, Debug)]
pub(in crate::capture::live) struct Hook<'a> {
    /// `NF_INET_*`; `NF_NETDEV_*` in netdev tables.
    pub number: u32,
    pub priority: i32,
    pub devices: Vec<Cow<'a, str>>,
}

/// One rule.
#[derive(Clone, Copy, Debug)]
pub(in crate::capture::live) struct Rule<'a> {
    pub handle: u64,
    pub userdata: &'a [u8],
    /// `NFTA_RULE_COMPAT`: protocol and flags, of rules by iptables-nft; empty otherwise.
    pub compat: &'a [u8],
    /// See [`Self::expressions`].
    list: &'a [u8],
}

/// An expression: a step of a rule's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture::live) struct Expression<'a> {
    /// `payload`, `cmp`, `immediate`, `match`, ...
    pub name: &'a [u8],
    /// Its attributes.
    pub data: &'a [u8],
}

/// A set or a map.
#[derive(Clone, Debug, Default)]
pub(in crate::capture::live) struct Set<'a> {
    pub name: Cow<'a, str>,
    pub handle: u64,
    /// `NFT_SET_*`.
    pub flags: u32,
    /// nft's number of the datatype, six bits for each part of a concatenation.
    pub key_type: u32,
    pub key_len: u32,
    /// As `key_type`, `0xffffff00` for verdicts; `None` for a set.
    pub data_type: Option<u32>,
    pub data_len: u32,
    /// `NFT_OBJECT_*` of a map to objects.
    pub object_type: Option<u32>,
    /// 0 performance, 1 memory.
    pub policy: u32,
    pub size: Option<u32>,
    /// Lengths of the parts of a concatenation, where the kernel keeps them.
    pub fields: Vec<u32>,
    /// Milliseconds.
    pub timeout: Option<u64>,
    /// Milliseconds.
    pub gc_interval: Option<u32>,
    pub userdata: &'a [u8],
    /// Run for an element that is found; taken over by each new element.
    pub expressions: Vec<Expression<'a>>,
    pub elements: Vec<Element<'a>>,
}

/// An element of a set or map.
#[derive(Clone, Debug, Default)]
pub(in crate::capture::live) struct Element<'a> {
    /// Empty for the element that matches what no other does.
    pub key: &'a [u8],
    /// End of an interval of concatenations.
    pub key_end: Option<&'a [u8]>,
    pub data: Option<Data<'a>>,
    /// Name of an object.
    pub object: Option<Cow<'a, str>>,
    /// 1 end of an interval, 2 catch-all.
    pub flags: u32,
    /// Milliseconds.
    pub timeout: Option<u64>,
    /// Milliseconds.
    pub expiration: Option<u64>,
    pub userdata: &'a [u8],
    pub expressions: Vec<Expression<'a>>,
}

/// What a register or an element holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::capture::live) enum Data<'a> {
    Value(&'a [u8]),
    Verdict {
        /// As the kernel has it: -1 continue, -3 jump, -4 goto, -5 return, 0 drop, 1 accept.
        code: i32,
        chain: Option<Cow<'a, str>>,
    },
}

/// Counter, quota, limit, ...
#[derive(Clone, Debug)]
pub(in crate::capture::live) struct Object<'a> {
    pub name: Cow<'a, str>,
    pub handle: u64,
    /// `NFT_OBJECT_*`.
    pub kind: u32,
    /// Attributes by kind.
    pub data: &'a [u8],
    pub userdata: &'a [u8],
}

/// A flowtable.
#[derive(Clone, Debug)]
pub(in crate::capture::live) struct Flowtable<'a> {
    pub name: Cow<'a, str>,
    pub handle: u64,
    pub hook: Hook<'a>,
    /// 1 hardware offload, 2 counter.
    pub flags: u32,
}

impl<'a> Rule<'a> {
    /// Its program.
    pub fn expressions(&self) -> impl Iterator<Item = Expression<'a>> + use<'a> {
        list(self.list)
    }
}

/// Expressions of a list (`NFTA_LIST_ELEM`).
pub(in crate::capture::live) fn list(
    bytes: &[u8],
) -> impl Iterator<Item = Expression<'_>> + use<'_> {
    attrs(bytes)
        .filter(|(kind, _)| *kind == 1)
        .filter_map(|(_, v)| expression(v))
}

/// An expression in an attribute of its own.
pub(in crate::capture::live) fn expression(bytes: &[u8]) -> Option<Expression<'_>> {
    Some(Expression {
        name: until_nul(find(bytes, 1)?),
        data: find(bytes, 2).unwrap_or_default(),
    })
}

/// `NFTA_*_DATA`: a value or a verdict.
pub(in crate::capture::live) fn data(bytes: &[u8]) -> Option<Data<'_>> {
    attrs(bytes).find_map(|(kind, v)| match kind {
        1 => Some(Data::Value(v)),
        2 => Some(Data::Verdict {
            code: find(v, 1)?.be32(0)?.cast_signed(),
            chain: find(v, 2).map(text),
        }),
        _ => None,
    })
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

/// A name: up to its NUL.
pub(in crate::capture::live) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(until_nul(bytes))
}

impl Dumps {
    /// Reads the rule set of this thread's network namespace, anew until no generation begins under way.
    pub fn read() -> Result<Self, Refusal> {
        let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
        for _ in 0..TRIES {
            let before = generation(&mut socket)?;
            let dumps = match Self::of(&mut socket) {
                // A table or set went away between its listing and the question about its elements.
                Err(Refusal::Os(Errno::ENOENT)) => continue,
                other => other?,
            };
            if generation(&mut socket)? == before {
                return Ok(dumps);
            }
        }
        Err(Refusal::Changing)
    }

    /// Of messages that no kernel sent.
    #[cfg(test)]
    pub fn of_messages(
        tables: Messages,
        chains: Messages,
        rules: Messages,
        sets: Messages,
        elements: Vec<Messages>,
    ) -> Self {
        Self {
            tables,
            chains,
            rules,
            sets,
            elements,
            ..Self::default()
        }
    }

    fn of(socket: &mut Socket) -> Result<Self, Refusal> {
        let request = Request::nfnetlink(ANY_FAMILY);
        let all =
            |socket: &mut Socket, what| socket.dump(nfnetlink(SUBSYSTEM, what), request.body());
        let tables = all(socket, GETTABLE)?;
        if tables.iter().next().is_none() {
            return Ok(Self::default());
        }
        let sets = all(socket, GETSET)?;
        let mut elements = Vec::new();
        for (_, message) in sets.iter() {
            elements.push(elements_of(socket, message)?);
        }
        Ok(Self {
            tables,
            chains: all(socket, GETCHAIN)?,
            rules: all(socket, GETRULE)?,
            sets,
            elements,
            objects: since_newer(all(socket, GETOBJ))?,
            flowtables: since_newer(all(socket, GETFLOWTABLE))?,
        })
    }

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

/// Kernels from before there were such things do not know the request.
fn since_newer(answer: Result<Messages, Refusal>) -> Result<Messages, Refusal> {
    match answer {
        Err(Refusal::Os(Errno::EINVAL | Errno::EOPNOTSUPP)) => Ok(Messages::default()),
        other => other,
    }
}

fn generation(socket: &mut Socket) -> Result<Option<u32>, Refusal> {
    let request = Request::nfnetlink(ANY_FAMILY);
    let answer = socket.ask(nfnetlink(SUBSYSTEM, GETGEN), request.body())?;
    Ok(answer
        .iter()
        .find_map(|(_, m)| find(m.get(HEADER..)?, 1)?.be32(0)))
}

/// Elements are told for one set at a time (`nf_tables_getsetelem`).
fn elements_of(socket: &mut Socket, set: &[u8]) -> Result<Messages, Refusal> {
    let body = set.get(HEADER..).unwrap_or_default();
    let (Some(family), Some(table), Some(name)) = (set.u8(0), find(body, 1), find(body, 2)) else {
        return Ok(Messages::default());
    };
    let request = Request::nfnetlink(family).attr(1, table).attr(2, name);
    socket.dump(nfnetlink(SUBSYSTEM, GETSETELEM), request.body())
}

/// Puts messages where they belong.
#[derive(Default)]
struct Builder<'a> {
    ruleset: Ruleset<'a>,
    tables: HashMap<(u8, &'a [u8]), usize>,
    /// By table and name.
    chains: HashMap<(usize, &'a [u8]), usize>,
    /// Of the last rule: its table's family and name, its chain's name, and where that chain is. Rules of a chain come together.
    last: Option<(u8, &'a [u8], &'a [u8], usize, usize)>,
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

/// Packets and bytes (`nft_dump_stats`, `nft_counter_do_dump`).
pub(in crate::capture::live) fn counters(bytes: &[u8]) -> Option<(u64, u64)> {
    Some((find(bytes, 2)?.be64(0)?, find(bytes, 1)?.be64(0)?))
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
