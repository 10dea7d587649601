//! `--report stats`: the times of each G, P, M and spawn site; scheduling latency; what the scheduler did, counted.

use std::collections::BTreeMap;
use std::io::Write;

use gmp_store::entity::{G, M, Process};
use gmp_store::run::Run;
use gmp_store::{EventRow, StoreError};
use gmp_trace::event::{Event, Kind, ParkReason};
use gmp_trace::ids::{GId, MId, PId, SiteId};
use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use serde_json::{Value, json};

use super::hogs::{self, Hogs};
use super::summary::{head, quality};
use super::{Output, Subject, counters};
use crate::counters::{Collector, Counters};
use crate::frame::{self, GLife, SiteTimes};
use crate::model::{GInterval, GState, MInterval, PInterval, Sink, Unanswered, Wakeup};
use crate::names::Names;
use crate::pass::{self, Passed};
use crate::select::{Clip, Selection};
use crate::time::human;
use crate::words::count;

/// Percentiles that are shown.
pub const PERCENTILES: &[f64] = &[50.0, 90.0, 99.0, 99.9];

/// Gs that are printed one by one.
const SHOWN: usize = 20;

/// Scheduling latencies, ns.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Latency {
        match Histogram::new(3) {
            Ok(histogram) => Latency(histogram),
            Err(e) => unreachable!("3 digits are allowed: {e}"),
        }
    }
}

impl Latency {
    fn add(&mut self, ns: i64) {
        // Histograms of `new` grow as needed, so that no value is refused.
        let _ = self.0.record(ns.max(0) as u64);
    }

    /// How many samples.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile, where the sample supports it: at least ten samples lie beyond.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let beyond = self.0.len() as f64 * (100.0 - percent) / 100.0;
        (beyond >= 10.0 || (percent == 50.0 && !self.0.is_empty()))
            .then(|| self.0.value_at_quantile(percent / 100.0))
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// Counts in buckets that double, from 128 ns up: each with its upper bound.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        self.0
            .iter_log(128, 2.0)
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect()
    }
}

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
            Event::MStart { kind, .. }
                if kind != gmp_trace::event::MKind::Foreign && self.selection.has_ms() =>
            {
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
                let wait = self.waits.entry(reason_word(reason)).or_default();
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
        *self
            .ps
            .entry(i.p)
            .or_default()
            .entry(i.state.word())
            .or_default() += i.to - i.from;
    }

    fn m(&mut self, i: &MInterval) {
        if !self.selection.has_ms() {
            return;
        }
        *self
            .ms
            .entry(i.m)
            .or_default()
            .entry(i.state.word())
            .or_default() += i.to - i.from;
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
        self.by_cause
            .entry(w.cause.word())
            .or_default()
            .add(latency);
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
    fn left_out(&self, run: &Run) -> Vec<(&'static str, &'static [&'static str])> {
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

    /// The most threads there were at once, if the selection says anything of threads.
    pub fn most_threads(&self) -> Option<u32> {
        let most = self.threads.iter().map(|(_, n)| *n).max();
        self.selection.has_ms().then(|| most.unwrap_or(0))
    }
}

/// The word of what is not known.
const UNKNOWN: &str = "unknown";

/// The time in all states that are known, ns.
fn known_time(of: &States) -> i64 {
    of.iter()
        .filter(|(word, _)| **word != UNKNOWN)
        .map(|(_, ns)| ns)
        .sum()
}

/// Of some subjects, the states that one of them was in at all.
fn shown<'a>(states: &[&'static str], of: impl Iterator<Item = &'a States>) -> Vec<&'static str> {
    let mut shown = states.to_vec();
    // Only where events were lost.
    shown.extend(
        of.flat_map(BTreeMap::keys)
            .find(|word| **word == UNKNOWN)
            .copied(),
    );
    shown
}

/// The word of a reason to wait.
pub fn reason_word(reason: ParkReason) -> &'static str {
    reason.word()
}

/// The statistics of one process, as far as it is selected.
///
/// # Errors
/// When the database cannot be read.
pub fn collect(subject: &Subject<'_>, process: &Process) -> anyhow::Result<(Stats, Passed)> {
    let mut stats = Stats {
        selection: subject.selection.clone(),
        hogs: Hogs::of(subject.run),
        ..Stats::default()
    };
    let passed = collect_into(&mut stats, subject, process)?;
    stats
        .hogs
        .find_sites(subject.store, subject.run.run, process.process)?;
    Ok((stats, passed))
}

fn collect_into(
    stats: &mut Stats,
    subject: &Subject<'_>,
    process: &Process,
) -> anyhow::Result<Passed> {
    let mut clip = Clip::new(subject.selection.clone(), ByRef(&mut *stats));
    // A part of the readings is no sample of a part of the run's time.
    let collector = match subject.selection.is_all() {
        true => Collector::of(subject.store, subject.run, process)?,
        false => None,
    };
    let Some(mut collector) = collector else {
        let passed = pass::pass(subject.store, subject.run, process, &mut clip)?;
        if !subject.selection.is_all() {
            stats.carry_in(subject, process)?;
        }
        return Ok(passed);
    };
    let mut sinks: Vec<&mut dyn Sink> = vec![&mut clip, &mut collector];
    let passed = pass::pass(subject.store, subject.run, process, &mut sinks)?;
    stats.counters = Some(collector.finish()?);
    Ok(passed)
}

/// A sink behind a reference.
#[derive(Debug)]
pub struct ByRef<'a, S>(pub &'a mut S);

impl<S: Sink> Sink for ByRef<'_, S> {
    fn event(&mut self, row: &EventRow) {
        self.0.event(row);
    }
    fn g(&mut self, interval: &GInterval) {
        self.0.g(interval);
    }
    fn p(&mut self, interval: &PInterval) {
        self.0.p(interval);
    }
    fn m(&mut self, interval: &MInterval) {
        self.0.m(interval);
    }
    fn wakeup(&mut self, wakeup: &Wakeup) {
        self.0.wakeup(wakeup);
    }
    fn unanswered(&mut self, unanswered: &Unanswered) {
        self.0.unanswered(unanswered);
    }
    fn queue(&mut self, ts: i64, queue: crate::model::Queue, len: u32) {
        self.0.queue(ts, queue, len);
    }
    fn violation(&mut self, violation: &crate::model::Violation) {
        self.0.violation(violation);
    }
}

/// Prints the statistics.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for process in subject.processes {
        let (stats, passed) = collect(subject, process)?;
        let names = Names::of(subject.store, subject.run.run, process.process)?;
        let sites = frame::by_site(&frame::gs(&stats.gs)?)?;
        all.push((process.process, stats, passed, names, sites));
    }
    if subject.json {
        let processes: Vec<Value> = all
            .iter()
            .map(|(process, stats, passed, names, sites)| {
                let mut value = as_json(stats, passed, names, sites);
                let left_out = stats.left_out(subject.run);
                let left_out = left_out.iter().flat_map(|(_, names)| names.iter().copied());
                left_out.for_each(|name| value[name] = Value::Null);
                value["process"] = json!(process);
                value
            })
            .collect();
        let run = subject.run;
        let value = json!({
            "run": run.run, "quality": quality(run), "lost": run.lost, "only": subject.selection.words(), "processes": processes,
        });
        return output.text("stats.json", |out| Ok(writeln!(out, "{value}")?));
    }
    output.text("stats.txt", |out| {
        head(subject.run, out)?;
        writeln!(out)?;
        for (process, stats, passed, names, sites) in &all {
            if all.len() > 1 {
                writeln!(out, "process {process}\n")?;
            }
            if let Some(words) = subject.selection.words() {
                writeln!(out, "only {words}")?;
                let left_out = stats.left_out(subject.run);
                let left_out: Vec<_> = left_out.iter().map(|(words, _)| *words).collect();
                if !left_out.is_empty() {
                    writeln!(
                        out,
                        "left out, as they are not of this part alone: {}",
                        left_out.join(", ")
                    )?;
                }
                writeln!(out)?;
            }
            as_text(stats, passed, names, sites, out)?;
        }
        Ok(())
    })
}

fn as_text(
    stats: &Stats,
    passed: &Passed,
    names: &Names,
    sites: &[SiteTimes],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let selection = &stats.selection;
    if selection.has_times() {
        latencies(stats, out)?;
    }
    if selection.has_ps() {
        ps(stats, out)?;
    }
    if selection.has_ms() {
        ms(stats, out)?;
    }
    if selection.has_times() {
        spawn_sites(names, sites, out)?;
        if let Some(of) = &stats.counters {
            counters::text(of, names, out)?;
        }
        hogs::text(&stats.hogs, names, out)?;
        waits_and_gs(stats, names, out)?;
    } else {
        writeln!(out, "events")?;
        for kind in &selection.kinds {
            writeln!(out, "  {:<26}{:>10}", kind.name(), stats.count(*kind))?;
        }
    }
    if selection.has_kind(Kind::Steal) {
        writeln!(out, "\nsteals (thief from victim)")?;
        for ((thief, victim), (n, gs)) in &stats.steals {
            let (n, gs) = (count(*n, "time"), count(*gs, "G"));
            writeln!(out, "  {thief} from {victim}: {n}, {gs}")?;
        }
    }
    writeln!(
        out,
        "\n{} in {}; {} moved so that intervals tile",
        count(passed.events, "event"),
        human(passed.last_ts - passed.first_ts),
        count(passed.clamped.n, "time")
    )?;
    Ok(())
}

fn latencies(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "scheduling latency (from runnable to running)")?;
    let line = |out: &mut dyn Write, name: &str, l: &Latency| -> anyhow::Result<()> {
        write!(out, "  {name:<26}{:>10}", l.len())?;
        for p in PERCENTILES {
            match l.percentile(*p) {
                Some(v) => write!(out, "{:>11}", human(v as i64))?,
                None => write!(out, "{:>11}", "-")?,
            }
        }
        Ok(writeln!(out, "{:>11}", human(l.max() as i64))?)
    };
    writeln!(
        out,
        "  {:<26}{:>10}{:>11}{:>11}{:>11}{:>11}{:>11}",
        "", "starts", "p50", "p90", "p99", "p99.9", "max"
    )?;
    line(out, "all", &stats.latency)?;
    for (cause, latency) in &stats.by_cause {
        line(out, cause, latency)?;
    }
    Ok(())
}

/// A part of a time in percent.
fn share(part: i64, all: i64) -> String {
    if all == 0 {
        "-".to_owned()
    } else {
        format!("{:.1} %", 100.0 * part as f64 / all as f64)
    }
}

fn ps(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nPs")?;
    let states = ["running", "scheduling", "syscall", "idle", "stopped"];
    let states = shown(&states, stats.ps.values());
    write!(out, "  {:<6}", "")?;
    for state in &states {
        write!(out, "{state:>12}")?;
    }
    writeln!(out, "{:>12}", "in all")?;
    for (p, times) in &stats.ps {
        let all: i64 = times.values().sum();
        write!(out, "  {:<6}", p.to_string())?;
        for state in &states {
            write!(
                out,
                "{:>12}",
                share(times.get(state).copied().unwrap_or(0), all)
            )?;
        }
        writeln!(out, "{:>12}", human(all))?;
    }
    Ok(())
}

fn ms(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nMs")?;
    let states = [
        "running",
        "spinning",
        "scheduling",
        "syscall",
        "polling",
        "parked",
        "monitoring",
    ];
    let states = shown(&states, stats.ms.values());
    write!(out, "  {:<6}", "")?;
    for state in &states {
        write!(out, "{state:>12}")?;
    }
    writeln!(out, "{:>12}", "in all")?;
    for (m, times) in stats.ms.iter().take(SHOWN) {
        let all: i64 = times.values().sum();
        write!(out, "  {:<6}", m.to_string())?;
        for state in &states {
            write!(
                out,
                "{:>12}",
                share(times.get(state).copied().unwrap_or(0), all)
            )?;
        }
        writeln!(out, "{:>12}", human(all))?;
    }
    if stats.ms.len() > SHOWN {
        writeln!(out, "  ... and {} more", stats.ms.len() - SHOWN)?;
    }
    let most = stats.most_threads().unwrap_or(0);
    writeln!(out, "  at most {} at once", count(most, "thread"))?;
    Ok(())
}

fn spawn_sites(names: &Names, sites: &[SiteTimes], out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nspawn sites")?;
    writeln!(
        out,
        "  {:<28}{:>9}{:>10}{:>11}{:>11}{:>11}{:>11}{:>14}",
        "", "Gs", "starts", "running", "runnable", "waiting", "syscall", "worst latency"
    )?;
    for s in sites.iter().take(SHOWN) {
        writeln!(
            out,
            "  {:<28}{:>9}{:>10}{:>11}{:>11}{:>11}{:>11}{:>14}",
            names.site(s.site),
            s.gs,
            s.starts,
            human(s.running),
            human(s.runnable),
            human(s.waiting),
            human(s.syscall),
            human(s.worst_latency)
        )?;
    }
    if sites.len() > SHOWN {
        writeln!(out, "  ... and {} more", sites.len() - SHOWN)?;
    }
    Ok(())
}

fn waits_and_gs(stats: &Stats, names: &Names, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "\nwaits")?;
    for (reason, (n, time)) in &stats.waits {
        writeln!(
            out,
            "  {reason:<20}{n:>10} times{:>12} in all",
            human(*time)
        )?;
    }
    writeln!(out, "\nGs that ran longest (of {})", stats.gs.len())?;
    writeln!(
        out,
        "  {:<8}{:<28}{:>9}{:>11}{:>11}{:>11}{:>11}",
        "", "spawned at", "starts", "running", "runnable", "waiting", "syscall"
    )?;
    for life in longest(&stats.gs) {
        writeln!(
            out,
            "  {:<8}{:<28}{:>9}{:>11}{:>11}{:>11}{:>11}",
            life.g.to_string(),
            names.site(life.site),
            life.starts,
            human(life.running),
            human(life.runnable),
            human(life.waiting),
            human(life.syscall)
        )?;
    }
    Ok(())
}

/// The Gs that ran longest.
fn longest(gs: &[GLife]) -> Vec<GLife> {
    let mut sorted: Vec<GLife> = gs.to_vec();
    sorted.sort_unstable_by_key(|l| (std::cmp::Reverse(l.running), l.g));
    sorted.truncate(SHOWN);
    sorted
}

/// A latency distribution as JSON, ns.
pub fn latency_json(l: &Latency) -> Value {
    let mut value = json!({"n": l.len(), "max_ns": l.max(), "mean_ns": l.mean()});
    for p in PERCENTILES {
        value[format!("p{p}_ns")] = json!(l.percentile(*p));
    }
    value
}

fn as_json(stats: &Stats, passed: &Passed, names: &Names, sites: &[SiteTimes]) -> Value {
    let by_cause: BTreeMap<_, _> = stats
        .by_cause
        .iter()
        .map(|(c, l)| (*c, latency_json(l)))
        .collect();
    let kinds: BTreeMap<_, _> = stats.kinds.iter().map(|(k, n)| (k.name(), n)).collect();
    let sites: Vec<Value> = sites
        .iter()
        .map(|s| {
            json!({
                "site": names.site(s.site), "gs": s.gs, "starts": s.starts, "running_ns": s.running,
                "runnable_ns": s.runnable, "waiting_ns": s.waiting, "syscall_ns": s.syscall,
                "median_running_ns": s.median_running, "worst_latency_ns": s.worst_latency,
            })
        })
        .collect();
    let states = |of: &States| -> Value { json!(of) };
    let ps: BTreeMap<_, _> = stats
        .ps
        .iter()
        .map(|(p, s)| (p.to_string(), states(s)))
        .collect();
    let ms: BTreeMap<_, _> = stats
        .ms
        .iter()
        .map(|(m, s)| (m.to_string(), states(s)))
        .collect();
    let waits: BTreeMap<_, _> = stats
        .waits
        .iter()
        .map(|(r, (n, ns))| (*r, json!({"n": n, "ns": ns})))
        .collect();
    let steals: Vec<Value> = stats
        .steals
        .iter()
        .map(|((thief, victim), (n, gs))| json!({"thief": thief.0, "victim": victim.0, "n": n, "gs": gs}))
        .collect();
    let gs: Vec<Value> = longest(&stats.gs)
        .iter()
        .map(|l| {
            json!({
                "g": l.g.0, "site": names.site(l.site), "starts": l.starts, "running_ns": l.running,
                "runnable_ns": l.runnable, "waiting_ns": l.waiting, "syscall_ns": l.syscall, "ended": l.ended,
            })
        })
        .collect();
    json!({
        "events": passed.events,
        "from_ns": passed.first_ts,
        "to_ns": passed.last_ts,
        "clamped": {"n": passed.clamped.n, "max_ns": passed.clamped.max_ns},
        "gs": stats.gs.len(),
        "utilisation": stats.utilisation(),
        "most_threads": stats.most_threads(),
        "latency": latency_json(&stats.latency),
        "latency_by_cause": by_cause,
        "kinds": kinds,
        "ps_ns": ps,
        "ms_ns": ms,
        "waits": waits,
        "steals": steals,
        "sites": sites,
        "longest_gs": gs,
        "hogs": hogs::json(&stats.hogs, names),
        "counters": stats.counters.as_ref().map(|c| counters::json(c, names)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_any_size_are_kept_to_three_digits() {
        let mut latency = Latency::default();
        (0..1_000).for_each(|i| latency.add(i * 1_000_000));
        assert_eq!(latency.len(), 1_000);
        let near = |value: Option<u64>, want: f64| {
            value.is_some_and(|v| (v as f64 / want - 1.0).abs() < 2e-3)
        };
        assert!(near(latency.percentile(50.0), 499e6));
        assert!(near(latency.percentile(99.0), 989e6));
        assert!(near(Some(latency.max()), 999e6));
    }

    #[test]
    fn a_percentile_needs_samples_beyond_it() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50.0), None);
        (0..1_000).for_each(|i| latency.add(i));
        assert!(latency.percentile(99.0).is_some());
        assert_eq!(latency.percentile(99.9), None);
    }
}
