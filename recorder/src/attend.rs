//! Waiting for the program, and for the processes it leaves behind; meanwhile spools that get half full are read.

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::Context;
use gmp_store::Store;
use gmp_store::run::Run;
use gmp_trace::clock::Snapshot;
use gmp_trace::spool::{attach, control};

use crate::child::Interrupts;
use crate::ingest::Ingest;
use crate::machine::Machine;
use crate::place;

/// Between two looks at the spools. A look reads one page for each process.
const TICK: Duration = Duration::from_millis(20);

/// What there is when all processes have ended.
pub struct Attended<'a> {
    /// How the program ended.
    pub status: ExitStatus,
    /// As far as it got.
    pub ingest: Ingest<'a>,
}

/// Waits. A second interrupt ends the waiting for processes that the program left behind: they may still write.
pub fn attend<'a>(
    mut child: Child,
    interrupts: &Interrupts,
    store: &'a Store,
    run: &mut Run,
    dir: &'a Path,
    machine: &'a Machine,
    first: &Snapshot,
) -> anyhow::Result<Attended<'a>> {
    let (sender, ended) = mpsc::channel();
    std::thread::Builder::new()
        .name("wait".into())
        .spawn(move || {
            // The other side waits until it has the status.
            let _ = sender.send(child.wait());
        })
        .context("cannot start the thread that waits for the program")?;
    let mut ingest = Ingest::new(store, run, dir, machine)?;
    let (mut status, mut broken, mut more) = (None, false, false);
    let mut interrupted = None;
    loop {
        let pause = if more { Duration::ZERO } else { TICK };
        if status.is_none() {
            status = match ended.recv_timeout(pause) {
                Ok(status) => Some(status.context("cannot wait for the program")?),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("cannot wait for the program"),
            };
        } else {
            std::thread::sleep(pause);
        }
        if let Some(status) = status {
            let living = living(dir)?;
            // Interrupts from before were meant for the program.
            let before = *interrupted.get_or_insert_with(|| {
                if !living.is_empty() {
                    eprintln!(
                        "gmp-record: the program has ended; waiting for its processes {living:?} (Ctrl-C: do not wait)"
                    );
                }
                interrupts.count()
            });
            if living.is_empty() || interrupts.count() > before {
                return Ok(Attended { status, ingest });
            }
        }
        if broken {
            release(dir);
        } else {
            more = match ingest.make_room(run, first) {
                Ok(more) => more,
                Err(e) => {
                    eprintln!(
                        "gmp-record: warning: cannot read the spool while the program runs, and its events stay there up to its limit; what does not fit is lost: {e:#}"
                    );
                    // What was committed stays; the rest is read anew at the end.
                    *run = Run::find(store, &run.run.to_string())?;
                    ingest = Ingest::new(store, run, dir, machine)?;
                    broken = true;
                    false
                }
            };
        }
    }
}

/// No thread of the program is to wait for a recorder that reads nothing.
fn release(dir: &Path) {
    for path in place::processes(dir).unwrap_or_default() {
        // A process that is just beginning is met again at the next look.
        let _ = attach::release(&path);
    }
}

/// The processes that may still write.
fn living(dir: &Path) -> anyhow::Result<Vec<u32>> {
    let processes = place::processes(dir)?;
    Ok(processes
        .iter()
        .filter_map(|path| control::living_writer(path))
        .collect())
}
