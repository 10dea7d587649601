//! From the spool into the database: the processes of a run one after the other, each in causal order.
//!
//! Rows are committed in large steps, and the run's `ingest_cursor` with them, so that a recorder that dies leaves a database that is
//! whole and says that it is unfinished. An unfinished run is read anew from its spool, which is removed only after the last commit.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use gmp_store::entity::{
    Clock, Counter, CounterDef, G, IngestCursor, Lost, M, Object, OwnCounter, P, Process,
    ProcessInfo, Site, Span, Text,
};
use gmp_store::insert::EventInserter;
use gmp_store::run::Run;
use gmp_store::{EventRow, Store};
use gmp_trace::clock::{Calibration, ClockKind, Snapshot};
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId, SpanId};
use gmp_trace::order::{Note, Ordered, Orderer, Step};
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::tables::Entry;
use indicatif::ProgressBar;

use crate::machine::Machine;
use crate::place;

/// Events between two commits.
const STEP: u64 = 500_000;

/// Reads the whole spool of a run into the database and finishes the run's row. `clocks` holds at least two readings.
pub fn ingest(
    store: &Store,
    run: &mut Run,
    dir: &Path,
    clocks: &[Snapshot],
    machine: &Machine,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let (Some(first), Some(last)) = (clocks.first(), clocks.last()) else {
        anyhow::bail!("the clocks were never read");
    };
    let calibration = Calibration::between(first, last);
    run.tick_hz = Some(calibration.hz());
    let base = run.started_monotonic_ns;
    store.transaction(|| -> anyhow::Result<()> {
        for clock in clocks {
            Clock {
                run: run.run,
                at_ns: clock.monotonic_ns as i64 - base,
                ticks: clock.ticks as i64,
                monotonic_ns: clock.monotonic_ns as i64,
                monotonic_raw_ns: clock.monotonic_raw_ns as i64,
                boottime_ns: clock.boottime_ns as i64,
                realtime_ns: clock.realtime_ns as i64,
                uncertainty_ns: clock.uncertainty_ticks as f64 * 1e9 / calibration.hz(),
            }
            .insert(store)?;
        }
        Ok(())
    })?;
    for (number, path) in (1..).zip(place::processes(dir)?) {
        let spool = ProcessSpool::open(&path)?;
        Ingest::new(store, run, &spool, number, calibration, machine)?.all(dir, bar)?;
    }
    run.ingest = "done".into();
    store.transaction(|| -> anyhow::Result<()> {
        store
            .db()
            .execute("DELETE FROM ingest_cursor WHERE run = ?", [run.run])
            .context("cannot finish the run")?;
        Ok(run.insert(store)?)
    })
}

/// Removes everything of a run but its own row.
pub fn clear(store: &Store, run: &mut Run) -> anyhow::Result<()> {
    const TABLES: &[&str] = &[
        "event",
        "run_metric",
        "process",
        "process_info",
        "clock",
        "g",
        "m",
        "p",
        "site",
        "object",
        "string",
        "counter_def",
        "counter",
        "span",
        "lost",
        "own_counter",
    ];
    store.transaction(|| -> anyhow::Result<()> {
        store
            .db()
            .execute(
                "DELETE FROM event_note WHERE event IN (SELECT id FROM event WHERE run = ?)",
                [run.run],
            )
            .context("cannot clear the run")?;
        for table in TABLES {
            store
                .db()
                .execute(&format!("DELETE FROM {table} WHERE run = ?"), [run.run])
                .with_context(|| format!("cannot clear {table}"))?;
        }
        Ok(())
    })?;
    (
        run.events,
        run.lost,
        run.blocked_ns,
        run.unordered,
        run.resynced,
    ) = (0, 0, 0, 0, 0);
    (run.first_event, run.last_event) = (None, None);
    Ok(())
}

/// The ingest of one process.
struct Ingest<'a> {
    store: &'a Store,
    run: &'a mut Run,
    spool: &'a ProcessSpool,
    process: Process,
    calibration: Calibration,
    next_id: i64,
    /// Gs that live: their rows are written when they end.
    gs: HashMap<GId, G>,
    ms: HashMap<MId, M>,
    spans: HashMap<SpanId, Span>,
    gaps: u64,
    /// Which counters were really there.
    available: [bool; 8],
}

impl<'a> Ingest<'a> {
    fn new(
        store: &'a Store,
        run: &'a mut Run,
        spool: &'a ProcessSpool,
        number: u32,
        calibration: Calibration,
        machine: &Machine,
    ) -> anyhow::Result<Ingest<'a>> {
        let kind = if spool.clock == ClockKind::Tsc as u64 {
            ClockKind::Tsc
        } else {
            ClockKind::Monotonic
        };
        let base_ts_ns = calibration.base_ns as i64 - run.started_monotonic_ns;
        let info = |wanted: &str| {
            spool.entries.iter().find_map(|e| match e {
                Entry::Info { key, value } if key == wanted => Some(value.clone()),
                _ => None,
            })
        };
        let process = Process {
            run: run.run,
            process: number,
            pid: spool.pid,
            parent: Some(spool.parent),
            started_boottime_ns: Some(spool.started_boottime_ns as i64),
            executable: info("executable"),
            host: machine.host.clone(),
            boot_id: machine.boot_id.clone(),
            finished: spool.finished,
            clock_kind: kind.word().into(),
            base_ticks: calibration.base_ticks as i64,
            base_ts_ns,
            interval_ticks: calibration.interval_ticks as i64,
            interval_ns: calibration.interval_ns as i64,
            first_event: None,
            last_event: None,
        };
        if number == 1 {
            run.clock_kind = Some(kind.word().into());
            run.procs = info("procs").and_then(|p| p.parse().ok());
            run.policy = info("policy");
            run.runtime_version = info("runtime");
            run.format_version = Some(gmp_trace::version::FORMAT_VERSION as u32);
            run.counters = info("counters").or(Some("none".into()));
            run.counters_reason = info("counters_reason");
            run.counters_probability = info("counters_probability").and_then(|p| p.parse().ok());
        }
        Ok(Ingest {
            store,
            run,
            spool,
            process,
            calibration,
            next_id: EventInserter::next_id(store)?,
            gs: HashMap::new(),
            ms: HashMap::new(),
            spans: HashMap::new(),
            gaps: 0,
            available: [false; 8],
        })
    }

    fn all(mut self, dir: &Path, bar: &ProgressBar) -> anyhow::Result<()> {
        let store = self.store;
        store.transaction(|| self.names())?;
        let mut orderer = Orderer::new(!self.spool.finished || self.spool.lost > 0);
        let damage = std::cell::RefCell::new(Vec::new());
        for (writer, m) in self.spool.writers() {
            let damage = &damage;
            let stream = self.spool.stream(writer).map_while(move |r| match r {
                Ok(recorded) => Some(recorded),
                Err(e) => {
                    damage.borrow_mut().push((m, e.to_string()));
                    None
                }
            });
            orderer.add(writer, m, stream);
        }
        let mut more = true;
        while more {
            more = store.transaction(|| self.step(&mut orderer, dir))?;
            bar.set_position(bar.position().max(self.run.events as u64));
        }
        store.transaction(|| self.finish(damage.take()))
    }

    /// What the tables of the spool say.
    fn names(&mut self) -> anyhow::Result<()> {
        let (store, run, process) = (self.store, self.run.run, self.process.process);
        self.process.insert(store)?;
        for entry in &self.spool.entries {
            match entry.clone() {
                Entry::Writer {
                    m, tid, kind, name, ..
                } => {
                    let row = M {
                        run,
                        process,
                        m: m.0,
                        tid: Some(tid),
                        kind: Some(kind.word().into()),
                        name: Some(name),
                        start_ts: None,
                        exit_ts: None,
                    };
                    self.ms.insert(m, row);
                }
                Entry::Counter {
                    index,
                    name,
                    unit,
                    hardware,
                    available,
                    reason,
                } => {
                    if let Some(known) = self.available.get_mut(index as usize) {
                        *known = available;
                    }
                    CounterDef {
                        run,
                        process,
                        counter: index,
                        name,
                        unit,
                        source: if hardware { "hardware" } else { "software" }.to_owned(),
                        available,
                        reason: Some(reason).filter(|r| !r.is_empty()),
                    }
                    .insert(store)?;
                }
                Entry::Site {
                    site,
                    file,
                    line,
                    column,
                } => Site {
                    run,
                    process,
                    site: site.0,
                    file,
                    line,
                    col: column,
                }
                .insert(store)?,
                Entry::String { string, text } => Text {
                    run,
                    process,
                    string: string.0,
                    text,
                }
                .insert(store)?,
                Entry::Info { key, value } => ProcessInfo {
                    run,
                    process,
                    key,
                    value,
                }
                .insert(store)?,
            }
        }
        Ok(())
    }

    /// The next events, up to a commit; whether there are more.
    fn step(
        &mut self,
        orderer: &mut Orderer<impl Iterator<Item = gmp_trace::spool::reader::Recorded>>,
        dir: &Path,
    ) -> anyhow::Result<bool> {
        let mut inserter = EventInserter::new(self.store, self.run.run)?;
        let mut more = true;
        for _ in 0..STEP {
            match orderer.next() {
                Step::Event(ordered) => self.event(&ordered, &mut inserter)?,
                // The streams of a spool at rest end; none is pending.
                Step::Pending | Step::End => {
                    more = false;
                    break;
                }
            }
        }
        inserter.flush()?;
        IngestCursor {
            run: self.run.run,
            spool: dir.to_string_lossy().into_owned(),
            process: Some(self.process.process),
            events: self.run.events,
        }
        .insert(self.store)?;
        Ok(more)
    }

    fn event(&mut self, o: &Ordered, inserter: &mut EventInserter<'_>) -> anyhow::Result<()> {
        let ts = (self.calibration.ns(o.ticks) - i128::from(self.run.started_monotonic_ns)) as i64;
        if o.lost_before > 0 {
            self.gaps += o.lost_before;
            self.lost(
                Some(o.m),
                Some(o.m_seq),
                Some(o.lost_before),
                "the spool was full",
            )?;
        }
        if let Event::Counters { .. } = o.event {
            return self.counters(o, ts);
        }
        let row = EventRow {
            id: self.next_id,
            process: self.process.process,
            ts,
            m: o.m,
            m_seq: o.m_seq,
            p: o.p,
            g: o.g,
            by: o.by,
            event: o.event,
        };
        inserter.push(&row)?;
        if let Some(note) = o.note {
            match note {
                Note::Resynced => self.run.resynced += 1,
                Note::Unordered => self.run.unordered += 1,
            }
            self.store
                .db()
                .prepare_cached("INSERT INTO event_note VALUES (?, ?)")
                .and_then(|mut s| s.execute((self.next_id, note.word())))
                .context("cannot note an event")?;
        }
        self.run.first_event.get_or_insert(self.next_id);
        self.run.last_event = Some(self.next_id);
        self.process.first_event.get_or_insert(self.next_id);
        self.process.last_event = Some(self.next_id);
        self.run.events += 1;
        self.next_id += 1;
        self.entities(o, ts)
    }

    /// Keeps the tables of things true to the events.
    fn entities(&mut self, o: &Ordered, ts: i64) -> anyhow::Result<()> {
        let (run, process) = (self.run.run, self.process.process);
        match o.event {
            Event::Spawn { g, kind, site, .. } => {
                let row = G {
                    run,
                    process,
                    g: g.0 as i64,
                    kind: Some(kind.word().into()),
                    parent: o.by.is_some().then_some(o.by.0 as i64),
                    site: (site.0 != 0).then_some(site.0),
                    spawn_ts: Some(ts),
                    exit_ts: None,
                };
                self.gs.insert(g, row);
            }
            Event::Exit { .. } => {
                if let Some(mut row) = self.gs.remove(&o.g) {
                    row.exit_ts = Some(ts);
                    row.insert(self.store)?;
                }
            }
            // Known from the middle of its life only.
            Event::Start { g, .. } | Event::Ready { g, .. } | Event::GStatus { g, .. }
                if !self.gs.contains_key(&g) =>
            {
                let row = G {
                    run,
                    process,
                    g: g.0 as i64,
                    kind: None,
                    parent: None,
                    site: None,
                    spawn_ts: None,
                    exit_ts: None,
                };
                self.gs.insert(g, row);
            }
            Event::Object { object, kind, site } => Object {
                run,
                process,
                object: object.0 as i64,
                kind: kind.word().into(),
                site: (site.0 != 0).then_some(site.0),
            }
            .insert(self.store)?,
            Event::PStart { p, .. } => P {
                run,
                process,
                p: p.0,
            }
            .insert(self.store)?,
            Event::MStart { .. } => {
                if let Some(m) = self.ms.get_mut(&o.m) {
                    m.start_ts = Some(ts);
                }
            }
            Event::MExit {} => {
                if let Some(m) = self.ms.get_mut(&o.m) {
                    m.exit_ts = Some(ts);
                }
            }
            Event::SpanOpen {
                span,
                parent,
                name,
                fields,
            } => {
                let row = Span {
                    run,
                    process,
                    span: span.0 as i64,
                    parent: (parent.0 != 0).then_some(parent.0 as i64),
                    name: Some(name.0),
                    fields: Some(fields.0),
                    g: o.g.is_some().then_some(o.g.0 as i64),
                    open_ts: Some(ts),
                    close_ts: None,
                };
                self.spans.insert(span, row);
            }
            Event::SpanClose { span } => {
                if let Some(mut row) = self.spans.remove(&span) {
                    row.close_ts = Some(ts);
                    row.insert(self.store)?;
                }
            }
            Event::Blocked { waited_ns } => self.run.blocked_ns += waited_ns as i64,
            _ => {}
        }
        Ok(())
    }

    fn counters(&mut self, o: &Ordered, ts: i64) -> anyhow::Result<()> {
        let mut values = Vec::with_capacity(10);
        o.event.args(|v| values.push(v as i64));
        let value = |i: usize| values.get(2 + i).copied().filter(|_| self.available[i]);
        Counter {
            event: self.next_id - 1,
            run: self.run.run,
            process: self.process.process,
            ts,
            m: o.m.0,
            m_seq: o.m_seq as i64,
            p: o.p.map(|p| p.0),
            g: o.g.is_some().then_some(o.g.0 as i64),
            enabled_ns: values.first().copied().unwrap_or(0),
            running_ns: values.get(1).copied().unwrap_or(0),
            c0: value(0),
            c1: value(1),
            c2: value(2),
            c3: value(3),
            c4: value(4),
            c5: value(5),
            c6: value(6),
            c7: value(7),
        }
        .insert(self.store)?;
        Ok(())
    }

    fn lost(
        &mut self,
        m: Option<MId>,
        before: Option<u64>,
        n: Option<u64>,
        why: &str,
    ) -> anyhow::Result<()> {
        self.run.lost += n.unwrap_or(0) as i64;
        Ok(Lost {
            run: self.run.run,
            process: self.process.process,
            m: m.map(|m| m.0),
            before_m_seq: before.map(|b| b as i64),
            n: n.map(|n| n as i64),
            why: why.to_owned(),
        }
        .insert(self.store)?)
    }

    /// What is known only at the end.
    fn finish(mut self, damage: Vec<(MId, String)>) -> anyhow::Result<()> {
        let store = self.store;
        for (m, error) in damage {
            self.lost(Some(m), None, None, &format!("damaged: {error}"))?;
        }
        let at_the_end = self.spool.lost.saturating_sub(self.gaps);
        if at_the_end > 0 {
            self.lost(None, None, Some(at_the_end), "the spool was full")?;
        }
        for row in self.gs.values() {
            row.insert(store)?;
        }
        for row in self.ms.values() {
            row.insert(store)?;
        }
        for row in self.spans.values() {
            row.insert(store)?;
        }
        for entry in &self.spool.entries {
            let Entry::Writer { writer, m, .. } = entry else {
                continue;
            };
            for (tally, value) in self.spool.tally(*writer)? {
                OwnCounter {
                    run: self.run.run,
                    process: self.process.process,
                    m: m.0,
                    name: tally.name().into(),
                    value: value as i64,
                }
                .insert(store)?;
            }
        }
        self.process.insert(store)?;
        self.run.insert(store)?;
        Ok(())
    }
}
