//! `--recover`: what a recorder that died left in its spools becomes the rows that it would have written.
//!
//! The database names the spools of unfinished runs. The rows that the dead recorder had committed stay, and reading goes on behind them
//! ([`crate::ingest`]); nothing of the spool is removed before the last commit. Whatever the spool lacks, the run comes to its end, and
//! says what is missing. It does not where the files cannot be read for now, or may be read where they are: then there is an error.

use std::path::{Path, PathBuf};

use gmp_store::Store;
use gmp_store::entity::IngestCursor;
use gmp_store::run::Run;
use gmp_trace::spool::control;

use crate::cli::Args;
use crate::ingest::Ingest;
use crate::{FAILED, adopt, clocks, machine, output, place, record};

/// Finishes every unfinished run of the database, or adds the run that lies in `--spool`; the exit code.
pub fn recover(args: &Args) -> anyhow::Result<u8> {
    if let Some(dir) = &args.spool {
        return recover_spool(args, dir);
    }
    output::check(&args.output)?;
    let store = Store::open_writable(&args.output)?;
    let unfinished: Vec<Run> = Run::list(&store)?
        .into_iter()
        .filter(|run| run.ingest == "running")
        .collect();
    if unfinished.is_empty() {
        eprintln!(
            "gmp-record: every run of {} is complete; there is nothing to recover",
            args.output.display()
        );
        return Ok(0);
    }
    let mut code = 0;
    for mut run in unfinished {
        let number = run.run;
        // One that cannot be finished keeps none of the others from it.
        let whole = recover_run(args, &store, &mut run).unwrap_or_else(|e| {
            eprintln!(
                "gmp-record: run {number} of {}: {e:#}",
                args.output.display()
            );
            false
        });
        if !whole {
            code = FAILED;
        }
    }
    Ok(code)
}

fn recover_spool(args: &Args, dir: &Path) -> anyhow::Result<u8> {
    output::prepare(&args.output, args.force)?;
    let processes = adopt::processes(dir)?;
    is_at_rest(dir)?;
    let store = Store::create_or_open(&args.output)?;
    let mut run = adopt::begin(&store, dir, &processes)?;
    let whole = recover_run(args, &store, &mut run)?;
    Ok(if whole { 0 } else { FAILED })
}

/// Makes sure that nobody records into a spool or reads it any more.
fn is_at_rest(dir: &Path) -> anyhow::Result<()> {
    if let Some(pid) = recorder_of(dir).filter(|pid| is_recorder(*pid)) {
        anyhow::bail!("gmp-record (process {pid}) is still recording it");
    }
    let processes = place::processes(dir)?;
    if let Some(pid) = processes.iter().find_map(|p| control::living_writer(p)) {
        anyhow::bail!("process {pid} still writes to its spool; wait for it or end it first");
    }
    Ok(())
}

/// Finishes a run; whether all of it is there now.
fn recover_run(args: &Args, store: &Store, run: &mut Run) -> anyhow::Result<bool> {
    let cursor = IngestCursor::all(store, run.run)?.pop();
    let dir = cursor.map(|c| PathBuf::from(c.spool)).unwrap_or_default();
    is_at_rest(&dir)?;
    let machine = machine::look();
    let is_gone = !dir.is_dir();
    if let (true, Some(host)) = (is_gone && run.host != machine.host, &run.host) {
        anyhow::bail!(
            "its spool {} is not here: it was recorded on {host}, where --recover may find it",
            dir.display()
        );
    }
    if is_gone {
        eprintln!(
            "gmp-record: the spool {} of run {} is gone (one in memory does not survive a reboot): what is in the database is all there is",
            dir.display(),
            run.run
        );
    }
    let same_boot = machine.boot_id == run.boot_id;
    let clocks = clocks::read(&dir, same_boot).unwrap_or_else(|e| {
        if !is_gone {
            eprintln!(
                "gmp-record: warning: {e:#}; the times of run {} are guessed",
                run.run
            );
        }
        clocks::guess(run, same_boot)
    });
    run.recovered = true;
    let ingest = Ingest::new(store, run, &dir, &machine)?;
    let whole = record::finish(args, run, ingest, &clocks, store, &dir)?;
    Ok(whole && !is_gone)
}

/// The recorder's process number, which is the last part of the spool's name.
fn recorder_of(dir: &Path) -> Option<u32> {
    dir.file_name()?.to_str()?.rsplit('-').next()?.parse().ok()
}

/// Whether a process is a recorder: the number may have gone to another since, and a zombie records nothing any more.
fn is_recorder(pid: u32) -> bool {
    control::is_alive(pid)
        && std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim() == "gmp-record")
}
