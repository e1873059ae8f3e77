//! Command line: arguments → request → action.

mod args;
#[cfg(target_os = "linux")]
mod capture;
mod cluster;
mod expect;
mod explain;
mod names;
#[cfg(target_os = "linux")]
mod netns;
mod packet;
mod sources;
mod told;
mod trace;
mod vip;

use crate::capture::Snapshot;
use anyhow::bail;
use args::{Args, Command, Place};
use clap::Parser;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

pub use names::NameError;
pub use packet::{PacketError, PacketSpec};

/// What the program ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// Answered.
    Answered,
    /// An expectation failed.
    Failed,
    /// Bad arguments or unreadable input.
    BadInput,
}

impl From<Status> for ExitCode {
    fn from(s: Status) -> Self {
        match s {
            Status::Answered => ExitCode::SUCCESS,
            Status::Failed => ExitCode::from(1),
            Status::BadInput => ExitCode::from(2),
        }
    }
}

/// The captured state at a path, or from standard input.
fn snapshot(path: &Path, place: &Place) -> anyhow::Result<Snapshot> {
    let netns = place.netns.as_deref();
    if path != Path::new("-") {
        return Ok(Snapshot::read_of(path, netns)?);
    }
    let input = io::stdin().lock();
    if input.is_terminal() {
        bail!(
            "-s - reads standard input, which is the terminal: pipe something into it, or give < FILE"
        );
    }
    Ok(Snapshot::read_stream(input, netns)?)
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    // Exits with 2 on bad arguments, 0 on --help.
    let args = Args::parse();
    let result = match args.command {
        Command::Trace(a) => trace::run(&a),
        Command::Sources(a) => sources::run(&a),
        Command::Explain(a) => explain::run(&a),
        Command::Vip(a) => vip::run(&a),
        #[cfg(target_os = "linux")]
        Command::Capture(a) => capture::run(&a),
        #[cfg(target_os = "linux")]
        Command::Netns(a) => netns::run(&a),
    };
    match result {
        Ok(status) => status.into(),
        Err(e) => {
            // The reader of a pipe has gone: nothing to complain about.
            if e.downcast_ref::<io::Error>()
                .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
            {
                return ExitCode::SUCCESS;
            }
            // Some messages have several lines.
            let text = format!("{e:#}");
            let lines: Vec<String> = text.split('\n').map(crate::render::escape).collect();
            let _ = writeln!(anstream::stderr(), "error: {}", lines.join("\n"));
            Status::BadInput.into()
        }
    }
}
