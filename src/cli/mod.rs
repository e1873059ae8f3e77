//! Command line: arguments → request → action.

mod args;
#[cfg(target_os = "linux")]
mod capture;
mod expect;
#[cfg(target_os = "linux")]
mod netns;
mod packet;
mod trace;

use args::{Args, Command};
use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

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

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    // Exits with 2 on bad arguments, 0 on --help.
    let args = Args::parse();
    let result = match args.command {
        Command::Trace(a) => trace::run(&a),
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
            let text = crate::render::escape(&format!("{e:#}"));
            let _ = writeln!(anstream::stderr(), "error: {text}");
            Status::BadInput.into()
        }
    }
}
