//! How far the events can be trusted: where some may be missing, and what is known again after that.
//!
//! A gap of one M puts everything in doubt, because what it did there may have moved any G, P or queue: from its last event before the gap,
//! which others may come to know of at once, to its first one after it. Then each thing is in doubt until an event says what it is: a
//! status event, or one that follows only from one state. [`Trust::epoch`] counts the gaps; what was established in an earlier epoch is
//! in doubt.
//!
//! A state that was established lasts for certain until the first gap after that begins ([`Trust::unsure_since`]): from then on an event that
//! ended it may be missing. Whether one is, the next event about the same subject can tell.
//!
//! The steps that the threads of a killed process did not come to record show as events that could only be placed by their time: from the
//! first of these on everything is in doubt there.

use gmp_store::entity::{Lost, M, Process};
use gmp_store::rusqlite;
use gmp_store::{EventRow, Store, StoreError};
use gmp_trace::ids::MId;
use rustc_hash::{FxHashMap, FxHashSet};

/// An M whose first events were lost did something from its start on; the thread that saw it may have read the clock this much before.
const STALL_NS: i64 = 20_000_000;
/// The most readings of counters between two events of an M, which are not in the table of events.
const READINGS: u64 = 2;

/// Events of one M that are missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// Number of the last event before them in the table of events; none if they are the first.
    after: Option<u64>,
    /// Number of the first event after them; none if they are the last.
    until: Option<u64>,
    /// Not before this time.
    since: i64,
    /// Whether it has begun.
    open: bool,
}

/// What is missing of a process.
#[derive(Debug, Default)]
pub struct Missing {
    /// Something is, and nobody knows where.
    anywhere: bool,
    gaps: FxHashMap<MId, Vec<Gap>>,
    /// Events that were placed by their time, in order.
    resynced: Vec<i64>,
    /// Whether the process was cut: what is missing then never comes.
    cut: bool,
}

impl Missing {
    /// Something may be missing everywhere.
    pub fn anywhere() -> Missing {
        Missing {
            anywhere: true,
            ..Missing::default()
        }
    }

    /// What the database says.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn of(store: &Store, process: &Process) -> Result<Missing, StoreError> {
        let mut missing = Missing {
            cut: !process.finished,
            resynced: resynced(store, process)?,
            ..Missing::default()
        };
        let lost = Lost::all(store, process.run)?;
        let lost: Vec<_> = lost
            .into_iter()
            .filter(|l| l.process == process.process)
            .collect();
        if lost.is_empty() {
            return Ok(missing);
        }
        let last = last_numbers(store, process)?;
        let started: FxHashMap<u32, Option<i64>> = M::all(store, process.run)?
            .into_iter()
            .filter(|m| m.process == process.process)
            .map(|m| (m.m, m.start_ts))
            .collect();
        for l in lost {
            let (Some(m), Some(n)) = (l.m, l.n) else {
                missing.anywhere = true;
                continue;
            };
            let until = l.before_m_seq.map(|b| b as u64);
            let after = match until {
                Some(before) => before.saturating_sub(n as u64).checked_sub(1),
                None => last.get(&m).copied(),
            };
            let begins = started.get(&m).copied().flatten();
            missing.gaps.entry(MId(m)).or_default().push(Gap {
                after,
                until,
                since: begins.map_or(i64::MIN, |ts| ts.saturating_sub(STALL_NS)),
                open: false,
            });
        }
        for gaps in missing.gaps.values_mut() {
            gaps.sort_by_key(|gap| gap.until.unwrap_or(u64::MAX));
        }
        missing.skip_readings(store, process)?;
        Ok(missing)
    }
}

impl Missing {
    /// Where a gap follows readings of counters, the last event is before those.
    fn skip_readings(&mut self, store: &Store, process: &Process) -> Result<(), StoreError> {
        let mut wanted = FxHashSet::default();
        for (m, gaps) in &self.gaps {
            for after in gaps.iter().filter_map(|gap| gap.after) {
                wanted.extend((0..READINGS).filter_map(|n| Some((m.0, after.checked_sub(n)?))));
            }
        }
        let query = || -> rusqlite::Result<FxHashSet<(u32, u64)>> {
            store
                .db()
                .prepare("SELECT m, m_seq FROM counter WHERE run = ? AND process = ?")?
                .query_map((process.run, process.process), |r| {
                    Ok((r.get(0)?, r.get::<_, i64>(1)? as u64))
                })?
                .filter(|r| r.as_ref().map_or(true, |reading| wanted.contains(reading)))
                .collect()
        };
        let readings = query().map_err(store.sql())?;
        for (m, gaps) in &mut self.gaps {
            for gap in gaps {
                while let Some(after) = gap.after.filter(|after| readings.contains(&(m.0, *after)))
                {
                    gap.after = after.checked_sub(1);
                }
            }
        }
        Ok(())
    }
}

fn resynced(store: &Store, process: &Process) -> Result<Vec<i64>, StoreError> {
    let (Some(first), Some(last)) = (process.first_event, process.last_event) else {
        return Ok(Vec::new());
    };
    let query = || -> rusqlite::Result<Vec<i64>> {
        store
            .db()
            .prepare(
                "SELECT event FROM event_note WHERE note = 'resynced' AND event BETWEEN ? AND ? ORDER BY event",
            )?
            .query_map([first, last], |r| r.get(0))?
            .collect()
    };
    query().map_err(store.sql())
}

/// The number of each M's last event.
fn last_numbers(store: &Store, process: &Process) -> Result<FxHashMap<u32, u64>, StoreError> {
    let range = (
        process.first_event.unwrap_or(1),
        process.last_event.unwrap_or(0),
        process.run,
        process.process,
    );
    let query = || -> rusqlite::Result<FxHashMap<u32, u64>> {
        store
            .db()
            .prepare(
                "SELECT m, max(m_seq) FROM event WHERE id BETWEEN ? AND ? AND run = ? AND process = ? GROUP BY m",
            )?
            .query_map(range, |r| Ok((r.get(0)?, r.get::<_, i64>(1)? as u64)))?
            .collect()
    };
    query().map_err(store.sql())
}

/// The way through the events of a process.
#[derive(Debug)]
pub(super) struct Trust {
    missing: Missing,
    /// Gaps whose Ms have not come back.
    open: u32,
    /// Ms whose first events are missing, and since when; the earliest last.
    unborn: Vec<(i64, MId)>,
    next_resynced: usize,
    lossy: bool,
    epoch: u32,
    /// Whether something is missing and nobody knows where.
    everywhere: bool,
    /// When the gaps so far began, in the order in which they did.
    begun: Vec<i64>,
}

/// How much was missing when something was established: the number of the gap that is the next to begin, or none if events were missing
/// just then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(Option<u32>);

impl Trust {
    pub fn new(missing: Missing) -> Trust {
        let mut unborn: Vec<(i64, MId)> = Vec::new();
        for (m, gaps) in &missing.gaps {
            let first = gaps.iter().filter(|gap| gap.after.is_none());
            unborn.extend(first.map(|gap| (gap.since, *m)));
        }
        unborn.sort_unstable_by_key(|(since, m)| std::cmp::Reverse((*since, m.0)));
        Trust {
            everywhere: missing.anywhere,
            begun: Vec::new(),
            missing,
            open: 0,
            unborn,
            next_resynced: 0,
            lossy: false,
            epoch: 0,
        }
    }

    /// Before an event is looked at. Whether its M comes back from a gap whose begin was not seen.
    pub fn before(&mut self, row: &EventRow) -> bool {
        let mut is_back = false;
        while let Some((since, m)) = self.unborn.pop_if(|(since, _)| *since <= row.ts) {
            self.open(m, since, |gap| gap.after.is_none());
        }
        if let Some(gaps) = self.missing.gaps.get_mut(&row.m) {
            while let Some(gap) = gaps.first()
                && gap.until.is_some_and(|until| until <= row.m_seq)
            {
                self.open -= u32::from(gap.open);
                if !gap.open {
                    is_back = true;
                    self.begun.push(gap.since);
                }
                self.epoch += 1;
                gaps.remove(0);
            }
        }
        let resynced = self.missing.resynced.get(self.next_resynced) == Some(&row.id);
        if resynced {
            self.next_resynced += 1;
            self.epoch += 1;
            self.missing.anywhere |= self.missing.cut;
        }
        let lossy = self.missing.anywhere || self.open > 0 || resynced;
        self.epoch += u32::from(self.lossy && !lossy);
        self.lossy = lossy;
        is_back
    }

    /// After an event was looked at. Whether it was the last one of its M before a gap.
    pub fn after(&mut self, row: &EventRow) -> bool {
        let reached = |after: u64| row.m_seq >= after;
        self.open(row.m, row.ts, |gap| gap.after.is_some_and(reached))
    }

    /// Opens the next gap of an M, if it is as wanted; whether it is.
    fn open(&mut self, m: MId, since: i64, wanted: impl Fn(&Gap) -> bool) -> bool {
        if let Some(gaps) = self.missing.gaps.get_mut(&m)
            && let Some(gap) = gaps.first_mut()
            && !gap.open
            && wanted(gap)
        {
            gap.open = true;
            self.open += 1;
            self.epoch += 1;
            self.begun.push(since);
            return true;
        }
        false
    }

    /// Whether anything was missing so far.
    pub fn has_gaps(&self) -> bool {
        self.everywhere || !self.begun.is_empty()
    }

    /// How much is missing now.
    pub fn mark(&self) -> Mark {
        let certain = self.open == 0 && !self.everywhere;
        Mark(certain.then_some(self.begun.len() as u32))
    }

    /// Since when a state that was established at `since`, with so much missing, may have ended without an event; never if nothing was
    /// missing since.
    pub fn unsure_since(&self, mark: Mark, since: i64) -> Option<i64> {
        match mark.0 {
            None => Some(since),
            Some(next) => self.begun.get(next as usize).map(|ts| since.max(*ts)),
        }
    }

    /// Whether something is missing and nobody knows where.
    pub fn is_missing_everywhere(&self) -> bool {
        self.everywhere
    }

    /// Whether events may be missing right before this one.
    pub fn is_lossy(&self) -> bool {
        self.lossy
    }

    /// Counts the gaps: what was established in an earlier epoch is in doubt.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

#[cfg(test)]
impl Gap {
    /// Of an M that was there from the beginning.
    pub(super) fn new(after: Option<u64>, until: Option<u64>) -> Gap {
        Gap {
            after,
            until,
            since: i64::MIN,
            open: false,
        }
    }
}

#[cfg(test)]
impl Missing {
    /// Only these.
    pub(super) fn with(gaps: impl IntoIterator<Item = (MId, Vec<Gap>)>) -> Missing {
        Missing {
            gaps: gaps.into_iter().collect(),
            ..Missing::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gmp_trace::event::Event;
    use gmp_trace::ids::GId;

    fn row(id: i64, ts: i64, m: u32, m_seq: u64) -> EventRow {
        EventRow {
            id,
            process: 1,
            ts,
            m: MId(m),
            m_seq,
            p: None,
            g: GId::NONE,
            by: GId::NONE,
            event: Event::MUnpark {},
        }
    }

    /// Which of the events may have others missing right before them.
    fn in_doubt(missing: Missing, rows: &[EventRow]) -> (Vec<i64>, u32) {
        let mut trust = Trust::new(missing);
        let mut found = Vec::new();
        for row in rows {
            trust.before(row);
            if trust.is_lossy() {
                found.push(row.id);
            }
            trust.after(row);
        }
        (found, trust.epoch())
    }

    fn gap(after: Option<u64>, until: Option<u64>, since: i64) -> Missing {
        let gap = Gap {
            since,
            ..Gap::new(after, until)
        };
        Missing::with([(MId(1), vec![gap])])
    }

    #[test]
    fn a_gap_begins_behind_the_last_event_before_it_and_ends_with_the_first_after_it() {
        let rows = [
            row(1, 10, 1, 0),
            row(2, 20, 2, 0),
            row(3, 30, 1, 10),
            row(4, 40, 2, 1),
            row(5, 50, 1, 20),
            row(6, 60, 2, 2),
        ];
        let (found, epoch) = in_doubt(gap(Some(10), Some(20), i64::MIN), &rows);
        assert_eq!(found, [4]);
        assert!(epoch > 0);
        assert_eq!(in_doubt(gap(Some(10), None, i64::MIN), &rows).0, [4, 5, 6]);
        assert_eq!(in_doubt(Missing::default(), &rows), (vec![], 0));
    }

    #[test]
    fn an_m_whose_start_was_lost_is_in_doubt_from_then_on() {
        let rows = [
            row(1, 10, 2, 0),
            row(2, 20, 2, 1),
            row(3, 30, 1, 7),
            row(4, 40, 2, 2),
        ];
        assert_eq!(in_doubt(gap(None, Some(7), 15), &rows).0, [2]);
        assert_eq!(in_doubt(gap(None, None, 15), &rows).0, [2, 3, 4]);
        // It came back before anybody could see that it was away: then all is new, but nothing was missed.
        let (found, epoch) = in_doubt(gap(None, Some(7), 35), &rows);
        assert!(found.is_empty() && epoch > 0);
    }

    #[test]
    fn what_was_placed_by_its_time_is_in_doubt_and_in_a_killed_process_all_after_it() {
        let rows: Vec<_> = (1..5).map(|i| row(i, i, 1, i as u64)).collect();
        let resynced = |cut| Missing {
            resynced: vec![2],
            cut,
            ..Missing::default()
        };
        assert_eq!(in_doubt(resynced(false), &rows).0, [2]);
        assert_eq!(in_doubt(resynced(true), &rows).0, [2, 3, 4]);
    }
}
