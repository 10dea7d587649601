//! Condition variables.
//!
//! Who waits takes a ticket while it still holds the mutex, gives the mutex up, and parks, unless its ticket was called meanwhile. A signal calls the
//! lowest ticket, a broadcast all that were given. So a waiter that was there when the signal came is woken, though it had not parked yet, and
//! one that came later is not. Go: `notifyList`.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{MutexGuard as StateGuard, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use super::mutex::MutexGuard;
use crate::sched::park::{self, Object};
use crate::sched::preempt;
use crate::sched::wait_queue::{WaitQueue, Waiter};

/// A place to wait until somebody says that something has changed. Go: `sync.Cond`.
///
/// ```
/// use std::sync::Arc;
/// use gmp_runtime::{go, sync::{Cond, Mutex}};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let shared = Arc::new((Mutex::new(0), Cond::new()));
///     let theirs = Arc::clone(&shared);
///     go(move || {
///         let (count, changed) = &*theirs;
///         for _ in 0..3 {
///             *count.lock() += 1;
///             changed.signal();
///         }
///     });
///     let (count, changed) = &*shared;
///     let mut n = count.lock();
///     while *n < 3 {
///         n = changed.wait(n);
///     }
/// });
/// ```
pub struct Cond {
    state: std::sync::Mutex<State>,
    object: Object,
}

struct State {
    /// The next ticket to be given.
    next: u64,
    /// The lowest ticket that has not been called.
    called: u64,
    /// Those who have parked, with their tickets; not always in the order of these.
    queue: WaitQueue<u64>,
}

impl Cond {
    /// Nobody waits.
    #[track_caller]
    #[allow(
        clippy::new_without_default,
        reason = "the caller's place in the source is part of it"
    )]
    pub const fn new() -> Cond {
        Cond {
            state: std::sync::Mutex::new(State {
                next: 0,
                called: 0,
                queue: WaitQueue::new(),
            }),
            object: Object::new(ObjectKind::Cond),
        }
    }

    fn lock(&self) -> StateGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the mutex up, waits for a signal, and takes the mutex again. There are no wake-ups without a signal, but when it has the mutex again,
    /// somebody else may have had it in between: look at what was waited for once more.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        preempt::checkpoint();
        let ticket = {
            let mut state = self.lock();
            state.next += 1;
            state.next - 1
        };
        let mutex = guard.mutex();
        drop(guard);
        let mut state = self.lock();
        if ticket >= state.called {
            let mut waiter = Waiter::new(None, ticket);
            // SAFETY: this frame stays until it is woken, and is out of the queue then.
            unsafe { state.queue.push(NonNull::from(&mut waiter)) };
            let mut state = Some(state);
            park::park(ParkReason::Cond, &self.object, &mut || {
                drop(state.take());
                true
            });
        } else {
            drop(state);
        }
        mutex.lock()
    }

    /// Wakes the one that has waited longest, if anybody waits. The mutex may be held, or not. Go: `Signal`.
    pub fn signal(&self) {
        preempt::checkpoint();
        let woken = {
            let mut state = self.lock();
            if state.called == state.next {
                return;
            }
            let ticket = state.called;
            state.called += 1;
            // One that has not parked yet is not in the queue, and will see that its ticket was called.
            state.queue.take_where(|t| *t == ticket)
        };
        if let Some(waiter) = woken {
            waiter.wake();
        }
    }

    /// Wakes all who wait. The mutex may be held, or not. Go: `Broadcast`.
    pub fn broadcast(&self) {
        preempt::checkpoint();
        let mut woken = Vec::new();
        {
            let mut state = self.lock();
            state.called = state.next;
            woken.extend(std::iter::from_fn(|| state.queue.take()));
        }
        woken.into_iter().for_each(|w| w.wake());
    }
}

impl fmt::Debug for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cond").finish_non_exhaustive()
    }
}
