//! `nfwhy netns`.

use super::Status;
use super::args::{ListFormat, NetnsArgs};
use crate::capture::netns::{Listing, Namespace, list};
use crate::render::escape;
use serde_json::{Value, json};
use std::io::{self, Write};

pub(crate) fn run(args: &NetnsArgs) -> anyhow::Result<Status> {
    let listing = list();
    let mut out = anstream::stdout().lock();
    match args.format {
        ListFormat::Json => {
            writeln!(out, "{}", json_of(&listing))?;
        }
        ListFormat::Text => {
            table(&mut out, &listing)?;
            for u in &listing.unread {
                writeln!(anstream::stderr(), "not read: {}", escape(u))?;
            }
        }
    }
    Ok(Status::Answered)
}

fn json_of(listing: &Listing) -> Value {
    let namespaces: Vec<Value> = listing
        .namespaces
        .iter()
        .map(|n| {
            let processes: Vec<Value> = n
                .processes
                .iter()
                .map(|p| json!({"pid": p.pid, "name": p.name}))
                .collect();
            let mut value = json!({
                "inode": n.inode,
                "names": n.names,
                "current": n.current,
                "processes": processes,
                "addresses": null,
            });
            match &n.addresses {
                Ok(list) => {
                    value["addresses"] = list
                        .iter()
                        .map(|a| {
                            json!({"device": a.device, "address": a.address, "prefix_len": a.prefix_len})
                        })
                        .collect();
                }
                Err(why) => value["error"] = json!(why),
            }
            value
        })
        .collect();
    json!({"schema": "nfwhy.netns/1", "namespaces": namespaces, "unread": listing.unread})
}

/// How many of a list are shown.
const SHOWN: usize = 3;

/// The first few, and how many more.
fn some(list: &[String]) -> String {
    let mut shown = list
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if list.len() > SHOWN {
        shown += &format!(" and {} more", list.len() - SHOWN);
    }
    if shown.is_empty() {
        shown.push('-');
    }
    escape(&shown)
}

fn row(n: &Namespace) -> [String; 3] {
    let mut name = if n.names.is_empty() {
        format!("net:[{}]", n.inode)
    } else {
        some(&n.names)
    };
    if n.current {
        name += " *";
    }
    let processes: Vec<String> = n
        .processes
        .iter()
        .map(|p| format!("{} {}", p.pid, p.name))
        .collect();
    let addresses = match &n.addresses {
        Err(why) => format!("not readable: {}", escape(why)),
        Ok(list) => {
            // Every namespace has loopback; link-local addresses say as little.
            let told: Vec<String> = list
                .iter()
                .filter(|a| !a.address.is_loopback())
                .filter(|a| match a.address {
                    std::net::IpAddr::V6(v6) => !v6.is_unicast_link_local(),
                    std::net::IpAddr::V4(_) => true,
                })
                .map(|a| format!("{}/{} {}", a.address, a.prefix_len, a.device))
                .collect();
            some(&told)
        }
    };
    [name, some(&processes), addresses]
}

fn table(out: &mut impl Write, listing: &Listing) -> io::Result<()> {
    let mut rows = vec![["namespace", "processes", "addresses"].map(str::to_owned)];
    rows.extend(listing.namespaces.iter().map(row));
    let width = |column: usize| {
        let lengths = rows.iter().filter_map(|r| r.get(column));
        lengths.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let (first, second) = (width(0), width(1));
    for [name, processes, addresses] in &rows {
        writeln!(out, "{name:first$}  {processes:second$}  {addresses}")?;
    }
    if listing.namespaces.iter().any(|n| n.current) {
        writeln!(
            out,
            "\n* this process; another one: nfwhy trace --netns NAME, or --pid PID"
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{json_of, table};
    use crate::capture::netns::{Address, Listing, Namespace, Process};

    fn listing() -> Listing {
        let process = |pid, name: &str| Process {
            pid,
            name: name.to_owned(),
        };
        let address = |device: &str, a: [u8; 4], prefix_len| Address {
            device: device.to_owned(),
            address: a.into(),
            prefix_len,
        };
        Listing {
            namespaces: vec![
                Namespace {
                    inode: 4_026_531_840,
                    names: Vec::new(),
                    paths: Vec::new(),
                    processes: vec![
                        process(1, "systemd"),
                        process(70, "kubelet"),
                        process(71, "containerd"),
                        process(80, "sshd"),
                    ],
                    current: true,
                    addresses: Ok(vec![
                        address("lo", [127, 0, 0, 1], 8),
                        address("eth0", [192, 0, 2, 10], 24),
                    ]),
                },
                Namespace {
                    inode: 4_026_532_001,
                    names: vec!["cni-5".into()],
                    paths: Vec::new(),
                    processes: vec![process(900, "pause")],
                    current: false,
                    addresses: Err("not permitted".into()),
                },
            ],
            unread: vec!["namespaces of 3 processes".into()],
        }
    }

    #[test]
    fn the_table_has_a_line_per_namespace() {
        let mut out = Vec::new();
        let _ = table(&mut out, &listing());
        assert_eq!(
            String::from_utf8_lossy(&out),
            "\
namespace           processes                                        addresses
net:[4026531840] *  1 systemd, 70 kubelet, 71 containerd and 1 more  192.0.2.10/24 eth0
cni-5               900 pause                                        not readable: not permitted

* this process; another one: nfwhy trace --netns NAME, or --pid PID
"
        );
    }

    #[test]
    fn what_is_not_readable_is_null_and_not_empty() {
        let json = json_of(&listing());
        assert_eq!(json["schema"], "nfwhy.netns/1");
        assert_eq!(
            json["namespaces"][0]["addresses"][1]["address"],
            "192.0.2.10"
        );
        assert!(json["namespaces"][1]["addresses"].is_null());
        assert_eq!(json["namespaces"][1]["error"], "not permitted");
        assert_eq!(json["unread"][0], "namespaces of 3 processes");
    }
}
