//! What an M sleeps on: a word that holds one wake. Go: `note`.
//!
//! # Protocol
//! Sleeper: sleep while the word is 0; take the wake (1 to 0). Waker: leave what the sleeper is to find (a P, a G), then 0 to 1, then wake the
//! thread. There is one wake for one sleep, because who wakes an M has taken it off the list of idle ones, under the scheduler's lock.
//!
//! *Woken before it slept*: the M is on the list before it sleeps, so the wake may come first. It stays in the word, and the sleep ends at once.

use crate::shim::{AtomicU32, Ordering};
#[cfg(not(loom))]
use crate::sys::futex;

/// The model checker's threads do not sleep: one that is never woken is reported as an endless loop.
#[cfg(loom)]
mod futex {
    use crate::shim::AtomicU32;

    pub(super) fn wait(_: &AtomicU32, _: u32, _: Option<std::time::Duration>) {
        loom::thread::yield_now();
    }

    pub(super) fn wake_one(_: &AtomicU32) {}
}

/// The word.
pub(crate) struct ParkSlot(AtomicU32);

impl ParkSlot {
    /// Nobody was woken.
    pub(crate) fn new() -> ParkSlot {
        ParkSlot(AtomicU32::new(0))
    }

    /// Sleeps until [`ParkSlot::wake`]; returns at once if that came first.
    pub(crate) fn sleep(&self) {
        // Acquire pairs with the release in `wake`: what the waker left is visible.
        while self.0.load(Ordering::Acquire) == 0 {
            futex::wait(&self.0, 0, None);
        }
        // Relaxed: used up by this thread; the next waker is ordered after it by the scheduler's lock.
        self.0.store(0, Ordering::Relaxed);
    }

    /// Ends a [`ParkSlot::sleep`], the present one or the next; `false` if one was ended already that has not come to its end.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        // Release publishes what the waker left to `sleep`.
        let first = self.0.swap(1, Ordering::Release) == 0;
        futex::wake_one(&self.0);
        first
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::*;

    /// An M with its slot and the P that its waker leaves for it; and the list of idle Ms, behind the scheduler's lock.
    struct World {
        slot: ParkSlot,
        next_p: AtomicU32,
        idle: Mutex<bool>,
    }

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World {
                slot: ParkSlot::new(),
                next_p: AtomicU32::new(0),
                idle: Mutex::new(false),
            })
        }

        /// Go on the list and sleep; the P it was given.
        fn stop_m(&self) -> u32 {
            *self.idle.lock().expect("no panic") = true;
            self.slot.sleep();
            self.next_p.swap(0, Ordering::Relaxed)
        }

        /// Wakes the M if it is on the list; whether it was.
        fn start_m(&self, p: u32) -> bool {
            let idle = std::mem::take(&mut *self.idle.lock().expect("no panic"));
            if idle {
                // Relaxed on purpose: the wake must publish it.
                self.next_p.store(p, Ordering::Relaxed);
                assert!(self.slot.wake(), "woken twice");
            }
            idle
        }
    }

    /// The wake comes before the sleep, or during it: the M wakes, and finds its P.
    #[test]
    fn loom_an_m_woken_before_it_sleeps_goes_on_with_the_p_it_was_given() {
        loom::model(|| {
            let world = World::new();
            let theirs = Arc::clone(&world);
            let m = thread::spawn(move || theirs.stop_m());
            while !world.start_m(7) {
                thread::yield_now();
            }
            assert_eq!(m.join().expect("no panic"), 7);
        });
    }

    /// Two have a P for the one idle M: it is woken once, and the other goes elsewhere.
    #[test]
    fn loom_two_wakers_do_not_wake_the_same_m() {
        loom::model(|| {
            let world = World::new();
            *world.idle.lock().expect("no panic") = true;
            let (a, b) = (Arc::clone(&world), Arc::clone(&world));
            let first = thread::spawn(move || a.start_m(1));
            let second = thread::spawn(move || b.start_m(2));
            world.slot.sleep();
            let p = world.next_p.swap(0, Ordering::Relaxed);
            let woke = (
                first.join().expect("no panic"),
                second.join().expect("no panic"),
            );
            assert_eq!(woke, (p == 1, p == 2));
        });
    }

    /// Parked again at once: the second sleep is not ended by the first wake.
    #[test]
    fn loom_a_wake_is_not_left_for_the_next_sleep() {
        loom::model(|| {
            let world = World::new();
            let theirs = Arc::clone(&world);
            let m = thread::spawn(move || (theirs.stop_m(), theirs.stop_m()));
            for p in [3, 4] {
                while !world.start_m(p) {
                    thread::yield_now();
                }
            }
            assert_eq!(m.join().expect("no panic"), (3, 4));
        });
    }
}
