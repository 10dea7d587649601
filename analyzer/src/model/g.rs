//! The Gs: spawned, running, runnable, waiting, in a system call, ended.

use gmp_trace::event::{Event, GState as Recorded, Placed};
use gmp_trace::ids::{GId, MId, ObjectId, PId};
use rustc_hash::FxHashMap;

use super::interval::{Cause, GInterval, GState, Wakeup};
use super::{Sink, Step};

#[derive(Clone, Copy, Debug)]
struct G {
    state: GState,
    since: i64,
    p: Option<PId>,
    m: Option<MId>,
    by: GId,
    placed: Option<Placed>,
    event: i64,
    /// When the state was established.
    epoch: u32,
    /// The number of the last move, and when it was established.
    seq: (u64, u32),
}

/// The Gs that live.
#[derive(Debug, Default)]
pub(super) struct Gs(FxHashMap<GId, G>);

impl Gs {
    pub fn event<S: Sink>(&mut self, step: &mut Step<'_, S>) {
        let row = *step.row;
        match row.event {
            Event::Spawn { g, placed, .. } => {
                if let Some(known) = self.0.get(&g) {
                    step.violation(known.epoch, "g states", || format!("{g} is spawned twice"));
                }
                let by = row.by;
                self.enter(step, g, GState::Runnable(Cause::Spawn), by, Some(placed));
                self.number(g, 0, step.epoch);
            }
            Event::Ready {
                g,
                seq,
                via,
                placed,
                ..
            } => {
                self.expect(step, g, "waiting", "is readied");
                self.follows(step, g, seq, "is readied");
                let by = row.by;
                let state = GState::Runnable(Cause::Ready(via));
                self.enter(step, g, state, by, Some(placed));
                self.number(g, seq, step.epoch);
            }
            Event::Start { g, seq, source, .. } => {
                self.expect(step, g, "runnable", "starts");
                self.follows(step, g, seq, "starts");
                let before = self.0.get(&g).copied();
                let since = self.enter(step, g, GState::Running, GId::NONE, None);
                self.number(g, seq, step.epoch);
                if let Some(before) = before
                    && let GState::Runnable(cause) = before.state
                {
                    let wakeup = Wakeup {
                        g,
                        cause,
                        by: before.by,
                        placed: before.placed,
                        ready_p: before.p,
                        ready_ts: before.since,
                        ready_m: before.m,
                        ready_event: before.event,
                        p: row.p,
                        m: row.m,
                        start_ts: since,
                        source,
                    };
                    step.sink.wakeup(&wakeup);
                }
            }
            Event::Yield { placed, .. } => {
                self.runs_here(step, "yields");
                let g = step.running();
                self.enter(step, g, GState::Runnable(Cause::Yield), g, Some(placed));
            }
            Event::Preempt { placed, .. } => {
                self.runs_here(step, "is preempted");
                let state = GState::Runnable(Cause::Preempt);
                self.enter(step, step.running(), state, GId::NONE, Some(placed));
            }
            Event::Park { reason, object } => {
                self.runs_here(step, "parks");
                self.enter(
                    step,
                    step.running(),
                    GState::Waiting(reason, object),
                    GId::NONE,
                    None,
                );
            }
            Event::SyscallEnter { .. } => {
                self.runs_here(step, "enters a system call");
                self.enter(step, step.running(), GState::Syscall, GId::NONE, None);
            }
            Event::SyscallExit {} => {
                self.expect(step, step.running(), "syscall", "leaves a system call");
                self.enter(step, step.running(), GState::Running, GId::NONE, None);
            }
            Event::SyscallExitBlocked { placed, .. } => {
                self.expect(step, step.running(), "syscall", "leaves a system call");
                let state = GState::Runnable(Cause::Syscall);
                self.enter(step, step.running(), state, GId::NONE, Some(placed));
            }
            Event::Exit { .. } => {
                self.runs_here(step, "ends");
                if let Some(g) = self.0.remove(&step.running()) {
                    let to = step.at(g.since);
                    step.sink.g(&interval(step.running(), &g, to, true));
                }
            }
            Event::GStatus {
                g,
                state,
                seq,
                on_m,
            } => {
                self.status(step, g, state, on_m);
                self.number(g, seq, step.epoch);
            }
            _ => {}
        }
    }

    /// The state as the runtime says it is, after a gap.
    fn status<S: Sink>(
        &mut self,
        step: &mut Step<'_, S>,
        g: GId,
        state: Recorded,
        on_m: Option<MId>,
    ) {
        let state = match state {
            Recorded::Runnable => GState::Runnable(Cause::Unknown),
            Recorded::Running => GState::Running,
            Recorded::Syscall => GState::Syscall,
            Recorded::Waiting => {
                GState::Waiting(gmp_trace::event::ParkReason::Unspecified, ObjectId(0))
            }
            Recorded::Dead => return,
        };
        self.enter(step, g, state, GId::NONE, None);
        if let Some(known) = self.0.get_mut(&g) {
            known.m = on_m;
        }
    }

    /// Ends the G's interval and begins another; when that is.
    fn enter<S: Sink>(
        &mut self,
        step: &mut Step<'_, S>,
        g: GId,
        state: GState,
        by: GId,
        placed: Option<Placed>,
    ) -> i64 {
        if !g.is_some() {
            return step.row.ts;
        }
        let since = match self.0.get(&g) {
            Some(known) => {
                let to = step.at(known.since);
                step.sink.g(&interval(g, known, to, false));
                to
            }
            None => step.row.ts,
        };
        let new = G {
            state,
            since,
            p: step.row.p,
            m: Some(step.row.m),
            by,
            placed,
            event: step.row.id,
            epoch: step.epoch,
            seq: self.0.get(&g).map_or((0, u32::MAX), |known| known.seq),
        };
        self.0.insert(g, new);
        since
    }

    fn expect<S: Sink>(&mut self, step: &mut Step<'_, S>, g: GId, state: &str, does: &str) {
        let found = self.0.get(&g).map(|g| (g.state.word(), g.epoch));
        // Of a G that is not there all is known only if nothing was ever missing.
        let (word, epoch) = found.unwrap_or(("not there", 0));
        if word != state {
            step.violation(epoch, "g states", || format!("{g} {does}, but is {word}"));
        }
    }

    /// The move must have the number after that of the G's last one.
    fn follows<S: Sink>(&self, step: &mut Step<'_, S>, g: GId, seq: u64, does: &str) {
        if let Some(known) = self.0.get(&g)
            && known.seq.0.checked_add(1) != Some(seq)
        {
            let last = known.seq.0;
            step.violation(known.seq.1, "g numbers", || {
                format!("{g} {does} with number {seq}, after number {last}")
            });
        }
    }

    fn number(&mut self, g: GId, seq: u64, epoch: u32) {
        if let Some(known) = self.0.get_mut(&g) {
            known.seq = (seq, epoch);
        }
    }

    /// The running G of the M must be the one that this M started.
    fn runs_here<S: Sink>(&mut self, step: &mut Step<'_, S>, does: &str) {
        let (g, m) = (step.running(), step.row.m);
        self.expect(step, g, "running", does);
        if let Some(known) = self.0.get(&g)
            && known.m != Some(m)
        {
            step.violation(known.epoch, "one m per g", || {
                format!("{g} {does} on {m}, where it does not run")
            });
        }
    }

    pub fn finish(&mut self, end: i64, sink: &mut impl Sink) {
        let mut left: Vec<_> = self.0.drain().collect();
        left.sort_unstable_by_key(|(g, _)| *g);
        for (g, state) in left {
            sink.g(&interval(g, &state, end.max(state.since), false));
        }
    }
}

fn interval(g: GId, known: &G, to: i64, last: bool) -> GInterval {
    GInterval {
        g,
        state: known.state,
        from: known.since,
        to,
        p: known.p,
        m: known.m,
        by: known.by,
        event: known.event,
        last,
    }
}
