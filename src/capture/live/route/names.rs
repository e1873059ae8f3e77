//! The names that `ip` prints for numbers: `lib/rt_names.c` of iproute2 and its files.

use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files lie; newer versions keep the distributor's apart.
const FOLDERS: [&str; 3] = ["/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"];

type Table = HashMap<u32, String>;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    tables: Table,
    protocols: Table,
    scopes: Table,
    realms: Table,
    fields: Table,
    groups: Table,
    ip_protocols: Table,
    users: Table,
    user_groups: Table,
}

const PROTOCOLS: [(u32, &str); 21] = [
    (0, "unspec"),
    (1, "redirect"),
    (2, "kernel"),
    (3, "boot"),
    (4, "static"),
    (8, "gated"),
    (9, "ra"),
    (10, "mrt"),
    (11, "zebra"),
    (12, "bird"),
    (13, "dnrouted"),
    (14, "xorp"),
    (15, "ntk"),
    (16, "dhcp"),
    (18, "keepalived"),
    (42, "babel"),
    (186, "bgp"),
    (187, "isis"),
    (188, "ospf"),
    (189, "rip"),
    (192, "eigrp"),
];
const SCOPES: [(u32, &str); 5] = [
    (0, "global"),
    (200, "site"),
    (253, "link"),
    (254, "host"),
    (255, "nowhere"),
];

fn built_in(list: &[(u32, &str)]) -> Table {
    list.iter().map(|(n, w)| (*n, (*w).to_owned())).collect()
}

/// The lines `NUMBER NAME`, hexadecimal with `0x`; a line that is neither that nor a comment ends the file, as in
/// `fread_id_name`.
fn read_lines(text: &str, table: &mut Table) {
    for line in text.lines() {
        let line = line.trim_start_matches([' ', '\t']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let number = words.next().and_then(|w| match w.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => w.parse().ok(),
        });
        let (Some(number), Some(name)) = (number, words.next()) else {
            return;
        };
        table.insert(number, name.to_owned());
    }
}

fn read_file(path: &Path, table: &mut Table) -> bool {
    match fs::read(path) {
        Ok(bytes) => {
            read_lines(&String::from_utf8_lossy(&bytes), table);
            true
        }
        Err(_) => false,
    }
}

/// The file of the first folder that has it, then the `.conf` files of its `.d` folder.
fn read(name: &str, mut table: Table) -> Table {
    for folder in FOLDERS {
        if read_file(&Path::new(folder).join(name), &mut table) {
            break;
        }
    }
    for folder in FOLDERS {
        let Ok(entries) = fs::read_dir(Path::new(folder).join(format!("{name}.d"))) else {
            continue;
        };
        let mut more: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        more.retain(|p| p.extension().is_some_and(|e| e == "conf"));
        more.sort();
        for path in more {
            read_file(&path, &mut table);
        }
    }
    table
}

/// `/etc/protocols`: `tcp 6 TCP`.
fn ip_protocols() -> Table {
    let text = fs::read_to_string("/etc/protocols").unwrap_or_default();
    let mut table = Table::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        if let (Some(name), Some(Ok(number))) = (words.next(), words.next().map(str::parse)) {
            table.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    table
}

/// `/etc/passwd`, `/etc/group`: the name first, the number third.
fn accounts(path: &str) -> Table {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut table = Table::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(number))) = (fields.next(), fields.nth(1).map(str::parse)) {
            table.entry(number).or_insert_with(|| name.to_owned());
        }
    }
    table
}

/// Prints the name, or the number.
pub(super) struct Named<'a>(Option<&'a str>, u32);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.1),
        }
    }
}

fn of(table: &Table, number: u32) -> Named<'_> {
    Named(table.get(&number).map(String::as_str), number)
}

impl Names {
    /// Those of this machine; what has no file keeps the built-in names.
    pub(super) fn of_this_machine() -> Self {
        Self {
            tables: read(
                "rt_tables",
                built_in(&[(253, "default"), (254, "main"), (255, "local")]),
            ),
            protocols: read("rt_protos", built_in(&PROTOCOLS)),
            scopes: read("rt_scopes", built_in(&SCOPES)),
            realms: read("rt_realms", built_in(&[(0, "unknown")])),
            fields: read("rt_dsfield", Table::new()),
            groups: read("group", built_in(&[(0, "default")])),
            ip_protocols: ip_protocols(),
            users: accounts("/etc/passwd"),
            user_groups: accounts("/etc/group"),
        }
    }

    /// Only those that need no file.
    #[cfg(test)]
    pub(super) fn built_in() -> Self {
        Self {
            tables: built_in(&[(253, "default"), (254, "main"), (255, "local")]),
            protocols: built_in(&PROTOCOLS),
            scopes: built_in(&SCOPES),
            realms: built_in(&[(0, "unknown")]),
            groups: built_in(&[(0, "default")]),
            ip_protocols: built_in(&[(6, "tcp"), (17, "udp")]),
            ..Self::default()
        }
    }

    /// A routing table.
    pub(super) fn table(&self, n: u32) -> Named<'_> {
        of(&self.tables, n)
    }
    /// Who made a route.
    pub(super) fn protocol(&self, n: u8) -> Named<'_> {
        of(&self.protocols, n.into())
    }
    /// A scope.
    pub(super) fn scope(&self, n: u8) -> Named<'_> {
        of(&self.scopes, n.into())
    }
    /// A realm.
    pub(super) fn realm(&self, n: u32) -> Named<'_> {
        of(&self.realms, n)
    }
    /// A group of devices.
    pub(super) fn group(&self, n: u32) -> Named<'_> {
        of(&self.groups, n)
    }
    /// A user.
    pub(super) fn user(&self, n: u32) -> Named<'_> {
        of(&self.users, n)
    }
    /// A user's group.
    pub(super) fn user_group(&self, n: u32) -> Named<'_> {
        of(&self.user_groups, n)
    }
    /// A DS field: a name, or `0x10`.
    pub(super) fn field(&self, n: u8) -> String {
        match self.fields.get(&n.into()) {
            Some(name) => name.clone(),
            None => format!("{n:#04x}"),
        }
    }
    /// An IP protocol: a name, or `ipproto-253`.
    pub(super) fn ip_protocol(&self, n: u8) -> String {
        match self.ip_protocols.get(&n.into()) {
            Some(name) => name.clone(),
            None => format!("ipproto-{n}"),
        }
    }
}
