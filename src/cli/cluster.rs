//! `nfwhy trace` through several nodes.

use super::Status;
use super::args::{Format, TraceArgs};
use super::expect::Expectation;
use super::packet::PacketSpec;
use super::trace::{lines, options, refuse, told_differences, worse};
use crate::capture::cluster::Captures;
use crate::cluster::Cluster;
use crate::node::Node;
use crate::render;
use crate::sim::simulate;
use anyhow::{Context, bail};
use std::io::{BufWriter, Write};
use std::path::Path;

/// How many names an error lists.
const NAMED: usize = 30;

pub(crate) fn run(
    args: &TraceArgs,
    one: Option<&PacketSpec>,
    expect: Option<&Expectation>,
) -> anyhow::Result<Status> {
    let mut captures = match &args.cluster {
        Some(dir) => Captures::read(dir)?,
        None if args.snapshot.iter().any(|p| p == Path::new("-")) => {
            bail!("of several --snapshot none can be standard input")
        }
        None => Captures::of_paths(&args.snapshot)?,
    };
    for file in &args.kube {
        captures.add_objects(file)?;
    }
    let mut err = anstream::stderr().lock();
    for (name, why) in &captures.skipped {
        let text = format!("{name} is left out: {why}");
        writeln!(err, "warning: {}", render::escape(&text))?;
    }
    let mut cluster = Cluster::new(&captures);
    for p in &cluster.places {
        if p.node.warnings.is_empty() {
            continue;
        }
        writeln!(err, "of {}:", render::escape(p.name))?;
        render::write_warnings(&mut err, &p.node, args.detail)?;
    }
    drop(err);
    let beside = captures.beside_as_snapshot();
    let beside = Node::new(&beside);
    let mut out = BufWriter::new(anstream::stdout().lock());
    let mut status = Status::Answered;
    match (one, &args.packets) {
        (Some(spec), _) => {
            announce(&mut cluster, &beside, spec);
            status = answer(&mut out, &mut cluster, spec, args, expect, true)?;
        }
        (None, Some(file)) => {
            for line in lines(file)? {
                let line = line.with_context(|| format!("cannot read {}", file.display()))?;
                if line.trim().is_empty() {
                    continue;
                }
                let done = match serde_json::from_str::<PacketSpec>(&line) {
                    Ok(spec) => {
                        announce(&mut cluster, &beside, &spec);
                        answer(&mut out, &mut cluster, &spec, args, expect, false)?
                    }
                    Err(e) => {
                        refuse(&mut out, args.format, &format!("not a packet: {e}"))?;
                        Status::BadInput
                    }
                };
                status = worse(status, done);
            }
        }
        (None, None) => bail!("nothing to trace: give FROM and TO, or --packets"),
    }
    out.flush()?;
    Ok(status)
}

/// Finds out who answers for the packet's destination, where no device has it.
fn announce<'a>(cluster: &mut Cluster<'a>, beside: &Node<'a>, spec: &PacketSpec) {
    if let (_, Some(to)) = spec.addresses()
        && cluster.announcer(to).is_none()
        && let Some(place) = crate::vip::announcer(cluster, beside, to)
    {
        cluster.announced.push((to, place));
    }
}

/// The place at which the packet starts.
fn start(cluster: &Cluster<'_>, spec: &PacketSpec, on: Option<&str>) -> anyhow::Result<usize> {
    let listed = |places: &[usize]| {
        let names: Vec<&str> = places
            .iter()
            .take(NAMED)
            .map(|p| cluster.name(*p))
            .collect();
        names.join(", ")
    };
    let all: Vec<usize> = (0..cluster.places.len()).collect();
    if let Some(name) = on {
        return cluster
            .by_name(name)
            .with_context(|| format!("no node {name:?}; there are {}", listed(&all)));
    }
    let (from, to) = spec.addresses();
    if spec.is_local() && from.is_none() {
        bail!(
            "which node sends the packet? --on NODE says so; there are {}",
            listed(&all)
        );
    }
    let Some(to) = to else {
        bail!(
            "names of Kubernetes do not say at which node the packet starts: --on NODE does; there are {}",
            listed(&all)
        );
    };
    match cluster.starts(from, to, spec.device()).as_slice() {
        [one] => Ok(*one),
        [] => bail!("no node has the device that the packet comes in by"),
        several => bail!(
            "the packet may start at any of {}: --on NODE says at which{}",
            listed(several),
            if from.is_some() {
                " (nfwhy vip tells who answers for an address)"
            } else {
                ""
            }
        ),
    }
}

fn answer(
    out: &mut impl Write,
    cluster: &mut Cluster<'_>,
    spec: &PacketSpec,
    args: &TraceArgs,
    expect: Option<&Expectation>,
    only: bool,
) -> anyhow::Result<Status> {
    match one(out, cluster, spec, args, expect) {
        Ok(status) => Ok(status),
        Err(e) if only && args.format != Format::Json => Err(e),
        Err(e) => {
            // A reader that has gone is no fault of the packet.
            if e.downcast_ref::<std::io::Error>().is_some() {
                return Err(e);
            }
            refuse(out, args.format, &format!("{e:#}"))?;
            Ok(Status::BadInput)
        }
    }
}

fn one(
    out: &mut impl Write,
    cluster: &mut Cluster<'_>,
    spec: &PacketSpec,
    args: &TraceArgs,
    expect: Option<&Expectation>,
) -> anyhow::Result<Status> {
    let place = start(cluster, spec, args.on.as_deref())?;
    if let (Some(name), Some(p)) = (spec.device(), cluster.places.get_mut(place)) {
        p.node.assume_device(name);
    }
    let Some(p) = cluster.places.get(place) else {
        bail!("no such node");
    };
    let packet = spec.resolve(&p.node)?;
    let first = simulate(&p.node, &packet)?;
    let journeys = cluster.journeys(place, &packet)?;
    let findings = cluster.findings(place, &first, &journeys);
    match args.format {
        Format::Json => {
            render::json::write_cluster(out, cluster, place, &first, &journeys, &findings)?;
        }
        Format::Minimal => render::text::minimal_cluster(out, cluster, &journeys)?,
        Format::Text => render::text::write_cluster(
            out,
            cluster,
            place,
            &first,
            &journeys,
            &findings,
            &options(args),
        )?,
    }
    let Some(expect) = expect else {
        return Ok(Status::Answered);
    };
    out.flush()?;
    told_differences(&expect.differences_of_journeys(cluster, &journeys))
}
