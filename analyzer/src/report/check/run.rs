//! The row of the run and what belongs to it are what its processes, its clocks and its events say.
//!
//! What the recorder alone knows has no second witness: who started what where (`label`, `command`, `argv`, `cwd`, tags, numbers of processes), the
//! machine (`kernel`, CPUs), what was measured once (costs, `spool_bytes`) and the versions.

use std::collections::BTreeMap;

use gmp_policy::{KNOBS, Policy};
use gmp_store::entity::{Clock, CounterDef, Process, ProcessInfo};
use gmp_store::run::Run;
use gmp_store::{EventRow, Store, rusqlite};
use gmp_trace::clock::Calibration;
use gmp_trace::event::Event;
use gmp_trace::version::{FORMAT_VERSION, info};

use super::Checked;

const RULE: &str = "the run";
const CLOCKS: &str = "clocks";
/// How much the kernel may change the rate of its clock while it is corrected, in parts of a million.
const SLEW_PPM: f64 = 500.0;

/// What the events of all processes say of the run.
#[derive(Debug, Default)]
pub struct Told {
    blocked_ns: i64,
    /// When the last event was.
    last_ts: Option<i64>,
    /// The first number of Ps of each process.
    procs: BTreeMap<u32, u32>,
}

impl Told {
    /// The next event.
    pub fn event(&mut self, row: &EventRow) {
        self.last_ts = self.last_ts.max(Some(row.ts));
        match row.event {
            Event::Blocked { waited_ns } => {
                let waited_ns = i64::try_from(waited_ns).unwrap_or(i64::MAX);
                self.blocked_ns = self.blocked_ns.saturating_add(waited_ns);
            }
            Event::Procs { procs } => {
                self.procs.entry(row.process).or_insert(procs);
            }
            _ => {}
        }
    }
}

/// What processes stated of themselves, by process and key.
struct Stated(BTreeMap<(u32, String), String>);

impl Stated {
    fn of(store: &Store, run: u32) -> anyhow::Result<Stated> {
        let all = ProcessInfo::all(store, run)?.into_iter();
        Ok(Stated(all.map(|i| ((i.process, i.key), i.value)).collect()))
    }

    fn get(&self, process: u32, key: &str) -> Option<&str> {
        self.0.get(&(process, key.to_owned())).map(String::as_str)
    }
}

/// Compares the run and its processes with what is told of them.
///
/// # Errors
/// When the database cannot be read.
pub fn check(
    store: &Store,
    run: &Run,
    processes: &[Process],
    told: &Told,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let stated = Stated::of(store, run.run)?;
    ending(store, run, processes, checked).map_err(store.sql())?;
    counts(store, run, processes, told, checked).map_err(store.sql())?;
    forms(store, run, checked).map_err(store.sql())?;
    let clocks = Clock::all(store, run.run)?;
    for process in processes {
        of_process(run, process, &stated, told, checked);
        counters(store, process, &stated, checked)?;
    }
    if let Some(first) = processes.first() {
        described(run, first, &stated, checked);
        rates(run, processes, &clocks, checked);
    }
    Ok(parameters(store, run, &stated, checked).map_err(store.sql())?)
}

/// Says it if two values that must be the same are not.
fn same<T: PartialEq + std::fmt::Debug>(
    name: &str,
    written: &T,
    source: &str,
    expected: &T,
    checked: &mut Checked,
) {
    if written != expected {
        let text = |value: &T| {
            let text = format!("{value:?}");
            match text.strip_prefix("Some(").and_then(|t| t.strip_suffix(')')) {
                Some(inner) => inner.to_owned(),
                None if text == "None" => "NULL".to_owned(),
                None => text,
            }
        };
        checked.whole(
            RULE,
            format!(
                "{name} is {}, by {source} {}",
                text(written),
                text(expected)
            ),
        );
    }
}

/// How the run ended fits together.
fn ending(
    store: &Store,
    run: &Run,
    processes: &[Process],
    checked: &mut Checked,
) -> rusqlite::Result<()> {
    let cursors: i64 = store.db().query_row(
        "SELECT count(*) FROM ingest_cursor WHERE run = ?",
        [run.run],
        |r| r.get(0),
    )?;
    let whole = processes.iter().all(|p| p.finished);
    let status = match (run.ingest.as_str(), run.exit_code, run.signal) {
        ("running", _, _) => "recording",
        // Its end counts as nobody's sight, even if the recorder that died saw it. An earlier version called all of them cut.
        ("done", _, _) if run.recovered && whole && run.status == "ok" => "ok",
        ("done", _, _) if run.recovered => "cut",
        ("done", Some(0), None) => "ok",
        ("done", Some(_), None) => "failed",
        ("done", None, Some(_)) => "cut",
        _ => "",
    };
    if status.is_empty() {
        checked.whole(
            RULE,
            format!(
                "ingest {}, exit_code {}, signal {} and recovered {} do not fit together",
                run.ingest,
                run.exit_code.map_or("NULL".to_owned(), |c| c.to_string()),
                run.signal.map_or("NULL".to_owned(), |s| s.to_string()),
                u8::from(run.recovered),
            ),
        );
    } else {
        same("status", &run.status.as_str(), "its end", &status, checked);
    }
    if run.ingest == "done" && cursors > 0 {
        checked.whole(
            RULE,
            "its ingest is done, and ingest_cursor has a row".to_owned(),
        );
    }
    Ok(())
}

/// Numbers of events and of notes, and the figures made of them.
fn counts(
    store: &Store,
    run: &Run,
    processes: &[Process],
    told: &Told,
    checked: &mut Checked,
) -> rusqlite::Result<()> {
    let first = processes.iter().filter_map(|p| p.first_event).min();
    let last = processes.iter().filter_map(|p| p.last_event).max();
    let by = "its processes";
    same("first_event", &run.first_event, by, &first, checked);
    same("last_event", &run.last_event, by, &last, checked);
    let by = "its events";
    if run.recovered && run.duration_ns.is_some() {
        same("duration_ns", &run.duration_ns, by, &told.last_ts, checked);
    }
    same("blocked_ns", &run.blocked_ns, by, &told.blocked_ns, checked);
    let (mut resynced, mut unordered) = (0, 0);
    let mut statement = store.db().prepare(
        "SELECT n.event, n.note, e.run FROM event_note n LEFT JOIN event e ON e.id = n.event ORDER BY n.rowid",
    )?;
    let mut notes = statement.query([])?;
    while let Some(note) = notes.next()? {
        let (event, word): (i64, String) = (note.get(0)?, note.get(1)?);
        match (note.get::<_, Option<u32>>(2)?, word.as_str()) {
            (Some(of), "resynced") => resynced += i64::from(of == run.run),
            (Some(of), "unordered") => unordered += i64::from(of == run.run),
            (Some(_), word) => checked.whole(
                RULE,
                format!("event {event} has the note {word}, which means nothing"),
            ),
            (None, word) => checked.whole(
                RULE,
                format!("event_note says {word} of event {event}, which is not there"),
            ),
        }
    }
    let by = "event_note";
    same("resynced", &run.resynced, by, &resynced, checked);
    same("unordered", &run.unordered, by, &unordered, checked);
    let mut statement = store
        .db()
        .prepare("SELECT name, value, unit FROM run_metric WHERE run = ?")?;
    let mut metrics = statement.query([run.run])?;
    let mut missing = vec!["duration", "events"];
    while let Some(metric) = metrics.next()? {
        let name: String = metric.get(0)?;
        missing.retain(|n| *n != name);
        let written: (Option<f64>, Option<String>) = (metric.get(1)?, metric.get(2)?);
        let expected = match name.as_str() {
            "duration" => (run.duration_ns.map(|ns| ns as f64 / 1e9), Some("s".into())),
            "events" => (Some(run.events as f64), Some("events".into())),
            _ => continue,
        };
        let name = format!("the metric {name}");
        same(&name, &written, "the run", &expected, checked);
    }
    for name in missing.iter().filter(|_| run.ingest == "done") {
        checked.whole(RULE, format!("it has no metric {name}"));
    }
    Ok(())
}

/// What the first process states of itself holds for the run.
fn described(run: &Run, first: &Process, stated: &Stated, checked: &mut Checked) {
    if run.ingest != "done" {
        return;
    }
    let said = |key: &str| stated.get(first.process, key).map(str::to_owned);
    let number = |key: &str| said(key).and_then(|text| text.parse().ok());
    let by = "its first process";
    let clock = Some(first.clock_kind.clone());
    same("clock_kind", &run.clock_kind, by, &clock, checked);
    same("policy", &run.policy, by, &said(info::POLICY), checked);
    let runtime = said(info::RUNTIME);
    same(
        "runtime_version",
        &run.runtime_version,
        by,
        &runtime,
        checked,
    );
    let counters = said(info::COUNTERS).or(Some("none".into()));
    same("counters", &run.counters, by, &counters, checked);
    let reason = said(info::COUNTERS_REASON);
    same(
        "counters_reason",
        &run.counters_reason,
        by,
        &reason,
        checked,
    );
    let share: Option<f64> = said(info::COUNTERS_PROBABILITY).and_then(|p| p.parse().ok());
    let written = &run.counters_probability;
    same("counters_probability", written, by, &share, checked);
    same("procs", &run.procs, by, &number(info::PROCS), checked);
    if run
        .format_version
        .is_none_or(|v| !(1..=FORMAT_VERSION).contains(&v.into()))
    {
        checked.whole(RULE, "format_version is none that there is".to_owned());
    }
}

/// Values that are yes or no, and texts that are made of something.
fn forms(store: &Store, run: &Run, checked: &mut Checked) -> rusqlite::Result<()> {
    for (table, column) in [
        ("run", "recovered"),
        ("process", "finished"),
        ("counter_def", "available"),
    ] {
        let sql = format!("SELECT count(*) FROM {table} WHERE run = ? AND {column} NOT IN (0, 1)");
        let n: i64 = store.db().query_row(&sql, [run.run], |r| r.get(0))?;
        if n > 0 {
            checked.whole(RULE, format!("{table}.{column} is neither 0 nor 1"));
        }
    }
    let sql = "SELECT count(*) FROM site WHERE run = ? AND (line < 1 OR col < 1 OR file = '')";
    let n: i64 = store.db().query_row(sql, [run.run], |r| r.get(0))?;
    if n > 0 {
        checked.whole(RULE, format!("{n} sites are no places in a source"));
    }
    if serde_json::from_str::<Vec<String>>(&run.argv).is_err() {
        checked.whole(RULE, "argv is no JSON array of texts".to_owned());
    }
    Ok(())
}

/// The row of a process.
fn of_process(run: &Run, process: &Process, stated: &Stated, told: &Told, checked: &mut Checked) {
    let name = |column: &str| format!("{column} of process {}", process.process);
    let executable = stated.get(process.process, info::EXECUTABLE);
    same(
        &name("executable"),
        &process.executable.as_deref(),
        "its own word",
        &executable,
        checked,
    );
    if let Some(n) = stated.get(process.process, info::NAMES_LOST) {
        checked.notes.push(format!(
            "process {}: its spool had no room for {n} names; so many may be missing, and all else is checked",
            process.process
        ));
    }
    // One that was recovered may have been elsewhere, or later.
    if !run.recovered {
        same(&name("host"), &process.host, "the run", &run.host, checked);
        same(
            &name("boot_id"),
            &process.boot_id,
            "the run",
            &run.boot_id,
            checked,
        );
    }
    if let (Some(counted), Some(stated)) = (
        told.procs.get(&process.process),
        stated.get(process.process, info::PROCS),
    ) && run.lost == 0
    {
        same(
            &name("procs"),
            &stated,
            "its first event `procs`",
            &counted.to_string().as_str(),
            checked,
        );
    }
}

/// What stands for the reason of a counter that is there and leaves nothing out.
const WHOLE: &str = "it is";

/// What a process says of one of its counters: `NAME, NAME: REASON; NAME: REASON`.
fn why<'a>(reasons: &'a str, counter: &str) -> &'a str {
    let mut parts = reasons.split("; ").filter_map(|part| part.split_once(": "));
    let part = parts.find(|(names, _)| names.split(", ").any(|name| name == counter));
    match part {
        Some((_, "counted by the kernel" | "counted by the processor")) => WHOLE,
        Some((_, reason)) => reason,
        None => "nothing",
    }
}

/// The counters that a process had are those that it names, and what they lack is what it says.
fn counters(
    store: &Store,
    process: &Process,
    stated: &Stated,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let defined = CounterDef::all(store, process.run)?.into_iter();
    let defined: Vec<_> = defined.filter(|c| c.process == process.process).collect();
    let named = stated
        .get(process.process, info::COUNTERS)
        .unwrap_or("none");
    let available: Vec<&str> = defined
        .iter()
        .filter(|c| c.available)
        .map(|c| c.name.as_str())
        .collect();
    let available = match available.is_empty() {
        true => "none".to_owned(),
        false => available.join(","),
    };
    let name = format!("the counters in counter_def of process {}", process.process);
    // The name of a counter, or the process's word, may be among the names that were lost.
    if stated.get(process.process, info::NAMES_LOST).is_none() {
        same(&name, &available.as_str(), "its own word", &named, checked);
        let reasons = stated
            .get(process.process, info::COUNTERS_REASON)
            .unwrap_or_default();
        for c in &defined {
            let name = format!("{name}: why {} is not counted whole", c.name);
            let reason = c.reason.as_deref().unwrap_or(WHOLE);
            same(
                &name,
                &reason,
                "its own word",
                &why(reasons, &c.name),
                checked,
            );
        }
    }
    for c in &defined {
        let known = matches!(c.source.as_str(), "hardware" | "software");
        // One that is there may have a reason, too: that it leaves the kernel out.
        let explained = c.available || c.reason.is_some();
        if !known || c.counter > 7 || !explained {
            checked.whole(
                RULE,
                format!(
                    "counter_def of process {}: counter {} ({}, {}) makes no sense",
                    process.process, c.counter, c.name, c.source
                ),
            );
        }
    }
    Ok(())
}

/// Ticks become times at one rate in all processes, which agrees with the readings of the clocks.
fn rates(run: &Run, processes: &[Process], clocks: &[Clock], checked: &mut Checked) {
    let rate = |p: &Process| {
        (
            p.base_ticks,
            p.base_ts_ns,
            p.interval_ticks,
            p.interval_ns,
            p.clock_kind.clone(),
        )
    };
    let first = &processes[0];
    for process in processes {
        let name = format!("how process {} tells times", process.process);
        same(&name, &rate(process), "the first", &rate(first), checked);
    }
    if run.ingest != "done" {
        return;
    }
    let calibration = Calibration {
        base_ticks: first.base_ticks as u64,
        base_ns: 0,
        interval_ticks: first.interval_ticks as u64,
        interval_ns: first.interval_ns as u64,
    };
    let by = "the interval of its processes";
    same(
        "tick_hz",
        &run.tick_hz,
        by,
        &Some(calibration.hz()),
        checked,
    );
    let mut wrong = |what: String| checked.whole(CLOCKS, what);
    let Some(began) = clocks.iter().min_by_key(|c| c.ticks) else {
        return wrong("there is no reading".to_owned());
    };
    if (began.ticks, began.at_ns) != (first.base_ticks, first.base_ts_ns) {
        wrong("times are not counted from the first reading".to_owned());
    }
    let started = (
        run.started_monotonic_ns,
        run.started_boottime_ns,
        run.started_realtime_ns,
    );
    if (began.monotonic_ns, began.boottime_ns, began.realtime_ns) != started {
        wrong("the first reading is not of the run's start".to_owned());
    }
    let worst = clocks.iter().map(|c| c.uncertainty_ns).fold(0.0, f64::max);
    for clock in clocks {
        if clock.monotonic_ns.wrapping_sub(run.started_monotonic_ns) != clock.at_ns {
            wrong(format!(
                "the reading at {} ns is of another CLOCK_MONOTONIC",
                clock.at_ns
            ));
        }
        let by_ticks = calibration.ns(clock.ticks as u64);
        let off = (by_ticks + i128::from(first.base_ts_ns) - i128::from(clock.at_ns)).abs() as f64;
        let span = clock.at_ns.max(0) as f64;
        let parts = span / first.interval_ns.max(1) as f64 + 2.0;
        let beyond = (span - first.interval_ns as f64).max(0.0);
        if off > (worst + 1.0) * parts + beyond * SLEW_PPM / 1e6 {
            wrong(format!(
                "the reading at {} ns is {off:.0} ns from where its ticks are",
                clock.at_ns
            ));
        }
    }
}

/// What the run was asked to be is what it was.
fn parameters(
    store: &Store,
    run: &Run,
    stated: &Stated,
    checked: &mut Checked,
) -> rusqlite::Result<()> {
    let policy: Option<Policy> = run.policy.as_deref().and_then(|p| p.parse().ok());
    let first = stated.0.keys().next().map_or(1, |(process, _)| *process);
    let mut statement = store
        .db()
        .prepare("SELECT name, unit FROM run_param WHERE run = ?")?;
    let parameters = statement.query_map([run.run], |r| Ok((r.get(0)?, r.get(1)?)))?;
    let parameters: Vec<(String, Option<String>)> = parameters.collect::<Result<_, _>>()?;
    let has = |name: &str| parameters.iter().any(|(n, _)| n == name);
    let of_knob = |name: &str| name.strip_prefix("policy.").map(str::to_owned);
    let lacks = KNOBS.iter().find(|k| !has(&format!("policy.{}", k.name)));
    let unknown = parameters
        .iter()
        .filter_map(|(name, _)| of_knob(name))
        .find(|name| KNOBS.iter().all(|k| k.name != name));
    // A later version has more knobs, an earlier one fewer.
    if let (Some(unknown), Some(lacks)) = (unknown, lacks) {
        let lacks = lacks.name;
        checked.whole(
            RULE,
            format!("it has the parameter policy.{unknown}, and not policy.{lacks}"),
        );
    }
    if run.ingest == "done" && run.procs.is_some() && !has("procs") {
        checked.whole(RULE, "it has no parameter procs".to_owned());
    }
    // In SQL, because the column turns a text that reads as a number into one.
    let mut is = store
        .db()
        .prepare("SELECT value = ? FROM run_param WHERE run = ? AND name = ?")?;
    for (name, unit) in parameters {
        let knob = name
            .strip_prefix("policy.")
            .and_then(|knob| KNOBS.iter().find(|k| k.name == knob));
        let expected = match (name.as_str(), knob, &policy) {
            ("procs", _, _) => run.procs.map(|p| p.to_string()),
            (info::PINNED_CPUS, _, _) => stated.get(first, info::PINNED_CPUS).map(str::to_owned),
            (_, Some(knob), Some(policy)) => Some((knob.get)(policy)),
            // A tag, or a knob of another version.
            _ => continue,
        };
        let equal = match &expected {
            Some(text) => is.query_row((text, run.run, &name), |r| r.get::<_, Option<bool>>(0))?,
            None => None,
        };
        let of_unit = (name == "procs").then_some("Ps");
        if equal != Some(true) || unit.as_deref() != of_unit {
            checked.whole(
                RULE,
                format!(
                    "the parameter {name} is not {}, which it was",
                    expected.as_deref().unwrap_or("nothing")
                ),
            );
        }
    }
    Ok(())
}
