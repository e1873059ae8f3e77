//! `nfwhy explain`.

use super::Status;
use super::args::ExplainArgs;
use crate::explain::{Code, Severity};
use anyhow::bail;
use std::io::{BufWriter, Write};

pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<Status> {
    let mut out = BufWriter::new(anstream::stdout().lock());
    match &args.code {
        None => list(&mut out)?,
        Some(name) => match Code::of(name) {
            Some(code) => one(&mut out, code)?,
            None => bail!("{}", unknown(name)),
        },
    }
    out.flush()?;
    Ok(Status::Answered)
}

fn list(out: &mut impl Write) -> std::io::Result<()> {
    for c in Code::ALL {
        writeln!(out, "{c:22} {}", c.entry().meaning())?;
    }
    writeln!(out, "\nnfwhy explain CODE says more.")
}

fn one(out: &mut impl Write, code: Code) -> std::io::Result<()> {
    let e = code.entry();
    let severity = match e.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    writeln!(out, "{code} ({severity}): {}\n\n{}", e.meaning(), e.text())
}

fn unknown(name: &str) -> String {
    let near: Vec<&str> = Code::near(name).into_iter().map(Code::name).collect();
    if near.is_empty() {
        format!("no finding has the code {name}: `nfwhy explain` lists all")
    } else {
        format!(
            "no finding has the code {name}; near ones are {} (`nfwhy explain` lists all)",
            near.join(", ")
        )
    }
}
