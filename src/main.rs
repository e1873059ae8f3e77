//! The `nfwhy` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    nfwhy::cli::main()
}
