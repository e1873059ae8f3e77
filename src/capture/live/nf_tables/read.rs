//! What `nf_tables` says over nfnetlink: tables, chains, rules, sets with their elements, objects, flowtables, all of one generation.
//!
//! Rules and elements stay as the kernel sent them: names, handles and attribute bytes (`nf_tables_fill_rule_info`,
//! `nf_tables_fill_setelem` in `net/netfilter/nf_tables_api.c`). Who wants to know what they do lifts them.

use crate::capture::live::attr::{Numbers as _, attrs, find};
use crate::capture::live::socket::{Messages, Refusal, Request, Socket, nfnetlink};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;
use std::borrow::Cow;

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
    pub(super) tables: Messages,
    pub(super) chains: Messages,
    pub(super) rules: Messages,
    pub(super) sets: Messages,
    /// Of each set, in the order of `sets`.
    pub(super) elements: Vec<Messages>,
    pub(super) objects: Messages,
    pub(super) flowtables: Messages,
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
    pub(super) list: &'a [u8],
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
        let elements = elements_of_all(socket, &sets)?;
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

/// With fewer sets than that for each, more threads are not worth their sockets.
const SETS_OF_A_THREAD: usize = 256;

/// Most threads that ask.
const THREADS: usize = 8;

/// The elements of each set.
///
/// The kernel looks for a set from the first one of its table on, and does so three times for a request (`nft_set_lookup`, twice
/// `nf_tables_dump_set`). With 10,000 Services there are as many anonymous maps, and all the time goes there; but it takes no lock, so
/// that several can ask at once.
fn elements_of_all(socket: &mut Socket, sets: &Messages) -> Result<Vec<Messages>, Refusal> {
    let all: Vec<&[u8]> = sets.iter().map(|(_, m)| m).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(THREADS).min(all.len() / SETS_OF_A_THREAD);
    if threads < 2 {
        return all.iter().map(|m| elements_of(socket, m)).collect();
    }
    let asked = |first: usize| -> Result<Vec<Messages>, Refusal> {
        let mut socket = Socket::open(SockProtocol::NetlinkNetFilter)?;
        let mine = all.iter().skip(first).step_by(threads);
        mine.map(|m| elements_of(&mut socket, m)).collect()
    };
    let parts = std::thread::scope(|scope| {
        // A thread is born into the network namespace of the one that starts it.
        let started: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || asked(first)))
            .collect();
        started
            .into_iter()
            .map(|t| t.join().unwrap_or(Err(Refusal::Malformed)))
            .collect::<Result<Vec<_>, _>>()
    })?;
    let mut parts: Vec<_> = parts.into_iter().map(Vec::into_iter).collect();
    let mut out = Vec::with_capacity(all.len());
    for n in 0..all.len() {
        let part = parts.get_mut(n % threads).and_then(Iterator::next);
        out.push(part.unwrap_or_default());
    }
    Ok(out)
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

/// Packets and bytes (`nft_dump_stats`, `nft_counter_do_dump`).
pub(in crate::capture::live) fn counters(bytes: &[u8]) -> Option<(u64, u64)> {
    Some((find(bytes, 2)?.be64(0)?, find(bytes, 1)?.be64(0)?))
}
