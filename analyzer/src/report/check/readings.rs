//! The readings of counters: they have their numbers in the streams of the Ms and their places in the order, and are in a table of their own.
//!
//! What a reading counted has no second witness. It must be no less than nothing, there for exactly the counters that the process had, and
//! counted no longer than it was enabled.

use std::collections::VecDeque;

use gmp_store::entity::{CounterDef, Process};
use gmp_store::rusqlite::{self, Row};
use gmp_store::{EventRow, Store};
use gmp_trace::ids::{GId, MId, PId};
use rustc_hash::FxHashMap;

use super::Checked;
use crate::model::Violation;

const RULE: &str = "readings of counters";

const READINGS: &str = "SELECT rowid, event, ts, m, m_seq, p, g, enabled_ns, running_ns, c0, c1, c2, c3, c4, c5, c6, c7 \
    FROM counter WHERE rowid > ? AND run = ? AND process = ? ORDER BY rowid LIMIT 4096";

/// A reading of an M's counters.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    row: i64,
    /// The event that it comes after.
    pub event: i64,
    /// When.
    pub ts: i64,
    /// The M.
    pub m: MId,
    /// Its number in the stream of the M.
    pub m_seq: u64,
    /// The P that the M holds.
    pub p: Option<PId>,
    /// The G that the M runs.
    pub g: GId,
    enabled_ns: i64,
    running_ns: i64,
    counts: [Option<i64>; 8],
}

impl Reading {
    fn of(row: &Row<'_>) -> rusqlite::Result<Reading> {
        let mut counts = [None; 8];
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
}

/// The readings of a process, in their order.
pub struct Readings<'a> {
    store: &'a Store,
    process: &'a Process,
    fetched: VecDeque<Reading>,
    last_row: i64,
    all_read: bool,
    failed: Option<rusqlite::Error>,
    /// Which counters the process had.
    available: [bool; 8],
    /// When each M was last heard of.
    last: FxHashMap<MId, i64>,
}

impl<'a> Readings<'a> {
    /// Of a process, before its first event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &'a Store, process: &'a Process) -> anyhow::Result<Readings<'a>> {
        let mut available = [false; 8];
        let defined = CounterDef::all(store, process.run)?.into_iter();
        for counter in defined.filter(|c| c.process == process.process) {
            if let Some(known) = available.get_mut(counter.counter as usize) {
                *known = counter.available;
            }
        }
        Ok(Readings {
            store,
            process,
            fetched: VecDeque::new(),
            last_row: 0,
            all_read: false,
            failed: None,
            available,
            last: FxHashMap::default(),
        })
    }

    /// The next reading that comes before the event with this id.
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

    fn fetch(&self) -> rusqlite::Result<VecDeque<Reading>> {
        let key = (self.last_row, self.process.run, self.process.process);
        let mut statement = self.store.db().prepare_cached(READINGS)?;
        statement.query_map(key, Reading::of)?.collect()
    }

    /// Looks at a reading.
    pub fn reading(&mut self, r: &Reading, checked: &mut Checked) {
        let mut wrong = |what: String| {
            checked.add(Violation {
                event: r.event,
                ts: r.ts,
                rule: RULE,
                what: format!("the reading number {} of {}: {what}", r.m_seq, r.m),
            });
        };
        if !(0..=r.enabled_ns).contains(&r.running_ns) {
            wrong(format!(
                "counted for {} ns, and was enabled for {} ns",
                r.running_ns, r.enabled_ns
            ));
        }
        for (i, (count, available)) in r.counts.iter().zip(self.available).enumerate() {
            match count {
                Some(n) if *n < 0 => wrong(format!("c{i} is {n}")),
                Some(_) if !available => wrong(format!("c{i} has a value, and was not available")),
                None if available => wrong(format!("c{i} has no value, and was available")),
                _ => {}
            }
        }
        if let Some(last) = self.last.insert(r.m, r.ts)
            && r.ts < last
        {
            wrong(format!(
                "it is {} ns before what {} did before",
                last - r.ts,
                r.m
            ));
        }
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        // Of events alone `times` says so.
        if self.all_read && self.fetched.is_empty() && self.last_row == 0 {
            return;
        }
        if let Some(last) = self.last.insert(row.m, row.ts)
            && row.ts < last
        {
            let m = row.m;
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule: RULE,
                what: format!("a reading of {m} before it is {} ns later", last - row.ts),
            });
        }
    }

    /// Whether all could be read.
    ///
    /// # Errors
    /// When the database could not be read.
    pub fn finish(self) -> anyhow::Result<()> {
        match self.failed {
            Some(e) => Err(self.store.sql()(e).into()),
            None => Ok(()),
        }
    }
}
