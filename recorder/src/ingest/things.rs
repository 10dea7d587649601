//! The tables of what events refer to, kept true to the events: names, Gs, Ps, Ms, objects, spans, readings of counters.
//!
//! What lives is in memory, and its row is written when it ends or the process does. Every row has a key, so that writing one again, after
//! a recorder that died, changes nothing.

use std::collections::HashMap;

use gmp_store::entity::{
    Counter, CounterDef, G, M, Object, OwnCounter, P, Process, ProcessInfo, Site, Span, Text,
};
use gmp_store::scan::Scan;
use gmp_store::{EventRow, Store, StoreError};
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId, SpanId};
use gmp_trace::order::Ordered;
use gmp_trace::spool::losses::Losses;
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::tables::Entry;

/// The things of a process.
pub struct Things<'a> {
    store: &'a Store,
    run: u32,
    process: u32,
    /// Gs that live.
    gs: HashMap<GId, G>,
    ms: HashMap<MId, M>,
    /// Spans that are open.
    spans: HashMap<SpanId, Span>,
    /// Which counters are really there.
    available: [bool; 8],
}

impl<'a> Things<'a> {
    /// Nothing yet, of a process of a run.
    pub fn new(store: &'a Store, run: u32, process: u32) -> Things<'a> {
        Things {
            store,
            run,
            process,
            gs: HashMap::new(),
            ms: HashMap::new(),
            spans: HashMap::new(),
            available: [false; 8],
        }
    }

    /// What an entry of the spool's tables names.
    pub fn name(&mut self, entry: Entry) -> anyhow::Result<()> {
        let (store, run, process) = (self.store, self.run, self.process);
        match entry {
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
        Ok(())
    }

    /// What an event changes.
    pub fn event(&mut self, row: &EventRow) -> anyhow::Result<()> {
        let (run, process, store) = (self.run, self.process, self.store);
        let ts = row.ts;
        match row.event {
            Event::Spawn { g, kind, site, .. } => {
                let born = G {
                    run,
                    process,
                    g: g.0 as i64,
                    kind: Some(kind.word().into()),
                    parent: row.by.is_some().then_some(row.by.0 as i64),
                    site: (site.0 != 0).then_some(site.0),
                    spawn_ts: Some(ts),
                    exit_ts: None,
                };
                self.gs.insert(g, born);
            }
            Event::Exit { .. } => {
                if let Some(mut g) = self.gs.remove(&row.g) {
                    g.exit_ts = Some(ts);
                    g.insert(store)?;
                }
            }
            // Known from the middle of its life only.
            Event::Start { g, .. } | Event::Ready { g, .. } | Event::GStatus { g, .. }
                if !self.gs.contains_key(&g) =>
            {
                let born = G {
                    run,
                    process,
                    g: g.0 as i64,
                    kind: None,
                    parent: None,
                    site: None,
                    spawn_ts: None,
                    exit_ts: None,
                };
                self.gs.insert(g, born);
            }
            Event::Object { object, kind, site } => Object {
                run,
                process,
                object: object.0 as i64,
                kind: kind.word().into(),
                site: (site.0 != 0).then_some(site.0),
            }
            .insert(store)?,
            Event::PStart { p, .. } => P {
                run,
                process,
                p: p.0,
            }
            .insert(store)?,
            Event::MStart { tid, kind } => {
                let m = self.m(row.m);
                m.start_ts = Some(ts);
                m.tid.get_or_insert(tid);
                m.kind.get_or_insert(kind.word().into());
            }
            Event::MExit {} => {
                if let Some(m) = self.ms.get_mut(&row.m) {
                    m.exit_ts = Some(ts);
                }
            }
            Event::SpanOpen {
                span,
                parent,
                name,
                fields,
            } => {
                let opened = Span {
                    run,
                    process,
                    span: span.0 as i64,
                    parent: (parent.0 != 0).then_some(parent.0 as i64),
                    name: Some(name.0),
                    fields: Some(fields.0),
                    g: row.g.is_some().then_some(row.g.0 as i64),
                    open_ts: Some(ts),
                    close_ts: None,
                };
                self.spans.insert(span, opened);
            }
            Event::SpanClose { span } => {
                if let Some(mut span) = self.spans.remove(&span) {
                    span.close_ts = Some(ts);
                    span.insert(store)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A reading of counters, `before` being the id of the process's last event.
    pub fn counters(&self, o: &Ordered, ts: i64, before: i64) -> anyhow::Result<()> {
        let mut values = Vec::with_capacity(10);
        o.event.args(|v| values.push(v as i64));
        let value = |i: usize| values.get(2 + i).copied().filter(|_| self.available[i]);
        Counter {
            event: before,
            run: self.run,
            process: self.process,
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

    /// Says when an M began to emit whose first event was lost.
    pub fn started(&mut self, m: MId, ts: i64) {
        if let Some(m) = self.ms.get_mut(&m) {
            m.start_ts.get_or_insert(ts);
        }
    }

    /// Writes what an M lost, by kind, beside what it counted.
    pub fn lost(&self, m: MId, losses: &Losses) -> anyhow::Result<()> {
        for (kind, n) in &losses.by_kind {
            OwnCounter {
                run: self.run,
                process: self.process,
                m: m.0,
                name: format!("lost.{}", kind.name()),
                value: i64::try_from(*n).unwrap_or(i64::MAX),
            }
            .insert(self.store)?;
        }
        Ok(())
    }

    /// Writes what still lives of a process whose rows are all that is left of it.
    pub fn finish_from_rows(mut self, process: &Process) -> anyhow::Result<()> {
        let (store, run) = (self.store, self.run);
        // Names that are there stay.
        let named = M::all(store, run)?.into_iter();
        let named = named.filter(|m| m.process == process.process);
        self.ms.extend(named.map(|m| (MId(m.m), m)));
        for row in Scan::process(store, process)? {
            let row = row?;
            self.m(row.m);
            self.event(&row)?;
        }
        self.living()
    }

    /// An M, whose name may be lost.
    fn m(&mut self, m: MId) -> &mut M {
        self.ms.entry(m).or_insert(M {
            run: self.run,
            process: self.process,
            m: m.0,
            tid: None,
            kind: None,
            name: None,
            start_ts: None,
            exit_ts: None,
        })
    }

    fn living(&self) -> anyhow::Result<()> {
        let store = self.store;
        self.gs.values().try_for_each(|g| g.insert(store))?;
        self.ms.values().try_for_each(|m| m.insert(store))?;
        self.spans.values().try_for_each(|s| s.insert(store))?;
        Ok(())
    }

    /// Writes what still lives, and what the runtime counted itself.
    pub fn finish(&mut self, spool: &ProcessSpool) -> anyhow::Result<()> {
        let writers = spool.known_writers();
        for m in writers.values() {
            self.m(*m);
        }
        self.living()?;
        let store = self.store;
        for (writer, m) in writers {
            let own = spool.tally(writer)?.into_iter();
            own.map(|(tally, value)| OwnCounter {
                run: self.run,
                process: self.process,
                m: m.0,
                name: tally.name().into(),
                value: value as i64,
            })
            .try_for_each(|counter| -> Result<(), StoreError> { counter.insert(store) })?;
        }
        Ok(())
    }
}
