//! The interval model: what each G, P and M was doing, from when to when.
//!
//! [`Model`] makes one pass over the events of a process, in their causal order, and hands what it derives to a [`Sink`]: intervals when
//! they end, wake-ups when the G starts, lengths of queues when they change, and everything that contradicts the rules of the scheduler.
//! Every report is a sink; none derives states of its own.
//!
//! # Time
//! Events keep the time their thread gave them. Two threads' clocks may disagree by a little, so that an interval would end before it
//! began: its end is then its beginning, and [`Model::clamped`] counts how often and by how much. So the intervals of a subject always
//! tile its life: each begins where the one before ended.
//!
//! # What is missing
//! Where events are missing, and of what is in doubt since then (`trust.rs`), a state that does not fit is adopted; everywhere else it is a
//! [`Violation`].
//!
//! No state is asserted over a gap. What an M did in one, with its P and its G, is *unknown* from its last event before the gap until an
//! event says what it is. All other states last until the next event about their subject if that one continues them: its number is the next,
//! or it comes from the M that has been there all the time. Else an event between the two is missing: the state is known until the first
//! gap after it began, and unknown from there on. So every running interval lies between two events of an M without a gap between them, and
//! no wake-up, and no request to give way, is answered over a gap.

mod g;
mod interval;
mod m;
mod p;
mod trust;

use gmp_store::EventRow;
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId};
use gmp_trace::queues::{At, Watch};

pub use gmp_trace::queues::{Queue, Queues};
pub use interval::{
    Cause, GInterval, GState, MInterval, MState, PInterval, PState, Unanswered, Violation, Wakeup,
};
pub use trust::Missing;

/// Receives what the model derives. Everything is optional.
pub trait Sink {
    /// A row that makes no event: whether the sink takes that upon itself. Else it is an error.
    fn damaged(&mut self, _id: i64, _what: &str) -> bool {
        false
    }
    /// The row of the event that comes next is not as the recorder writes it. Said only in a pass that looks for it.
    fn odd(&mut self, _row: &EventRow, _what: &str) {}
    /// An event, before anything is derived from it.
    fn event(&mut self, _row: &EventRow) {}
    /// An interval of a G ended.
    fn g(&mut self, _interval: &GInterval) {}
    /// An interval of a P ended.
    fn p(&mut self, _interval: &PInterval) {}
    /// An interval of an M ended.
    fn m(&mut self, _interval: &MInterval) {}
    /// A runnable G started.
    fn wakeup(&mut self, _wakeup: &Wakeup) {}
    /// A G that was asked to give way stopped, or the trace ends.
    fn unanswered(&mut self, _unanswered: &Unanswered) {}
    /// A queue has another length now.
    fn queue(&mut self, _ts: i64, _queue: Queue, _len: u32) {}
    /// The event happened at `to` or later: what it follows from did. By its own time it is earlier.
    fn moved(&mut self, _row: &EventRow, _to: i64) {}
    /// An event contradicts what came before.
    fn violation(&mut self, _violation: &Violation) {}
}

/// A sink behind a reference.
impl<S: Sink + ?Sized> Sink for &mut S {
    fn damaged(&mut self, id: i64, what: &str) -> bool {
        (**self).damaged(id, what)
    }
    fn odd(&mut self, row: &EventRow, what: &str) {
        (**self).odd(row, what);
    }
    fn event(&mut self, row: &EventRow) {
        (**self).event(row);
    }
    fn g(&mut self, interval: &GInterval) {
        (**self).g(interval);
    }
    fn p(&mut self, interval: &PInterval) {
        (**self).p(interval);
    }
    fn m(&mut self, interval: &MInterval) {
        (**self).m(interval);
    }
    fn wakeup(&mut self, wakeup: &Wakeup) {
        (**self).wakeup(wakeup);
    }
    fn unanswered(&mut self, unanswered: &Unanswered) {
        (**self).unanswered(unanswered);
    }
    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        (**self).queue(ts, queue, len);
    }
    fn moved(&mut self, row: &EventRow, to: i64) {
        (**self).moved(row, to);
    }
    fn violation(&mut self, violation: &Violation) {
        (**self).violation(violation);
    }
}

/// Several sinks behind one.
impl Sink for Vec<&mut dyn Sink> {
    fn event(&mut self, row: &EventRow) {
        self.iter_mut().for_each(|s| s.event(row));
    }
    fn g(&mut self, interval: &GInterval) {
        self.iter_mut().for_each(|s| s.g(interval));
    }
    fn p(&mut self, interval: &PInterval) {
        self.iter_mut().for_each(|s| s.p(interval));
    }
    fn m(&mut self, interval: &MInterval) {
        self.iter_mut().for_each(|s| s.m(interval));
    }
    fn wakeup(&mut self, wakeup: &Wakeup) {
        self.iter_mut().for_each(|s| s.wakeup(wakeup));
    }
    fn unanswered(&mut self, unanswered: &Unanswered) {
        self.iter_mut().for_each(|s| s.unanswered(unanswered));
    }
    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        self.iter_mut().for_each(|s| s.queue(ts, queue, len));
    }
    fn moved(&mut self, row: &EventRow, to: i64) {
        self.iter_mut().for_each(|s| s.moved(row, to));
    }
    fn violation(&mut self, violation: &Violation) {
        self.iter_mut().for_each(|s| s.violation(violation));
    }
}

/// How often times had to be clamped so that intervals tile, and by how much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clamped {
    /// How often.
    pub n: u64,
    /// The largest correction, ns.
    pub max_ns: i64,
}

impl Clamped {
    /// The later of the two times; counts if that is not the wanted one.
    fn at(&mut self, since: i64, ts: i64) -> i64 {
        if ts < since {
            self.n += 1;
            self.max_ns = self.max_ns.max(since.saturating_sub(ts));
        }
        ts.max(since)
    }
}

/// The pass over the events of one process.
#[derive(Debug)]
pub struct Model {
    gs: g::Gs,
    ps: p::Ps,
    ms: m::Ms,
    queues: Queues,
    clamped: Clamped,
    trust: trust::Trust,
    /// The epoch that the queues know of.
    epoch: u32,
    in_doubt: u64,
    last_ts: i64,
}

impl Model {
    /// A model at the beginning of a process of which so much is missing.
    pub fn new(missing: Missing) -> Model {
        Model {
            gs: g::Gs::default(),
            ps: p::Ps::default(),
            ms: m::Ms::default(),
            queues: Queues::default(),
            clamped: Clamped::default(),
            trust: trust::Trust::new(missing),
            epoch: 0,
            in_doubt: 0,
            last_ts: 0,
        }
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, sink: &mut impl Sink) {
        sink.event(row);
        if self.trust.before(row) {
            self.lose(row.m, sink);
        }
        if self.trust.epoch() != self.epoch {
            self.epoch = self.trust.epoch();
            self.queues.doubt();
        }
        let lossy = self.trust.is_lossy();
        self.in_doubt += u64::from(lossy);
        self.last_ts = self.last_ts.max(row.ts);
        let mut step = Step {
            row,
            sink,
            clamped: &mut self.clamped,
            trust: &self.trust,
        };
        let at = At {
            p: row.p,
            running: step.running(),
        };
        self.queues.event(at, &row.event, lossy, &mut step);
        self.ps.event(&mut step, &self.ms);
        self.gs.event(&mut step);
        self.ms.event(&mut step);
        if self.trust.after(row) {
            self.lose(row.m, sink);
        }
    }

    /// What an M does after its last event so far is missing.
    fn lose(&mut self, m: MId, sink: &mut impl Sink) {
        if let Some(lost) = self.ms.lose(m, sink) {
            if let Some(p) = lost.p {
                self.ps.lose(p, lost.at, &self.trust, sink);
            }
            self.gs.lose(lost.g, lost.at, &self.trust, sink);
        }
    }

    /// Ends what is still going on at the time of the last event.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        let end = self.last_ts;
        self.gs.finish(end, &self.trust, sink);
        self.ps.finish(end, &self.trust, sink);
        self.ms.finish(end, sink);
    }

    /// What had to be clamped so far.
    pub fn clamped(&self) -> Clamped {
        self.clamped
    }

    /// Events so far right before which others may be missing.
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt
    }

    /// The queues as they are now.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The time of the latest event so far.
    pub fn last_ts(&self) -> i64 {
        self.last_ts
    }
}

/// One event on its way through the parts of the model.
struct Step<'a, S> {
    row: &'a EventRow,
    sink: &'a mut S,
    clamped: &'a mut Clamped,
    trust: &'a trust::Trust,
}

/// When a state began, and how sure that is.
#[derive(Clone, Copy, Debug)]
struct Since {
    ts: i64,
    /// When it was established.
    epoch: u32,
    /// How much was missing then.
    mark: trust::Mark,
    /// Whether it cannot have begun earlier: it did not follow from something that is in doubt.
    proven: bool,
}

/// A state that ends, as far as it is known.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// Until when it is known.
    known: i64,
    /// Until when it is unknown then, if an event in between is missing.
    unknown: Option<i64>,
}

impl Since {
    /// How a state ends at `to`. `continues`: no event in between can be missing.
    fn ends(&self, to: i64, continues: bool, trust: &trust::Trust) -> Ends {
        let unsure = trust.unsure_since(self.mark, self.ts);
        match unsure.filter(|_| !continues) {
            Some(unsure) => Ends {
                known: unsure.min(to),
                unknown: Some(to),
            },
            None => Ends {
                known: to,
                unknown: None,
            },
        }
    }

    /// The same state of affairs is unknown from `ts` on.
    fn lost(&self, ts: i64, trust: &trust::Trust) -> Since {
        Since {
            ts: self.ts.max(ts),
            mark: trust.mark(),
            ..*self
        }
    }
}

impl<S: Sink> Step<'_, S> {
    /// Says that the event contradicts a rule, if what it contradicts was established in this epoch.
    fn violation(&mut self, epoch: u32, rule: &'static str, what: impl FnOnce() -> String) {
        if self.is_certain(epoch) {
            let violation = Violation {
                event: self.row.id,
                ts: self.row.ts,
                rule,
                what: what(),
            };
            self.sink.violation(&violation);
        }
    }

    /// Whether what was established in an epoch holds at this event.
    fn is_certain(&self, epoch: u32) -> bool {
        !self.trust.is_lossy() && epoch == self.trust.epoch()
    }

    /// When the event happened, to a subject whose state before it began at `since`; nothing if it had none.
    fn at(&mut self, since: Option<&Since>) -> Since {
        let new = Since {
            ts: self.row.ts,
            epoch: self.trust.epoch(),
            mark: self.trust.mark(),
            proven: true,
        };
        let Some(since) = since else {
            return new;
        };
        let ts = self.clamped.at(since.ts, self.row.ts);
        if ts == self.row.ts {
            return new;
        }
        let proven = since.proven && self.is_certain(since.epoch);
        if proven {
            self.sink.moved(self.row, ts);
        }
        Since { ts, proven, ..new }
    }

    /// The G that runs on the emitting M.
    fn running(&self) -> GId {
        if self.row.by.is_some() {
            self.row.by
        } else {
            self.row.g
        }
    }
}

impl<S: Sink> Watch for Step<'_, S> {
    fn length(&mut self, queue: Queue, len: u32) {
        self.sink.queue(self.row.ts, queue, len);
    }

    fn contradiction(&mut self, what: impl FnOnce() -> String) {
        // The queues know themselves what is in doubt.
        self.violation(self.trust.epoch(), "run queues", what);
    }
}

/// Whether the event ends what the running G does on its M.
fn stops(event: &Event) -> bool {
    matches!(
        event,
        Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::Exit { .. }
            | Event::SyscallExitBlocked { .. }
    )
}

#[cfg(test)]
mod tests;
