//! From the spool into the database: each process of a run in causal order.
//!
//! # When
//! After the program has ended, one process after the other. A process whose spool gets half full while it runs is read from then on as it
//! goes, and what is in the database makes room in its spool; processes that are read at the same time take turns.
//!
//! # What survives whom
//! Rows are committed in steps, and with them the run's row, its `ingest_cursor` and what was lost. A chunk of the spool is given back only
//! after the commit of its last event. So at any moment the database and the spool together hold everything, and a recorder that dies
//! leaves a database that is whole and says that it is unfinished. Reading goes on from the rows (`process.rs`): the order's state is that of
//! the last row, and each stream begins behind its last event there.
//!
//! A process whose files are damaged or were never made does not keep the run from its end: `unread.rs` says what becomes of it.

mod process;
mod row;
#[cfg(test)]
mod tests;
mod things;
mod unread;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gmp_store::Store;
use gmp_store::entity::{Clock, Process};
use gmp_store::run::Run;
use gmp_trace::clock::{Calibration, Snapshot};
use gmp_trace::spool::control;
use indicatif::ProgressBar;

use crate::machine::Machine;
use crate::place;
use process::ProcessIngest;
pub use unread::Unread;

/// The shortest time between two readings of the clocks that the rate of ticks may be taken from while the program runs. Readings are
/// good to about 100 ns, so that times are good to a millionth.
const BASELINE_NS: u64 = 250_000_000;

/// The ingest of a run.
pub struct Ingest<'a> {
    store: &'a Store,
    dir: &'a Path,
    machine: &'a Machine,
    /// How ticks become times, for all processes of the run; fixed with the first row.
    calibration: Option<Calibration>,
    /// What an earlier recorder left of the processes.
    earlier: Vec<Process>,
    /// The processes that are read, by their folders.
    processes: BTreeMap<PathBuf, ProcessIngest<'a>>,
    next_number: u32,
}

impl<'a> Ingest<'a> {
    /// For the run whose spool is `dir`; goes on where an earlier recorder stopped.
    pub fn new(
        store: &'a Store,
        run: &Run,
        dir: &'a Path,
        machine: &'a Machine,
    ) -> anyhow::Result<Ingest<'a>> {
        let earlier = Process::all(store, run.run)?;
        let calibration = earlier.first().map(|p| row::calibration(p, run));
        let last = earlier.iter().map(|p| p.process).max().unwrap_or(0);
        Ok(Ingest {
            store,
            dir,
            machine,
            calibration,
            earlier,
            processes: BTreeMap::new(),
            next_number: last.saturating_add(1),
        })
    }

    /// While the program runs: reads on where a spool got half full. Whether there is more to do at once. `first` is the first reading of
    /// the clocks.
    pub fn make_room(&mut self, run: &mut Run, first: &Snapshot) -> anyhow::Result<bool> {
        let mut more = false;
        for path in place::processes(self.dir)? {
            if !self.processes.contains_key(&path) {
                if !control::wants_room(&path) {
                    continue;
                }
                if self.calibration.is_none() {
                    let now = Snapshot::take();
                    if now.monotonic_ns.saturating_sub(first.monotonic_ns) < BASELINE_NS {
                        continue;
                    }
                    self.calibration = Some(Calibration::between(first, &now));
                }
                self.open(run, &path)?;
            }
            if let Some(process) = self.processes.get_mut(&path) {
                more |= process.step(run, self.dir)?;
            }
        }
        Ok(more)
    }

    /// Reads all that is left, and finishes the run's row; the processes that could not be read. No process of the run lives. `clocks`
    /// holds at least two readings. `describe` writes what else is told of a run that is done, in the same transaction.
    pub fn finish(
        mut self,
        run: &mut Run,
        clocks: &[Snapshot],
        bar: &ProgressBar,
        describe: impl FnOnce(&Run) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<Unread>> {
        let (Some(first), Some(last)) = (clocks.first(), clocks.last()) else {
            anyhow::bail!("the clocks were never read");
        };
        let calibration = *self
            .calibration
            .get_or_insert_with(|| Calibration::between(first, last));
        run.tick_hz = Some(calibration.hz());
        let mut unread = Vec::new();
        let there = place::processes(self.dir)?;
        for process in self.earlier.iter().filter(|p| !p.finished) {
            let started = process.started_boottime_ns.unwrap_or(0) as u64;
            let path = place::process(self.dir, process.pid, started);
            if !there.contains(&path) {
                unread.push((Unread::gone(path), process.process));
            }
        }
        for path in there {
            let number = self.number_of(&path);
            if !control::has_begun(&path) {
                unread.push((Unread::never_began(&path), number));
            } else if let Err(e) = self.finish_process(run, &path, bar) {
                unread.push((Unread::damaged(&path, e)?, number));
            }
            self.next_number = self.next_number.max(number.saturating_add(1));
        }
        self.store.transaction(|| -> anyhow::Result<()> {
            for (process, number) in &unread {
                process.note(self.store, run, *number, calibration, self.machine)?;
            }
            self.end(run, clocks, calibration)?;
            describe(run)
        })?;
        Ok(unread.into_iter().map(|(process, _)| process).collect())
    }

    fn finish_process(
        &mut self,
        run: &mut Run,
        path: &Path,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        if !self.processes.contains_key(path) {
            self.open(run, path)?;
        }
        if let Some(mut process) = self.processes.remove(path) {
            while process.step(run, self.dir)? {
                bar.set_position(run.events as u64);
            }
            process.finish(run)?;
        }
        Ok(())
    }

    /// The number in the run that the process with this folder has, or gets.
    fn number_of(&self, path: &Path) -> u32 {
        let identity = place::identity(path);
        let earlier = self.earlier.iter().find(|p| {
            let started = p.started_boottime_ns.map(|s| s as u64);
            identity.is_some_and(|(pid, s)| (pid, Some(s)) == (p.pid, started))
        });
        self.processes
            .get(path)
            .map(ProcessIngest::number)
            .or(earlier.map(|p| p.process))
            .unwrap_or(self.next_number)
    }

    fn open(&mut self, run: &mut Run, path: &Path) -> anyhow::Result<()> {
        let Some(calibration) = self.calibration else {
            anyhow::bail!("the clocks were never read");
        };
        let process = ProcessIngest::open(
            self.store,
            run,
            path,
            calibration,
            self.machine,
            &self.earlier,
            self.next_number,
        )?;
        self.next_number = self.next_number.max(process.number().saturating_add(1));
        self.processes.insert(path.to_owned(), process);
        Ok(())
    }

    /// What is known of the run only at its end.
    fn end(
        &self,
        run: &mut Run,
        clocks: &[Snapshot],
        calibration: Calibration,
    ) -> anyhow::Result<()> {
        let forget = |table: &str| {
            let sql = format!("DELETE FROM {table} WHERE run = ?");
            let done = self.store.db().execute(&sql, [run.run]);
            done.map_err(self.store.sql())
                .context("cannot finish the run")
        };
        forget("clock")?;
        for clock in clocks {
            Clock {
                run: run.run,
                at_ns: (clock.monotonic_ns as i64).saturating_sub(run.started_monotonic_ns),
                ticks: clock.ticks as i64,
                monotonic_ns: clock.monotonic_ns as i64,
                monotonic_raw_ns: clock.monotonic_raw_ns as i64,
                boottime_ns: clock.boottime_ns as i64,
                realtime_ns: clock.realtime_ns as i64,
                uncertainty_ns: clock.uncertainty_ticks as f64 * 1e9 / calibration.hz(),
            }
            .insert(self.store)?;
        }
        forget("ingest_cursor")?;
        run.lost = self
            .store
            .db()
            .query_row(
                // Not `sum`, which ends with an error beyond 64 bits: damage can say that so many were lost.
                "SELECT CAST(total(n) AS INTEGER) FROM lost WHERE run = ?",
                [run.run],
                |row| row.get(0),
            )
            .map_err(self.store.sql())
            .context("cannot finish the run")?;
        if run.recovered {
            self.end_unseen(run)?;
        }
        run.ingest = "done".into();
        Ok(run.insert(self.store)?)
    }

    /// Nobody saw how the program ended: what its processes left tells whether they came to their end, and when the last event was.
    fn end_unseen(&self, run: &mut Run) -> anyhow::Result<()> {
        let processes = Process::all(self.store, run.run)?;
        let whole = !processes.is_empty() && processes.iter().all(|p| p.finished);
        run.status = if whole { "ok" } else { "cut" }.into();
        run.duration_ns = self
            .store
            .db()
            .query_row(
                "SELECT max(ts) FROM event WHERE run = ?",
                [run.run],
                |row| row.get(0),
            )
            .map_err(self.store.sql())
            .context("cannot finish the run")?;
        Ok(())
    }
}
