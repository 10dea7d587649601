//! The stream of each M: its events are numbered without a gap but those that are declared, begin with its start and end with its end, and
//! a search ends with the counts that its steal had.

use std::collections::VecDeque;

use gmp_store::entity::{Lost, Process};
use gmp_store::{EventRow, Store, rusqlite};
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::MId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Checked;
use crate::model::Violation;

const READINGS: &str = "SELECT rowid, event, m, m_seq FROM counter WHERE rowid > ? AND run = ? AND process = ? ORDER BY rowid LIMIT 4096";

#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    /// The number of the next event.
    next: u64,
    kind: Option<MKind>,
    has_ended: bool,
    /// Whether a G keeps it busy.
    runs: bool,
    /// Passes and victims tried, as the steal of this search says.
    steal: Option<(u32, u32)>,
}

/// A reading of counters: it has a number in the stream, and is not in the table of events.
#[derive(Clone, Copy, Debug)]
struct Reading {
    row: i64,
    event: i64,
    m: MId,
    m_seq: u64,
}

/// The streams of a process.
pub struct Streams<'a> {
    store: &'a Store,
    process: &'a Process,
    streams: FxHashMap<MId, Stream>,
    /// Gaps that are declared: the first event after each, and how many are missing.
    declared: FxHashMap<(MId, u64), u64>,
    /// Ms whose last events are lost.
    open: FxHashSet<MId>,
    /// Whether more may be missing than is declared.
    damaged: bool,
    readings: VecDeque<Reading>,
    last_reading: i64,
    all_read: bool,
    failed: Option<rusqlite::Error>,
}

impl<'a> Streams<'a> {
    /// Of a process, before its first event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &'a Store, process: &'a Process) -> anyhow::Result<Streams<'a>> {
        let mut streams = Streams {
            store,
            process,
            streams: FxHashMap::default(),
            declared: FxHashMap::default(),
            open: FxHashSet::default(),
            damaged: false,
            readings: VecDeque::new(),
            last_reading: 0,
            all_read: false,
            failed: None,
        };
        let lost = Lost::all(store, process.run)?.into_iter();
        for l in lost.filter(|l| l.process == process.process) {
            match (l.m, l.before_m_seq, l.n) {
                (Some(m), Some(before), Some(n)) => {
                    streams.declared.insert((MId(m), before as u64), n as u64);
                }
                (Some(m), None, Some(_)) => {
                    streams.open.insert(MId(m));
                }
                _ => streams.damaged = true,
            }
        }
        Ok(streams)
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        while let Some(reading) = self.reading_before(row.id) {
            self.number(reading.m, reading.m_seq, row, checked);
        }
        self.number(row.m, row.m_seq, row, checked);
        let stream = self.streams.entry(row.m).or_default();
        let m = row.m;
        let mut wrong = |rule: &'static str, what: String| {
            checked.add(Violation {
                event: row.id,
                ts: row.ts,
                rule,
                what,
            });
        };
        if stream.has_ended {
            wrong("start and end", format!("{m} goes on after its end"));
        }
        let is_start = matches!(row.event, Event::MStart { .. });
        if is_start != (row.m_seq == 0) {
            let what = if is_start {
                "starts again"
            } else {
                "begins with something else than its start"
            };
            wrong("start and end", format!("{m} {what}"));
        }
        match row.event {
            Event::MStart { kind, .. } => stream.kind = Some(kind),
            Event::MExit {} => stream.has_ended = true,
            Event::Start { .. } => stream.runs = true,
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::Exit { .. }
            | Event::SyscallExitBlocked { .. } => stream.runs = false,
            Event::SpinStart {} => stream.steal = None,
            Event::Steal { passes, tried, .. } => stream.steal = Some((passes, tried)),
            Event::SpinStop { passes, tried, .. } => {
                if let Some(steal) = stream.steal.take()
                    && steal != (passes, tried)
                {
                    wrong(
                        "searches",
                        format!(
                            "{m} ends its search after {passes} passes and {tried} victims, but stole after {} passes and {} victims",
                            steal.0, steal.1
                        ),
                    );
                }
            }
            _ => {}
        }
    }

    /// The number of the next event of a stream, seen at `row`.
    fn number(&mut self, m: MId, m_seq: u64, row: &EventRow, checked: &mut Checked) {
        let stream = self.streams.entry(m).or_default();
        let expected = stream.next;
        stream.next = m_seq.saturating_add(1);
        if m_seq == expected {
            return;
        }
        stream.steal = None;
        stream.runs = false;
        let missing = m_seq.checked_sub(expected);
        let declared = self.declared.remove(&(m, m_seq));
        if missing.is_some() && (missing == declared || self.damaged) {
            return;
        }
        let what = match (missing, declared) {
            (None, _) => format!(
                "event {m_seq} of {m} comes after its event {}",
                expected - 1
            ),
            (Some(n), None) => format!("{n} events are missing before event {m_seq} of {m}"),
            (Some(n), Some(told)) => {
                format!("{n} events are missing before event {m_seq} of {m}, {told} were lost")
            }
        };
        checked.add(Violation {
            event: row.id,
            ts: row.ts,
            rule: "numbers in the stream",
            what,
        });
    }

    fn reading_before(&mut self, event: i64) -> Option<Reading> {
        if self.readings.is_empty() && !self.all_read {
            match self.fetch() {
                Ok(found) => self.readings = found,
                Err(e) => self.failed = Some(e),
            }
            self.all_read = self.readings.is_empty();
            self.last_reading = self.readings.back().map_or(self.last_reading, |r| r.row);
        }
        let precedes = self.readings.front().is_some_and(|r| r.event < event);
        precedes.then(|| self.readings.pop_front()).flatten()
    }

    fn fetch(&self) -> rusqlite::Result<VecDeque<Reading>> {
        let key = (self.last_reading, self.process.run, self.process.process);
        let mut statement = self.store.db().prepare_cached(READINGS)?;
        statement
            .query_map(key, |r| {
                Ok(Reading {
                    row: r.get(0)?,
                    event: r.get(1)?,
                    m: MId(r.get(2)?),
                    m_seq: r.get::<_, i64>(3)? as u64,
                })
            })?
            .collect()
    }

    /// What can be told only at the end.
    ///
    /// # Errors
    /// When the database could not be read.
    pub fn finish(mut self, checked: &mut Checked) -> anyhow::Result<()> {
        while let Some(reading) = self.reading_before(i64::MAX) {
            let stream = self.streams.entry(reading.m).or_default();
            stream.next = reading.m_seq.saturating_add(1);
            self.declared.remove(&(reading.m, reading.m_seq));
        }
        if let Some(e) = self.failed {
            return Err(self.store.sql()(e).into());
        }
        let mut left: Vec<_> = self.declared.iter().collect();
        left.sort_unstable();
        for ((m, before), n) in left {
            checked.whole(
                "numbers in the stream",
                format!("{n} events were lost before event {before} of {m}, which is not there"),
            );
        }
        if !self.process.finished || self.damaged {
            return Ok(());
        }
        let mut streams: Vec<_> = self.streams.iter().collect();
        streams.sort_unstable_by_key(|(m, _)| **m);
        for (m, stream) in streams {
            // A thread that is not the runtime's has no end that the runtime sees; one with a G comes back when that lets it.
            let must_end = matches!(stream.kind, Some(MKind::Worker | MKind::Sysmon));
            if must_end && !stream.has_ended && !stream.runs && !self.open.contains(m) {
                checked.whole(
                    "start and end",
                    format!("{m} started and never ended, though it ran no G"),
                );
            }
        }
        Ok(())
    }
}
