//! The Ms: what each thread of the runtime does.

use std::collections::BTreeMap;

use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{GId, MId, PId};

use super::interval::{MInterval, MState};
use super::{Sink, Step, stops};

#[derive(Clone, Copy, Debug)]
struct M {
    state: MState,
    since: i64,
    p: Option<PId>,
    g: GId,
    foreign: bool,
    /// When it was established which P it holds.
    epoch: u32,
}

/// The Ms that emit.
#[derive(Debug, Default)]
pub(super) struct Ms(BTreeMap<MId, M>);

impl Ms {
    /// The P that an M holds.
    pub fn p(&self, m: MId) -> Option<PId> {
        self.0.get(&m).and_then(|m| m.p)
    }

    /// When it was established which P an M holds.
    pub fn epoch(&self, m: MId) -> u32 {
        self.0.get(&m).map_or(0, |m| m.epoch)
    }

    /// The G that an M runs.
    pub fn g(&self, m: MId) -> GId {
        self.0.get(&m).map_or(GId::NONE, |m| m.g)
    }

    pub fn event<S: Sink>(&mut self, step: &mut Step<'_, S>) {
        let row = *step.row;
        let id = row.m;
        let m = self.0.entry(id).or_insert(M {
            state: MState::Scheduling,
            since: row.ts,
            p: None,
            g: GId::NONE,
            foreign: false,
            epoch: 0,
        });
        if matches!(
            row.event,
            Event::MStart { .. } | Event::MPark {} | Event::PStart { .. } | Event::PStop { .. }
        ) {
            m.epoch = step.epoch;
        }
        let state = match row.event {
            Event::MStart { kind, .. } => {
                m.foreign = kind == MKind::Foreign;
                if kind == MKind::Sysmon {
                    MState::Monitoring
                } else {
                    MState::Scheduling
                }
            }
            Event::MPark {} => MState::Parked,
            Event::MUnpark {} | Event::SpinStop { .. } => MState::Scheduling,
            Event::SpinStart {} => MState::Spinning,
            Event::Start { g, .. } => {
                m.g = g;
                MState::Running(g)
            }
            Event::SyscallEnter { .. } => MState::Syscall(m.g),
            Event::SyscallExit {} => MState::Running(m.g),
            Event::PStart { p, .. } => {
                m.p = Some(p);
                return;
            }
            Event::PStop { .. } => {
                m.p = None;
                return;
            }
            Event::Retake { p, .. } => {
                if let Some(from) = self.0.values_mut().find(|m| m.p == Some(p)) {
                    from.p = None;
                }
                return;
            }
            Event::GStatus { g, on_m, .. } => {
                if let Some(on) = on_m.and_then(|on| self.0.get_mut(&on)) {
                    on.g = g;
                }
                return;
            }
            Event::PStatus { p, on_m, .. } => {
                if let Some(on) = on_m.and_then(|on| self.0.get_mut(&on)) {
                    on.p = Some(p);
                    on.epoch = step.epoch;
                }
                return;
            }
            // It says at its end that it was a wait: what lies behind was no search.
            Event::Netpoll { blocking: true, .. } if m.state != MState::Monitoring => {
                m.state = MState::Polling;
                MState::Scheduling
            }
            Event::MExit {} => {
                if let Some(m) = self.0.remove(&id)
                    && !m.foreign
                {
                    let to = step.at(m.since);
                    step.sink.m(&interval(id, &m, to));
                }
                return;
            }
            ref event if stops(event) => {
                m.g = GId::NONE;
                MState::Scheduling
            }
            _ => return,
        };
        if m.foreign {
            return;
        }
        let to = step.at(m.since);
        if to > m.since || state != m.state {
            step.sink.m(&interval(id, m, to));
        }
        (m.state, m.since) = (state, to);
    }

    pub fn finish(&mut self, end: i64, sink: &mut impl Sink) {
        for (id, m) in std::mem::take(&mut self.0) {
            if !m.foreign {
                sink.m(&interval(id, &m, end.max(m.since)));
            }
        }
    }
}

fn interval(id: MId, m: &M, to: i64) -> MInterval {
    MInterval {
        m: id,
        state: m.state,
        from: m.since,
        to,
        p: m.p,
    }
}
