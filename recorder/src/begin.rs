//! How a run begins in the database, be it a recording or a spool that is adopted: its row, and where its ingest stands.

use std::path::Path;

use gmp_store::Store;
use gmp_store::entity::IngestCursor;
use gmp_store::run::Run;
use gmp_trace::clock::Snapshot;

use crate::machine::Machine;

/// The row of a run that began at `start` on a machine; it has no number yet.
pub fn row(command: String, argv: &[String], start: &Snapshot, machine: &Machine) -> Run {
    Run {
        command,
        argv: serde_json::json!(argv).to_string(),
        status: "recording".into(),
        started_realtime_ns: start.realtime_ns as i64,
        started_boottime_ns: start.boottime_ns as i64,
        started_monotonic_ns: start.monotonic_ns as i64,
        host: machine.host.clone(),
        boot_id: machine.boot_id.clone(),
        kernel: machine.kernel.clone(),
        cpu_model: machine.cpu_model.clone(),
        ingest: "running".into(),
        recorder_version: Some(env!("CARGO_PKG_VERSION").into()),
        ..Run::default()
    }
}

/// Gives a run its number, and writes its row and that nothing of its spool `dir` was read. Part of a transaction.
pub fn insert(store: &Store, mut run: Run, dir: &Path) -> anyhow::Result<Run> {
    run.run = Run::next(store)?;
    run.insert(store)?;
    IngestCursor {
        run: run.run,
        spool: dir.to_string_lossy().into_owned(),
        process: None,
        events: 0,
    }
    .insert(store)?;
    Ok(run)
}
