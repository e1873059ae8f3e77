//! `nfwhy capture`.

use super::Status;
use super::args::CaptureArgs;
use crate::capture::live::Reading;
use crate::capture::manifest::{self, Manifest, utc};
use crate::capture::{Snapshot, redact, write};
use crate::render::escape;
use anyhow::Context;
use nfwhy_parsers::recognise::Kind;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) fn run(args: &CaptureArgs) -> anyhow::Result<Status> {
    #[expect(clippy::disallowed_methods, reason = "a capture says when it was made")]
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    let mut manifest = Manifest {
        time: utc(seconds),
        ..Manifest::default()
    };
    let mut snapshot = if let Some(path) = &args.snapshot {
        manifest.netns.clone_from(&args.place.netns);
        super::snapshot(path, &args.place)?
    } else {
        args.place.enter()?;
        let [system, release, machine] = ["ostype", "osrelease", "arch"].map(kernel);
        manifest.kernel = format!("{system} {release} {machine}");
        manifest.host = Some(kernel("hostname"));
        manifest.netns = args.place.name();
        Snapshot::from_reading(Reading::of_this_namespace(None))
    };
    snapshot.write_packets_as_text();
    snapshot.name_apart();
    let mut err = anstream::stderr().lock();
    if args.redact {
        manifest.host = None;
        manifest.netns = None;
        manifest.redacted = true;
        for left in redacted(&mut snapshot)? {
            writeln!(err, "not redacted: {}", escape(&left))?;
        }
    }
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| default_path(&manifest));
    let manifest = write::manifest(&snapshot, manifest);
    write::write(&snapshot, &manifest, &path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    for u in &snapshot.unread {
        let text = format!("{}: {} (as root: {})", u.what, u.why, u.command);
        writeln!(err, "not readable: {}", escape(&text))?;
    }
    for r in &snapshot.remarks {
        writeln!(err, "remark: {}", escape(r))?;
    }
    let shown = path.display().to_string();
    writeln!(
        anstream::stdout(),
        "{}: {} files{}",
        escape(&shown),
        snapshot.files.len(),
        match snapshot.unread.len() {
            0 => String::new(),
            n => format!(", {n} not readable (see its manifest.json)"),
        }
    )?;
    Ok(if snapshot.unread.is_empty() {
        Status::Answered
    } else {
        Status::BadInput
    })
}

/// Replaces addresses and names; what could not be.
fn redacted(snapshot: &mut Snapshot) -> anyhow::Result<Vec<String>> {
    snapshot.leave_out_objects();
    let mut files: Vec<_> = snapshot
        .files
        .iter_mut()
        .map(|f| (f.name.clone(), f.kind, std::mem::take(&mut f.text)))
        .collect();
    // The manifest names tables and rules as well.
    let unread = snapshot.unread.iter_mut();
    let said = unread.flat_map(|u| [&mut u.what, &mut u.why, &mut u.command]);
    let mut said: Vec<&mut String> = said.chain(&mut snapshot.remarks).collect();
    for text in &mut said {
        files.push((
            manifest::NAME.to_owned(),
            Kind::Unknown,
            std::mem::take(*text),
        ));
    }
    let report = redact::redact(&mut files).context("cannot redact")?;
    let texts = snapshot.files.iter_mut().map(|f| &mut f.text).chain(said);
    for (to, (_, _, text)) in texts.zip(files) {
        *to = text;
    }
    Ok(report.left)
}

/// What the kernel says of itself below /proc/sys/kernel.
fn kernel(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/kernel/{name}"))
        .map(|s| s.trim_end().to_owned())
        .unwrap_or_default()
}

fn default_path(m: &Manifest) -> PathBuf {
    let host = m.host.as_deref().unwrap_or("node");
    let time: String = m.time.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("nfwhy-{host}-{time}.tar.gz").into()
}
