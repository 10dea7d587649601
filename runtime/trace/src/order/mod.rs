//! The order of a trace: the streams of all writers of a process as one legal history.
//!
//! Each stream is in its thread's order; across threads only the facts in the events decide, never the clocks (see
//! [`crate::event`], "Order"). Go's tracer does the same with its sequence numbers; our events number the run queues as well.
//!
//! # The algorithm
//! [`Orderer::next`] takes, among the heads of the streams, the earliest by its time stamp that is *applicable*: what it
//! presupposes is the state reached so far (`state.rs`). A head that is not applicable yet waits for the G, the P or the
//! global queue that it misses, and is looked at again when that moves. One head per stream is held, and the state of what
//! lives: memory does not grow with the length of the trace.
//!
//! # What is missing
//! When no head is applicable and no stream can bring another, something is missing. The head that was done first is then taken as it is,
//! the state adopts what it says, and the result is marked: [`Note::Resynced`] if a loss is known (a gap, a stream that
//! began in the middle, a process that was killed), else [`Note::Unordered`], which no correct runtime causes.
//!
//! Where a loss is known, a head is not waited for until then: it may miss what is lost, and the other streams would go on to their
//! ends without it. A thread reads the clock, acts, says what it did, and then reads the clock again. So what a head misses has a time that
//! is not after the thread's next reading of the clock, which the stream itself tells (`ahead.rs`). The head is *overdue* as soon as
//! everything else is beyond that, and is taken as it is: no event comes behind one that is later than its thread's next reading of the
//! clock. (A G is taken out of a queue before the clock is read for it, so that what was taken may be missed before its time. Then the
//! event that took it is next, if its thread's last reading of the clock before that is early enough.) Without a known loss the clocks
//! decide nothing, and what a head misses is waited for.
//!
//! # Going on where another orderer stopped
//! The state depends on nothing but the events that were applied, in their order. [`Orderer::replay`] applies those that are in a history
//! already, and [`Orderer::add_from`] adds the streams without them.

mod ahead;
mod state;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::Event;
use crate::ids::{GId, MId, PId, WriterId};
use crate::spool::reader::Recorded;
use ahead::{Stream, Until};
use state::{Need, State, Touched};

/// What a stream has next.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// An event.
    Event(Recorded),
    /// Nothing now; what may still come is not before `progress` (ticks).
    Later {
        /// The writer has published everything before this.
        progress: u64,
    },
    /// Nothing more, ever.
    End,
}

/// The stream of one writer.
pub trait Source {
    /// The next event. After [`Next::Later`] it is asked again; after [`Next::End`] never.
    fn next(&mut self) -> Next;

    /// One more of the events that it brought, in their order, is in the history. They are read some way ahead of that.
    fn taken(&mut self) {}

    /// For how many ticks after the time of an event what it misses may still come, where a loss is known. Its thread's next reading of
    /// the clock says so better, and may be missing too, or come much later.
    fn grace(&self) -> u64 {
        u64::MAX
    }
}

impl<I: Iterator<Item = Recorded>> Source for I {
    fn next(&mut self) -> Next {
        Iterator::next(self).map_or(Next::End, Next::Event)
    }
}

/// How sure the place of an event is, when it is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Placed by its time, after a loss.
    Resynced,
    /// Placed by its time although nothing was lost: the trace contradicts itself.
    Unordered,
}

impl Note {
    /// The word used in the database and in text.
    pub fn word(self) -> &'static str {
        match self {
            Note::Resynced => "resynced",
            Note::Unordered => "unordered",
        }
    }
}

/// An event in its place, with its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The writer that emitted it.
    pub writer: WriterId,
    /// The M that this writer is.
    pub m: MId,
    /// Its number in the stream.
    pub m_seq: u64,
    /// When, in ticks.
    pub ticks: u64,
    /// The P it is about, else the one that the M holds.
    pub p: Option<PId>,
    /// The G it is about, else the one that the M runs.
    pub g: GId,
    /// The G that the M runs, if that is another.
    pub by: GId,
    /// What happened.
    pub event: Event,
    /// Events of this stream that are missing right before it.
    pub lost_before: u64,
    /// Whether its place is unproven.
    pub note: Option<Note>,
}

impl Ordered {
    /// The G that runs on the emitting M.
    pub fn running(&self) -> GId {
        if self.by.is_some() { self.by } else { self.g }
    }
}

/// Who an event is about and who did it: the columns `p`, `g` and `by` of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The P it is about, else the one that the M holds.
    pub p: Option<PId>,
    /// The G it is about, else the one that the M runs.
    pub g: GId,
    /// The G that the M runs, if that is another.
    pub by: GId,
}

/// The subjects of the events of a history, for a reader who has nothing else: those that [`Orderer`] gave with them.
#[derive(Debug, Default)]
pub struct Subjects {
    state: State,
    touched: Touched,
}

impl Subjects {
    /// The subject of the next event of the history. `after_gap`: events of its stream are missing right before it.
    pub fn next(&mut self, m: MId, event: &Event, after_gap: bool) -> Subject {
        self.state.place(m, event, after_gap, &mut self.touched)
    }
}

/// What [`Orderer::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next event of the history.
    Event(Ordered),
    /// A stream must grow first.
    Pending,
    /// The history is complete.
    End,
}

/// Merges the streams of one process.
pub struct Orderer<S> {
    streams: Vec<Stream<S>>,
    /// Heads to try, the earliest first.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Heads that miss something.
    blocked: Vec<(Need, usize)>,
    /// Streams without a head that may get one, and how far they have got.
    later: Vec<(usize, u64)>,
    state: State,
    lossy: bool,
    touched: Touched,
}

impl<S> std::fmt::Debug for Orderer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orderer")
            .field("streams", &self.streams.len())
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

impl<S: Source> Orderer<S> {
    /// An orderer without streams. `lossy` says that something is known to be missing: the process was killed, so that a
    /// thread may have done what it never came to say.
    pub fn new(lossy: bool) -> Orderer<S> {
        Orderer {
            streams: Vec::new(),
            heads: BinaryHeap::new(),
            blocked: Vec::new(),
            later: Vec::new(),
            state: State::default(),
            lossy,
            touched: Touched::default(),
        }
    }

    /// Adds the stream of a writer.
    pub fn add(&mut self, writer: WriterId, m: MId, source: S) {
        self.add_from(writer, m, source, 0);
    }

    /// As [`Orderer::add`], for a stream whose events before number `first` were replayed: it need not bring them, and is not asked why it
    /// does.
    pub fn add_from(&mut self, writer: WriterId, m: MId, source: S, first: u64) {
        self.streams.push(Stream::new(writer, m, source, first));
        self.fetch(self.streams.len() - 1);
    }

    /// Applies an event that is in the history already. `after_gap`: events of its stream are missing right before it.
    pub fn replay(&mut self, m: MId, event: &Event, after_gap: bool) {
        self.lossy |= after_gap;
        self.state.place(m, event, after_gap, &mut self.touched);
    }

    /// Says from now on that something is missing.
    pub fn set_lossy(&mut self) {
        self.lossy = true;
    }

    /// The next event of the history.
    #[allow(
        clippy::should_implement_trait,
        reason = "a step can be pending, which no iterator can say"
    )]
    pub fn next(&mut self) -> Step {
        // What was known of the silent streams still holds, and asking them all for each event would cost more than ordering it.
        if let Some(ordered) = self.advance() {
            return Step::Event(ordered);
        }
        if !self.later.is_empty() {
            self.poll_later();
            if let Some(ordered) = self.advance() {
                return Step::Event(ordered);
            }
        }
        if !self.later.is_empty() || !self.heads.is_empty() {
            return Step::Pending;
        }
        let first = self.first_blocked();
        match first.and_then(|at| self.take_as_it_is(at)) {
            Some(ordered) => Step::Event(ordered),
            None => Step::End,
        }
    }

    /// How far all streams without a head have got; nothing if there is none.
    fn horizon(&self) -> Option<u64> {
        self.later.iter().map(|(_, progress)| *progress).min()
    }

    /// The earliest head that is applicable, up to the horizon, or one that is overdue before that.
    fn advance(&mut self) -> Option<Ordered> {
        let horizon = self.horizon().unwrap_or(u64::MAX);
        loop {
            let earliest = self.heads.peek().map(|Reverse(head)| *head);
            let next = earliest.map_or(u64::MAX, |(ticks, _)| ticks).min(horizon);
            if self.lossy && next < u64::MAX {
                match self.overdue(next) {
                    Overdue::Is(at) => {
                        return match self.taker(at) {
                            Some(index) => {
                                self.heads.retain(|Reverse((_, other))| *other != index);
                                self.take(index, None)
                            }
                            None => self.take_as_it_is(at),
                        };
                    }
                    Overdue::MayBe => return None,
                    Overdue::None => {}
                }
            }
            let (_, index) = earliest.filter(|(ticks, _)| *ticks <= horizon)?;
            self.heads.pop();
            let stream = &self.streams[index];
            let Some(head) = stream.head() else {
                continue;
            };
            match self.state.missing(stream.m, &head.recorded.event) {
                None => return self.take(index, None),
                Some(need) => self.blocked.push((need, index)),
            }
        }
    }

    /// The stream whose head took before its time what this blocked head misses in a queue.
    fn taker(&mut self, at: usize) -> Option<usize> {
        let (need, blocked) = self.blocked[at];
        let Until::By(until) = self.streams[blocked].until(0) else {
            return None;
        };
        let took = |index: usize| {
            let stream = &self.streams[index];
            let event = &stream.head()?.recorded.event;
            let from = self.state.taken_from(stream.m, event);
            let fits = from == Some(need)
                && stream.since() <= until
                && self.state.missing(stream.m, event).is_none();
            fits.then(|| (stream.ticks(), index))
        };
        let heads = self
            .heads
            .iter()
            .filter_map(|Reverse((_, index))| took(*index));
        heads.min().map(|(_, index)| index)
    }

    /// The first to be done of the heads that miss what would have come before `next`.
    fn overdue(&mut self, next: u64) -> Overdue {
        let mut may_be = false;
        let mut earliest = None;
        for (at, (_, index)) in self.blocked.iter().enumerate() {
            let stream = &mut self.streams[*index];
            match stream.until(next) {
                Until::By(until) if until < next => {
                    let place = (stream.done(), stream.ticks(), *index, at);
                    earliest = Some(earliest.map_or(place, |e| place.min(e)));
                }
                Until::NotBefore(time) if time < next => may_be = true,
                Until::By(_) | Until::NotBefore(_) => {}
            }
        }
        match earliest {
            Some((.., at)) => Overdue::Is(at),
            None if may_be => Overdue::MayBe,
            None => Overdue::None,
        }
    }

    /// The place in `blocked` of the head there that was done first.
    fn first_blocked(&mut self) -> Option<usize> {
        let places = self.blocked.iter().enumerate().map(|(at, (_, index))| {
            let stream = &mut self.streams[*index];
            (stream.done(), stream.ticks(), *index, at)
        });
        places.min().map(|(.., at)| at)
    }

    /// Takes a blocked head although it misses something.
    fn take_as_it_is(&mut self, at: usize) -> Option<Ordered> {
        let (_, index) = self.blocked.swap_remove(at);
        let note = if self.lossy {
            Note::Resynced
        } else {
            Note::Unordered
        };
        self.take(index, Some(note))
    }

    /// Applies a head and makes room for the next of its stream.
    fn take(&mut self, index: usize, note: Option<Note>) -> Option<Ordered> {
        let stream = &mut self.streams[index];
        let head = *stream.head()?;
        stream.pop();
        let (m, recorded) = (stream.m, head.recorded);
        let writer = stream.writer;
        let after_gap = head.lost_before > 0;
        let about = self
            .state
            .place(m, &recorded.event, after_gap, &mut self.touched);
        let ordered = Ordered {
            writer,
            m,
            m_seq: recorded.m_seq,
            ticks: recorded.ticks,
            p: about.p,
            g: about.g,
            by: about.by,
            event: recorded.event,
            lost_before: head.lost_before,
            note,
        };
        self.fetch(index);
        let (touched, heads, streams) = (&self.touched, &mut self.heads, &self.streams);
        self.blocked.retain(|(need, index)| {
            let moved = touched.meets(need);
            if moved {
                heads.push(Reverse((streams[*index].ticks(), *index)));
            }
            !moved
        });
        Some(ordered)
    }

    fn fetch(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        if let Some(progress) = stream.fetch() {
            self.later.push((index, progress));
        }
        if let Some(head) = stream.head() {
            self.lossy |= head.lost_before > 0;
            self.heads.push(Reverse((head.recorded.ticks, index)));
        }
    }

    fn poll_later(&mut self) {
        for (index, _) in std::mem::take(&mut self.later) {
            self.fetch(index);
        }
    }
}

/// Whether a blocked head has waited for long enough.
enum Overdue {
    /// The one at this place.
    Is(usize),
    /// One is, unless its stream goes on with a later event.
    MayBe,
    None,
}

#[cfg(test)]
mod tests;
