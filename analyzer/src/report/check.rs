//! `--report check`: whether the trace is sound.
//!
//! Checked: every G, P and M goes only through legal states, and its moves are numbered without a gap; a P is held by one M at a time; the
//! run queues, rebuilt from the events, hold what is taken from them; the intervals of every subject tile its life; times are such as the
//! clocks allow (`times.rs`); each M's stream is whole (`streams.rs`); no event is without a place in the order; and recorded and lost together
//! are what the runtime counted (`counts.rs`).
//!
//! What is stored twice agrees: each row is as the recorder writes it (`vocabulary`), who holds and runs what is what the order makes of it
//! (`columns.rs`), what one M does and what two Ms say of one act fits together (`acts.rs`, `between.rs`, `spans.rs`), the tables say what events say
//! (`tables.rs`, `threads.rs`, `readings.rs`), what events refer to is there (`rows.rs`), and so does the row of the run (`run.rs`). What has no
//! second witness cannot be proven: these files say what that is and why, and `tests/mutations.rs` has the list of all such cells.
//!
//! Where events are missing the states and queues are in doubt for a while, as the model says, and what two Ms say of each other is not compared;
//! the others hold everywhere.

mod acts;
mod between;
mod columns;
mod counts;
mod readings;
mod rows;
mod run;
mod spans;
mod streams;
mod tables;
mod threads;
mod times;

use std::collections::BTreeMap;
use std::io::Write;

use gmp_policy::Policy;
use gmp_store::entity::{Process, ProcessInfo};
use gmp_store::run::Run;
use gmp_store::rusqlite::{self, Row};
use gmp_store::{EventRow, Store};
use gmp_trace::event::Kind;
use gmp_trace::ids::{GId, MId, PId};
use gmp_trace::version::info;
use rustc_hash::FxHashMap;

use self::acts::EachM;
use self::between::Between;
use self::columns::Columns;
use self::counts::Counts;
use self::readings::Readings;
use self::rows::References;
use self::spans::Spans;
use self::streams::Streams;
use self::tables::Tables;
use self::threads::Threads;
use self::times::Times;
use super::hogs::{self, Hogs};
use super::{Output, Subject};
use crate::model::{GInterval, MInterval, PInterval, Queue, Sink, Unanswered, Violation};
use crate::names::Names;
use crate::pass;
use crate::words::{agree, count};

/// Violations that are printed one by one; the others are counted.
const SHOWN: usize = 50;

/// Hogs that are noted one by one.
const SHOWN_HOGS: usize = 5;

/// What came of checking a run.
#[derive(Debug)]
pub struct Checked<'a> {
    subject: &'a Subject<'a>,
    /// Events looked at.
    pub events: u64,
    /// The first violations, of those whose events are selected.
    pub shown: Vec<Violation>,
    /// How many violations there are whose events are selected.
    pub selected: u64,
    /// How many there are of each rule.
    pub by_rule: BTreeMap<&'static str, u64>,
    /// Facts that a reader should know and that are no violations.
    pub notes: Vec<String>,
}

impl<'a> Checked<'a> {
    fn new(subject: &'a Subject<'a>) -> Checked<'a> {
        Checked {
            subject,
            events: 0,
            shown: Vec::new(),
            selected: 0,
            by_rule: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.by_rule.is_empty()
    }

    /// Something that is wrong with the run as a whole.
    fn whole(&mut self, rule: &'static str, what: String) {
        self.add(Violation {
            event: 0,
            ts: 0,
            rule,
            what,
        });
    }

    fn add(&mut self, violation: Violation) {
        *self.by_rule.entry(violation.rule).or_default() += 1;
        if !self.is_selected(&violation) {
            return;
        }
        self.selected += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(violation);
        }
    }

    /// Whether a violation is about an event that is selected. Without a selection all are; with one, none of those of the run as a whole.
    fn is_selected(&self, violation: &Violation) -> bool {
        let selection = self.subject.selection;
        if selection.is_all() {
            return true;
        }
        // The columns as they are: a violation may be that they make no event.
        let sql = "SELECT ts, kind, p, g, by FROM event WHERE id = ?";
        let selected = |r: &Row<'_>| -> rusqlite::Result<bool> {
            let number = |column| r.get::<_, Option<i64>>(column);
            let kind = number(1)?.and_then(|k| Kind::from_u8(k.try_into().ok()?));
            let g = |n: Option<i64>| n.map_or(GId::NONE, |n| GId(n as u64));
            let p = number(2)?.and_then(|p| p.try_into().ok()).map(PId);
            Ok(selection.has_one(r.get(0)?, kind, p, [g(number(3)?), g(number(4)?)]))
        };
        let found = (self.subject.store.db().prepare_cached(sql))
            .and_then(|mut query| query.query_row([violation.event], selected));
        match found {
            Ok(selected) => selected,
            Err(rusqlite::Error::QueryReturnedNoRows) => false,
            // What cannot be told apart is shown.
            Err(_) => true,
        }
    }

    fn total(&self) -> u64 {
        self.by_rule.values().sum()
    }
}

/// Looks at the events of a process from all sides.
struct Checker<'a, 'b> {
    checked: &'a mut Checked<'b>,
    acts: EachM,
    between: Between,
    columns: Columns,
    counts: Counts,
    readings: Readings<'b>,
    spans: Spans,
    streams: Streams<'b>,
    tables: Tables,
    threads: Threads,
    times: Times,
    references: References,
    told: &'a mut run::Told,
    g_ends: FxHashMap<GId, i64>,
    p_ends: FxHashMap<PId, i64>,
    m_ends: FxHashMap<MId, i64>,
    last_event: i64,
    lossy: bool,
    hogs: Hogs,
}

impl Checker<'_, '_> {
    /// Looks at the readings of counters before the event with this id.
    fn readings(&mut self, event: i64) {
        while let Some(mut reading) = self.readings.before(event) {
            // The event that it names itself may be gone; what is said of it is to name one that is there.
            reading.event = self.last_event;
            let after_gap = self.streams.reading(&reading, self.checked);
            self.columns.reading(&reading, after_gap, self.checked);
            self.readings.reading(&reading, self.checked);
        }
    }

    fn tiles(&mut self, subject: &dyn std::fmt::Display, before: Option<i64>, from: i64, to: i64) {
        if to < from || before.is_some_and(|before| before != from) {
            self.checked.add(Violation {
                event: self.last_event,
                ts: from,
                rule: "times tile",
                what: match before {
                    Some(before) => format!(
                        "{subject} has an interval from {from} to {to} ns after one that ended at {before} ns"
                    ),
                    None => format!("{subject} has an interval from {from} to {to} ns"),
                },
            });
        }
    }
}

impl Sink for Checker<'_, '_> {
    fn damaged(&mut self, id: i64, what: &str) -> bool {
        self.checked.events += 1;
        self.checked.add(Violation {
            event: id,
            ts: 0,
            rule: "vocabulary",
            what: what.to_owned(),
        });
        true
    }

    fn odd(&mut self, row: &EventRow, what: &str) {
        self.checked.add(Violation {
            event: row.id,
            ts: row.ts,
            rule: "vocabulary",
            what: what.to_owned(),
        });
    }

    fn event(&mut self, row: &EventRow) {
        self.readings(row.id);
        self.last_event = row.id;
        self.checked.events += 1;
        self.counts.event(row);
        self.tables.event(row);
        self.threads.event(row);
        self.told.event(row);
        let after_gap = self.streams.event(row, self.checked);
        self.columns.event(row, after_gap, self.checked);
        self.acts.event(row, after_gap, self.lossy, self.checked);
        if !self.lossy {
            self.between.event(row, self.checked);
            self.spans.event(row, self.checked);
        }
        self.readings.event(row, self.checked);
        self.times.event(row, self.checked);
        self.references.event(row, self.checked);
    }

    fn queue(&mut self, _ts: i64, queue: Queue, len: u32) {
        self.acts.queue(queue, len);
    }

    fn moved(&mut self, row: &EventRow, to: i64) {
        self.times.moved(row, to);
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
pub fn check<'a>(subject: &'a Subject<'a>) -> anyhow::Result<Checked<'a>> {
    let mut checked = Checked::new(subject);
    let (store, run) = (subject.store, subject.run);
    let lossy = is_lossy(run);
    let mut looked_at = Vec::new();
    let mut told = run::Told::default();
    for process in subject.processes {
        let mut checker = Checker {
            acts: EachM::new(policy_of(store, process)?.as_ref()),
            between: Between::default(),
            columns: Columns::default(),
            counts: Counts::new(),
            readings: Readings::new(store, process)?,
            spans: Spans::default(),
            streams: Streams::new(store, process)?,
            tables: Tables::default(),
            threads: Threads::default(),
            times: Times::new(store, run, process)?,
            references: References::new(subject, process)?,
            checked: &mut checked,
            told: &mut told,
            g_ends: FxHashMap::default(),
            p_ends: FxHashMap::default(),
            m_ends: FxHashMap::default(),
            last_event: 0,
            lossy,
            hogs: Hogs::of(run),
        };
        let passed = pass::exact(store, run, process, &mut checker)?;
        checker.readings(i64::MAX);
        let Checker {
            between,
            counts,
            readings,
            streams,
            tables,
            threads,
            references,
            hogs,
            ..
        } = checker;
        readings.finish()?;
        streams.finish(&mut checked);
        counts.finish(store, process, &mut checked)?;
        between.finish(process.finished, &mut checked);
        tables.finish(store, process, lossy, &mut checked)?;
        threads.finish(store, process, lossy, references.names_lost, &mut checked)?;
        looked_at.push(passed.events);
        if passed.clamped.n > 0 {
            checked.notes.push(format!(
                "process {}: {} {} moved so that intervals tile, by at most {} (a thread was held up between the clock and the act)",
                process.process,
                count(passed.clamped.n, "time"),
                agree(passed.clamped.n, "was", "were"),
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
        if passed.in_doubt > 0 {
            checked.notes.push(format!(
                "process {}: {} of {} events came while others were missing; whether their states are legal cannot be told",
                process.process, passed.in_doubt, passed.events
            ));
        }
    }
    let rows = rows::count(subject, &looked_at, &mut checked)?;
    if rows == 0 && checked.is_clean() {
        anyhow::bail!("there is nothing to check: the run has no events");
    }
    rows::strays(store, &mut checked)?;
    run::check(store, run, subject.processes, &told, &mut checked)?;
    unordered(subject, &mut checked)?;
    if run.lost > 0 {
        checked.notes.push(format!(
            "{} {} lost; {} counted, and all else is checked",
            count(run.lost, "event"),
            agree(run.lost, "was", "were"),
            agree(run.lost, "it is", "they are")
        ));
    }
    if run.resynced > 0 {
        checked.notes.push(format!(
            "{} {} placed by {} time, because those before {} are missing",
            count(run.resynced, "event"),
            agree(run.resynced, "was", "were"),
            agree(run.resynced, "its", "their"),
            agree(run.resynced, "it", "them")
        ));
    }
    Ok(checked)
}

/// Whether events of the run are missing.
fn is_lossy(run: &Run) -> bool {
    run.lost > 0 || run.resynced > 0 || run.unordered > 0
}

/// The policy of a process; none, if it is one of another version that we cannot read, which proves nothing.
fn policy_of(store: &Store, process: &Process) -> anyhow::Result<Option<Policy>> {
    let stated = ProcessInfo::all(store, process.run)?.into_iter();
    let mut policy = stated.filter(|i| i.process == process.process && i.key == info::POLICY);
    Ok(policy.next().and_then(|i| i.value.parse().ok()))
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

/// Prints what came of it; the exit code. A selection chooses what is listed, never what is checked: the events of a part prove nothing by
/// themselves.
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
    let more = checked.selected - checked.shown.len() as u64;
    if more > 0 {
        writeln!(out, "... and {more} more")?;
    }
    for note in &checked.notes {
        writeln!(out, "note: {note}")?;
    }
    let (total, events) = (checked.total(), count(checked.events, "event"));
    if let Some(words) = subject.selection.words() {
        writeln!(
            out,
            "only {words}: {} of {} listed; the whole run is checked",
            checked.selected,
            count(total, "violation")
        )?;
    }
    if checked.is_clean() {
        writeln!(out, "run {}: {events}, no violation", subject.run.run)?;
    } else {
        let rules: Vec<String> = checked
            .by_rule
            .iter()
            .map(|(r, n)| format!("{n} of \"{r}\""))
            .collect();
        writeln!(
            out,
            "run {}: {events}, {}: {}",
            subject.run.run,
            count(total, "violation"),
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
        "only": subject.selection.words(),
        "selected": checked.selected,
        "shown": shown,
        "notes": checked.notes,
    })
}
