//! The readings of a process, in their order, from the table `counter`: a few thousand at a time.

use std::collections::VecDeque;

use gmp_store::rusqlite::{self, Row};
use gmp_store::{Store, StoreError};
use gmp_trace::ids::{GId, MId};

use super::{MOST, Values};

const SQL: &str = "SELECT rowid, event, m, m_seq, g, enabled_ns, running_ns, c0, c1, c2, c3, c4, c5, c6, c7 \
    FROM counter WHERE rowid > ? AND run = ? AND process = ? ORDER BY rowid LIMIT 4096";

/// One reading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    row: i64,
    /// The event that precedes it.
    event: i64,
    /// The M that was read.
    pub m: MId,
    /// Its number in the stream of the M.
    pub m_seq: i64,
    /// The G that ran there.
    pub g: GId,
    /// What was counted since the reading before.
    pub values: Values,
}

/// All readings of a process.
pub(super) struct Readings<'a> {
    store: &'a Store,
    run: u32,
    process: u32,
    next: VecDeque<Reading>,
    last_row: i64,
    ended: bool,
    failed: Option<rusqlite::Error>,
}

impl<'a> Readings<'a> {
    /// From the first on.
    pub(super) fn new(store: &'a Store, run: u32, process: u32) -> Readings<'a> {
        Readings {
            store,
            run,
            process,
            next: VecDeque::new(),
            last_row: 0,
            ended: false,
            failed: None,
        }
    }

    /// The next reading, if it precedes this event.
    pub(super) fn before(&mut self, event: i64) -> Option<Reading> {
        if self.next.is_empty() && !self.ended {
            match self.fetch() {
                Ok(found) => self.next = found,
                Err(e) => self.failed = Some(e),
            }
            self.ended = self.next.is_empty();
            self.last_row = self.next.back().map_or(self.last_row, |r| r.row);
        }
        let precedes = self.next.front().is_some_and(|r| r.event < event);
        precedes.then(|| self.next.pop_front()).flatten()
    }

    /// What was refused, if anything was.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.failed
            .take()
            .map_or(Ok(()), |e| Err(self.store.sql()(e)))
    }

    fn fetch(&self) -> rusqlite::Result<VecDeque<Reading>> {
        let mut statement = self.store.db().prepare_cached(SQL)?;
        let rows = statement.query_map((self.last_row, self.run, self.process), reading)?;
        rows.collect()
    }
}

fn reading(row: &Row<'_>) -> rusqlite::Result<Reading> {
    let (enabled, running): (f64, f64) = (row.get(5)?, row.get(6)?);
    let mut values = [None; MOST];
    for (i, value) in values.iter_mut().enumerate() {
        let counted: Option<f64> = row.get(7 + i)?;
        // Counters that took turns on the hardware counted for a part of the time, and stand for all of it.
        *value = match counted {
            Some(n) if running < enabled => (running > 0.0).then(|| n * enabled / running),
            counted => counted,
        };
    }
    Ok(Reading {
        row: row.get(0)?,
        event: row.get(1)?,
        m: MId(row.get(2)?),
        m_seq: row.get(3)?,
        g: GId(row.get::<_, Option<i64>>(4)?.unwrap_or(0) as u64),
        values,
    })
}
