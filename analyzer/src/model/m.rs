//! The Ms: what each thread of the runtime does.

use std::collections::BTreeMap;

use gmp_trace::event::{Event, GState, MKind};
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
    /// The time of its last event.
    last: i64,
}

/// What an M had when its events got lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub at: i64,
    pub p: Option<PId>,
    pub g: GId,
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
        let has_gaps = step.trust.has_gaps();
        if let Event::PStart { p, .. } | Event::PStatus { p, .. } = row.event
            && has_gaps
        {
            // Whether or not it was recorded that somebody took it from there.
            self.release(p);
        }
        let begins = matches!(row.event, Event::MStart { .. }) || !has_gaps;
        let m = self.0.entry(id).or_insert(M {
            state: if begins {
                MState::Scheduling
            } else {
                MState::Unknown
            },
            since: row.ts,
            p: None,
            g: GId::NONE,
            foreign: false,
            epoch: 0,
            last: row.ts,
        });
        m.last = m.last.max(row.ts);
        if matches!(
            row.event,
            Event::MStart { .. } | Event::MPark {} | Event::PStart { .. } | Event::PStop { .. }
        ) {
            m.epoch = step.trust.epoch();
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
                if m.state != MState::Unknown {
                    return;
                }
                MState::Scheduling
            }
            Event::PStop { .. } => {
                m.p = None;
                if m.state != MState::Unknown {
                    return;
                }
                MState::Scheduling
            }
            Event::Retake { p, .. } => {
                self.release(p);
                return;
            }
            Event::GStatus { g, on_m, state, .. } => {
                if on_m != Some(id) {
                    if let Some(on) = on_m.and_then(|on| self.0.get_mut(&on)) {
                        on.g = g;
                    }
                    return;
                }
                m.g = g;
                match state {
                    GState::Running => MState::Running(g),
                    GState::Syscall => MState::Syscall(g),
                    _ => return,
                }
            }
            Event::PStatus { p, on_m, .. } => {
                if let Some(on) = on_m.and_then(|on| self.0.get_mut(&on)) {
                    on.p = Some(p);
                    on.epoch = step.trust.epoch();
                }
                return;
            }
            // It says at its end that it was a wait: what lies behind was no search.
            Event::Netpoll { blocking: true, .. } if m.state != MState::Monitoring => {
                if m.state != MState::Unknown {
                    m.state = MState::Polling;
                }
                MState::Scheduling
            }
            Event::MExit {} => {
                if let Some(m) = self.0.remove(&id)
                    && !m.foreign
                {
                    let to = step.row.ts.max(m.since);
                    step.sink.m(&interval(id, &m, to));
                }
                return;
            }
            ref event if stops(event) => {
                m.g = GId::NONE;
                if matches!(event, Event::SyscallExitBlocked { .. }) {
                    // Whether or not it was recorded who took it.
                    m.p = None;
                }
                MState::Scheduling
            }
            _ => return,
        };
        if m.foreign {
            return;
        }
        // Its own times never go back.
        let to = step.row.ts.max(m.since);
        if to > m.since || state != m.state {
            step.sink.m(&interval(id, m, to));
        }
        (m.state, m.since) = (state, to);
    }

    fn release(&mut self, p: PId) {
        if let Some(from) = self.0.values_mut().find(|m| m.p == Some(p)) {
            from.p = None;
        }
    }

    /// The events of an M after its last one are missing, and with them what it does.
    pub fn lose(&mut self, id: MId, sink: &mut impl Sink) -> Option<Lost> {
        let m = self.0.get_mut(&id)?;
        let lost = Lost {
            at: m.last.max(m.since),
            p: m.p.take(),
            g: std::mem::replace(&mut m.g, GId::NONE),
        };
        // Who watches does so for as long as the thread lives.
        if !m.foreign && m.state != MState::Monitoring {
            if lost.at > m.since {
                sink.m(&interval(id, &M { p: lost.p, ..*m }, lost.at));
            }
            (m.state, m.since) = (MState::Unknown, lost.at);
        }
        Some(lost)
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
