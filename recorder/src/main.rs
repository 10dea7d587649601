//! `gmp-record [OPTIONS] [--] PROGRAM [ARGS…]`: runs a program and keeps all that its runtime did in one SQLite file.
//!
//! The way of a recording: [`cli`] says what is wanted; [`output`] looks at the database's file; [`place`] chooses where the spool goes;
//! [`begin`] makes the run's row; [`child`] runs the program and passes signals; [`attend`] waits for it; [`ingest`] reads the spool in causal
//! order into the database, while the program runs if the spool gets full; [`record`] ties them together and [`summary`] tells what came of
//! it. [`recover`] does the second half after a recorder that died, and [`adopt`] the first where there was none. Whatever happens, what was
//! recorded stays in the spool until it is in the database.

mod adopt;
mod attend;
mod begin;
mod child;
mod cli;
mod clocks;
mod ingest;
mod live;
mod machine;
mod output;
mod place;
mod record;
mod recover;
mod summary;

use std::process::ExitCode;

use clap::Parser;

/// Something went wrong with the recording itself.
const FAILED: u8 = 125;

fn main() -> ExitCode {
    let args = match cli::Args::try_parse() {
        Ok(args) => args,
        Err(e) => {
            let code = if e.use_stderr() { FAILED } else { 0 };
            // A closed pipe is no reason to say more.
            let _ = e.print();
            return ExitCode::from(code);
        }
    };
    match run(&args) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            eprintln!("gmp-record: {e:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(args: &cli::Args) -> anyhow::Result<u8> {
    if let Some(what) = args.generate {
        return summary::to_stdout(&cli::generate(what)?).map(|()| 0);
    }
    if args.policy.as_deref() == Some("help") {
        return summary::to_stdout(&gmp_policy::help()).map(|()| 0);
    }
    if args.recover {
        return recover::recover(args);
    }
    record::record(args)
}
