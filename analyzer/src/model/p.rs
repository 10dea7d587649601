//! The Ps: idle, held by an M that runs a G or looks for one, in a system call, stopped.

use std::collections::BTreeMap;

use gmp_trace::event::{
    Event, PState as Recorded, PStopReason, PreemptCause, RetakeCause, SyscallKind,
};
use gmp_trace::ids::{GId, MId, PId};

use super::interval::{PInterval, PState, Unanswered};
use super::m::Ms;
use super::{Sink, Step, stops};

#[derive(Clone, Copy, Debug)]
struct P {
    state: PState,
    since: i64,
    m: Option<MId>,
    /// When the state was established.
    epoch: u32,
    /// The first request to give way since then, and how many there were.
    asked: Option<(Asked, u32)>,
}

/// A request to give way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    ts: i64,
    cause: PreemptCause,
    ns: u64,
    signal: bool,
}

/// The Ps in use.
#[derive(Debug, Default)]
pub(super) struct Ps {
    ps: BTreeMap<PId, P>,
    /// The number of each P's last change of owner, and when it was established. They go on when a P is out of use for a while.
    seqs: BTreeMap<PId, (u64, u32)>,
}

impl Ps {
    pub fn event<S: Sink>(&mut self, step: &mut Step<'_, S>, ms: &Ms) {
        let row = *step.row;
        let (held, of_m) = (ms.p(row.m), ms.epoch(row.m));
        match row.event {
            Event::Procs { procs } => {
                for p in (0..procs.min(1 << 16)).map(PId) {
                    self.ps.entry(p).or_insert(P {
                        state: PState::Idle,
                        since: row.ts,
                        m: None,
                        epoch: step.epoch,
                        asked: None,
                    });
                    self.seqs.entry(p).or_insert((0, step.epoch));
                }
                let beyond = self.ps.split_off(&PId(procs));
                for (p, known) in beyond {
                    let to = step.at(known.since);
                    leave(step.sink, p, &known, to, true);
                }
            }
            Event::PreemptRequest {
                p,
                cause,
                ns,
                signal,
                ..
            } => {
                if let Some(known) = self.ps.get_mut(&p) {
                    let ts = row.ts.max(known.since);
                    let first = Asked {
                        ts,
                        cause,
                        ns,
                        signal,
                    };
                    known.asked.get_or_insert((first, 0)).1 += 1;
                }
            }
            Event::PStart { p, seq } => {
                self.follows(step, p, seq, "is taken");
                let known = self.ps.get(&p).copied();
                if let Some(known) = known
                    && let Some(other) = known.m
                {
                    step.violation(known.epoch, "one m per p", || {
                        format!("{} takes {p}, which {other} holds", row.m)
                    });
                }
                if let Some(held) = held {
                    step.violation(of_m, "one p per m", || {
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
                    None => step.violation(of_m, "one p per m", || {
                        format!("{} lets a P go, but holds none", row.m)
                    }),
                }
            }
            Event::Retake { p, seq, cause, .. } => {
                self.follows(step, p, seq, "is retaken");
                let known = self.ps.get(&p).map(|p| (p.state, p.epoch));
                if !matches!(known, Some((PState::Syscall(_), _))) {
                    step.violation(known.map_or(0, |k| k.1), "p states", || {
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
                None => step.violation(of_m, "a g runs on a p", || {
                    format!("{g} starts on {}, which holds no P", row.m)
                }),
            },
            Event::SyscallEnter { kind, seq } => {
                if let Some(p) = held {
                    self.follows(step, p, seq, "is in a system call");
                }
                if let (Some(p), SyscallKind::Syscall) = (held, kind) {
                    self.enter(step, p, PState::Syscall(step.running()), Some(row.m));
                }
            }
            Event::SyscallExit {} => match held {
                Some(p) => self.enter(step, p, PState::Running(step.running()), Some(row.m)),
                None => step.violation(of_m, "p states", || {
                    format!(
                        "{} is back from a system call with a P, but holds none",
                        row.m
                    )
                }),
            },
            Event::StwEnd {} => {
                let stopped: Vec<PId> = self
                    .ps
                    .iter()
                    .filter(|(_, p)| p.state == PState::Stopped)
                    .map(|(id, _)| *id)
                    .collect();
                for p in stopped {
                    self.enter(step, p, PState::Idle, None);
                }
            }
            Event::PStatus {
                p,
                state,
                seq,
                on_m,
                ..
            } => {
                self.seqs.insert(p, (seq, step.epoch));
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
        let since = match self.ps.get(&p) {
            Some(known) => {
                let to = step.at(known.since);
                leave(step.sink, p, known, to, true);
                to
            }
            None => step.row.ts,
        };
        let epoch = step.epoch;
        self.ps.insert(
            p,
            P {
                state,
                since,
                m,
                epoch,
                asked: None,
            },
        );
    }

    /// The change of owner must have the number after that of the P's last one.
    fn follows<S: Sink>(&mut self, step: &mut Step<'_, S>, p: PId, seq: u64, does: &str) {
        let (last, epoch) = self.seqs.insert(p, (seq, step.epoch)).unwrap_or((0, 0));
        if last.checked_add(1) != Some(seq) {
            step.violation(epoch, "p numbers", || {
                format!("{p} {does} with number {seq}, after number {last}")
            });
        }
    }

    pub fn finish(&mut self, end: i64, sink: &mut impl Sink) {
        for (p, known) in std::mem::take(&mut self.ps) {
            leave(sink, p, &known, end.max(known.since), false);
        }
    }
}

/// The state of a P ends, or the trace does (`over` is false then).
fn leave(sink: &mut impl Sink, p: PId, known: &P, to: i64, over: bool) {
    sink.p(&interval(p, known, to));
    if let (PState::Running(g), Some((asked, requests))) = (known.state, known.asked) {
        sink.unanswered(&Unanswered {
            g,
            p,
            m: known.m,
            from: known.since,
            asked: asked.ts,
            to,
            over,
            cause: asked.cause,
            before_ns: asked.ns,
            signal: asked.signal,
            requests,
        });
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
