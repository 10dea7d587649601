//! Counting semaphores.

use std::fmt;

use gmp_trace::event::{ObjectKind, ParkReason};

use super::give_way;
use super::sema::Sema;
use crate::sched::park::Object;
use crate::sched::preempt;

/// A number of permits: who wants one takes it, or waits until somebody gives one back. Go: `runtime_Semacquire`, `runtime_Semrelease`.
///
/// ```
/// use std::sync::Arc;
/// use gmp_runtime::{go, sync::Semaphore, yield_now};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let two_at_a_time = Arc::new(Semaphore::new(2));
///     let workers: Vec<_> = (0..10)
///         .map(|_| {
///             let permits = Arc::clone(&two_at_a_time);
///             go(move || {
///                 permits.acquire();
///                 assert!(permits.available() < 2);
///                 yield_now();
///                 permits.release();
///             })
///         })
///         .collect();
///     workers.into_iter().for_each(|w| w.join().expect("no panic"));
///     assert_eq!(two_at_a_time.available(), 2);
/// });
/// ```
pub struct Semaphore {
    sema: Sema,
    object: Object,
}

impl Semaphore {
    /// With so many permits.
    #[track_caller]
    pub const fn new(permits: u32) -> Semaphore {
        Semaphore {
            sema: Sema::new(permits),
            object: Object::new(ObjectKind::Semaphore),
        }
    }

    /// Takes a permit; waits until there is one.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none. Waiters are woken first in, first out; but a newcomer may be faster than one that was
    /// woken, which then waits anew.
    pub fn acquire(&self) {
        preempt::checkpoint();
        self.sema.acquire(ParkReason::Semaphore, &self.object);
    }

    /// Takes a permit, if there is one.
    pub fn try_acquire(&self) -> bool {
        preempt::checkpoint();
        self.sema.try_acquire()
    }

    /// Gives a permit back, or adds one; wakes the first who waits.
    pub fn release(&self) {
        preempt::checkpoint();
        self.sema.release(false);
    }

    /// As [`Semaphore::release`], but if somebody waits, the permit is given to the first of them, and the caller gives way to it: it
    /// runs next, in the caller's time slice. Go: `semrelease1` with `handoff`.
    ///
    /// # Blocking
    /// Suspends the G, which stays runnable, if somebody waits.
    pub fn release_handoff(&self) {
        preempt::checkpoint();
        if self.sema.release(true) {
            give_way();
        }
    }

    /// Permits to be had, as of some moment.
    pub fn available(&self) -> u32 {
        preempt::checkpoint();
        self.sema.value()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available())
            .finish_non_exhaustive()
    }
}
