//! The global run queue: a FIFO of runnable Gs under the scheduler's lock.
//!
//! Every operation takes the next number, which its event carries (`gq`): the order of the operations on the queue is
//! then known from the trace alone. The length can be read without the lock, as a hint.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sched::g::GRef;

/// The queue; all but the hint is under the scheduler's lock.
pub(crate) struct GlobalQueue {
    gs: VecDeque<GRef>,
    operations: u64,
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
            gs: VecDeque::new(),
            operations: 0,
        }
    }

    /// Its length.
    pub(crate) fn len(&self) -> usize {
        self.gs.len()
    }

    /// The Gs in it, the first to be taken first, and how many operations there were so far.
    pub(crate) fn contents(&self) -> (Vec<GRef>, u64) {
        (self.gs.iter().copied().collect(), self.operations)
    }

    /// Puts a G at the tail; returns the operation's number.
    pub(crate) fn push(&mut self, g: GRef, hint: &LengthHint) -> u64 {
        self.gs.push_back(g);
        self.done(hint)
    }

    /// Puts Gs at the tail, in order; returns the operation's number.
    pub(crate) fn push_all(&mut self, gs: &[GRef], hint: &LengthHint) -> u64 {
        self.gs.extend(gs);
        self.done(hint)
    }

    /// Puts Gs at the head, keeping their order; returns the operation's number.
    pub(crate) fn push_all_front(&mut self, gs: &[GRef], hint: &LengthHint) -> u64 {
        for g in gs.iter().rev() {
            self.gs.push_front(*g);
        }
        self.done(hint)
    }

    /// Takes `n` Gs, at most all, from the head into `out`; returns the operation's number.
    pub(crate) fn take(&mut self, n: usize, out: &mut Vec<GRef>, hint: &LengthHint) -> u64 {
        let n = n.min(self.gs.len());
        out.extend(self.gs.drain(..n));
        self.done(hint)
    }

    fn done(&mut self, hint: &LengthHint) -> u64 {
        // Relaxed: see `LengthHint::get`.
        hint.0.store(self.gs.len(), Ordering::Relaxed);
        self.operations += 1;
        self.operations
    }
}
