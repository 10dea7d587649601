//! `--intervals` and `--index`: what the model derives as tables in the database, and indexes for queries by hand.
//!
//! The tables are those of the one interval model; they are never defined a second time in SQL. Writing them anew replaces those of the run.

use std::path::Path;

use gmp_store::EventRow;
use gmp_store::run::Run;
use gmp_store::rusqlite::params;
use gmp_store::{Store, StoreError, schema};
use gmp_trace::ids::ObjectId;
use rustc_hash::FxHashMap;

use crate::counters::{Collector, Values};
use crate::model::{GInterval, GState, MInterval, MState, PInterval, PState, Queue, Sink, Wakeup};
use crate::pass;

/// The tables, and in the comments the texts of `help` for them.
const TABLES: &str = "\
-- What each G did; the intervals of a G tile its life. Written by gmp-analyze --intervals.
CREATE TABLE IF NOT EXISTS g_interval (
  run INTEGER NOT NULL, -- the run
  process INTEGER NOT NULL, -- the process
  g INTEGER NOT NULL, -- the G
  state TEXT NOT NULL, -- running, runnable, waiting, syscall, or unknown where events are missing
  from_ts INTEGER NOT NULL, -- its beginning, ns since the run's start
  to_ts INTEGER NOT NULL, -- its end, ns since the run's start
  reason TEXT, -- how it became runnable, or what it waits for; else NULL
  object INTEGER, -- the thing it waits for; NULL if it has no number
  p INTEGER, -- the P it ran on; NULL while it had none
  m INTEGER, -- the M it ran on; NULL while it had none
  by INTEGER, -- the G that made it runnable; NULL if none did
  event INTEGER NOT NULL, -- id of the event that began it
  c0 REAL, -- what counter 0 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c1 REAL, -- what counter 1 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c2 REAL, -- what counter 2 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c3 REAL, -- what counter 3 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c4 REAL, -- what counter 4 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c5 REAL, -- what counter 5 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c6 REAL, -- what counter 6 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
  c7 REAL -- what counter 7 of counter_def counted in it, less what a reading counts on average (no less than 0; time on a CPU is no more than its length); NULL unless readings bracket it alone
);
-- What each P did. Written by gmp-analyze --intervals.
CREATE TABLE IF NOT EXISTS p_interval (
  run INTEGER NOT NULL, -- the run
  process INTEGER NOT NULL, -- the process
  p INTEGER NOT NULL, -- the P
  state TEXT NOT NULL, -- idle, scheduling, running, syscall, stopped, or unknown where events are missing
  from_ts INTEGER NOT NULL, -- its beginning, ns since the run's start
  to_ts INTEGER NOT NULL, -- its end, ns since the run's start
  g INTEGER, -- the G it ran; else NULL
  m INTEGER -- the M that held it; NULL if none did
);
-- What each M did. Written by gmp-analyze --intervals.
CREATE TABLE IF NOT EXISTS m_interval (
  run INTEGER NOT NULL, -- the run
  process INTEGER NOT NULL, -- the process
  m INTEGER NOT NULL, -- the M
  state TEXT NOT NULL, -- running, syscall, scheduling, spinning, polling, parked, monitoring, or unknown where events are missing
  from_ts INTEGER NOT NULL, -- its beginning, ns since the run's start
  to_ts INTEGER NOT NULL, -- its end, ns since the run's start
  g INTEGER, -- the G it ran; else NULL
  p INTEGER -- the P it held; NULL if none
);
-- The length of a run queue after each change. Written by gmp-analyze --intervals.
CREATE TABLE IF NOT EXISTS queue_length (
  run INTEGER NOT NULL, -- the run
  process INTEGER NOT NULL, -- the process
  ts INTEGER NOT NULL, -- when, ns since the run's start
  p INTEGER, -- the P whose queue it is, runnext included; NULL is the global queue
  length INTEGER NOT NULL -- Gs in it
);
-- Times of each G in all. Written by gmp-analyze --intervals.
CREATE TABLE IF NOT EXISTS g_summary (
  run INTEGER NOT NULL, -- the run
  process INTEGER NOT NULL, -- the process
  g INTEGER NOT NULL, -- the G
  running INTEGER NOT NULL, -- time running, ns
  runnable INTEGER NOT NULL, -- time runnable, ns
  waiting INTEGER NOT NULL, -- time waiting, ns
  syscall INTEGER NOT NULL, -- time in system calls, ns
  starts INTEGER NOT NULL, -- how often it began to run
  worst_latency INTEGER NOT NULL, -- the longest time from runnable to running, ns
  PRIMARY KEY (run, process, g)
) WITHOUT ROWID;
";

const INDEXES: &[(&str, &str)] = &[
    ("event_by_time", "event (run, ts)"),
    ("event_by_g", "event (run, process, g, ts)"),
    ("event_by_kind", "event (run, kind, ts)"),
];

/// Builds the indexes; those that are there stay.
///
/// # Errors
/// When the database cannot be written.
pub fn index(path: &Path) -> Result<(), StoreError> {
    let store = Store::open_writable(path)?;
    for (name, on) in INDEXES {
        let sql = format!("CREATE INDEX IF NOT EXISTS {name} ON {on}");
        store.db().execute_batch(&sql).map_err(store.sql())?;
    }
    Ok(())
}

/// Writes the interval tables of a run.
///
/// # Errors
/// When the database cannot be read or written.
pub fn write(path: &Path, run: &Run) -> Result<(), StoreError> {
    let store = Store::open_writable(path)?;
    store.transaction(|| {
        store.db().execute_batch(TABLES).map_err(store.sql())?;
        for text in schema::help(TABLES) {
            store
                .db()
                .execute(
                    "INSERT OR REPLACE INTO help VALUES (?, ?, ?)",
                    [text.topic, text.name, text.doc],
                )
                .map_err(store.sql())?;
        }
        for table in [
            "g_interval",
            "p_interval",
            "m_interval",
            "queue_length",
            "g_summary",
        ] {
            store
                .db()
                .execute(&format!("DELETE FROM {table} WHERE run = ?"), [run.run])
                .map_err(store.sql())?;
        }
        for process in pass::processes(&store, run)? {
            let mut tables = Tables {
                store: &store,
                run: run.run,
                process: process.process,
                failed: None,
                sums: FxHashMap::default(),
                counters: Collector::of(&store, run, &process)?,
            };
            pass::pass(&store, run, &process, &mut tables)?;
            tables.summaries();
            if let Some(counters) = tables.counters.take() {
                counters.finish()?;
            }
            if let Some(e) = tables.failed {
                return Err(store.sql()(e));
            }
        }
        Ok(())
    })
}

/// Writes rows as they come; the first failure is kept and ends the writing.
struct Tables<'a> {
    store: &'a Store,
    run: u32,
    process: u32,
    failed: Option<gmp_store::rusqlite::Error>,
    /// Running, runnable, waiting, syscall, starts, worst latency.
    sums: FxHashMap<u64, [i64; 6]>,
    counters: Option<Collector<'a>>,
}

impl Tables<'_> {
    fn row(&mut self, sql: &str, values: impl gmp_store::rusqlite::Params) {
        if self.failed.is_none() {
            let written = self
                .store
                .db()
                .prepare_cached(sql)
                .and_then(|mut s| s.execute(values));
            self.failed = written.err();
        }
    }

    fn summaries(&mut self) {
        let mut sums: Vec<_> = std::mem::take(&mut self.sums).into_iter().collect();
        sums.sort_unstable();
        for (g, [running, runnable, waiting, syscall, starts, worst]) in sums {
            self.row(
                "INSERT INTO g_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self.run,
                    self.process,
                    g as i64,
                    running,
                    runnable,
                    waiting,
                    syscall,
                    starts,
                    worst,
                ),
            );
        }
    }
}

impl Sink for Tables<'_> {
    fn event(&mut self, row: &EventRow) {
        if let Some(counters) = &mut self.counters {
            counters.event(row);
        }
    }

    fn g(&mut self, i: &GInterval) {
        let (reason, object) = match i.state {
            GState::Runnable(cause) => (Some(cause.word()), None),
            GState::Waiting(reason, ObjectId(object)) => {
                (Some(reason.word()), (object != 0).then_some(object as i64))
            }
            GState::Running | GState::Syscall | GState::Unknown => (None, None),
        };
        let slot = match i.state {
            GState::Running => Some(0),
            GState::Runnable(_) => Some(1),
            GState::Waiting(..) => Some(2),
            GState::Syscall => Some(3),
            GState::Unknown => None,
        };
        let sums = self.sums.entry(i.g.0).or_default();
        if let Some(slot) = slot {
            sums[slot] += i.to - i.from;
        }
        let by = i.by.is_some().then_some(i.by.0 as i64);
        let of = |m| self.counters.as_ref()?.value(m, i.event).copied();
        let (run, process) = (self.run, self.process);
        let running = i.m.filter(|_| i.state == GState::Running);
        let c: Values = running.and_then(of).unwrap_or_default();
        self.row(
            "INSERT INTO g_interval VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                run,
                process,
                i.g.0 as i64,
                i.state.word(),
                i.from,
                i.to,
                reason,
                object,
                i.p.map(|p| p.0),
                i.m.map(|m| m.0),
                by,
                i.event,
                c[0],
                c[1],
                c[2],
                c[3],
                c[4],
                c[5],
                c[6],
                c[7],
            ],
        );
    }

    fn p(&mut self, i: &PInterval) {
        let g = match i.state {
            PState::Running(g) | PState::Syscall(g) => Some(g.0 as i64),
            _ => None,
        };
        self.row(
            "INSERT INTO p_interval VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.run,
                self.process,
                i.p.0,
                i.state.word(),
                i.from,
                i.to,
                g,
                i.m.map(|m| m.0),
            ),
        );
    }

    fn m(&mut self, i: &MInterval) {
        let g = match i.state {
            MState::Running(g) | MState::Syscall(g) => Some(g.0 as i64),
            _ => None,
        };
        self.row(
            "INSERT INTO m_interval VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self.run,
                self.process,
                i.m.0,
                i.state.word(),
                i.from,
                i.to,
                g,
                i.p.map(|p| p.0),
            ),
        );
    }

    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        let p = match queue {
            Queue::Local(p) => Some(p.0),
            Queue::Global => None,
        };
        self.row(
            "INSERT INTO queue_length VALUES (?, ?, ?, ?, ?)",
            (self.run, self.process, ts, p, len),
        );
    }

    fn wakeup(&mut self, w: &Wakeup) {
        let sum = self.sums.entry(w.g.0).or_default();
        sum[4] += 1;
        sum[5] = sum[5].max(w.latency());
    }
}
