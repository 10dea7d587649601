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
//! When no head is applicable and no stream can bring another, something is missing. The earliest head is then taken as it is,
//! the state adopts what it says, and the result is marked: [`Note::Resynced`] if a loss is known (a gap, a stream that
//! began in the middle, a process that was killed), else [`Note::Unordered`], which no correct runtime causes. While the process lives and
//! a loss is known, that is done as soon as all streams have got beyond the head's time: what it misses would have come. Without a known
//! loss it is waited for.
//!
//! # Going on where another orderer stopped
//! The state depends on nothing but the events that were applied, in their order. [`Orderer::replay`] applies those that are in a history
//! already, and [`Orderer::add_from`] adds the streams without them.

mod state;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::Event;
use crate::ids::{GId, MId, PId, WriterId};
use crate::spool::reader::Recorded;
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

struct Stream<S> {
    writer: WriterId,
    m: MId,
    source: S,
    head: Option<Recorded>,
    lost_before: u64,
    expected: u64,
    /// Events before this number are in the history already.
    first: u64,
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
        self.streams.push(Stream {
            writer,
            m,
            source,
            head: None,
            lost_before: 0,
            expected: first,
            first,
        });
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
        if let Some(ordered) = self.take_applicable() {
            return Step::Event(ordered);
        }
        if !self.later.is_empty() {
            self.poll_later();
            if let Some(ordered) = self.take_applicable() {
                return Step::Event(ordered);
            }
        }
        let earliest = self.earliest_blocked();
        if let Some(horizon) = self.horizon() {
            let passed = earliest.is_some_and(|(_, ticks)| ticks < horizon);
            if !(passed && self.lossy) {
                return Step::Pending;
            }
        }
        let Some((at, _)) = earliest else {
            return Step::End;
        };
        let (_, index) = self.blocked.swap_remove(at);
        let Some(head) = self.streams[index].head else {
            return Step::End;
        };
        let note = if self.lossy {
            Note::Resynced
        } else {
            Note::Unordered
        };
        Step::Event(self.take(index, head, Some(note)))
    }

    /// How far all streams without a head have got; nothing if there is none.
    fn horizon(&self) -> Option<u64> {
        self.later.iter().map(|(_, progress)| *progress).min()
    }

    /// The earliest head that is applicable, up to the horizon.
    fn take_applicable(&mut self) -> Option<Ordered> {
        let horizon = self.horizon().unwrap_or(u64::MAX);
        while let Some(&Reverse((ticks, index))) = self.heads.peek() {
            if ticks > horizon {
                return None;
            }
            self.heads.pop();
            let Some(head) = self.streams[index].head else {
                continue;
            };
            match self.state.missing(self.streams[index].m, &head.event) {
                None => return Some(self.take(index, head, None)),
                Some(need) => self.blocked.push((need, index)),
            }
        }
        None
    }

    /// The place in `blocked` of the earliest head there, and its time.
    fn earliest_blocked(&self) -> Option<(usize, u64)> {
        let ticks = |index: usize| self.streams[index].head.map_or(u64::MAX, |h| h.ticks);
        let blocked = self.blocked.iter().enumerate();
        let (ticks, _, at) = blocked
            .map(|(at, (_, index))| (ticks(*index), *index, at))
            .min()?;
        Some((at, ticks))
    }

    /// Applies a head and makes room for the next of its stream.
    fn take(&mut self, index: usize, head: Recorded, note: Option<Note>) -> Ordered {
        let stream = &self.streams[index];
        let (m, after_gap) = (stream.m, stream.lost_before > 0);
        let about = self
            .state
            .place(m, &head.event, after_gap, &mut self.touched);
        let ordered = Ordered {
            writer: stream.writer,
            m,
            m_seq: head.m_seq,
            ticks: head.ticks,
            p: about.p,
            g: about.g,
            by: about.by,
            event: head.event,
            lost_before: stream.lost_before,
            note,
        };
        self.fetch(index);
        let (touched, heads, streams) = (&self.touched, &mut self.heads, &self.streams);
        self.blocked.retain(|(need, index)| {
            let moved = touched.meets(need);
            if let (true, Some(head)) = (moved, streams[*index].head) {
                heads.push(Reverse((head.ticks, *index)));
            }
            !moved
        });
        ordered
    }

    fn fetch(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let next = loop {
            match stream.source.next() {
                Next::Event(recorded) if recorded.m_seq < stream.first => {}
                next => break next,
            }
        };
        match next {
            Next::Event(recorded) => {
                stream.lost_before = recorded.m_seq.saturating_sub(stream.expected);
                self.lossy |= stream.lost_before > 0;
                stream.expected = recorded.m_seq.saturating_add(1);
                stream.head = Some(recorded);
                self.heads.push(Reverse((recorded.ticks, index)));
            }
            Next::Later { progress } => {
                stream.head = None;
                self.later.push((index, progress));
            }
            Next::End => stream.head = None,
        }
    }

    fn poll_later(&mut self) {
        for (index, _) in std::mem::take(&mut self.later) {
            self.fetch(index);
        }
    }
}

#[cfg(test)]
mod tests;
