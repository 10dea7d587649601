//! A flamegraph of a program and its children: `gmp-profile --output OUT.svg -- PROGRAM ARGS…`.
//!
//! It is the `flamegraph` crate with its options, and a word beforehand where `perf` cannot sample. Exit codes: 0 when the SVG is written,
//! 1 when it cannot be made, 2 on bad usage.

use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use clap::Parser;
use flamegraph::Workload;

#[derive(Debug, Parser)]
#[command(about = "Samples a program with perf and draws a flamegraph of it.")]
struct Args {
    #[command(flatten)]
    graph: flamegraph::Options,

    /// The program and its arguments.
    #[arg(last = true, required = true)]
    program: Vec<String>,
}

fn main() -> ExitCode {
    match profile(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gmp-profile: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn profile(args: Args) -> anyhow::Result<()> {
    args.graph.check()?;
    // With `--root` it is root who samples.
    if args.graph.root.is_none() {
        check_perf()?;
    }
    flamegraph::generate_flamegraph_for_workload(Workload::Command(args.program), args.graph)
}

/// Samples a program that does nothing, so that what is missing is said before a long one is run.
fn check_perf() -> anyhow::Result<()> {
    let perf = std::env::var("PERF").unwrap_or_else(|_| "perf".to_owned());
    let tried = Command::new(&perf)
        .args(["record", "-q", "-o", "/dev/null", "--", "true"])
        .output()
        .with_context(|| {
            format!(
                "cannot run {perf}, which takes the samples: install it (Debian: linux-perf, Ubuntu: linux-tools-generic, \
                 Fedora: perf), or say where it is in PERF"
            )
        })?;
    if tried.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&tried.stderr);
    let said = said.lines().map(str::trim).find(|line| !line.is_empty());
    bail!(
        "{perf} may not sample here ({}): as root, `sysctl kernel.perf_event_paranoid=1` lets it, if this is no container that forbids it",
        said.unwrap_or("it did not say why")
    )
}
