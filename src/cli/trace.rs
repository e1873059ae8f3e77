//! `nfwhy trace`.

use super::Status;
use super::args::{Format, Place, TraceArgs};
use super::expect::Expectation;
use super::packet::PacketSpec;
use crate::capture::Snapshot;
use crate::explain::explain;
use crate::node::Node;
use crate::render;
use crate::render::text::Detail;
use crate::sim::simulate;
use anyhow::{Context, bail};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

pub(crate) fn run(args: &TraceArgs) -> anyhow::Result<Status> {
    let expect = args.expect.as_deref().map(Expectation::parse).transpose()?;
    let one = one_packet(args)?;
    if args.cluster.is_some() || args.snapshot.len() > 1 {
        return super::cluster::run(args, one.as_ref(), expect.as_ref());
    }
    if args.on.is_some() {
        bail!("--on NODE goes with --cluster DIR, or several --snapshot");
    }
    let mut snapshot = match args.snapshot.first() {
        Some(path) if path == Path::new("-") && args.packets.as_deref() == Some(path) => {
            bail!(
                "the snapshot and the packets cannot both be standard input: put one of them into a file"
            )
        }
        Some(path) => super::snapshot(path, &args.place)?,
        None => read_live(&args.place, one.as_ref())?,
    };
    for file in &args.kube {
        snapshot.add_objects(file)?;
    }
    let mut node = Node::new(&snapshot);
    render::write_warnings(&mut anstream::stderr().lock(), &node, args.detail)?;
    let mut out = BufWriter::new(anstream::stdout().lock());
    // Of a capture its maker was told; here it is the reader who may want to run it otherwise.
    let mut status = if args.snapshot.is_empty() && !snapshot.unread.is_empty() {
        Status::BadInput
    } else {
        Status::Answered
    };
    match (one, &args.packets) {
        (Some(spec), _) => {
            let done = answer(&mut out, &mut node, &spec, args, expect.as_ref(), true)?;
            status = worse(status, done);
        }
        (None, Some(file)) => {
            let mut first = true;
            for line in lines(file)? {
                let line = line.with_context(|| format!("cannot read {}", file.display()))?;
                if line.trim().is_empty() {
                    continue;
                }
                if args.format == Format::Text && !first {
                    writeln!(out)?;
                }
                first = false;
                let done = match serde_json::from_str::<PacketSpec>(&line) {
                    Ok(spec) => answer(&mut out, &mut node, &spec, args, expect.as_ref(), false)?,
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
    // The process ends here; giving back the memory of a large node piece by piece would only take time.
    std::mem::forget(node);
    std::mem::forget(snapshot);
    Ok(status)
}

/// The state of the node that this runs on.
#[cfg(target_os = "linux")]
pub(super) fn read_live(place: &Place, one: Option<&PacketSpec>) -> anyhow::Result<Snapshot> {
    use crate::capture::{Unread, live::Reading};
    place.enter()?;
    let ends = one.and_then(PacketSpec::ends).map(|e| [e]);
    let snapshot = Snapshot::from_reading(Reading::of_this_namespace(
        ends.as_ref().map(<[_; 1]>::as_slice),
    ));
    // Without the rules every answer would be one of the routes alone, and wrong on most nodes.
    let of_rules = |u: &Unread| u.command.starts_with("nft ");
    if snapshot.unread.iter().any(of_rules) {
        let mut text = String::new();
        for u in &snapshot.unread {
            text += &format!("\n  {}: {}", u.what, u.why);
        }
        bail!(
            "the rules of this node cannot be read, so nothing can be said of packets. Not readable are:{text}\nRun it as root of the node (sudo nfwhy ...; in a container: privileged, with the host's network), or trace a capture that root has made (nfwhy capture)"
        );
    }
    Ok(snapshot)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_live(_: &Place, _: Option<&PacketSpec>) -> anyhow::Result<Snapshot> {
    bail!(
        "the node itself can be read on Linux alone: give --snapshot PATH, which `nfwhy capture` makes there, or by hand:\n\n{}",
        crate::capture::HOW_TO_CAPTURE
    )
}

pub(super) fn worse(a: Status, b: Status) -> Status {
    match (a, b) {
        (Status::BadInput, _) | (_, Status::BadInput) => Status::BadInput,
        (Status::Failed, _) | (_, Status::Failed) => Status::Failed,
        _ => Status::Answered,
    }
}

fn one_packet(args: &TraceArgs) -> anyhow::Result<Option<PacketSpec>> {
    if args.packets.is_some() {
        return Ok(None);
    }
    let (from, to) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (Some(from.as_str()), to),
        (Some(to), None) if args.from_node => (None, to),
        (Some(_), None) => {
            bail!("FROM alone is not a packet: give FROM and TO (or --from-node TO)")
        }
        (None, _) => bail!("nothing to trace: give FROM and TO, or --packets FILE"),
    };
    let mut spec = PacketSpec::from_args(from, to, args.iif.as_deref(), args.from_node)?;
    if let Some(m) = &args.mark {
        spec.set_mark(m.clone());
    }
    if let Some(s) = &args.ct_state {
        spec.set_ct_state(s.clone());
    }
    Ok(Some(spec))
}

/// Lines of the file; bytes that are not UTF-8 are replaced, so that one bad line does not end the run.
pub(super) fn lines(file: &Path) -> anyhow::Result<impl Iterator<Item = io::Result<String>>> {
    let input: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let f = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(BufReader::new(f))
    };
    Ok(input
        .split(b'\n')
        .map(|l| l.map(|l| String::from_utf8_lossy(&l).into_owned())))
}

pub(super) fn refuse(out: &mut impl Write, format: Format, why: &str) -> io::Result<()> {
    match format {
        Format::Json => render::json::write_error(out, why),
        Format::Text | Format::Minimal => writeln!(out, "error: {}", render::escape(why)),
    }
}

pub(super) fn options(args: &TraceArgs) -> render::text::Options {
    render::text::Options {
        width: 100,
        // The stream strips colours where nobody would see them (a pipe, NO_COLOR).
        colour: true,
        detail: match (args.detail, args.summary) {
            (true, _) => Detail::Detail,
            (_, true) => Detail::Summary,
            _ => Detail::Normal,
        },
    }
}

fn answer(
    out: &mut impl Write,
    node: &mut Node<'_>,
    spec: &PacketSpec,
    args: &TraceArgs,
    expect: Option<&Expectation>,
    only: bool,
) -> anyhow::Result<Status> {
    if let Some(name) = spec.device() {
        node.assume_device(name);
    }
    let node: &Node<'_> = node;
    if spec.is_arp() {
        return answer_arp(out, node, spec, args.format);
    }
    let packet = match spec.resolve(node) {
        Ok(p) => p,
        Err(e) if only && args.format != Format::Json => return Err(e.into()),
        Err(e) => {
            refuse(out, args.format, &e.to_string())?;
            return Ok(Status::BadInput);
        }
    };
    let trace = match simulate(node, &packet) {
        Ok(t) => t,
        Err(e) if only && args.format != Format::Json => return Err(e.into()),
        Err(e) => {
            refuse(out, args.format, &e.to_string())?;
            return Ok(Status::BadInput);
        }
    };
    match args.format {
        Format::Json => render::json::write(out, node, &trace, &explain(node, &trace))?,
        Format::Minimal => render::text::minimal(out, node, &trace)?,
        Format::Text => {
            let found = explain(node, &trace);
            render::text::write(out, node, &trace, &found, &options(args))?;
        }
    }
    let Some(expect) = expect else {
        return Ok(Status::Answered);
    };
    out.flush()?;
    told_differences(&expect.differences(node, &trace))
}

/// Says what is otherwise than `--expect` wants it.
pub(super) fn told_differences(differences: &[String]) -> anyhow::Result<Status> {
    for d in differences {
        writeln!(
            anstream::stderr(),
            "expected otherwise: {}",
            render::escape(d)
        )?;
    }
    Ok(if differences.is_empty() {
        Status::Answered
    } else {
        Status::Failed
    })
}

/// Of a question of ARP: whether the node answers.
fn answer_arp(
    out: &mut impl Write,
    node: &Node<'_>,
    spec: &PacketSpec,
    format: Format,
) -> anyhow::Result<Status> {
    let asked = spec
        .asked()
        .map_err(|e| e.to_string())
        .and_then(|(asker, target)| super::vip::arp(node, asker, target, spec.device()));
    let q = match asked {
        Ok(q) => q,
        Err(why) => {
            refuse(out, format, &why)?;
            return Ok(Status::BadInput);
        }
    };
    if format == Format::Json {
        render::write_arp(out, node, q.asker, q.target, q.dev, &q.said)?;
    } else {
        let line = render::arp_line(node, q.asker, q.target, q.dev, &q.said);
        writeln!(out, "{}", render::escape(&line))?;
    }
    Ok(Status::Answered)
}
