//! The ingest of one process, step by step: streams, order, rows, a commit, room for its writers.
//!
//! # Going on after a recorder that died
//! The rows of the process are replayed: they give the state of the order, what lives, and for each M the number of its last event that is
//! safe. Its stream is then read from the next number on; what lies before it in the spool is skipped, what is missing there was given back
//! because it is safe.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use gmp_store::entity::{IngestCursor, Lost, Process, RunParam};
use gmp_store::insert::EventInserter;
use gmp_store::run::Run;
use gmp_store::scan::Scan;
use gmp_store::{EventRow, Store};
use gmp_trace::clock::{Calibration, ClockKind};
use gmp_trace::event::{Event, Kind};
use gmp_trace::ids::MId;
use gmp_trace::order::{Note, Ordered, Orderer, Step};
use gmp_trace::spool::control;
use gmp_trace::spool::live::{LiveSpool, LiveStream};
use gmp_trace::spool::tables::Entry;
use gmp_trace::version::{FORMAT_VERSION, info};

use super::row;
use super::things::Things;
use crate::machine::Machine;

/// Events between two commits.
const STEP: u64 = 250_000;
/// A thread that is awake and silent is waited for so long, in seconds, before others go ahead of it.
const GRACE_S: f64 = 0.1;

/// The ingest of a process.
pub struct ProcessIngest<'a> {
    store: &'a Store,
    live: LiveSpool,
    orderer: Orderer<LiveStream>,
    calibration: Calibration,
    /// `CLOCK_MONOTONIC` at the run's start.
    base_ns: i64,
    process: Process,
    things: Things<'a>,
    /// Entries of the spool's tables that are in the database.
    named: usize,
    /// Lost events of each M whose place in its stream is known.
    gaps: HashMap<MId, u64>,
    /// The first event of each M that is not in the database, after a recorder that died.
    first: HashMap<MId, u64>,
}

impl<'a> ProcessIngest<'a> {
    /// Begins to read the process whose folder is `path`: as number `next` of the run, or on from what is `earlier` there of it.
    pub fn open(
        store: &'a Store,
        run: &Run,
        path: &Path,
        calibration: Calibration,
        machine: &Machine,
        earlier: &[Process],
        next: u32,
    ) -> anyhow::Result<ProcessIngest<'a>> {
        let live = LiveSpool::attach(path, (calibration.hz() * GRACE_S) as u64)?;
        let spool = live.spool();
        let started = Some(spool.started_boottime_ns as i64);
        let known = earlier
            .iter()
            .find(|p| p.pid == spool.pid && p.started_boottime_ns == started);
        let kind = if spool.clock == ClockKind::Tsc as u64 {
            ClockKind::Tsc
        } else {
            ClockKind::Monotonic
        };
        let process = known.cloned().unwrap_or_else(|| Process {
            parent: Some(spool.parent),
            clock_kind: kind.word().into(),
            ..row::new(
                run,
                next,
                (spool.pid, spool.started_boottime_ns),
                calibration,
                machine,
            )
        });
        drop(spool);
        let mut ingest = ProcessIngest {
            store,
            live,
            orderer: Orderer::new(false),
            calibration,
            base_ns: run.started_monotonic_ns,
            things: Things::new(store, run.run, process.process),
            process,
            named: 0,
            gaps: HashMap::new(),
            first: HashMap::new(),
        };
        store.transaction(|| ingest.names())?;
        if known.is_some() {
            store.transaction(|| ingest.replay())?;
        }
        Ok(ingest)
    }

    /// Its number in the run.
    pub fn number(&self) -> u32 {
        self.process.process
    }

    /// Reads and commits some events, and makes room for the writers. Whether there are more to read now.
    pub fn step(&mut self, run: &mut Run, dir: &Path) -> anyhow::Result<bool> {
        // Before the spool is looked at: what the process wrote before its end is found then.
        let ended = control::living_writer(self.live.spool().dir()).is_none();
        self.live.refresh(ended)?;
        let (finished, lost) = (self.live.spool().finished, self.live.spool().lost);
        if lost > 0 || (ended && !finished) {
            self.orderer.set_lossy();
        }
        for stream in self.live.new_streams() {
            let first = self.first.get(&stream.m()).copied().unwrap_or(0);
            self.orderer
                .add_from(stream.writer(), stream.m(), stream, first);
        }
        let store = self.store;
        let more = store.transaction(|| -> anyhow::Result<bool> {
            self.names()?;
            let more = self.events(run)?;
            IngestCursor {
                run: run.run,
                spool: dir.to_string_lossy().into_owned(),
                process: Some(self.process.process),
                events: run.events,
            }
            .insert(store)?;
            self.process.insert(store)?;
            run.insert(store)?;
            Ok(more)
        })?;
        if !ended {
            self.live.give_back();
        }
        Ok(more)
    }

    /// Writes what is known only at the end.
    pub fn finish(mut self, run: &mut Run) -> anyhow::Result<()> {
        let store = self.store;
        store.transaction(|| self.end(run))
    }

    /// What the tables of the spool say that is not in the database yet.
    fn names(&mut self) -> anyhow::Result<()> {
        let spool = self.live.spool();
        for entry in &spool.entries[self.named..] {
            if let Entry::Info { key, value } = entry
                && key == info::EXECUTABLE
            {
                self.process.executable = Some(value.clone());
            }
            self.things.name(entry.clone())?;
        }
        self.named = spool.entries.len();
        Ok(self.process.insert(self.store)?)
    }

    /// Applies what an earlier recorder left in the database.
    fn replay(&mut self) -> anyhow::Result<()> {
        let failed = "cannot read what was recorded before";
        let (run, process) = (self.process.run, self.process.process);
        let query = |sql: &str| -> anyhow::Result<Vec<(u32, i64, i64)>> {
            let rows = self.store.db().prepare(sql).and_then(|mut statement| {
                statement
                    .query_map([run, process], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?
                    .collect::<Result<_, _>>()
            });
            rows.map_err(self.store.sql()).context(failed)
        };
        let mut gaps: HashMap<MId, Vec<u64>> = HashMap::new();
        for (m, before, n) in query(
            "SELECT m, before_m_seq, n FROM lost WHERE run = ? AND process = ? AND before_m_seq IS NOT NULL",
        )? {
            gaps.entry(MId(m)).or_default().push(before as u64);
            self.know_gap(MId(m), n as u64);
        }
        for (m, last, _) in
            query("SELECT m, max(m_seq), 0 FROM counter WHERE run = ? AND process = ? GROUP BY m")?
        {
            self.first.insert(MId(m), last as u64 + 1);
        }
        let mut seen: HashMap<MId, u64> = HashMap::new();
        for row in Scan::process(self.store, &self.process)? {
            let row = row?;
            let from = seen.insert(row.m, row.m_seq.saturating_add(1)).unwrap_or(0);
            let after_gap = gaps
                .get(&row.m)
                .is_some_and(|g| g.iter().any(|b| (from..=row.m_seq).contains(b)));
            self.orderer.replay(row.m, &row.event, after_gap);
            self.things.event(&row)?;
        }
        for (m, next) in seen {
            let first = self.first.entry(m).or_default();
            *first = next.max(*first);
        }
        Ok(())
    }

    /// The next events, up to a commit; whether there are more now.
    fn events(&mut self, run: &mut Run) -> anyhow::Result<bool> {
        let mut inserter = EventInserter::new(self.store, run.run)?;
        // Asked anew each time: another process may have had its turn, or another recorder.
        let mut id = EventInserter::next_id(self.store)?;
        let mut more = true;
        for _ in 0..STEP {
            match self.orderer.next() {
                Step::Event(ordered) => {
                    if self.event(run, &ordered, id, &mut inserter)? {
                        id += 1;
                    }
                }
                Step::Pending | Step::End => {
                    more = false;
                    break;
                }
            }
        }
        inserter.flush()?;
        Ok(more)
    }

    /// One event; whether it took the id.
    fn event(
        &mut self,
        run: &mut Run,
        o: &Ordered,
        id: i64,
        inserter: &mut EventInserter<'_>,
    ) -> anyhow::Result<bool> {
        let ts = self.ts(o.ticks);
        if o.lost_before > 0 {
            self.know_gap(o.m, o.lost_before);
            self.lost(
                Some(o.m),
                Some(o.m_seq),
                Some(o.lost_before),
                "the spool was full",
            )?;
        }
        if let Event::Counters { .. } = o.event {
            let before = self.process.last_event.unwrap_or(0);
            self.things.counters(o, ts, before)?;
            return Ok(false);
        }
        let row = EventRow {
            id,
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
                Note::Resynced => run.resynced += 1,
                Note::Unordered => run.unordered += 1,
            }
            self.store
                .db()
                .prepare_cached("INSERT INTO event_note VALUES (?, ?)")
                .and_then(|mut s| s.execute((id, note.word())))
                .map_err(self.store.sql())
                .context("cannot note an event")?;
        }
        run.first_event.get_or_insert(id);
        run.last_event = Some(id);
        self.process.first_event.get_or_insert(id);
        self.process.last_event = Some(id);
        run.events += 1;
        if let Event::Blocked { waited_ns } = o.event {
            let waited_ns = i64::try_from(waited_ns).unwrap_or(i64::MAX);
            run.blocked_ns = run.blocked_ns.saturating_add(waited_ns);
        }
        self.things.event(&row)?;
        Ok(true)
    }

    /// The time that these ticks are. Damaged ticks give a time at the limits, not one that looks right.
    fn ts(&self, ticks: u64) -> i64 {
        self.calibration
            .ns(ticks)
            .saturating_sub(self.base_ns.into())
            .clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn know_gap(&mut self, m: MId, n: u64) {
        let known = self.gaps.entry(m).or_default();
        *known = known.saturating_add(n);
    }

    fn lost(
        &self,
        m: Option<MId>,
        before: Option<u64>,
        n: Option<u64>,
        why: &str,
    ) -> anyhow::Result<()> {
        Ok(Lost {
            run: self.process.run,
            process: self.process.process,
            m: m.map(|m| m.0),
            before_m_seq: before.map(|b| b as i64),
            n: n.map(|n| i64::try_from(n).unwrap_or(i64::MAX)),
            why: why.to_owned(),
        }
        .insert(self.store)?)
    }

    fn end(&mut self, run: &mut Run) -> anyhow::Result<()> {
        // An earlier recorder may have come as far as here.
        self.store
            .db()
            .execute(
                "DELETE FROM lost WHERE run = ? AND process = ? AND before_m_seq IS NULL",
                [run.run, self.process.process],
            )
            .map_err(self.store.sql())
            .context("cannot finish the process")?;
        let writers = self.live.spool().known_writers();
        for (writer, error) in self.live.take_errors() {
            let m = writers.get(&writer).copied();
            self.lost(m, None, None, &format!("damaged: {error}"))?;
        }
        self.losses()?;
        let spool = self.live.spool();
        if spool.names_lost > 0 {
            self.things.name(Entry::Info {
                key: info::NAMES_LOST.to_owned(),
                value: spool.names_lost.to_string(),
            })?;
        }
        self.things.finish(&spool)?;
        drop(spool);
        if run.clock_kind.is_none() {
            self.describe(run)?;
        }
        self.process.finished = self.live.spool().finished;
        self.process.insert(self.store)?;
        Ok(run.insert(self.store)?)
    }

    /// What each writer lost, where no event of it came after.
    fn losses(&mut self) -> anyhow::Result<()> {
        const WHY: &str = "the spool was full";
        let spool = self.live.spool();
        let mut known: u64 = 0;
        for (writer, m) in spool.known_writers() {
            let losses = spool.losses(writer)?;
            let gaps = self.gaps.get(&m).copied().unwrap_or(0);
            let at_the_end = losses.total().saturating_sub(gaps);
            if at_the_end > 0 {
                self.lost(Some(m), None, Some(at_the_end), WHY)?;
            }
            known = known.saturating_add(losses.total().max(gaps));
            if let Some(first) = losses.first_ticks.filter(|_| losses.of(Kind::MStart) > 0) {
                self.things.started(m, self.ts(first));
            }
            self.things.lost(m, &losses)?;
        }
        // Of writers that had no room for their own counts.
        let unknown = spool.lost.saturating_sub(known);
        if unknown > 0 {
            self.lost(None, None, Some(unknown), WHY)?;
        }
        Ok(())
    }

    /// A fact that the process states about itself. The last word counts: some are stated anew at the end.
    fn info(&self, wanted: &str) -> Option<String> {
        self.live
            .spool()
            .entries
            .iter()
            .rev()
            .find_map(|e| match e {
                Entry::Info { key, value } if key == wanted => Some(value.clone()),
                _ => None,
            })
    }

    /// What the first process that can be read says about itself holds for the run.
    fn describe(&self, run: &mut Run) -> anyhow::Result<()> {
        let said = |wanted: &str| self.info(wanted);
        run.clock_kind = Some(self.process.clock_kind.clone());
        run.procs = said(info::PROCS).and_then(|p| p.parse().ok());
        run.policy = said(info::POLICY);
        run.runtime_version = said(info::RUNTIME);
        run.format_version = Some(FORMAT_VERSION as u32);
        run.counters = said(info::COUNTERS).or(Some("none".into()));
        run.counters_reason = said(info::COUNTERS_REASON);
        run.counters_probability = said(info::COUNTERS_PROBABILITY).and_then(|p| p.parse().ok());
        if let Some(cpus) = said(info::PINNED_CPUS) {
            // Beside the policy: what it came to on this machine.
            RunParam {
                run: run.run,
                name: info::PINNED_CPUS.to_owned(),
                value: gmp_store::rusqlite::types::Value::Text(cpus),
                unit: None,
            }
            .insert(self.store)?;
        }
        Ok(())
    }
}
