//! What a viewer shows: a track for each P, each M and each G, counters, and arrows from what made a G runnable to its start.
//!
//! Gs beyond [`MOST_GS`] have no track of their own: they share lanes of their spawn site (`lanes.rs`), and those that live when all lanes
//! of it are taken are only counted; the names of the tracks say so. An arrow begins at a moment on the track of the P (else the M) that
//! made the G runnable, and ends at the slice in which it runs on a P.

use std::collections::{BTreeMap, HashMap, HashSet};

use gmp_store::EventRow;
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{GId, PId, SiteId, SpanId};

use super::lanes::{self, Lanes};
use super::pieces::Pieces;
use super::{Arg, Encoder, Slice, Track};
use crate::model::{GInterval, GState, MInterval, MState, PInterval, PState, Queue, Sink, Wakeup};
use crate::names::Names;

/// Gs that get a track of their own.
const MOST_GS: usize = 2_000;

/// Derives tracks and hands them to an encoder.
pub struct Tracks<'a, E> {
    encoder: E,
    out: &'a mut Pieces,
    processes: &'a [(u32, String)],
    note: String,
    process: u32,
    names: Names,
    /// What the present piece knows.
    known: HashSet<(u32, Track)>,
    counters: Vec<String>,
    /// The G tracks of the process.
    gs: HashSet<GId>,
    sites: HashMap<GId, SiteId>,
    /// The tracks that the other Gs share.
    lanes: Lanes,
    /// Gs without a track, by site: how many run, how many could.
    grouped: BTreeMap<SiteId, (i64, i64)>,
    /// Arrows that end at the next slice of a P.
    arriving: HashMap<PId, (GId, u64)>,
    flows: u64,
    threads: i64,
    /// Spans that a G is in, with when it entered them.
    spans: HashMap<GId, Vec<(SpanId, i64)>>,
    opened: HashMap<SpanId, (String, String)>,
    failed: Option<std::io::Error>,
}

impl<'a, E: Encoder> Tracks<'a, E> {
    /// Begins the first piece.
    pub fn new(
        mut encoder: E,
        out: &'a mut Pieces,
        processes: &'a [(u32, String)],
        note: String,
    ) -> std::io::Result<Tracks<'a, E>> {
        encoder.begin(out, processes, &note)?;
        Ok(Tracks {
            encoder,
            out,
            processes,
            note,
            process: 0,
            names: Names::default(),
            known: HashSet::new(),
            counters: Vec::new(),
            gs: HashSet::new(),
            sites: HashMap::new(),
            lanes: Lanes::default(),
            grouped: BTreeMap::new(),
            arriving: HashMap::new(),
            flows: 0,
            threads: 0,
            spans: HashMap::new(),
            opened: HashMap::new(),
            failed: None,
        })
    }

    /// What comes next is of this process.
    pub fn process(&mut self, process: u32, names: Names) {
        self.process = process;
        self.names = names;
        self.gs.clear();
        self.sites.clear();
        self.lanes = Lanes::default();
        self.grouped.clear();
        self.arriving.clear();
        self.spans.clear();
        self.threads = 0;
    }

    /// Ends the last piece.
    pub fn finish(mut self) -> std::io::Result<()> {
        match self.failed.take() {
            Some(e) => Err(e),
            None => self.encoder.end(self.out),
        }
    }

    /// Runs a step of the writing; after a failure nothing more is written.
    fn write(&mut self, step: impl FnOnce(&mut Self) -> std::io::Result<()>) {
        if self.failed.is_none() {
            self.failed = step(self).err();
        }
    }

    fn know(&mut self, track: Track, name: &str) -> std::io::Result<()> {
        if self.out.is_full() {
            self.encoder.end(self.out)?;
            self.out.next()?;
            self.known.clear();
            self.arriving.clear();
            self.encoder.begin(self.out, self.processes, &self.note)?;
        }
        if self.known.insert((self.process, track)) {
            let rank = match track {
                Track::P(p) => 1 + p,
                Track::Counter(c) => 10_000 + c,
                Track::M(m) => 100_000 + m,
                Track::G(g) if g >= lanes::FIRST_TRACK => {
                    2_100_000_000 + (g as u32 % 1_000_000_000)
                }
                Track::G(g) => 1_000_000 + 2 * (g as u32 % 1_000_000_000),
                Track::Spans(g) => 1_000_001 + 2 * (g as u32 % 1_000_000_000),
            };
            self.encoder
                .track(self.out, self.process, track, name, rank)?;
        }
        Ok(())
    }

    fn slice(
        &mut self,
        track: Track,
        track_name: &str,
        (from, to): (i64, i64),
        name: &str,
        args: &[(&'static str, Arg)],
        flow: Option<u64>,
    ) {
        self.write(|t| {
            t.know(track, track_name)?;
            let slice = Slice {
                track,
                from,
                to,
                name,
                args,
                flow,
            };
            t.encoder.slice(t.out, t.process, &slice)
        });
    }

    fn counter(&mut self, name: &str, ts: i64, value: i64) {
        let index = match self.counters.iter().position(|c| c == name) {
            Some(index) => index,
            None => {
                self.counters.push(name.to_owned());
                self.counters.len() - 1
            }
        };
        let track = Track::Counter(index as u32);
        self.write(|t| {
            t.know(track, name)?;
            t.encoder.counter(t.out, t.process, track, name, ts, value)
        });
    }

    /// Whether a G has a track of its own; the first ones do.
    fn has_track(&mut self, g: GId) -> bool {
        self.gs.contains(&g) || (self.gs.len() < MOST_GS && self.gs.insert(g))
    }

    fn site(&self, g: GId) -> &str {
        self.names
            .site(self.sites.get(&g).copied().unwrap_or(SiteId(0)))
    }

    fn g_name(&self, g: GId) -> String {
        format!("{g} {}", self.site(g))
    }
}

impl<E: Encoder> Sink for Tracks<'_, E> {
    fn event(&mut self, row: &EventRow) {
        match row.event {
            Event::Spawn { g, site, .. } => {
                self.sites.insert(g, site);
            }
            Event::MStart { kind, .. } if kind != MKind::Foreign => {
                self.threads += 1;
                self.counter("threads", row.ts, self.threads);
            }
            Event::MExit {} => {
                self.threads -= 1;
                self.counter("threads", row.ts, self.threads);
            }
            Event::SpanOpen {
                span, name, fields, ..
            } => {
                let texts = (
                    self.names.string(name).to_owned(),
                    self.names.string(fields).to_owned(),
                );
                self.opened.insert(span, texts);
            }
            Event::SpanClose { span } => {
                self.opened.remove(&span);
            }
            Event::SpanEnter { span } => self.spans.entry(row.g).or_default().push((span, row.ts)),
            Event::SpanExit { span } => {
                let entered = self.spans.entry(row.g).or_default();
                if let Some(at) = entered.iter().rposition(|(s, _)| *s == span) {
                    let (_, from) = entered.remove(at);
                    let (name, fields) = self.opened.get(&span).cloned().unwrap_or_default();
                    let args = [
                        ("span", Arg::Number(span.0 as i64)),
                        ("fields", Arg::Text(fields)),
                    ];
                    let track_name = format!("{} spans", row.g);
                    let time = (from, row.ts.max(from));
                    self.slice(Track::Spans(row.g.0), &track_name, time, &name, &args, None);
                }
            }
            _ => {}
        }
    }

    fn p(&mut self, i: &PInterval) {
        let name = match i.state {
            PState::Running(g) => self.g_name(g),
            PState::Syscall(g) => format!("{g} in a system call"),
            PState::Scheduling => "scheduling".into(),
            PState::Stopped => "stopped".into(),
            PState::Unknown => "unknown".into(),
            PState::Idle => return,
        };
        let flow = match (i.state, self.arriving.get(&i.p)) {
            (PState::Running(g), Some((arrived, flow))) if g == *arrived => {
                let flow = *flow;
                self.arriving.remove(&i.p);
                Some(flow)
            }
            _ => None,
        };
        let mut args = Vec::new();
        args.extend(i.m.map(|m| ("m", Arg::Number(m.0.into()))));
        if let PState::Running(g) | PState::Syscall(g) = i.state {
            args.push(("g", Arg::Number(g.0 as i64)));
            args.push(("spawned at", Arg::Text(self.site(g).to_owned())));
        }
        let track = Track::P(i.p.0);
        self.slice(track, &i.p.to_string(), (i.from, i.to), &name, &args, flow);
    }

    fn m(&mut self, i: &MInterval) {
        let name = match i.state {
            MState::Running(g) => format!("runs {g}"),
            MState::Syscall(g) => format!("{g} in a system call"),
            state => state.word().to_owned(),
        };
        let mut args = Vec::new();
        args.extend(i.p.map(|p| ("p", Arg::Number(p.0.into()))));
        let tid = self.names.m(i.m).and_then(|m| m.tid);
        let track_name = match tid {
            Some(tid) => format!("{} (thread {tid})", i.m),
            None => i.m.to_string(),
        };
        self.slice(
            Track::M(i.m.0),
            &track_name,
            (i.from, i.to),
            &name,
            &args,
            None,
        );
    }

    fn g(&mut self, i: &GInterval) {
        let site = self.sites.get(&i.g).copied().unwrap_or(SiteId(0));
        let own = self.has_track(i.g);
        let lane = match own {
            true => None,
            false => self.lanes.of(i.g, site, i.from, i.to, i.last),
        };
        if own || lane.is_some() {
            let state = match i.state {
                GState::Waiting(reason, _) => format!("waiting: {reason}"),
                state => state.word().to_owned(),
            };
            let mut args = Vec::new();
            match i.state {
                GState::Runnable(cause) => {
                    args.push(("because of", Arg::Text(cause.word().into())))
                }
                GState::Waiting(_, object) if object.0 != 0 => {
                    args.push(("for", Arg::Text(self.names.object(object))));
                }
                _ => {}
            }
            args.extend(i.p.map(|p| ("p", Arg::Number(p.0.into()))));
            if i.by.is_some() {
                args.push(("by", Arg::Text(i.by.to_string())));
            }
            let (track, track_name, name) = match lane {
                None => (Track::G(i.g.0), self.g_name(i.g), state),
                Some(lane) => {
                    args.push(("g", Arg::Number(i.g.0 as i64)));
                    let name = format!(
                        "{}, lane {} of the Gs beyond the first {MOST_GS}",
                        self.names.site(site),
                        lane + 1
                    );
                    (
                        Track::G(lanes::track(site, lane)),
                        name,
                        format!("{} {state}", i.g),
                    )
                }
            };
            self.slice(track, &track_name, (i.from, i.to), &name, &args, None);
        } else {
            let slot = match i.state {
                GState::Running => 0,
                GState::Runnable(_) => 1,
                GState::Waiting(..) | GState::Syscall | GState::Unknown => 2,
            };
            if slot < 2 {
                let name = format!(
                    "{}, Gs without a lane: {}",
                    self.names.site(site),
                    if slot == 0 { "running" } else { "runnable" }
                );
                let counts = self.grouped.entry(site).or_default();
                let count = if slot == 0 {
                    &mut counts.0
                } else {
                    &mut counts.1
                };
                *count += 1;
                // An interval is known at its end: what is counted is how many of them ended so far.
                let total = *count;
                self.counter(&format!("{name}, times"), i.to, total);
            }
        }
        if i.last {
            self.sites.remove(&i.g);
        }
    }

    fn wakeup(&mut self, w: &Wakeup) {
        let Some(p) = w.p else { return };
        self.flows += 1;
        let flow = self.flows;
        let (track, track_name) = match (w.ready_p, w.ready_m) {
            (Some(p), _) => (Track::P(p.0), p.to_string()),
            (None, Some(m)) => (Track::M(m.0), m.to_string()),
            (None, None) => return,
        };
        let name = format!("{}: {}", w.g, w.cause.word());
        let from = w.ready_ts.min(w.start_ts - E::SHORTEST_ARROW);
        self.write(|t| {
            t.know(track, &track_name)?;
            t.encoder.wake(t.out, t.process, track, from, &name, flow)
        });
        self.arriving.insert(p, (w.g, flow));
    }

    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        let name = match queue {
            Queue::Local(p) => format!("run queue of {p}"),
            Queue::Global => "global queue".into(),
        };
        self.counter(&name, ts, len.into());
    }
}
