//! The readings of counters: they have their numbers in the streams of the Ms and their places in the order, and are in a table of their own.
//!
//! What a reading counted has no second witness. It must be no less than nothing, there for exactly the counters that the process had, and
//! counted no longer than it was enabled.

use gmp_store::entity::{CounterDef, Process};
use gmp_store::{EventRow, Store};
use gmp_trace::ids::MId;
use rustc_hash::FxHashMap;

use super::Checked;
use crate::counters::{self, MOST, Reading};
use crate::model::Violation;

const RULE: &str = "readings of counters";

/// The readings of a process, in their order.
pub struct Readings<'a> {
    rows: counters::Readings<'a>,
    /// Which counters the process had.
    available: [bool; MOST],
    /// When each M was last heard of.
    last: FxHashMap<MId, i64>,
}

impl<'a> Readings<'a> {
    /// Of a process, before its first event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &'a Store, process: &Process) -> anyhow::Result<Readings<'a>> {
        let mut available = [false; MOST];
        let defined = CounterDef::all(store, process.run)?.into_iter();
        for counter in defined.filter(|c| c.process == process.process) {
            if let Some(known) = available.get_mut(counter.counter as usize) {
                *known = counter.available;
            }
        }
        Ok(Readings {
            rows: counters::Readings::new(store, process.run, process.process),
            available,
            last: FxHashMap::default(),
        })
    }

    /// The next reading that comes before the event with this id.
    pub fn before(&mut self, event: i64) -> Option<Reading> {
        self.rows.before(event)
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
                last.abs_diff(r.ts),
                r.m
            ));
        }
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        // Of events alone `times` says so.
        if self.rows.is_without() {
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
                what: format!(
                    "a reading of {m} before it is {} ns later",
                    last.abs_diff(row.ts)
                ),
            });
        }
    }

    /// Whether all could be read.
    ///
    /// # Errors
    /// When the database could not be read.
    pub fn finish(mut self) -> anyhow::Result<()> {
        Ok(self.rows.finish()?)
    }
}
