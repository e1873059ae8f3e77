//! Writes a large made-up node as a snapshot folder, to try `nfwhy` on:
//!
//! ```text
//! cargo run --release --example kube_node -- DIR [SERVICES ENDPOINTS]
//! ```
//!
//! Without figures: 10,000 services of 5 endpoints each.

use std::io;
use std::path::Path;
use std::process::ExitCode;

#[path = "../benches/support/kube_node.rs"]
mod kube_node;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let written = match arguments[..] {
        [dir] => write(dir, "10000", "5"),
        [dir, services, endpoints] => write(dir, services, endpoints),
        _ => Err(io::Error::other(
            "usage: kube_node DIR [SERVICES ENDPOINTS]",
        )),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("kube_node: {error}\n"));
            ExitCode::from(2)
        }
    }
}

fn write(dir: &str, services: &str, endpoints: &str) -> io::Result<()> {
    let count = |text: &str| text.parse::<usize>().map_err(io::Error::other);
    kube_node::write_node(Path::new(dir), count(services)?, count(endpoints)?)
}
