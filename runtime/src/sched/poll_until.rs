//! Until when the thread sleeps that waits for the next timer: the hand-over of a new timer to it.
//!
//! # Protocol
//! Sleeper (an M that blocks in the network poller, or the poller thread): (1) announce until when it will sleep, for ever to begin with, (2) full
//! barrier, (3) look at the times of all heaps, announce the earliest, sleep until then. Who adds a timer: (1) publish the heap's
//! time, (2) full barrier, (3) look at what is announced; break the sleep if that is later.
//! One of the two barriers comes first, so either the sleeper sees the timer or the adder sees the announcement, which was later than the
//! timer from the moment the sleeper began to look.

use crate::shim::{AtomicU64, Ordering, fence};

/// The announcement: a time in ns, 0 = for ever.
pub(crate) struct PollUntil(AtomicU64);

/// [`PollUntil::announce`]s a sleep without an end.
pub(crate) const FOR_EVER: u64 = 0;

impl PollUntil {
    /// Nobody sleeps.
    pub(crate) fn new() -> PollUntil {
        PollUntil(AtomicU64::new(FOR_EVER))
    }

    /// The sleeper will sleep until then; it looks at the heaps after this and not before. Called by the one sleeper there is.
    pub(crate) fn announce(&self, until: u64) {
        // Relaxed: the barrier orders it before the looks that follow; nothing else is published by it.
        self.0.store(until, Ordering::Relaxed);
        // The sleeper's full barrier: pairs with the one in `is_later_than`.
        fence(Ordering::SeqCst);
    }

    /// After a heap's time was published: whether the sleeper would sleep past it, and must be woken.
    pub(crate) fn is_later_than(&self, when: u64) -> bool {
        // The adder's full barrier: pairs with the one in `announce`.
        fence(Ordering::SeqCst);
        let until = self.0.load(Ordering::Relaxed);
        until == FOR_EVER || until > when
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// The sleeper looks at a heap with a timer due at 9 while somebody adds one due at 5.
    #[test]
    fn loom_a_timer_that_is_added_while_the_poller_looks_is_not_slept_past() {
        loom::model(|| {
            let until = Arc::new(PollUntil::new());
            let heap = Arc::new(AtomicU64::new(9));
            // It sleeps until 9 already, and was woken for some other reason.
            until.announce(9);
            let (u, h) = (Arc::clone(&until), Arc::clone(&heap));
            let adder = thread::spawn(move || {
                // Relaxed on purpose: the protocol's own barriers must be enough.
                h.store(5, Ordering::Relaxed);
                u.is_later_than(5)
            });
            until.announce(FOR_EVER);
            let sleeps_until = heap.load(Ordering::Relaxed);
            until.announce(sleeps_until);
            let woken = adder.join().expect("no panic");
            assert!(woken || sleeps_until == 5, "nobody is awake at 5");
        });
    }
}
