//! `nfwhy vip`, and packets of protocol `arp`.

use super::Status;
use super::args::{ListFormat, VipArgs};
use crate::capture::Snapshot;
use crate::capture::cluster::Captures;
use crate::node::kube::addresses;
use crate::node::{DevId, Node};
use crate::render;
use crate::render::text::Detail;
use crate::sim::{self, Question, Said};
use crate::vip::{Asked, Place, answer};
use anyhow::{Context, bail};
use std::io::{BufWriter, Write};
use std::net::IpAddr;

pub(crate) fn run(args: &VipArgs) -> anyhow::Result<Status> {
    let captures = captures(args)?;
    let mut beside = captures.beside_as_snapshot();
    for file in &args.kube {
        beside.add_objects(file)?;
    }
    // A pod's own namespace is no node, but what was seen from there counts.
    let nodes: Vec<(&str, Node<'_>)> = captures
        .members
        .iter()
        .filter(|m| m.within.is_none())
        .map(|m| (m.name.as_str(), Node::new(&m.snapshot)))
        .collect();
    let beside_node = Node::new(&beside);
    let mut places: Vec<Place<'_, '_>> = nodes
        .iter()
        .map(|(name, node)| Place { name, node })
        .collect();
    if !beside.files.is_empty() {
        places.push(Place {
            name: "",
            node: &beside_node,
        });
    }
    let mut errors = anstream::stderr().lock();
    for p in &places {
        render::write_warnings(&mut errors, p.node, args.detail)?;
    }
    for (name, why) in &captures.skipped {
        writeln!(
            errors,
            "warning: {}: {}",
            render::escape(name),
            render::escape(why)
        )?;
    }
    drop(errors);
    let asked = Asked {
        addr: address(&args.addr, &places)?,
        from: args.from.map(|a| a.to_canonical()),
        dev: args.iif.clone(),
    };
    if let Some(from) = asked.from
        && from.is_ipv4() != asked.addr.is_ipv4()
    {
        bail!(
            "{from} and {} are of different address families",
            asked.addr
        );
    }
    if let Some(dev) = &asked.dev
        && places.iter().all(|p| p.node.device_by_name(dev).is_none())
    {
        bail!("no device {dev} in the captures");
    }
    let report = answer(&places, &asked);
    let mut out = BufWriter::new(anstream::stdout().lock());
    match args.format {
        ListFormat::Json => render::write_vip(&mut out, &places, &report)?,
        ListFormat::Text => {
            let options = render::text::Options {
                width: 100,
                colour: true,
                detail: if args.detail {
                    Detail::Detail
                } else {
                    Detail::Normal
                },
            };
            render::text::vip(&mut out, &places, &report, &options)?;
        }
    }
    out.flush()?;
    Ok(Status::Answered)
}

/// Of a cluster's folder, of several snapshots, of one, or of the node itself.
fn captures(args: &VipArgs) -> anyhow::Result<Captures> {
    if let Some(dir) = &args.cluster {
        return Ok(Captures::read(dir)?);
    }
    let snapshot = match args.snapshot.as_slice() {
        [] => read_live(args)?,
        [one] => super::snapshot(one, &args.place)?,
        several => return Ok(Captures::of_paths(several)?),
    };
    Ok(Captures {
        members: vec![crate::capture::cluster::Member {
            name: String::new(),
            within: None,
            snapshot,
        }],
        ..Captures::default()
    })
}

#[cfg(target_os = "linux")]
fn read_live(args: &VipArgs) -> anyhow::Result<Snapshot> {
    use crate::capture::live::Reading;
    args.place.enter()?;
    Ok(Snapshot::from_reading(Reading::of_this_namespace(None)))
}

#[cfg(not(target_os = "linux"))]
fn read_live(_: &VipArgs) -> anyhow::Result<Snapshot> {
    bail!("the node itself can be read on Linux alone: give --snapshot PATH or --cluster DIR")
}

/// An address, or the first one of a Service that is named.
fn address(text: &str, places: &[Place<'_, '_>]) -> anyhow::Result<IpAddr> {
    if let Some(name) = text.strip_prefix("svc/") {
        let service = places
            .iter()
            .flat_map(|p| &p.node.kube.services)
            .map(|s| &s.object)
            .find(|s| s.meta.full() == name);
        let Some(service) = service else {
            bail!("no Service {name} in the captured objects of Kubernetes");
        };
        let first = addresses(service).next();
        return Ok(first.with_context(|| format!("{name} has no address"))?.0);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let addr: IpAddr = bare.parse().map_err(|_| {
        anyhow::anyhow!("{text:?} is not an address; give one, or svc/NAMESPACE/NAME")
    })?;
    Ok(addr.to_canonical())
}

/// The question of a packet `{"proto":"arp","src":ASKER,"dst":TARGET,"iif":DEV}`.
pub(super) struct ArpQuestion {
    pub(super) asker: Option<IpAddr>,
    pub(super) target: IpAddr,
    pub(super) dev: DevId,
    pub(super) said: Vec<Said>,
}

/// Asks the node; without a device at the one by which a route leads back to the asker.
pub(super) fn arp(
    node: &Node<'_>,
    asker: Option<IpAddr>,
    target: IpAddr,
    dev: Option<&str>,
) -> Result<ArpQuestion, String> {
    if let Some(asker) = asker
        && asker.is_ipv4() != target.is_ipv4()
    {
        return Err(format!(
            "{asker} and {target} are of different address families"
        ));
    }
    let dev = match (dev, asker) {
        (Some(name), _) => node
            .device_by_name(name)
            .ok_or_else(|| format!("no device {name} in the snapshot"))?,
        (None, Some(asker)) => match sim::way_back(node, asker, target) {
            sim::WayBack::Device(d) => d,
            _ => {
                return Err(format!(
                    "no route leads back to {asker}, so it is not known where it asks; give \"iif\""
                ));
            }
        },
        (None, None) => return Err("where it is asked is missing: give \"iif\"".to_owned()),
    };
    Ok(ArpQuestion {
        asker,
        target,
        dev,
        said: sim::neighbour(node, Question { target, asker, dev }),
    })
}
