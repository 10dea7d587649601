//! The Ps: idle, held by an M that runs a G or looks for one, in a system call, stopped.

use std::collections::BTreeMap;

use gmp_trace::event::{
    Event, GState, PState as Recorded, PStopReason, PreemptCause, RetakeCause, SyscallKind,
};
use gmp_trace::ids::{GId, MId, PId};

use super::interval::{PInterval, PState, Unanswered};
use super::m::Ms;
use super::trust::Trust;
use super::{Ends, Since, Sink, Step, stops};

#[derive(Clone, Copy, Debug)]
struct P {
    state: PState,
    since: Since,
    m: Option<MId>,
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
                let since = step.at(None);
                for p in (0..procs.min(1 << 16)).map(PId) {
                    self.ps.entry(p).or_insert(P {
                        state: PState::Idle,
                        since,
                        m: None,
                        asked: None,
                    });
                    self.seqs.entry(p).or_insert((0, since.epoch));
                }
                let beyond = self.ps.split_off(&PId(procs));
                for (p, known) in beyond {
                    let to = step.at(Some(&known.since)).ts;
                    let ends = known.since.ends(to, false, step.trust);
                    leave(step.sink, p, &known, ends, true);
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
                    let ts = row.ts.max(known.since.ts);
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
                let follows = self.follows(step, p, seq, "is taken");
                let known = self.ps.get(&p).copied();
                if let Some(known) = known
                    && let Some(other) = known.m
                {
                    step.violation(known.since.epoch, "one m per p", || {
                        format!("{} takes {p}, which {other} holds", row.m)
                    });
                }
                if let Some(held) = held {
                    step.violation(of_m, "one p per m", || {
                        format!("{} takes {p} while it holds {held}", row.m)
                    });
                }
                let continues = follows && known.is_some_and(|p| p.state == PState::Idle);
                self.enter(step, p, PState::Scheduling, Some(row.m), continues);
            }
            Event::PStop { reason } => {
                let stopped = matches!(reason, PStopReason::Stw | PStopReason::Resize);
                let state = if stopped {
                    PState::Stopped
                } else {
                    PState::Idle
                };
                match held {
                    Some(p) => {
                        let continues = self.is_held(p, row.m);
                        self.enter(step, p, state, None, continues);
                    }
                    None => step.violation(of_m, "one p per m", || {
                        format!("{} lets a P go, but holds none", row.m)
                    }),
                }
            }
            Event::Retake { p, seq, cause, .. } => {
                let follows = self.follows(step, p, seq, "is retaken");
                let known = self.ps.get(&p).map(|p| (p.state, p.since.epoch));
                let in_syscall = matches!(known, Some((PState::Syscall(_), _)));
                if !in_syscall {
                    step.violation(known.map_or(0, |k| k.1), "p states", || {
                        format!("{p} is retaken, but is not in a system call")
                    });
                }
                let state = match cause {
                    RetakeCause::Syscall => PState::Idle,
                    RetakeCause::Stw => PState::Stopped,
                };
                self.enter(step, p, state, None, follows && in_syscall);
            }
            Event::Start { g, .. } => match held {
                Some(p) => self.goes_on(step, p, PState::Running(g)),
                None => step.violation(of_m, "a g runs on a p", || {
                    format!("{g} starts on {}, which holds no P", row.m)
                }),
            },
            Event::SyscallEnter { kind, seq } => {
                if let Some(p) = held {
                    self.follows(step, p, seq, "is in a system call");
                }
                if let (Some(p), SyscallKind::Syscall) = (held, kind) {
                    self.goes_on(step, p, PState::Syscall(step.running()));
                }
            }
            Event::SyscallExit {} => match held {
                Some(p) => self.goes_on(step, p, PState::Running(step.running())),
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
                    self.enter(step, p, PState::Idle, None, false);
                }
            }
            Event::PStatus {
                p,
                state,
                seq,
                on_m,
                ..
            } => {
                self.seqs.insert(p, (seq, step.trust.epoch()));
                let state = match state {
                    Recorded::Idle | Recorded::Dead => PState::Idle,
                    Recorded::Running => match on_m.map(|m| ms.g(m)) {
                        Some(g) if g.is_some() => PState::Running(g),
                        _ => PState::Scheduling,
                    },
                    Recorded::Syscall => PState::Syscall(on_m.map_or(GId::NONE, |m| ms.g(m))),
                    Recorded::Stopped => PState::Stopped,
                };
                self.enter(step, p, state, on_m, false);
            }
            // The status of the P, which comes before it, could not say it.
            Event::GStatus { g, state, on_m, .. } if on_m == Some(row.m) => {
                if let Some(p) = held {
                    match state {
                        GState::Running => self.goes_on(step, p, PState::Running(g)),
                        GState::Syscall => self.goes_on(step, p, PState::Syscall(g)),
                        _ => {}
                    }
                }
            }
            // Who took it is not recorded.
            Event::SyscallExitBlocked { .. } if held.is_some_and(|p| self.is_in_doubt(step, p)) => {
                if let Some(p) = held {
                    self.enter(step, p, PState::Unknown, None, false);
                }
            }
            ref event if stops(event) => {
                if let Some(p) = held {
                    self.goes_on(step, p, PState::Scheduling);
                }
            }
            _ => {}
        }
    }

    /// The emitting M does something else with the P that it holds.
    fn goes_on<S: Sink>(&mut self, step: &mut Step<'_, S>, p: PId, state: PState) {
        let m = step.row.m;
        let continues = self.is_held(p, m);
        self.enter(step, p, state, Some(m), continues);
    }

    /// Whether this M was the last one that is known to have it.
    fn is_held(&self, p: PId, m: MId) -> bool {
        self.ps.get(&p).is_some_and(|p| p.m == Some(m))
    }

    /// Whether an event that changed its state may be missing.
    fn is_in_doubt<S: Sink>(&self, step: &Step<'_, S>, p: PId) -> bool {
        let since = self.ps.get(&p).map(|p| p.since);
        since.is_some_and(|since| step.trust.unsure_since(since.mark, since.ts).is_some())
    }

    /// `continues`: no event between the begin of the state before and this can be missing.
    fn enter<S: Sink>(
        &mut self,
        step: &mut Step<'_, S>,
        p: PId,
        state: PState,
        m: Option<MId>,
        continues: bool,
    ) {
        let before = self.ps.get(&p);
        let since = step.at(before.map(|known| &known.since));
        if let Some(known) = before {
            let ends = known.since.ends(since.ts, continues, step.trust);
            leave(step.sink, p, known, ends, true);
        }
        let new = P {
            state,
            since,
            m,
            asked: None,
        };
        self.ps.insert(p, new);
    }

    /// The events of the M that held a P are missing from `at` on.
    pub fn lose(&mut self, p: PId, at: i64, trust: &Trust, sink: &mut impl Sink) {
        if let Some(known) = self.ps.get_mut(&p) {
            let since = known.since.lost(at, trust);
            let ends = known.since.ends(since.ts, is_up_to_m(known.state), trust);
            let ends = Ends {
                unknown: Some(since.ts),
                ..ends
            };
            leave(sink, p, known, ends, true);
            *known = unknown(since);
        }
    }

    /// The change of owner must have the number after that of the P's last one.
    fn follows<S: Sink>(&mut self, step: &mut Step<'_, S>, p: PId, seq: u64, does: &str) -> bool {
        let before = self.seqs.insert(p, (seq, step.trust.epoch()));
        let (last, epoch) = before.unwrap_or((0, 0));
        let follows = last.checked_add(1) == Some(seq);
        if !follows {
            step.violation(epoch, "p numbers", || {
                format!("{p} {does} with number {seq}, after number {last}")
            });
        }
        follows
    }

    pub fn finish(&mut self, end: i64, trust: &Trust, sink: &mut impl Sink) {
        for (p, known) in std::mem::take(&mut self.ps) {
            let continues = is_up_to_m(known.state) && !trust.is_missing_everywhere();
            let ends = known.since.ends(end.max(known.since.ts), continues, trust);
            leave(sink, p, &known, ends, false);
        }
    }
}

/// Whether nobody but the M that holds the P ends such a state: that M would have said so.
fn is_up_to_m(state: PState) -> bool {
    matches!(state, PState::Running(_) | PState::Scheduling)
}

/// The state of a P ends, or the trace does (`over` is false then).
fn leave(sink: &mut impl Sink, p: PId, known: &P, ends: Ends, over: bool) {
    let Some(to) = ends.unknown.filter(|_| known.state != PState::Unknown) else {
        let to = ends.unknown.unwrap_or(ends.known);
        if to > known.since.ts || known.state != PState::Unknown {
            sink.p(&interval(p, known, to));
        }
        if ends.unknown.is_none() {
            answer(sink, p, known, to, over);
        }
        return;
    };
    if ends.known > known.since.ts {
        sink.p(&interval(p, known, ends.known));
    }
    if to > ends.known {
        let since = Since {
            ts: ends.known,
            ..known.since
        };
        sink.p(&interval(p, &unknown(since), to));
    }
}

/// Tells what became of requests to give way.
fn answer(sink: &mut impl Sink, p: PId, known: &P, to: i64, over: bool) {
    if let (PState::Running(g), Some((asked, requests))) = (known.state, known.asked) {
        sink.unanswered(&Unanswered {
            g,
            p,
            m: known.m,
            from: known.since.ts,
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

/// A P of which nobody knows what it does.
fn unknown(since: Since) -> P {
    P {
        state: PState::Unknown,
        since,
        m: None,
        asked: None,
    }
}

fn interval(p: PId, known: &P, to: i64) -> PInterval {
    PInterval {
        p,
        state: known.state,
        from: known.since.ts,
        to,
        m: known.m,
    }
}
