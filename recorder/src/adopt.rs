//! `--recover --spool DIR`: a spool that no database knows becomes a run: what a program left that ran with `GMP_SPOOL=DIR` and without a
//! recorder, or what a recorder left whose database is gone.
//!
//! Here is only the run's row, as well as its beginning can be told afterwards; the rest is a recovery like others ([`crate::recover`]).

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gmp_store::Store;
use gmp_store::run::Run;
use gmp_trace::clock::Snapshot;
use gmp_trace::spool::control;
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::tables::Entry;
use gmp_trace::version::{ENV_SPOOL, info};

use crate::{begin, clocks, machine, place};

/// The folders of the processes that began to record in `dir`; there is at least one.
///
/// # Errors
/// When there is none, or one still writes.
pub fn processes(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::read_dir(dir).with_context(|| format!("cannot read the spool {}", dir.display()))?;
    let found: Vec<_> = place::processes(dir)?
        .into_iter()
        .filter(|process| control::has_begun(process))
        .collect();
    if found.is_empty() {
        anyhow::bail!(
            "{} is no spool: it has none of the folders (`PID-START`) that programs make in it with {ENV_SPOOL}={}; without --spool, --recover finishes the runs of the database",
            dir.display(),
            dir.display()
        );
    }
    Ok(found)
}

/// Writes the row of a new run whose spool is `dir`, in which `processes` began to record, and where its ingest stands: at its beginning.
pub fn begin(store: &Store, dir: &Path, processes: &[PathBuf]) -> anyhow::Result<Run> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("cannot read the spool {}", dir.display()))?;
    let machine = machine::look();
    let first = processes.first().context("a spool without processes")?;
    let (start, same_boot) = start(&dir, first)?;
    let command = executable(first).unwrap_or_else(|| "?".into());
    let run = Run {
        boot_id: machine.boot_id.clone().filter(|_| same_boot),
        kernel: machine.kernel.clone().filter(|_| same_boot),
        ..begin::row(command.clone(), &[command], &start, &machine)
    };
    store.transaction(|| begin::insert(store, run, &dir))
}

/// What the clocks said when the first process began, as far as that can be told, and whether it was in this boot of the machine.
fn start(dir: &Path, first: &Path) -> anyhow::Result<(Snapshot, bool)> {
    let path = first.join("control");
    let meta =
        std::fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let (_, boottime_ns) = place::identity(first).unwrap_or_default();
    let now = Snapshot::take();
    let made_ns = made_ns(&meta).unwrap_or(now.realtime_ns);
    let booted_ns = now.realtime_ns.saturating_sub(now.boottime_ns);
    let same_boot = made_ns >= booted_ns && boottime_ns <= now.boottime_ns;
    if let Ok(readings) = clocks::read(dir, same_boot)
        && let Some(reading) = readings.first()
    {
        return Ok((*reading, same_boot));
    }
    let since_ns = now.boottime_ns.saturating_sub(boottime_ns);
    let start = if same_boot {
        Snapshot {
            monotonic_ns: now.monotonic_ns.saturating_sub(since_ns),
            realtime_ns: now.realtime_ns.saturating_sub(since_ns),
            boottime_ns,
            ..now
        }
    } else {
        // As if it had never been suspended.
        Snapshot {
            monotonic_ns: boottime_ns,
            realtime_ns: made_ns,
            boottime_ns,
            ..now
        }
    };
    Ok((start, same_boot))
}

/// When a file was made; where that is not kept, when it was last written to.
fn made_ns(meta: &Metadata) -> Option<u64> {
    let made: SystemTime = meta.created().or_else(|_| meta.modified()).ok()?;
    u64::try_from(made.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// The path of the program, as its runtime stated it.
fn executable(process: &Path) -> Option<String> {
    let entries = ProcessSpool::open(process).ok()?.entries;
    entries.into_iter().find_map(|entry| match entry {
        Entry::Info { key, value } if key == info::EXECUTABLE => Some(value),
        _ => None,
    })
}
