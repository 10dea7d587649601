//! `gmp-workloads NAME [options]`: the bundled programs.
//!
//! Each program is one file in `programs/`: it states a claim about the scheduler, does its work on a runtime of its own, checks that
//! the work was done right, and reports what it measured. The line in [`registry!`](registry) makes it known to the command line and to `--list`.

mod http;
mod load;
mod loopback;
mod programs;
mod registry;
mod report;
mod web;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Bundled programs for the GMP runtime: each demonstrates one claim and measures it.
#[derive(Debug, Parser)]
#[command(name = "gmp-workloads", version, arg_required_else_help = true)]
struct Args {
    /// List the programs with what they demonstrate
    #[arg(long, exclusive = true)]
    list: bool,

    #[command(flatten)]
    common: report::Common,

    #[command(subcommand)]
    program: Option<registry::Program>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let Some(program) = args.program else {
        let lines = registry::CLAIMS.iter();
        let lines = lines.map(|(name, claim)| format!("{name:<18}{claim}\n"));
        return say(&lines.collect::<String>());
    };
    match program.run(&args.common) {
        Ok(Some(report)) => say(&report.render(&args.common)),
        Ok(None) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("gmp-workloads: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output. Whoever closed it (`head`) has seen enough.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("gmp-workloads: cannot write to standard output: {e}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
