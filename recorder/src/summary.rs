//! What a recording came to, for a person on standard error, or as JSON.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use gmp_store::run::Run;

use crate::cli::{Args, OnFull};

/// Prints the summary that the command line asks for. `names_lost`: names that the spool had no room for.
///
/// # Errors
/// When standard output takes no JSON.
pub fn print(args: &Args, run: &Run, names_lost: u64, ingest: Duration) -> anyhow::Result<()> {
    if !args.quiet {
        talk(args, run, ingest);
    }
    if run.lost > 0 {
        lost(args, run);
    }
    if names_lost > 0 {
        let warning = if may_lose(args, run) { "warning: " } else { "" };
        eprintln!(
            "gmp-record: {warning}names that were lost: {names_lost} (of places in the source, strings, threads, or facts about the program), because the spool had no room for them; reports have `?` in their place; a --spool folder with more room keeps them"
        );
    }
    if args.json {
        to_stdout(&format!("{}\n", json(args, run, names_lost, ingest)))?;
    }
    Ok(())
}

/// Whether it is no failure that something was lost: who asked for `drop` knows that there may be gaps, and whoever recovers a run cannot
/// record it better.
pub fn may_lose(args: &Args, run: &Run) -> bool {
    run.recovered || args.on_full == OnFull::Drop
}

/// Writes to standard output. Whoever closed it (`head`) has seen enough.
///
/// # Errors
/// When it cannot be written.
pub fn to_stdout(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn talk(args: &Args, run: &Run, ingest: Duration) {
    let recovered = if run.recovered { ", recovered" } else { "" };
    let text = format!(
        "gmp-record: run {} in {}: {} events in {:.3} s{recovered}",
        run.run,
        args.output.display(),
        run.events,
        run.duration_ns.unwrap_or(0) as f64 / 1e9
    );
    eprintln!("{text}; into the database in {:.2} s", ingest.as_secs_f64());
    if run.status == "cut" {
        eprintln!("gmp-record: the program was cut off; its last events may be missing");
    }
    for (n, what) in [
        (
            run.blocked_ns / 1_000_000,
            "ms, summed over the program's threads, were spent waiting for room in the spool; a larger --spool-limit, or a --spool folder with more room, gives it more, --on-full drop does not wait",
        ),
        (
            run.unordered,
            "events contradict the others; `gmp-analyze --report check` names them",
        ),
    ] {
        if n > 0 {
            eprintln!("gmp-record: warning: {n} {what}");
        }
    }
    eprintln!(
        "gmp-record: gmp-analyze {} says what happened",
        args.output.display()
    );
}

/// Nobody is to take a trace with gaps for a whole one.
fn lost(args: &Args, run: &Run) {
    let more = "a larger --spool-limit, or a --spool folder with more room, gives it more";
    if may_lose(args, run) {
        if !args.quiet {
            eprintln!(
                "gmp-record: warning: {} events were lost because the spool was full; {more}",
                run.lost
            );
        }
    } else {
        eprintln!(
            "gmp-record: {} events were lost, though their threads were to wait for room: the spool was full, and nothing was given back in time; {more}",
            run.lost
        );
    }
}

fn json(args: &Args, run: &Run, names_lost: u64, ingest: Duration) -> serde_json::Value {
    serde_json::json!({
        "output": args.output,
        "run": run.run,
        "status": run.status,
        "exit_code": run.exit_code,
        "signal": run.signal,
        "duration_s": run.duration_ns.map(|d| d as f64 / 1e9),
        "ingest_s": ingest.as_secs_f64(),
        "events": run.events,
        "lost": run.lost,
        "names_lost": names_lost,
        "blocked_s": run.blocked_ns as f64 / 1e9,
        "unordered": run.unordered,
        "resynced": run.resynced,
        "spool_bytes": run.spool_bytes,
        "procs": run.procs,
        "policy": run.policy,
    })
}
