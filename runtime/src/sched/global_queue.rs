//! The global run queue: a FIFO of runnable Gs under the scheduler's lock.
//!
//! Every operation takes the next number, which its event carries (`gq`): the order of the operations on the queue is
//! then known from the trace alone. The length can be read without the lock, as a hint.
//!
//! # Lanes
//! A policy can mean a new G for a P that is not the spawner's, whose ring the spawner cannot touch. It then waits here, in the lane of that P.
//! A P takes from its own lane first, then from the one for all, then whatever is oldest; every so often (`global_tick`) the oldest of all, so
//! that no lane waits for ever. So a G that is meant for a busy P is run by whoever has nothing else, and everything that is said about the global queue,
//! that no wake-up is lost above all, holds for its lanes. Go has the one lane for all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use gmp_trace::ids::PId;

use crate::sched::g::GRef;

/// A G with its place in the order of all lanes.
type Queued = (i64, GRef);

/// The queue; all but the hint is under the scheduler's lock.
pub(crate) struct GlobalQueue {
    /// For all Ps.
    shared: VecDeque<Queued>,
    /// For one P each, by its number; as many as a policy ever meant a G for.
    lanes: Vec<VecDeque<Queued>>,
    len: usize,
    /// The place of the next G at the head and at the tail.
    places: (i64, i64),
    operations: u64,
}

/// Where Gs are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// For all.
    Shared,
    /// Meant for the P that takes.
    Own(PId),
    /// Meant for another.
    Other(PId),
}

/// The length of the global queue, readable without the lock.
pub(crate) struct LengthHint(AtomicUsize);

impl LengthHint {
    /// Of an empty queue.
    pub(crate) const fn new() -> LengthHint {
        LengthHint(AtomicUsize::new(0))
    }

    /// The length at some moment; who needs to be sure looks again under the lock.
    pub(crate) fn get(&self) -> usize {
        // Relaxed: a hint. The wake-up protocol does not rest on it: whoever puts a G here also looks for an idle P afterwards,
        // and whoever releases a P looks here under the lock.
        self.0.load(Ordering::Relaxed)
    }
}

impl GlobalQueue {
    /// An empty queue.
    pub(crate) fn new() -> GlobalQueue {
        GlobalQueue {
            shared: VecDeque::new(),
            lanes: Vec::new(),
            len: 0,
            places: (-1, 0),
            operations: 0,
        }
    }

    /// Its length, all lanes together.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The length of one lane.
    pub(crate) fn lane_len(&self, lane: Lane) -> usize {
        match lane {
            Lane::Shared => self.shared.len(),
            Lane::Own(p) | Lane::Other(p) => self.lanes.get(p.0 as usize).map_or(0, VecDeque::len),
        }
    }

    /// The Gs in it, the oldest first, and how many operations there were so far.
    pub(crate) fn contents(&self) -> (Vec<GRef>, u64) {
        let mut all: Vec<Queued> = self.shared.iter().copied().collect();
        all.extend(self.lanes.iter().flatten());
        all.sort_unstable_by_key(|(place, _)| *place);
        (all.into_iter().map(|(_, g)| g).collect(), self.operations)
    }

    /// Puts a G at the tail; returns the operation's number.
    pub(crate) fn push(&mut self, g: GRef, hint: &LengthHint) -> u64 {
        self.push_all(&[g], hint)
    }

    /// Puts Gs at the tail, in order; returns the operation's number.
    pub(crate) fn push_all(&mut self, gs: &[GRef], hint: &LengthHint) -> u64 {
        let places = self.places.1..;
        self.shared.extend(places.zip(gs.iter().copied()));
        self.places.1 += gs.len() as i64;
        self.len += gs.len();
        self.done(hint)
    }

    /// Puts a G at the tail of a P's lane; returns the operation's number.
    pub(crate) fn push_for(&mut self, p: PId, g: GRef, hint: &LengthHint) -> u64 {
        let lane = p.0 as usize;
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, VecDeque::new);
        }
        self.lanes[lane].push_back((self.places.1, g));
        self.places.1 += 1;
        self.len += 1;
        self.done(hint)
    }

    /// Puts Gs at the head, keeping their order; returns the operation's number.
    pub(crate) fn push_all_front(&mut self, gs: &[GRef], hint: &LengthHint) -> u64 {
        for g in gs.iter().rev() {
            self.shared.push_front((self.places.0, *g));
            self.places.0 -= 1;
        }
        self.len += gs.len();
        self.done(hint)
    }

    /// The lane that this P takes from, of a queue that is not empty; with `oldest`, that of the oldest G.
    pub(crate) fn lane_for(&self, p: PId, oldest: bool) -> Lane {
        if !oldest && self.lane_len(Lane::Own(p)) > 0 {
            return Lane::Own(p);
        }
        if self.lanes.is_empty() || (!oldest && !self.shared.is_empty()) {
            return Lane::Shared;
        }
        let front = |gs: &VecDeque<Queued>| gs.front().map_or(i64::MAX, |(place, _)| *place);
        let of_ps = (0..).map(PId).zip(&self.lanes);
        let first = of_ps.min_by_key(|(_, gs)| front(gs));
        match first {
            Some((of, gs)) if front(gs) < front(&self.shared) => {
                if of == p {
                    Lane::Own(of)
                } else {
                    Lane::Other(of)
                }
            }
            _ => Lane::Shared,
        }
    }

    /// Takes `n` Gs, at most all, from the head of a lane into `out`; returns the operation's number.
    pub(crate) fn take(
        &mut self,
        lane: Lane,
        n: usize,
        out: &mut Vec<GRef>,
        hint: &LengthHint,
    ) -> u64 {
        let gs = match lane {
            Lane::Shared => Some(&mut self.shared),
            Lane::Own(p) | Lane::Other(p) => self.lanes.get_mut(p.0 as usize),
        };
        if let Some(gs) = gs {
            let n = n.min(gs.len());
            out.extend(gs.drain(..n).map(|(_, g)| g));
            self.len -= n;
        }
        self.done(hint)
    }

    fn done(&mut self, hint: &LengthHint) -> u64 {
        // Relaxed: see `LengthHint::get`.
        hint.0.store(self.len, Ordering::Relaxed);
        self.operations += 1;
        self.operations
    }
}
