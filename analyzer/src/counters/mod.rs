//! Perf counters: the value of each run interval that was read, and totals with their intervals.
//!
//! A run interval goes from a G's start on an M to its stop there, system calls included. A reading covers the time since the last one on its M.
//! It is the value of an interval if it was made at its end and nothing else started on that M since the reading before: then the two
//! bracket it alone. Readings lie between the events of the history: each names the event that precedes it.
//!
//! # What a reading itself costs
//! The clock of a counter stops in the middle of the reading that ends a value and began in the middle of the one before, so that each value
//! holds about one reading. A null reading, which follows another one immediately in its M's stream, measures that: the mean of those of
//! the process is taken off. Null readings are warm. How many times as long the readings of intervals took is known from those that had
//! a CPU all the time, whose length is known: by so much more may have to be taken off, which the lower limits allow for.
//!
//! Time on a CPU needs no mean: a thread has a CPU for no longer than the time that passes, so that a value that is longer than its
//! interval is the interval.
//!
//! # What all Ms counted
//! All readings of an M together, with the last one that it makes when it ends, are what it counted in its whole life: exact, the scheduler and
//! the readings included. No total of run intervals can be more.

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

pub use estimate::{Estimate, Null, Sample, Why};
pub(crate) use readings::{Reading, Readings};

use crate::model::Sink;

/// The most counters of a process.
pub const MOST: usize = 8;

/// Values of the counters; nothing where one was not there.
pub type Values = [Option<f64>; MOST];

/// The run intervals of a run or of a site.
pub type Totals = Sample<MOST>;

/// What the counters say about a process.
#[derive(Debug, Default)]
pub struct Counters {
    /// The counters, those that were not there too.
    pub defs: Vec<CounterDef>,
    /// All run intervals.
    pub all: Totals,
    /// Those of each spawn site, the one that ran longest first.
    pub sites: Vec<(SiteId, Totals)>,
    /// What a reading itself counted, in the null readings.
    pub nulls: [Null; MOST],
    /// What it took in intervals that had a CPU all the time, ns, readings included; nothing if there is none.
    pub reading_ns: Option<f64>,
    /// What all Ms counted in their whole lives; nothing if one did not end, or had no counters.
    pub whole: Option<[f64; MOST]>,
    /// Run time on Ms that could read no counters, ns: it is in no total.
    pub unread_ns: f64,
}

impl Counters {
    /// The total of a counter.
    pub fn estimate(&self, totals: &Totals, def: &CounterDef) -> Estimate {
        let counter = def.counter as usize;
        let most = self.most(def);
        if is_clock(def) {
            return totals.clock(counter, &self.nulls[counter], most, self.cold());
        }
        totals.events(counter, &self.nulls[counter], most, self.cold())
    }

    /// What all Ms counted.
    pub fn most(&self, def: &CounterDef) -> Option<f64> {
        self.whole.map(|w| w[def.counter as usize])
    }

    /// How many times as long as a null reading those of intervals took; 1 if that is not known.
    pub fn cold(&self) -> f64 {
        let clock = self.defs.iter().find(|d| d.available && is_clock(d));
        let null = clock.map_or(0.0, |d| self.nulls[d.counter as usize].mean());
        match self.reading_ns {
            Some(ns) if null > 0.0 => (ns / null).max(1.0),
            _ => 1.0,
        }
    }
}

/// Whether a counter is the time on a CPU.
pub fn is_clock(def: &CounterDef) -> bool {
    def.unit == "ns"
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
    /// Number of the last reading in the stream.
    last_seq: Option<u64>,
    /// What was counted so far.
    whole: [f64; MOST],
    /// Whether it ran a G.
    ran: bool,
    /// Whether a last reading was made when it ended.
    closed: bool,
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
    /// The field that is the time on a CPU.
    clock: Option<usize>,
    /// Intervals that had a CPU all the time, and how much longer than them their values were, ns.
    uninterrupted: (u64, f64),
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
        let clock = defs.iter().find(|d| d.available && is_clock(d));
        let clock = clock.map(|d| d.counter as usize);
        let nulls = nulls(store, run.run, process.process)?;
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
            clock,
            uninterrupted: (0, 0.0),
            counters: Counters {
                defs,
                nulls,
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
            b.1.running_ns()
                .total_cmp(&a.1.running_ns())
                .then(a.0.cmp(&b.0))
        });
        self.counters.sites = sites;
        let (n, ns) = self.uninterrupted;
        self.counters.reading_ns = (n > 0).then(|| ns / n as f64);
        let ran: Vec<_> = self.ms.values().filter(|m| m.ran).collect();
        if ran.iter().all(|m| m.closed) {
            let mut whole = [0.0; MOST];
            for m in ran {
                whole.iter_mut().zip(m.whole).for_each(|(w, n)| *w += n);
            }
            self.counters.whole = Some(whole);
        }
        Ok(self.counters)
    }

    fn reading(&mut self, reading: &Reading) {
        let values = reading.values();
        let on = self.ms.entry(reading.m).or_default();
        if on.starts == 1 && reading.g.is_some() && on.begun.is_some_and(|(g, ..)| g == reading.g) {
            on.value = Some(values);
        }
        on.starts = 0;
        on.last_seq = Some(reading.m_seq);
        for (sum, value) in on.whole.iter_mut().zip(values) {
            *sum += value.unwrap_or(0.0);
        }
    }

    /// The values of an interval that took so long, without what the readings themselves put into them. Of the time on a CPU, what was without.
    fn without_readings(&mut self, mut values: Values, took: f64) -> Values {
        let nulls = &self.counters.nulls;
        for (i, value) in values.iter_mut().enumerate() {
            let Some(y) = value else { continue };
            if self.clock != Some(i) {
                *y -= nulls[i].mean();
            } else if *y >= took {
                self.uninterrupted.0 += 1;
                self.uninterrupted.1 += *y - took;
                *y = 0.0;
            } else {
                *y = (took - (*y - nulls[i].mean()).max(0.0)).min(took);
            }
        }
        values
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
        on.ended = None;
        let took = (ts - from).max(0) as f64;
        let value = value.map(|v| self.without_readings(v, took));
        if let Some(mut shown) = value.filter(|_| !syscall) {
            for (i, y) in shown.iter_mut().enumerate() {
                let of = |y: f64| {
                    if self.clock == Some(i) {
                        took - y
                    } else {
                        y.round().max(0.0)
                    }
                };
                *y = y.map(of);
            }
            self.ms.entry(m).or_default().ended = Some((event, shown));
        }
        let Some(p) = self.probability(m, before) else {
            self.counters.unread_ns += took;
            return;
        };
        let site = self.sites.get(&g).copied().unwrap_or(SiteId(0));
        let totals = [
            &mut self.counters.all,
            self.by_site.entry(site).or_default(),
        ];
        for totals in totals {
            match &value {
                Some(values) => totals.read(took, values, p),
                None => totals.unread(took),
            }
        }
    }
}

/// What the null readings of a process counted.
fn nulls(store: &Store, run: u32, process: u32) -> Result<[Null; MOST], StoreError> {
    let mut nulls = [Null::default(); MOST];
    let mut last: FxHashMap<MId, u64> = FxHashMap::default();
    let mut readings = Readings::new(store, run, process);
    while let Some(reading) = readings.before(i64::MAX) {
        let before = last.insert(reading.m, reading.m_seq);
        if before.is_none_or(|b| b.checked_add(1) != Some(reading.m_seq)) {
            continue;
        }
        for (null, value) in nulls.iter_mut().zip(reading.values()) {
            value.into_iter().for_each(|y| null.add(y));
        }
    }
    readings.finish()?;
    Ok(nulls)
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
                on.ran = true;
                on.begun = Some((g, row.id, row.ts));
                (on.syscall, on.value) = (false, None);
            }
            Event::SyscallEnter { .. } => self.ms.entry(row.m).or_default().syscall = true,
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::SyscallExitBlocked { .. } => self.stop(row.m, row.ts),
            Event::MExit {} => {
                let on = self.ms.entry(row.m).or_default();
                on.closed = on
                    .last_seq
                    .is_some_and(|s| s.checked_add(1) == Some(row.m_seq));
            }
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
