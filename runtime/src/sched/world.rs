//! The right to stop the world: one stopper at a time, the next in the order in which they came. Go: `worldsema`.
//!
//! # Protocol
//! Who finds the right taken queues and waits, a G parked and a thread asleep. Whoever is done gives the right to the first of them and
//! wakes it: it is never free in between, so nobody who comes later is faster, and nobody polls.
//! The end of the runtime closes it: the last stopper never gives it back, and who waits then, or comes later, is refused.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object, Unparker};

/// The right to stop the world.
pub(crate) struct World {
    turns: Mutex<Turns>,
    object: Object,
}

struct Turns {
    taken: bool,
    closed: bool,
    waiting: VecDeque<Unparker>,
}

impl World {
    /// Nobody's.
    pub(crate) fn new() -> World {
        World {
            turns: Mutex::new(Turns {
                taken: false,
                closed: false,
                waiting: VecDeque::new(),
            }),
            object: Object::new(ObjectKind::Semaphore),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for its turn; `false` if the runtime has ended.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        let mut turns = self.lock();
        if turns.closed || !turns.taken {
            turns.taken = true;
            return !turns.closed;
        }
        turns.waiting.push_back(Unparker::current());
        let mut turns = Some(turns);
        park::park(ParkReason::Stw, &self.object, &mut || {
            drop(turns.take());
            true
        });
        // Whoever gave the turn away left it taken, for this one.
        !self.lock().closed
    }

    /// Gives it to the next.
    pub(crate) fn give_back(&self) {
        let next = {
            let mut turns = self.lock();
            let next = turns.waiting.pop_front();
            turns.taken = next.is_some();
            next
        };
        if let Some(next) = next {
            next.unpark();
        }
    }

    /// Nobody gets it any more. Gs that wait are abandoned with the others.
    pub(crate) fn close(&self) {
        let waiting = {
            let mut turns = self.lock();
            turns.closed = true;
            std::mem::take(&mut turns.waiting)
        };
        for waiter in waiting.into_iter().filter(|w| w.g().is_none()) {
            waiter.unpark_thread();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn waiting(world: &World) -> usize {
        world.lock().waiting.len()
    }

    #[test]
    fn turns_are_given_in_the_order_of_asking() {
        let world = Arc::new(World::new());
        assert!(world.take());
        let order = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let (theirs, seen) = (Arc::clone(&world), Arc::clone(&order));
                let thread = std::thread::spawn(move || {
                    assert!(theirs.take());
                    seen.lock().expect("no panic").push(i);
                    theirs.give_back();
                });
                while waiting(&world) <= i {
                    std::thread::yield_now();
                }
                thread
            })
            .collect();
        world.give_back();
        threads
            .into_iter()
            .for_each(|t| t.join().expect("no panic"));
        assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3]);
        assert!(world.take());
    }

    #[test]
    fn one_holds_it_at_a_time() {
        let world = Arc::new(World::new());
        let inside = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (world, inside) = (Arc::clone(&world), Arc::clone(&inside));
                std::thread::spawn(move || {
                    for _ in 0..200 {
                        assert!(world.take());
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        inside.fetch_sub(1, Ordering::Relaxed);
                        world.give_back();
                    }
                })
            })
            .collect();
        threads
            .into_iter()
            .for_each(|t| t.join().expect("no panic"));
    }

    #[test]
    fn who_waits_when_it_is_closed_is_refused() {
        let world = Arc::new(World::new());
        assert!(world.take());
        let theirs = Arc::clone(&world);
        let waiter = std::thread::spawn(move || theirs.take());
        while waiting(&world) == 0 {
            std::thread::yield_now();
        }
        world.close();
        assert!(!waiter.join().expect("no panic"));
        assert!(!world.take());
    }
}
