//! `nfwhy sources`.

use super::Status;
use super::args::{ListFormat, SourcesArgs};
use super::names;
use super::packet::{PacketError, PacketSpec};
use crate::explain::sources::{Question, WALKS, sweep, trace};
use crate::node::Node;
use crate::render;
use crate::trace::{Packet, Trace};
use anyhow::{Context, bail};
use nfwhy_parsers::Family;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;

/// Sources that stand for any, until the sweep puts others in their place: of documentation, so that nobody has them.
const ANY: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

pub(crate) fn run(args: &SourcesArgs) -> anyhow::Result<Status> {
    let mut snapshot = match &args.snapshot {
        Some(path) => super::snapshot(path, &args.place)?,
        None => super::trace::read_live(&args.place, None)?,
    };
    for file in &args.kube {
        snapshot.add_objects(file)?;
    }
    let mut node = Node::new(&snapshot);
    if let Some(name) = &args.iif {
        node.assume_device(name);
    }
    render::write_warnings(&mut anstream::stderr().lock(), &node, false)?;
    let mut out = BufWriter::new(anstream::stdout().lock());
    let status = if args.snapshot.is_none() && !snapshot.unread.is_empty() {
        Status::BadInput
    } else {
        Status::Answered
    };
    let question = question(&node, args)?;
    if let [a, b] = args.compare.as_slice() {
        let pair = [one(&node, &question, a)?, one(&node, &question, b)?];
        compare(&mut out, &node, pair.each_ref(), args.format)?;
    } else {
        let all = sweep(&node, &question)?;
        match args.format {
            ListFormat::Json => render::sources::write(&mut out, &node, &all)?,
            ListFormat::Text => render::text::write_sources(&mut out, &node, &all, &options())?,
        }
    }
    out.flush()?;
    // As in `nfwhy trace`.
    std::mem::forget(node);
    std::mem::forget(snapshot);
    Ok(status)
}

fn options() -> render::text::Options {
    render::text::Options {
        colour: true,
        ..render::text::Options::default()
    }
}

/// The packet without a source, and its device.
fn question(node: &Node<'_>, args: &SourcesArgs) -> anyhow::Result<Question> {
    let dev = match &args.iif {
        None => None,
        Some(name) => Some(
            node.device_by_name(name)
                .with_context(|| format!("no device {name} in the snapshot"))?,
        ),
    };
    let packet = packet(node, args)?;
    Ok(Question {
        packet: Packet {
            src: None,
            ..packet
        },
        dev,
        walks: WALKS,
    })
}

fn packet(node: &Node<'_>, args: &SourcesArgs) -> Result<Packet, PacketError> {
    // Whom a name is asked by decides which of its addresses is meant: somebody outside.
    let by_name = names::is_name(&args.to);
    let door = args
        .iif
        .as_deref()
        .or_else(|| node.devices.first().map(|d| d.name.as_str()))
        .filter(|_| by_name);
    let of = |src: &str| {
        let mut spec = PacketSpec::from_args(Some(src), &args.to, door, door.is_none())?;
        if let Some(m) = &args.mark {
            spec.set_mark(m.clone());
        }
        spec.resolve(node)
    };
    let [v4, v6] = ANY;
    match of(v4) {
        Err(
            PacketError::Families { .. } | PacketError::Name(names::NameError::NoAddress { .. }),
        ) => of(v6),
        other => other,
    }
}

fn one(node: &Node<'_>, question: &Question, text: &str) -> anyhow::Result<Trace> {
    let src: IpAddr = text
        .parse()
        .map(|a: IpAddr| a.to_canonical())
        .with_context(|| format!("--compare {text}: not an IP address"))?;
    if Family::of(src) != question.packet.family() {
        bail!(
            "{src} and {} are of different address families",
            question.packet.dst
        );
    }
    trace(node, question, src).with_context(|| {
        format!("no route leads back to {src}, so it is not known where it comes in; say --in DEV")
    })
}

fn compare(
    out: &mut impl Write,
    node: &Node<'_>,
    pair: [&Trace; 2],
    format: ListFormat,
) -> io::Result<()> {
    match format {
        ListFormat::Json => render::sources::write_parting(out, node, pair),
        ListFormat::Text => render::text::write_parting(out, node, pair, &options()),
    }
}
