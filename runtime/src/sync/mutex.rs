//! A mutex that parks the G, first come first served.
//!
//! The word: 0 free, 1 held, 2 held and somebody may wait. Unlocking with waiters hands the mutex to the first of them
//! directly: nobody starves, at the price of a switch for each contended unlock. (Go lets newcomers win for up to a millisecond first.)

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object};
use crate::sched::preempt;
use crate::sched::wait_queue::{WaitQueue, Waiter};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// A lock around a value, that may be held over calls into the runtime. It is not poisoned by a panic.
pub struct Mutex<T> {
    word: AtomicU32,
    waiters: std::sync::Mutex<WaitQueue<()>>,
    object: Object,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, of which there is one at a time; the word's acquire and release order its uses.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: moving it moves the value; nobody waits on a mutex that is being moved.
unsafe impl<T: Send> Send for Mutex<T> {}

/// The right to use the value; gives it back when dropped. It may move between threads with its G.
pub struct MutexGuard<'a, T>(&'a Mutex<T>);

impl<T> Mutex<T> {
    /// A free mutex.
    #[track_caller]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            word: AtomicU32::new(FREE),
            waiters: std::sync::Mutex::new(WaitQueue::new()),
            object: Object::new(ObjectKind::Mutex),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the mutex; waits for its turn.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        preempt::checkpoint();
        // Acquire pairs with the release of the holder before.
        if self
            .word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slowly();
        }
        MutexGuard(self)
    }

    /// Takes the mutex if it is free.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.word
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| MutexGuard(self))
    }

    /// The value, which needs no lock because the mutex is borrowed for good.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    #[cold]
    fn lock_slowly(&self) {
        let mut queue = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the queue's lock, as the hand-over: so a holder that finds CONTENDED also finds us in the queue.
        if self.word.swap(CONTENDED, Ordering::Acquire) == FREE {
            if queue.is_empty() {
                // Nobody waits: the next unlock need not look. The word is ours, so a plain store is enough.
                self.word.store(HELD, Ordering::Relaxed);
            }
            return;
        }
        let mut waiter = Waiter::new(None, ());
        // SAFETY: this frame stays until the mutex is handed to us.
        unsafe { queue.push(NonNull::from(&mut waiter)) };
        let mut queue = Some(queue);
        park::park(ParkReason::Mutex, &self.object, &mut || {
            drop(queue.take());
            true
        });
    }

    #[cold]
    fn hand_over(&self) {
        let mut queue = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.take() {
            // The word stays CONTENDED: the mutex is the waiter's now.
            Some(next) => {
                drop(queue);
                next.wake();
            }
            None => self.word.store(FREE, Ordering::Release),
        }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Release pairs with the acquire of the next holder.
        if self
            .0
            .word
            .compare_exchange(HELD, FREE, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.0.hand_over();
        }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use the value.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the right to use the value, and it is borrowed for good.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
