//! A counting semaphore, as Go's runtime has it: what [`super::Semaphore`] and [`super::RwLock`] are made of.
//!
//! # Protocol
//! - Acquire: take one if there is one. Else, under the queue's lock: (1) count as waiting, (2) full barrier, (3) try once more, (4) queue and park.
//! - Release: (1) add one, (2) full barrier, (3) read the count of those who wait; if there is any, take the first out and wake it.
//!
//! *Nobody wakes*: A finds none and is about to sleep; B adds one and sees nobody waiting. One of the two barriers comes first: if A's
//! does, B sees that A waits; if B's does, A's second try finds what B added.
//!
//! Whoever is woken tries again, beside newcomers, and queues at the end if somebody was faster. With *handoff* the releaser takes the one it
//! added for the waiter (its ticket), which then cannot lose.
//!
//! This file knows no threads and no stacks, so the model checker runs it as it is.

use std::ptr::NonNull;
use std::sync::PoisonError;

use gmp_trace::event::ParkReason;

use crate::sched::park::{self, Object};
use crate::sched::wait_queue::{WaitQueue, Waiter};
use crate::shim::{AtomicU32, Mutex, MutexGuard, Ordering, fence};

/// The semaphore.
pub(crate) struct Sema {
    value: AtomicU32,
    /// How many are in the queue, or about to be. Written under the queue's lock.
    waiting: AtomicU32,
    /// What a waiter learns when it is woken: whether it was given a ticket.
    queue: Mutex<WaitQueue<bool>>,
}

impl Sema {
    /// With so many to be had. (`const` but for the models, whose words are made at run time.)
    #[cfg(not(loom))]
    pub(crate) const fn new(value: u32) -> Sema {
        Sema {
            value: AtomicU32::new(value),
            waiting: AtomicU32::new(0),
            queue: Mutex::new(WaitQueue::new()),
        }
    }

    /// As above.
    #[cfg(loom)]
    pub(crate) fn new(value: u32) -> Sema {
        Sema {
            value: AtomicU32::new(value),
            waiting: AtomicU32::new(0),
            queue: Mutex::new(WaitQueue::new()),
        }
    }

    /// How many are to be had, as of some moment.
    pub(crate) fn value(&self) -> u32 {
        // Relaxed: a hint.
        self.value.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, WaitQueue<bool>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one, if there is one. Go: `cansemacquire`.
    pub(crate) fn try_acquire(&self) -> bool {
        // Relaxed: a first guess.
        let mut value = self.value.load(Ordering::Relaxed);
        while value > 0 {
            // Acquire pairs with the release in `release`: what the releaser did before is visible. Relaxed: a failure only guesses anew.
            match self.value.compare_exchange(
                value,
                value - 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => value = now,
            }
        }
        false
    }

    /// Takes one; waits until there is one. Go: `semacquire1`.
    pub(crate) fn acquire(&self, reason: ParkReason, object: &Object) {
        if self.try_acquire() {
            return;
        }
        loop {
            let mut queue = self.lock();
            // Relaxed: the fence orders it before the second try; see the module header.
            self.waiting.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.try_acquire() {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            let mut waiter = Waiter::new(None, false);
            let record = NonNull::from(&mut waiter);
            // SAFETY: this frame stays until it is woken, and is out of the queue then.
            unsafe { queue.push(record) };
            let mut queue = Some(queue);
            park::park(reason, object, &mut || {
                drop(queue.take());
                true
            });
            // SAFETY: the waker is done with the record, and whoever was woken sees what the waker wrote.
            if unsafe { (*record.as_ptr()).payload } || self.try_acquire() {
                return;
            }
        }
    }

    /// Adds one, and wakes the first who waits; whether that was given it with `handoff`: then the caller should give way to it.
    /// Go: `semrelease1`.
    pub(crate) fn release(&self, handoff: bool) -> bool {
        // Release pairs with the acquire in `try_acquire`.
        self.value.fetch_add(1, Ordering::Release);
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it after the addition; see the module header.
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut queue = self.lock();
        let Some(mut first) = queue.take() else {
            return false;
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(queue);
        let ticket = handoff && self.try_acquire();
        *first.payload() = ticket;
        first.wake();
        ticket
    }
}

#[cfg(all(test, loom))]
mod models {
    use gmp_trace::event::ObjectKind;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn acquire(sema: &Sema) {
        sema.acquire(ParkReason::Semaphore, &Object::new(ObjectKind::Semaphore));
    }

    /// *Nobody wakes*: one who is about to sleep, and one who releases and sees nobody waiting.
    #[test]
    fn loom_a_release_and_a_waiter_do_not_miss_each_other() {
        for handoff in [false, true] {
            loom::model(move || {
                let sema = Arc::new(Sema::new(0));
                let theirs = Arc::clone(&sema);
                let waiter = thread::spawn(move || acquire(&theirs));
                sema.release(handoff);
                waiter.join().expect("no panic");
                assert_eq!(sema.value(), 0);
            });
        }
    }

    /// A newcomer may be faster than a waiter that was woken; then that waits anew, and is woken again.
    #[test]
    fn loom_a_waiter_that_was_overtaken_is_woken_again() {
        for handoff in [false, true] {
            let mut model = loom::model::Builder::new();
            model.preemption_bound = Some(3);
            model.check(move || {
                let sema = Arc::new(Sema::new(0));
                let others = [(); 2].map(|()| {
                    let theirs = Arc::clone(&sema);
                    thread::spawn(move || {
                        acquire(&theirs);
                        theirs.release(handoff);
                    })
                });
                sema.release(handoff);
                for other in others {
                    other.join().expect("no panic");
                }
                assert_eq!(sema.value(), 1);
            });
        }
    }
}
