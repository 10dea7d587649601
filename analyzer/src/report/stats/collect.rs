//! What one pass over the events of a process gathers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use gmp_store::entity::{G, M, Process};
use gmp_store::run::Run;
use gmp_store::{EventRow, StoreError};
use gmp_trace::event::{Event, Kind, MKind};
use gmp_trace::ids::{GId, MId, PId, SiteId};
use rustc_hash::FxHashMap;

use super::super::Subject;
use super::super::hogs::Hogs;
use super::SHOWN;
use super::latency::Latency;
use crate::counters::{Collector, Counters};
use crate::frame::GLife;
use crate::model::{GInterval, GState, MInterval, PInterval, Sink, Unanswered, Wakeup};
use crate::pass::{self, Passed};
use crate::select::{Clip, Selection};

/// Time in each state of a P or an M, ns, by the state's word.
pub type States = BTreeMap<&'static str, i64>;

/// What one pass leaves of a process.
#[derive(Debug, Default)]
pub struct Stats {
    /// What of the run it is about; what that says nothing of stays empty.
    pub selection: Selection,
    /// The Gs, in the order in which they were first seen.
    pub gs: Vec<GLife>,
    /// Times of each P.
    pub ps: BTreeMap<PId, States>,
    /// Times of each M.
    pub ms: BTreeMap<MId, States>,
    /// Waiting time by reason: how often, how long.
    pub waits: BTreeMap<&'static str, (u64, i64)>,
    /// All scheduling latencies.
    pub latency: Latency,
    /// By how the G became runnable.
    pub by_cause: BTreeMap<&'static str, Latency>,
    /// Events by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// Steals by thief and victim: how many, how many Gs.
    pub steals: BTreeMap<(PId, PId), (u64, u64)>,
    /// Number of threads after each change: when, how many.
    pub threads: Vec<(i64, u32)>,
    /// The longest scheduling latencies.
    pub slowest: Vec<Wakeup>,
    /// What the perf counters say; nothing if there are none, or if only a part of the run is looked at.
    pub counters: Option<Counters>,
    /// Gs that did not give way.
    pub hogs: Hogs,
    places: FxHashMap<GId, usize>,
}

impl Sink for Stats {
    fn event(&mut self, row: &EventRow) {
        *self.kinds.entry(row.event.kind()).or_default() += 1;
        let threads = self.threads.last().map_or(0, |(_, n)| *n);
        match row.event {
            Event::Spawn { g, site, .. } if self.is_about(g) => {
                let place = self.place(g, row.ts);
                self.gs[place].site = site;
            }
            Event::Steal { victim, n, .. } => {
                if let Some(thief) = row.p {
                    let entry = self.steals.entry((thief, victim)).or_default();
                    *entry = (entry.0 + 1, entry.1 + u64::from(n));
                }
            }
            Event::MStart { kind, .. } if kind != MKind::Foreign && self.selection.has_ms() => {
                self.threads.push((row.ts, threads + 1));
            }
            Event::MExit {} if self.selection.has_ms() => {
                self.threads.push((row.ts, threads.saturating_sub(1)))
            }
            _ => {}
        }
    }

    fn g(&mut self, i: &GInterval) {
        if !self.is_about(i.g) {
            return;
        }
        let place = self.place(i.g, i.from);
        let life = &mut self.gs[place];
        let took = i.to - i.from;
        life.to = life.to.max(i.to);
        life.ended |= i.last;
        match i.state {
            GState::Running => life.running += took,
            GState::Runnable(_) => life.runnable += took,
            GState::Syscall => life.syscall += took,
            GState::Waiting(reason, _) => {
                life.waiting += took;
                let wait = self.waits.entry(reason.word()).or_default();
                *wait = (wait.0 + 1, wait.1 + took);
            }
            GState::Unknown => {}
        }
        if i.last {
            self.places.remove(&i.g);
        }
    }

    fn p(&mut self, i: &PInterval) {
        if !self.selection.has_ps() {
            return;
        }
        let states = self.ps.entry(i.p).or_default();
        *states.entry(i.state.word()).or_default() += i.to - i.from;
    }

    fn m(&mut self, i: &MInterval) {
        if !self.selection.has_ms() {
            return;
        }
        let states = self.ms.entry(i.m).or_default();
        *states.entry(i.state.word()).or_default() += i.to - i.from;
    }

    fn unanswered(&mut self, unanswered: &Unanswered) {
        if self.is_about(unanswered.g) {
            self.hogs.add(unanswered);
        }
    }

    fn wakeup(&mut self, w: &Wakeup) {
        if !self.is_about(w.g) {
            return;
        }
        let latency = w.latency();
        self.latency.add(latency);
        let by_cause = self.by_cause.entry(w.cause.word()).or_default();
        by_cause.add(latency);
        let place = self.place(w.g, w.ready_ts);
        let life = &mut self.gs[place];
        life.starts += 1;
        life.worst_latency = life.worst_latency.max(latency);
        if self.slowest.len() < SHOWN || latency > self.slowest[SHOWN - 1].latency() {
            let at = self.slowest.partition_point(|s| s.latency() >= latency);
            self.slowest.insert(at, *w);
            self.slowest.truncate(SHOWN);
        }
    }
}

impl Stats {
    /// Whether times of a G are wanted, and not only what it has to do with a G that is.
    fn is_about(&self, g: GId) -> bool {
        self.selection.has_times() && self.selection.g.is_none_or(|wanted| wanted == g)
    }

    /// What is left out because the selection says nothing of it: in words, and under which names it is null in JSON.
    pub(super) fn left_out(&self, run: &Run) -> Vec<(&'static str, &'static [&'static str])> {
        let selection = &self.selection;
        let has_counters = !matches!(run.counters.as_deref(), None | Some("none" | ""));
        let parts: [(bool, &str, &[&str]); 5] = [
            (
                selection.has_times(),
                "times and latencies of Gs",
                &[
                    "gs",
                    "latency",
                    "latency_by_cause",
                    "waits",
                    "sites",
                    "longest_gs",
                    "hogs",
                ],
            ),
            (selection.has_ps(), "Ps", &["ps_ns", "utilisation"]),
            (
                selection.has_ms(),
                "Ms and threads",
                &["ms_ns", "most_threads"],
            ),
            (selection.has_kind(Kind::Steal), "steals", &["steals"]),
            (
                selection.is_all() || !has_counters,
                "perf counters",
                &["counters"],
            ),
        ];
        let left_out = parts.into_iter().filter(|(has, ..)| !has);
        left_out.map(|(_, words, names)| (words, names)).collect()
    }

    fn place(&mut self, g: GId, ts: i64) -> usize {
        *self.places.entry(g).or_insert_with(|| {
            self.gs.push(GLife {
                g,
                from: ts,
                to: ts,
                ..GLife::default()
            });
            self.gs.len() - 1
        })
    }

    /// Adds what a part of a run has from before it: where its Gs were spawned, and the threads that were there already.
    fn carry_in(&mut self, subject: &Subject<'_>, process: &Process) -> Result<(), StoreError> {
        let of_process = |p: u32| p == process.process;
        let sites: FxHashMap<GId, SiteId> = G::all(subject.store, process.run)?
            .into_iter()
            .filter(|g| of_process(g.process))
            .filter_map(|g| Some((GId(g.g as u64), SiteId(g.site?))))
            .collect();
        for life in &mut self.gs {
            if let Some(site) = sites.get(&life.g) {
                life.site = *site;
            }
        }
        if !self.selection.has_ms() {
            return Ok(());
        }
        let window = subject.selection.window;
        let mut changes = Vec::new();
        for m in M::all(subject.store, process.run)? {
            if !of_process(m.process) || m.kind.as_deref() == Some("foreign") {
                continue;
            }
            let (from, to) = (
                m.start_ts.unwrap_or(i64::MIN),
                m.exit_ts.unwrap_or(i64::MAX),
            );
            if let Some((from, to)) = window.clip(from, to) {
                changes.push((from, 1));
                // One that ends with the window is there to its end.
                changes.extend((to < window.to).then_some((to, -1)));
            }
        }
        changes.sort_unstable();
        let mut threads = 0_u32;
        self.threads = changes
            .into_iter()
            .map(|(ts, change)| {
                threads = threads.saturating_add_signed(change);
                (ts, threads)
            })
            .collect();
        Ok(())
    }

    /// Selected events of a kind.
    pub fn count(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }

    /// Selected events of a kind; none if the kind is not selected.
    pub fn counted(&self, kind: Kind) -> Option<u64> {
        self.selection.has_kind(kind).then(|| self.count(kind))
    }

    /// Time of all Ps in a state, and in all states that are known, ns.
    pub fn p_time(&self, state: &str) -> (i64, i64) {
        let all = self.ps.values().map(known_time).sum();
        let of = self.ps.values().filter_map(|s| s.get(state)).sum();
        (of, all)
    }

    /// The share of the Ps' time in which they ran Gs, of that time of which it is known.
    pub fn utilisation(&self) -> Option<f64> {
        let (running, all) = self.p_time("running");
        (all > 0).then(|| running as f64 / all as f64)
    }

    /// The Gs that ran longest, those first.
    pub(super) fn longest(&self) -> Vec<&GLife> {
        let mut sorted: Vec<&GLife> = self.gs.iter().collect();
        sorted.sort_unstable_by_key(|l| (Reverse(l.running), l.g));
        sorted.truncate(SHOWN);
        sorted
    }

    /// The most threads there were at once, if the selection says anything of threads.
    pub fn most_threads(&self) -> Option<u32> {
        let most = self.threads.iter().map(|(_, n)| *n).max();
        self.selection.has_ms().then(|| most.unwrap_or(0))
    }
}

/// The word of what is not known.
pub(super) const UNKNOWN: &str = "unknown";

/// The time in all states that are known, ns.
fn known_time(of: &States) -> i64 {
    of.iter()
        .filter(|(word, _)| **word != UNKNOWN)
        .map(|(_, ns)| ns)
        .sum()
}

/// The statistics of one process, as far as it is selected.
///
/// # Errors
/// When the database cannot be read.
pub fn collect(subject: &Subject<'_>, process: &Process) -> anyhow::Result<(Stats, Passed)> {
    let Subject {
        store,
        run,
        selection,
        ..
    } = *subject;
    let mut stats = Stats {
        selection: selection.clone(),
        hogs: Hogs::of(run),
        ..Stats::default()
    };
    // A part of the readings is no sample of a part of the run's time.
    let collector = match selection.is_all() {
        true => Collector::of(store, run, process)?,
        false => None,
    };
    let mut clip = Clip::new(selection.clone(), &mut stats);
    let passed = match collector {
        Some(mut collector) => {
            let mut sinks: Vec<&mut dyn Sink> = vec![&mut clip, &mut collector];
            let passed = pass::pass(store, run, process, &mut sinks)?;
            stats.counters = Some(collector.finish()?);
            passed
        }
        None => pass::pass(store, run, process, &mut clip)?,
    };
    if !selection.is_all() {
        stats.carry_in(subject, process)?;
    }
    stats.hogs.find_sites(store, run.run, process.process)?;
    Ok((stats, passed))
}
