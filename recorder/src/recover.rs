//! `--recover`: what a recorder that died left in its spools becomes the rows that it would have written.
//!
//! The database names the spools of unfinished runs. The rows that the dead recorder had committed stay, and reading goes on behind them
//! ([`crate::ingest`]); nothing of the spool is removed before the last commit.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gmp_store::Store;
use gmp_store::entity::IngestCursor;
use gmp_store::run::Run;
use gmp_trace::spool::control;

use crate::cli::Args;
use crate::ingest::Ingest;
use crate::{clocks, machine, place, record};

/// Finishes every unfinished run of the database.
pub fn recover(args: &Args) -> anyhow::Result<u8> {
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
    for mut run in unfinished {
        let number = run.run;
        recover_run(args, &store, &mut run)
            .with_context(|| format!("run {number} of {}", args.output.display()))?;
    }
    Ok(0)
}

fn recover_run(args: &Args, store: &Store, run: &mut Run) -> anyhow::Result<()> {
    let cursor = IngestCursor::all(store, run.run)?.pop();
    let dir = cursor.map(|c| PathBuf::from(c.spool)).unwrap_or_default();
    if !dir.is_dir() {
        anyhow::bail!(
            "its spool {} is gone (a spool in memory does not survive a reboot): nothing can be recovered; \
             `sqlite3 {} \"DELETE FROM run WHERE run = {}\"` forgets the run",
            dir.display(),
            args.output.display(),
            run.run
        );
    }
    if let Some(pid) = recorder_of(&dir).filter(|pid| is_recorder(*pid)) {
        anyhow::bail!("gmp-record (process {pid}) is still recording it");
    }
    let processes = place::processes(&dir)?;
    if let Some(pid) = processes.iter().find_map(|p| control::living_writer(p)) {
        anyhow::bail!("process {pid} still writes to its spool; wait for it or end it first");
    }
    let machine = machine::look();
    let clocks = clocks::read(&dir, machine.boot_id == run.boot_id)?;
    run.recovered = true;
    let ingest = Ingest::new(store, run, &dir, &machine)?;
    record::finish(args, run, ingest, &clocks, store, &dir)
}

/// The recorder's process number, which is the last part of the spool's name.
fn recorder_of(dir: &Path) -> Option<u32> {
    dir.file_name()?.to_str()?.rsplit('-').next()?.parse().ok()
}

/// Whether a process is a recorder: the number may have gone to another since.
fn is_recorder(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm"))
        .is_ok_and(|comm| comm.trim() == "gmp-record")
}
