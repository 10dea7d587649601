//! The Gs: spawned, running, runnable, waiting, in a system call, ended.

use gmp_trace::event::{Event, GState as Recorded, Placed};
use gmp_trace::ids::{GId, MId, ObjectId, PId};
use rustc_hash::FxHashMap;

use super::interval::{Cause, GInterval, GState, Wakeup};
use super::trust::Trust;
use super::{Ends, Since, Sink, Step};

#[derive(Clone, Copy, Debug)]
struct G {
    state: GState,
    since: Since,
    p: Option<PId>,
    m: Option<MId>,
    by: GId,
    placed: Option<Placed>,
    event: i64,
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
                    let epoch = known.since.epoch;
                    step.violation(epoch, "g states", || format!("{g} is spawned twice"));
                }
                let by = row.by;
                let state = GState::Runnable(Cause::Spawn);
                self.enter(step, g, state, by, Some(placed), false);
                self.number(g, 0, step.trust.epoch());
            }
            Event::Ready {
                g,
                seq,
                via,
                placed,
                ..
            } => {
                let continues = self.expect(step, g, "waiting", "is readied")
                    & self.follows(step, g, seq, "is readied");
                let by = row.by;
                let state = GState::Runnable(Cause::Ready(via));
                self.enter(step, g, state, by, Some(placed), continues);
                self.number(g, seq, step.trust.epoch());
            }
            Event::Start { g, seq, source, .. } => {
                let continues = self.expect(step, g, "runnable", "starts")
                    & self.follows(step, g, seq, "starts");
                let before = self.0.get(&g).copied();
                let (since, known) =
                    self.enter(step, g, GState::Running, GId::NONE, None, continues);
                self.number(g, seq, step.trust.epoch());
                if let Some(before) = before
                    && let GState::Runnable(cause) = before.state
                    && known
                {
                    let wakeup = Wakeup {
                        g,
                        cause,
                        by: before.by,
                        placed: before.placed,
                        ready_p: before.p,
                        ready_ts: before.since.ts,
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
                let continues = self.runs_here(step, "yields");
                let g = step.running();
                let state = GState::Runnable(Cause::Yield);
                self.enter(step, g, state, g, Some(placed), continues);
            }
            Event::Preempt { placed, .. } => {
                let continues = self.runs_here(step, "is preempted");
                let (g, state) = (step.running(), GState::Runnable(Cause::Preempt));
                self.enter(step, g, state, GId::NONE, Some(placed), continues);
            }
            Event::Park { reason, object } => {
                let continues = self.runs_here(step, "parks");
                let (g, state) = (step.running(), GState::Waiting(reason, object));
                self.enter(step, g, state, GId::NONE, None, continues);
            }
            Event::SyscallEnter { .. } => {
                let continues = self.runs_here(step, "enters a system call");
                let g = step.running();
                self.enter(step, g, GState::Syscall, GId::NONE, None, continues);
            }
            Event::SyscallExit {} => {
                let continues = self.leaves_syscall(step);
                let g = step.running();
                self.enter(step, g, GState::Running, GId::NONE, None, continues);
            }
            Event::SyscallExitBlocked { placed, .. } => {
                let continues = self.leaves_syscall(step);
                let (g, state) = (step.running(), GState::Runnable(Cause::Syscall));
                self.enter(step, g, state, GId::NONE, Some(placed), continues);
            }
            Event::Exit { .. } => {
                let continues = self.runs_here(step, "ends");
                let g = step.running();
                if let Some(known) = self.0.remove(&g) {
                    let to = step.at(Some(&known.since)).ts;
                    let ends = known.since.ends(to, continues, step.trust);
                    leave(step.sink, g, &known, ends, true);
                }
            }
            Event::GStatus {
                g,
                state,
                seq,
                on_m,
            } => {
                self.status(step, g, state, on_m);
                self.number(g, seq, step.trust.epoch());
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
        self.enter(step, g, state, GId::NONE, None, false);
        if let Some(known) = self.0.get_mut(&g) {
            known.m = on_m;
        }
    }

    /// Ends the G's interval and begins another; when that is, and whether all of the one before is known. `continues`: no event between its
    /// begin and this can be missing.
    fn enter<S: Sink>(
        &mut self,
        step: &mut Step<'_, S>,
        g: GId,
        state: GState,
        by: GId,
        placed: Option<Placed>,
        continues: bool,
    ) -> (i64, bool) {
        if !g.is_some() {
            return (step.row.ts, false);
        }
        let before = self.0.get(&g);
        let since = step.at(before.map(|known| &known.since));
        let mut all_known = true;
        if let Some(known) = before {
            let ends = known.since.ends(since.ts, continues, step.trust);
            all_known = ends.unknown.is_none();
            leave(step.sink, g, known, ends, false);
        }
        let new = G {
            state,
            since,
            p: step.row.p,
            m: Some(step.row.m),
            by,
            placed,
            event: step.row.id,
            seq: before.map_or((0, u32::MAX), |known| known.seq),
        };
        self.0.insert(g, new);
        (since.ts, all_known)
    }

    /// Whether the G is in the state that it must be in.
    fn expect<S: Sink>(&self, step: &mut Step<'_, S>, g: GId, state: &str, does: &str) -> bool {
        let found = self.0.get(&g).map(|g| (g.state.word(), g.since.epoch));
        // Of a G that is not there all is known only if nothing was ever missing.
        let (word, epoch) = found.unwrap_or(("not there", 0));
        if word != state {
            step.violation(epoch, "g states", || format!("{g} {does}, but is {word}"));
        }
        word == state
    }

    /// The move must have the number after that of the G's last one.
    fn follows<S: Sink>(&self, step: &mut Step<'_, S>, g: GId, seq: u64, does: &str) -> bool {
        let Some(known) = self.0.get(&g) else {
            return false;
        };
        let follows = known.seq.0.checked_add(1) == Some(seq);
        if !follows {
            let last = known.seq.0;
            step.violation(known.seq.1, "g numbers", || {
                format!("{g} {does} with number {seq}, after number {last}")
            });
        }
        follows
    }

    fn number(&mut self, g: GId, seq: u64, epoch: u32) {
        if let Some(known) = self.0.get_mut(&g) {
            known.seq = (seq, epoch);
        }
    }

    /// The running G of the M must be the one that this M started.
    fn runs_here<S: Sink>(&self, step: &mut Step<'_, S>, does: &str) -> bool {
        let g = step.running();
        let runs = self.expect(step, g, "running", does);
        let is_here = self.is_here(step, g);
        if let (Some(known), false) = (self.0.get(&g), is_here) {
            let m = step.row.m;
            step.violation(known.since.epoch, "one m per g", || {
                format!("{g} {does} on {m}, where it does not run")
            });
        }
        runs && is_here
    }

    fn leaves_syscall<S: Sink>(&self, step: &mut Step<'_, S>) -> bool {
        let g = step.running();
        self.expect(step, g, "syscall", "leaves a system call") && self.is_here(step, g)
    }

    /// Whether the G is on the emitting M.
    fn is_here<S: Sink>(&self, step: &Step<'_, S>, g: GId) -> bool {
        self.0.get(&g).is_some_and(|g| g.m == Some(step.row.m))
    }

    /// The events of the M that a G was on are missing from `at` on.
    pub fn lose(&mut self, g: GId, at: i64, trust: &Trust, sink: &mut impl Sink) {
        if let Some(known) = self.0.get_mut(&g) {
            let since = known.since.lost(at, trust);
            let ends = Ends {
                known: since.ts,
                unknown: Some(since.ts),
            };
            leave(sink, g, known, ends, false);
            *known = G {
                since,
                ..unknown(known)
            };
        }
    }

    pub fn finish(&mut self, end: i64, trust: &Trust, sink: &mut impl Sink) {
        let mut left: Vec<_> = self.0.drain().collect();
        left.sort_unstable_by_key(|(g, _)| *g);
        for (g, known) in left {
            // The M that it is on would have said that it ended.
            let on_m = matches!(known.state, GState::Running | GState::Syscall);
            let continues = on_m && !trust.is_missing_everywhere();
            let ends = known.since.ends(end.max(known.since.ts), continues, trust);
            leave(sink, g, &known, ends, false);
        }
    }
}

/// A state of a G ends.
fn leave(sink: &mut impl Sink, g: GId, known: &G, ends: Ends, last: bool) {
    let Some(to) = ends.unknown.filter(|_| known.state != GState::Unknown) else {
        let to = ends.unknown.unwrap_or(ends.known);
        if to > known.since.ts || last || known.state != GState::Unknown {
            sink.g(&interval(g, known, to, last));
        }
        return;
    };
    if ends.known > known.since.ts {
        sink.g(&interval(g, known, ends.known, false));
    }
    if to > ends.known || last {
        let mut unknown = unknown(known);
        unknown.since.ts = ends.known;
        sink.g(&interval(g, &unknown, to, last));
    }
}

/// A G of which nobody knows what it does.
fn unknown(known: &G) -> G {
    G {
        state: GState::Unknown,
        p: None,
        m: None,
        by: GId::NONE,
        placed: None,
        ..*known
    }
}

fn interval(g: GId, known: &G, to: i64, last: bool) -> GInterval {
    GInterval {
        g,
        state: known.state,
        from: known.since.ts,
        to,
        p: known.p,
        m: known.m,
        by: known.by,
        event: known.event,
        last,
    }
}
