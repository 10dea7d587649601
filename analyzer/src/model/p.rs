//! The Ps: idle, held by an M that runs a G or looks for one, in a system call, stopped.

use std::collections::BTreeMap;

use gmp_trace::event::{Event, PState as Recorded, PStopReason, RetakeCause, SyscallKind};
use gmp_trace::ids::{GId, MId, PId};

use super::interval::{PInterval, PState};
use super::m::Ms;
use super::{Sink, Step, stops};

#[derive(Clone, Copy, Debug)]
struct P {
    state: PState,
    since: i64,
    m: Option<MId>,
}

/// The Ps in use.
#[derive(Debug, Default)]
pub(super) struct Ps(BTreeMap<PId, P>);

impl Ps {
    pub fn event<S: Sink>(&mut self, step: &mut Step<'_, S>, ms: &Ms) {
        let row = *step.row;
        let held = ms.p(row.m);
        match row.event {
            Event::Procs { procs } => {
                for p in (0..procs.min(1 << 16)).map(PId) {
                    self.0.entry(p).or_insert(P {
                        state: PState::Idle,
                        since: row.ts,
                        m: None,
                    });
                }
                let beyond = self.0.split_off(&PId(procs));
                for (p, known) in beyond {
                    let to = step.clamped.at(known.since, row.ts);
                    step.sink.p(&interval(p, &known, to));
                }
            }
            Event::PStart { p, .. } => {
                let holder = self.0.get(&p).and_then(|p| p.m);
                if let Some(other) = holder {
                    step.violation("one m per p", || {
                        format!("{} takes {p}, which {other} holds", row.m)
                    });
                }
                if let Some(held) = held {
                    step.violation("one p per m", || {
                        format!("{} takes {p} while it holds {held}", row.m)
                    });
                }
                self.enter(step, p, PState::Scheduling, Some(row.m));
            }
            Event::PStop { reason } => {
                let stopped = matches!(reason, PStopReason::Stw | PStopReason::Resize);
                let state = if stopped {
                    PState::Stopped
                } else {
                    PState::Idle
                };
                match held {
                    Some(p) => self.enter(step, p, state, None),
                    None => step.violation("one p per m", || {
                        format!("{} lets a P go, but holds none", row.m)
                    }),
                }
            }
            Event::Retake { p, cause, .. } => {
                let in_syscall =
                    matches!(self.0.get(&p).map(|p| p.state), Some(PState::Syscall(_)));
                if !in_syscall {
                    step.violation("p states", || {
                        format!("{p} is retaken, but is not in a system call")
                    });
                }
                let state = match cause {
                    RetakeCause::Syscall => PState::Idle,
                    RetakeCause::Stw => PState::Stopped,
                };
                self.enter(step, p, state, None);
            }
            Event::Start { g, .. } => match held {
                Some(p) => self.enter(step, p, PState::Running(g), Some(row.m)),
                None => step.violation("a g runs on a p", || {
                    format!("{g} starts on {}, which holds no P", row.m)
                }),
            },
            Event::SyscallEnter {
                kind: SyscallKind::Syscall,
                ..
            } => {
                if let Some(p) = held {
                    self.enter(step, p, PState::Syscall(step.running()), Some(row.m));
                }
            }
            Event::SyscallExit {} => match held {
                Some(p) => self.enter(step, p, PState::Running(step.running()), Some(row.m)),
                None => step.violation("p states", || {
                    format!(
                        "{} is back from a system call with a P, but holds none",
                        row.m
                    )
                }),
            },
            Event::StwEnd {} => {
                let stopped: Vec<PId> = self
                    .0
                    .iter()
                    .filter(|(_, p)| p.state == PState::Stopped)
                    .map(|(id, _)| *id)
                    .collect();
                for p in stopped {
                    self.enter(step, p, PState::Idle, None);
                }
            }
            Event::PStatus { p, state, on_m, .. } => {
                let state = match state {
                    Recorded::Idle | Recorded::Dead => PState::Idle,
                    Recorded::Running => match on_m.map(|m| ms.g(m)) {
                        Some(g) if g.is_some() => PState::Running(g),
                        _ => PState::Scheduling,
                    },
                    Recorded::Syscall => PState::Syscall(on_m.map_or(GId::NONE, |m| ms.g(m))),
                    Recorded::Stopped => PState::Stopped,
                };
                self.enter(step, p, state, on_m);
            }
            ref event if stops(event) => {
                if let Some(p) = held {
                    self.enter(step, p, PState::Scheduling, Some(row.m));
                }
            }
            _ => {}
        }
    }

    fn enter<S: Sink>(&mut self, step: &mut Step<'_, S>, p: PId, state: PState, m: Option<MId>) {
        let since = match self.0.get(&p) {
            Some(known) => {
                let to = step.clamped.at(known.since, step.row.ts);
                step.sink.p(&interval(p, known, to));
                to
            }
            None => step.row.ts,
        };
        self.0.insert(p, P { state, since, m });
    }

    pub fn finish(&mut self, end: i64, sink: &mut impl Sink) {
        for (p, known) in std::mem::take(&mut self.0) {
            sink.p(&interval(p, &known, end.max(known.since)));
        }
    }
}

fn interval(p: PId, known: &P, to: i64) -> PInterval {
    PInterval {
        p,
        state: known.state,
        from: known.since,
        to,
        m: known.m,
    }
}
