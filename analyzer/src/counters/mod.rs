//! Perf counters: the value of each run interval that was read, and totals with their intervals.
//!
//! A run interval goes from a G's start on an M to its stop there, system calls included. A reading covers the time since the last one on its M.
//! It is the value of an interval if it was made at its end and nothing else started on that M since the reading before: then the two
//! bracket it alone. Readings lie between the events of the history: each names the event that precedes it.

pub mod estimate;
mod readings;

use gmp_store::EventRow;
use gmp_store::entity::{CounterDef, Process, ProcessInfo};
use gmp_store::run::Run;
use gmp_store::{Store, StoreError};
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId, SiteId};
use gmp_trace::version::info;
use rustc_hash::FxHashMap;

pub use estimate::{Estimate, Sums};
use readings::{Reading, Readings};

use crate::model::Sink;

/// The most counters of a process.
pub const MOST: usize = 8;

/// Values of the counters; nothing where one was not there.
pub type Values = [Option<f64>; MOST];

/// The run intervals of a run or of a site.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Intervals that could have been read.
    pub intervals: u64,
    /// How long they took, ns.
    pub running_ns: f64,
    sums: [Sums; MOST],
}

impl Totals {
    fn add(&mut self, took: f64, value: Option<(&Values, f64)>) {
        self.intervals += 1;
        self.running_ns += took;
        if let Some((values, p)) = value {
            for (sum, value) in self.sums.iter_mut().zip(values) {
                if let Some(y) = value {
                    sum.add(took, *y, p);
                }
            }
        }
    }

    /// The total of a counter; nothing if no interval was read.
    pub fn estimate(&self, counter: u32) -> Option<Estimate> {
        let sums = self.sums.get(counter as usize)?;
        sums.estimate(self.running_ns, self.intervals)
    }
}

/// What the counters say about a process.
#[derive(Debug, Default)]
pub struct Counters {
    /// The counters, those that were not there too.
    pub defs: Vec<CounterDef>,
    /// All run intervals.
    pub all: Totals,
    /// Those of each spawn site, the one that ran longest first.
    pub sites: Vec<(SiteId, Totals)>,
    /// What one reading costs, ns, which each value includes; nothing if that was not measured.
    pub reading_ns: Option<f64>,
    /// Run time on Ms that could read no counters, ns: it is in no total.
    pub unread_ns: f64,
}

#[derive(Debug, Default)]
struct OnM {
    /// Starts since the last reading.
    starts: u32,
    /// The interval that goes on: its event and when it began.
    begun: Option<(GId, i64, i64)>,
    /// When the interval before ended.
    before: i64,
    /// Whether the G was in a system call since it started.
    syscall: bool,
    value: Option<Values>,
    /// The last interval that ended: its event and its value.
    ended: Option<(i64, Values)>,
}

/// Gathers the counters of a process from its events. As a sink it looks at events only.
pub struct Collector<'a> {
    readings: Readings<'a>,
    /// Of each M, from when on which probability holds; in order.
    probabilities: FxHashMap<MId, Vec<(i64, f64)>>,
    every: bool,
    ms: FxHashMap<MId, OnM>,
    sites: FxHashMap<GId, SiteId>,
    by_site: FxHashMap<SiteId, Totals>,
    counters: Counters,
}

impl<'a> Collector<'a> {
    /// For a process; nothing if it had no counters.
    ///
    /// # Errors
    /// What SQLite refuses.
    pub fn of(
        store: &'a Store,
        run: &Run,
        process: &Process,
    ) -> Result<Option<Collector<'a>>, StoreError> {
        let mut defs = CounterDef::all(store, run.run)?;
        defs.retain(|d| d.process == process.process && (d.counter as usize) < MOST);
        if defs.is_empty() {
            return Ok(None);
        }
        let mut infos = ProcessInfo::all(store, run.run)?;
        infos.retain(|i| i.process == process.process);
        let every = infos
            .iter()
            .any(|i| i.key == info::COUNTERS_EVERY && i.value == "switch");
        let reading = infos.iter().find(|i| i.key == info::COUNTERS_READ_NS);
        let reading_ns = reading.and_then(|i| i.value.parse().ok());
        let mut probabilities: FxHashMap<MId, Vec<(i64, f64)>> = FxHashMap::default();
        for i in &infos {
            if let Some((m, ticks)) = statement(&i.key)
                && let Ok(p) = i.value.parse::<f64>()
                && p > 0.0
            {
                let past = i128::from(ticks) - i128::from(process.base_ticks);
                let ns = (past * i128::from(process.interval_ns))
                    .div_euclid(i128::from(process.interval_ticks.max(1)));
                let ts = ns as i64 + process.base_ts_ns;
                probabilities.entry(m).or_default().push((ts, p));
            }
        }
        for stated in probabilities.values_mut() {
            stated.sort_by_key(|(ts, _)| *ts);
        }
        Ok(Some(Collector {
            readings: Readings::new(store, run.run, process.process),
            probabilities,
            every,
            ms: FxHashMap::default(),
            sites: FxHashMap::default(),
            by_site: FxHashMap::default(),
            counters: Counters {
                defs,
                reading_ns,
                ..Counters::default()
            },
        }))
    }

    /// The value of the interval that ended last on an M, if it began with this event and was all running.
    pub fn value(&self, m: MId, event: i64) -> Option<&Values> {
        let (id, values) = self.ms.get(&m)?.ended.as_ref()?;
        (*id == event).then_some(values)
    }

    /// What came of it.
    ///
    /// # Errors
    /// What SQLite refused on the way.
    pub fn finish(mut self) -> Result<Counters, StoreError> {
        self.readings.finish()?;
        let mut sites: Vec<_> = self.by_site.into_iter().collect();
        sites.sort_by(|a, b| {
            b.1.running_ns
                .total_cmp(&a.1.running_ns)
                .then(a.0.cmp(&b.0))
        });
        self.counters.sites = sites;
        Ok(self.counters)
    }

    fn reading(&mut self, reading: &Reading) {
        let on = self.ms.entry(reading.m).or_default();
        if on.starts == 1 && reading.g.is_some() && on.begun.is_some_and(|(g, ..)| g == reading.g) {
            on.value = Some(reading.values);
        }
        on.starts = 0;
    }

    /// With what chance an interval was read that began on an M after `before`, when the one before had ended. What is stated at its very
    /// beginning was decided for those after it.
    fn probability(&self, m: MId, before: i64) -> Option<f64> {
        if self.every {
            return Some(1.0);
        }
        let stated = self.probabilities.get(&m)?;
        let at = stated.partition_point(|(ts, _)| *ts < before);
        stated.get(at.saturating_sub(1)).map(|(_, p)| *p)
    }

    fn stop(&mut self, m: MId, ts: i64) {
        let Some(on) = self.ms.get_mut(&m) else {
            return;
        };
        let (begun, value, syscall) = (on.begun.take(), on.value.take(), on.syscall);
        let before = std::mem::replace(&mut on.before, ts);
        let Some((g, event, from)) = begun else {
            return;
        };
        on.ended = value.filter(|_| !syscall).map(|v| (event, v));
        let took = (ts - from).max(0) as f64;
        let Some(p) = self.probability(m, before) else {
            self.counters.unread_ns += took;
            return;
        };
        let value = value.as_ref().map(|v| (v, p));
        self.counters.all.add(took, value);
        let site = self.sites.get(&g).copied().unwrap_or(SiteId(0));
        self.by_site.entry(site).or_default().add(took, value);
    }
}

impl Sink for Collector<'_> {
    fn event(&mut self, row: &EventRow) {
        while let Some(reading) = self.readings.before(row.id) {
            self.reading(&reading);
        }
        match row.event {
            Event::Spawn { g, site, .. } => drop(self.sites.insert(g, site)),
            Event::Start { g, .. } => {
                let on = self.ms.entry(row.m).or_default();
                on.starts += 1;
                on.begun = Some((g, row.id, row.ts));
                (on.syscall, on.value) = (false, None);
            }
            Event::SyscallEnter { .. } => self.ms.entry(row.m).or_default().syscall = true,
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::SyscallExitBlocked { .. } => self.stop(row.m, row.ts),
            Event::Exit { .. } => {
                self.stop(row.m, row.ts);
                self.sites.remove(&row.g);
            }
            _ => {}
        }
    }
}

/// The M and the ticks of a statement of a probability: `counters_sampling.m3.t12345`.
fn statement(key: &str) -> Option<(MId, i64)> {
    let rest = key.strip_prefix(info::COUNTERS_SAMPLING)?;
    let (m, t) = rest.strip_prefix(".m")?.split_once(".t")?;
    Some((MId(m.parse().ok()?), t.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_understood() {
        assert_eq!(
            statement("counters_sampling.m3.t12345"),
            Some((MId(3), 12345))
        );
        assert_eq!(statement("counters_sampling.m3"), None);
        assert_eq!(statement("counters"), None);
    }
}
