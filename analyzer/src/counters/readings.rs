//! The readings of a process, in their order, from the table `counter`: a few thousand at a time, for there may be as many as events.

use std::collections::VecDeque;

use gmp_store::rusqlite::{self, Row};
use gmp_store::{Store, StoreError};
use gmp_trace::ids::{GId, MId, PId};

use super::{MOST, Values};

const SQL: &str = "SELECT rowid, event, ts, m, m_seq, p, g, enabled_ns, running_ns, c0, c1, c2, c3, c4, c5, c6, c7 \
    FROM counter WHERE rowid > ? AND run = ? AND process = ? ORDER BY rowid LIMIT 4096";

/// A reading of an M's counters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    row: i64,
    /// The event that precedes it.
    pub event: i64,
    /// When, ns since the run's start.
    pub ts: i64,
    /// The M that was read.
    pub m: MId,
    /// Its number in the stream of the M.
    pub m_seq: u64,
    /// The P that the M held.
    pub p: Option<PId>,
    /// The G that ran there.
    pub g: GId,
    /// For how long the counters were enabled since the reading before, ns.
    pub enabled_ns: i64,
    /// For how long of that they counted, ns.
    pub running_ns: i64,
    /// What was counted meanwhile.
    pub counts: [Option<i64>; MOST],
}

impl Reading {
    fn of(row: &Row<'_>) -> rusqlite::Result<Reading> {
        let mut counts = [None; MOST];
        for (i, count) in counts.iter_mut().enumerate() {
            *count = row.get(9 + i)?;
        }
        Ok(Reading {
            row: row.get(0)?,
            event: row.get(1)?,
            ts: row.get(2)?,
            m: MId(row.get(3)?),
            m_seq: row.get::<_, i64>(4)? as u64,
            p: row.get::<_, Option<u32>>(5)?.map(PId),
            g: GId(row.get::<_, Option<i64>>(6)?.unwrap_or(0) as u64),
            enabled_ns: row.get(7)?,
            running_ns: row.get(8)?,
            counts,
        })
    }

    /// What was counted since the reading before.
    pub fn values(&self) -> Values {
        let (enabled, running) = (self.enabled_ns as f64, self.running_ns as f64);
        // Counters that took turns on the hardware counted for a part of the time, and stand for all of it.
        self.counts.map(|count| match count {
            Some(n) if running < enabled => (running > 0.0).then(|| n as f64 * enabled / running),
            count => count.map(|n| n as f64),
        })
    }
}

/// All readings of a process.
pub(crate) struct Readings<'a> {
    store: &'a Store,
    run: u32,
    process: u32,
    fetched: VecDeque<Reading>,
    last_row: i64,
    all_read: bool,
    failed: Option<rusqlite::Error>,
}

impl<'a> Readings<'a> {
    /// From the first on.
    pub fn new(store: &'a Store, run: u32, process: u32) -> Readings<'a> {
        Readings {
            store,
            run,
            process,
            fetched: VecDeque::new(),
            last_row: 0,
            all_read: false,
            failed: None,
        }
    }

    /// The next reading, if it precedes this event.
    pub fn before(&mut self, event: i64) -> Option<Reading> {
        if self.fetched.is_empty() && !self.all_read {
            match self.fetch() {
                Ok(found) => self.fetched = found,
                Err(e) => self.failed = Some(e),
            }
            self.all_read = self.fetched.is_empty();
            self.last_row = self.fetched.back().map_or(self.last_row, |r| r.row);
        }
        let precedes = self.fetched.front().is_some_and(|r| r.event < event);
        precedes.then(|| self.fetched.pop_front()).flatten()
    }

    /// Whether the process has none, as far as [`Readings::before`] found out.
    pub fn is_without(&self) -> bool {
        self.all_read && self.last_row == 0
    }

    /// What was refused, if anything was.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        self.failed
            .take()
            .map_or(Ok(()), |e| Err(self.store.sql()(e)))
    }

    fn fetch(&self) -> rusqlite::Result<VecDeque<Reading>> {
        let mut statement = self.store.db().prepare_cached(SQL)?;
        let rows = statement.query_map((self.last_row, self.run, self.process), Reading::of)?;
        rows.collect()
    }
}
