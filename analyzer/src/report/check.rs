//! `--report check`: whether the trace is sound.
//!
//! Checked: every G, P and M goes only through legal states; a P is held by one M at a time; the run queues, rebuilt from the events, hold
//! what is taken from them; the intervals of every subject tile its life; no event is without a place in the order; and the rows equal
//! the runtime's own counters. Where events were lost, or the process was killed, what can no longer be told is not a violation: then no
//! more events may be recorded than were counted, and a killed writer may have counted one step that it did not come to record.

use std::collections::BTreeMap;
use std::io::Write;

use gmp_store::EventRow;
use gmp_store::entity::OwnCounter;
use gmp_trace::event::Kind;
use gmp_trace::ids::{GId, MId, PId};
use gmp_trace::tally::{Equals, Tally};
use rustc_hash::FxHashMap;

use super::hogs::{self, Hogs};
use super::{Output, Subject};
use crate::model::{GInterval, MInterval, PInterval, Sink, Unanswered, Violation};
use crate::names::Names;
use crate::pass;

/// Violations that are printed one by one; the others are counted.
const SHOWN: usize = 50;

/// Hogs that are noted one by one.
const SHOWN_HOGS: usize = 5;

/// What came of checking a run.
#[derive(Debug, Default)]
pub struct Checked {
    /// Events looked at.
    pub events: u64,
    /// The first violations.
    pub shown: Vec<Violation>,
    /// How many there are of each rule.
    pub by_rule: BTreeMap<&'static str, u64>,
    /// Facts that a reader should know and that are no violations.
    pub notes: Vec<String>,
}

impl Checked {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.by_rule.is_empty()
    }

    fn add(&mut self, violation: Violation) {
        *self.by_rule.entry(violation.rule).or_default() += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(violation);
        }
    }
}

/// Counts events as the runtime's own counters do, and checks that intervals tile.
struct Checker<'a> {
    checked: &'a mut Checked,
    counted: FxHashMap<Tally, u64>,
    by_kind: [u64; 256],
    /// Counters that look at an argument: of which kind, which one, and which of its values count; `None` sums it.
    arguments: Vec<(Kind, usize, Option<&'static [u64]>, Tally)>,
    g_ends: FxHashMap<GId, i64>,
    p_ends: FxHashMap<PId, i64>,
    m_ends: FxHashMap<MId, i64>,
    last_event: i64,
    hogs: Hogs,
}

impl<'a> Checker<'a> {
    fn new(checked: &'a mut Checked, hogs: Hogs) -> Checker<'a> {
        let mut arguments = Vec::new();
        for tally in Tally::ALL {
            let (kind, field, values) = match tally.equals() {
                Equals::Sum(kind, field) => (kind, field, None),
                Equals::CountOf(kind, field, values) => (kind, field, Some(values)),
                Equals::Count(_) | Equals::Nothing => continue,
            };
            let at = kind.spec().fields.iter().position(|f| f.name == field);
            arguments.extend(at.map(|at| (kind, at, values, *tally)));
        }
        Checker {
            checked,
            counted: FxHashMap::default(),
            by_kind: [0; 256],
            arguments,
            g_ends: FxHashMap::default(),
            p_ends: FxHashMap::default(),
            m_ends: FxHashMap::default(),
            last_event: 0,
            hogs,
        }
    }

    fn tiles(&mut self, subject: &dyn std::fmt::Display, before: Option<i64>, from: i64, to: i64) {
        if to < from || before.is_some_and(|before| before != from) {
            self.checked.add(Violation {
                event: self.last_event,
                ts: from,
                rule: "times tile",
                what: format!("{subject} has an interval from {from} to {to} after one that ended at {before:?}"),
            });
        }
    }

    /// How many events the trace has for a counter.
    fn recorded(&self, tally: Tally) -> Option<u64> {
        match tally.equals() {
            Equals::Nothing => None,
            Equals::Count(kind) => Some(self.by_kind[kind as usize]),
            Equals::Sum(..) | Equals::CountOf(..) => {
                Some(self.counted.get(&tally).copied().unwrap_or(0))
            }
        }
    }
}

impl Sink for Checker<'_> {
    fn event(&mut self, row: &EventRow) {
        self.last_event = row.id;
        self.checked.events += 1;
        let kind = row.event.kind();
        self.by_kind[kind as usize] += 1;
        for (of, at, values, tally) in &self.arguments {
            if *of == kind {
                let mut i = 0;
                let mut value = 0;
                row.event.args(|v| {
                    if i == *at {
                        value = v;
                    }
                    i += 1;
                });
                *self.counted.entry(*tally).or_default() += match values {
                    Some(values) => u64::from(values.contains(&value)),
                    None => value,
                };
            }
        }
    }

    fn g(&mut self, i: &GInterval) {
        let before = self.g_ends.insert(i.g, i.to);
        self.tiles(&i.g, before, i.from, i.to);
        if i.last {
            self.g_ends.remove(&i.g);
        }
    }

    fn p(&mut self, i: &PInterval) {
        let before = self.p_ends.insert(i.p, i.to);
        // A P that was beyond the P count for a while begins anew.
        let before = before.filter(|b| *b >= i.from);
        self.tiles(&i.p, before, i.from, i.to);
    }

    fn m(&mut self, i: &MInterval) {
        let before = self.m_ends.insert(i.m, i.to);
        self.tiles(&i.m, before, i.from, i.to);
    }

    fn unanswered(&mut self, unanswered: &Unanswered) {
        self.hogs.add(unanswered);
    }

    fn violation(&mut self, violation: &Violation) {
        self.checked.add(violation.clone());
    }
}

/// Checks a run.
///
/// # Errors
/// When the database cannot be read.
pub fn check(subject: &Subject<'_>) -> anyhow::Result<Checked> {
    let mut checked = Checked::default();
    let (store, run) = (subject.store, subject.run);
    for process in subject.processes {
        let mut checker = Checker::new(&mut checked, Hogs::of(run));
        let passed = pass::pass(store, run, process, &mut checker)?;
        let own = OwnCounter::all(store, run.run)?;
        let own = own.iter().filter(|c| c.process == process.process);
        let mut totals: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for counter in own {
            let total = totals.entry(&counter.name).or_default();
            total.0 += counter.value as u64;
            total.1 += 1;
        }
        let mut wrong = Vec::new();
        for tally in Tally::ALL {
            let Some(recorded) = checker.recorded(*tally) else {
                continue;
            };
            let Some((counted, writers)) = totals.get(tally.name()).copied() else {
                // A counter that is younger than the runtime: that one has no such events either.
                if recorded > 0 {
                    wrong.push(format!("{} was not counted by the runtime", tally.name()));
                }
                continue;
            };
            // What one unfinished step of each killed writer may amount to: a step counts before it is recorded, or after.
            let sum = matches!(tally.equals(), Equals::Sum(..));
            let fits = if run.lost > 0 {
                recorded <= counted
            } else if !process.finished {
                sum || recorded.abs_diff(counted) <= writers
            } else {
                recorded == counted
            };
            if !fits {
                wrong.push(format!(
                    "{}: {recorded} recorded, {counted} counted by the runtime",
                    tally.name()
                ));
            }
        }
        let hogs = std::mem::take(&mut checker.hogs);
        for what in wrong {
            checked.add(Violation {
                event: 0,
                ts: passed.last_ts,
                rule: "recorded = counted",
                what,
            });
        }
        if passed.clamped.n > 0 {
            checked.notes.push(format!(
                "process {}: {} times were moved so that intervals tile, by at most {} (clocks of two threads)",
                process.process,
                passed.clamped.n,
                crate::time::human(passed.clamped.max_ns)
            ));
        }
        note_hogs(subject, process.process, hogs, &mut checked)?;
        if !process.finished {
            checked.notes.push(format!(
                "process {} was cut: its last events may be missing",
                process.process
            ));
        }
    }
    unordered(subject, &mut checked)?;
    if run.lost > 0 {
        checked.notes.push(format!(
            "{} events were lost, so states that do not fit are not counted as violations",
            run.lost
        ));
    }
    if run.resynced > 0 {
        checked.notes.push(format!(
            "{} events were placed by their time, because those before them are missing",
            run.resynced
        ));
    }
    Ok(checked)
}

/// Gs that did not give way: the program's doing, and no violation of the scheduler's rules.
fn note_hogs(
    subject: &Subject<'_>,
    process: u32,
    mut hogs: Hogs,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    if hogs.n == 0 {
        return Ok(());
    }
    hogs.find_sites(subject.store, subject.run.run, process)?;
    let names = Names::of(subject.store, subject.run.run, process)?;
    checked.notes.push(format!(
        "process {process} has hogs, which are no violation: {}; {}",
        hogs.sentence(),
        hogs::ADVICE
    ));
    let longest = hogs.longest.iter().take(SHOWN_HOGS);
    let said = longest.map(|hog| format!("hog: {}", hog.sentence(&names)));
    checked.notes.extend(said);
    Ok(())
}

/// Events that fit nowhere although nothing was lost.
fn unordered(subject: &Subject<'_>, checked: &mut Checked) -> anyhow::Result<()> {
    let store = subject.store;
    let ids: Vec<(i64, i64)> = store
        .db()
        .prepare(
            "SELECT e.id, e.ts FROM event_note n JOIN event e ON e.id = n.event WHERE e.run = ? AND n.note = 'unordered'",
        )
        .and_then(|mut q| {
            q.query_map([subject.run.run], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect()
        })
        .map_err(store.sql())?;
    for (event, ts) in ids {
        checked.add(Violation {
            event,
            ts,
            rule: "causal order",
            what: "fits nowhere in the order, although nothing was lost".into(),
        });
    }
    Ok(())
}

/// Prints what came of it; the exit code.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<u8> {
    let checked = check(subject)?;
    if subject.json {
        output.text("check.json", |out| {
            Ok(writeln!(out, "{}", json(subject, &checked))?)
        })?;
    } else {
        output.text("check.txt", |out| text(subject, &checked, out))?;
    }
    Ok(u8::from(!checked.is_clean()))
}

fn text(subject: &Subject<'_>, checked: &Checked, out: &mut dyn Write) -> anyhow::Result<()> {
    for v in &checked.shown {
        let at = crate::time::at(v.ts);
        match v.event {
            0 => writeln!(out, "{}: {}", v.rule, v.what)?,
            id => writeln!(out, "event {id} at {at}: {}: {}", v.rule, v.what)?,
        }
    }
    let total: u64 = checked.by_rule.values().sum();
    if total > checked.shown.len() as u64 {
        writeln!(out, "... and {} more", total - checked.shown.len() as u64)?;
    }
    for note in &checked.notes {
        writeln!(out, "note: {note}")?;
    }
    if checked.is_clean() {
        writeln!(
            out,
            "run {}: {} events, no violation",
            subject.run.run, checked.events
        )?;
    } else {
        let rules: Vec<String> = checked
            .by_rule
            .iter()
            .map(|(r, n)| format!("{n} of \"{r}\""))
            .collect();
        writeln!(
            out,
            "run {}: {} events, {total} violations: {}",
            subject.run.run,
            checked.events,
            rules.join(", ")
        )?;
    }
    Ok(())
}

fn json(subject: &Subject<'_>, checked: &Checked) -> serde_json::Value {
    let shown: Vec<_> = checked
        .shown
        .iter()
        .map(|v| serde_json::json!({"event": v.event, "ts_ns": v.ts, "rule": v.rule, "what": v.what}))
        .collect();
    serde_json::json!({
        "run": subject.run.run,
        "events": checked.events,
        "clean": checked.is_clean(),
        "violations": checked.by_rule,
        "shown": shown,
        "notes": checked.notes,
    })
}
