//! A mutex that parks the G, with Go's two modes.
//!
//! *Normal*: whoever comes first takes it. Unlocking wakes the first waiter, which competes with newcomers; they run already, so it often
//! loses and goes back to the front of the queue. That is fast, because a free mutex never waits for a switch.
//! *Starving*: a waiter that has waited for longer than a millisecond and lost again asks for this mode. Unlocking then hands the mutex
//! to the first waiter and gives way to it, and newcomers queue at the end. The mode ends with a waiter that waited for less than that, or
//! with the last one.
//!
//! # The word
//!
//! ```text
//!  bit 0 LOCKED     held
//!  bit 1 WOKEN      a waiter was woken, or a newcomer spins: unlocking need not wake another
//!  bit 2 STARVING   starving mode; LOCKED stays set while the mutex passes from hand to hand
//!  bit 3 WAITERS    the queue is not empty; changed under the queue's lock only
//! ```
//!
//! # Why no waiter sleeps beside a free mutex
//! A waiter sets WAITERS under the queue's lock by a compare-and-swap that sees LOCKED (or STARVING). So the holder's unlock comes after it
//! and finds WAITERS. It wakes somebody, unless it sees that the mutex is held again, whose holder then does, or that somebody is awake
//! already (WOKEN), who takes the mutex or, when it queues again, clears WOKEN by the same kind of compare-and-swap.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{MutexGuard as QueueGuard, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use super::give_way;
use crate::limits::{MUTEX_PAUSES, MUTEX_SPINS, MUTEX_STARVES_NS};
use crate::sched::park::{self, Object};
use crate::sched::wait_queue::{WaitQueue, Waiter};
use crate::sched::{m, preempt};
use crate::time::now_ns;

const LOCKED: u32 = 1;
const WOKEN: u32 = 2;
const STARVING: u32 = 4;
const WAITERS: u32 = 8;

/// The mutex without its value.
pub(super) struct RawMutex {
    word: AtomicU32,
    /// What a waiter learns when it is woken: whether the mutex is its.
    waiters: std::sync::Mutex<WaitQueue<bool>>,
}

/// A lock around a value, that may be held over calls into the runtime. It is not poisoned by a panic. Go: `sync.Mutex`.
pub struct Mutex<T> {
    raw: RawMutex,
    object: Object,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, of which there is one at a time; the word's acquire and release order its uses.
unsafe impl<T: Send> Sync for Mutex<T> {}
// SAFETY: moving it moves the value; nobody waits on a mutex that is being moved.
unsafe impl<T: Send> Send for Mutex<T> {}

/// The right to use the value; gives it back when dropped. It may move between threads with its G, and unlocking need not be by who locked.
///
/// Threads may share a guard only if they may share the value:
///
/// ```compile_fail,E0277
/// use std::cell::Cell;
/// use gmp_runtime::sync::Mutex;
///
/// let mutex = Mutex::new(Cell::new(0));
/// let guard = mutex.lock();
/// std::thread::scope(|s| {
///     s.spawn(|| guard.set(1));
///     s.spawn(|| guard.set(2));
/// });
/// ```
///
/// # Blocking
/// Dropping it gives way to the first waiter, if that has waited for longer than a millisecond: the G is suspended, and stays runnable.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    /// What the compiler would conclude from the reference is not enough: see `Sync` below.
    not_by_itself: PhantomData<*mut T>,
}

// SAFETY: it gives exclusive use of the value on whatever thread it is, which T allows (Send); any thread may unlock.
unsafe impl<T: Send> Send for MutexGuard<'_, T> {}
// SAFETY: a shared guard gives shared use of the value, which T allows (Sync). (`&Mutex<T>` asks for T: Send only, which is not enough.)
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A free mutex.
    #[track_caller]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex {
            raw: RawMutex::new(),
            object: Object::new(ObjectKind::Mutex),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the mutex; waits until it can be had.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        preempt::checkpoint();
        self.raw.lock(ParkReason::Mutex, &self.object);
        self.guard()
    }

    /// Takes the mutex if it is free, and nobody who waits has a better right to it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        preempt::checkpoint();
        self.raw.try_lock().then(|| self.guard())
    }

    /// The value, which needs no lock because the mutex is borrowed for good.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        MutexGuard {
            mutex: self,
            not_by_itself: PhantomData,
        }
    }
}

impl RawMutex {
    /// A free one.
    pub(super) const fn new() -> RawMutex {
        RawMutex {
            word: AtomicU32::new(0),
            waiters: std::sync::Mutex::new(WaitQueue::new()),
        }
    }

    /// Takes it; waits for `reason` until it can be had.
    pub(super) fn lock(&self, reason: ParkReason, object: &Object) {
        // Acquire pairs with the release of the holder before.
        if self
            .word
            .compare_exchange(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.lock_slowly(reason, object);
        }
    }

    /// Takes it if it is free, and nobody who waits has a better right to it.
    pub(super) fn try_lock(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        word & (LOCKED | STARVING) == 0 && self.change(word, word | LOCKED).is_ok()
    }

    /// Gives it up. The caller holds it.
    pub(super) fn unlock(&self) {
        // Release pairs with the acquire of the next holder.
        if self
            .word
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.unlock_slowly();
        }
    }

    /// One step of the word. Acquire pairs with the release of the holder before, where the step takes the mutex; Release publishes the
    /// value to the next holder, where it gives it up.
    fn change(&self, from: u32, to: u32) -> Result<u32, u32> {
        self.word
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
    }

    fn queue(&self) -> QueueGuard<'_, WaitQueue<bool>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Go: `lockSlow`.
    #[cold]
    fn lock_slowly(&self, reason: ParkReason, object: &Object) {
        let (mut since, mut starving, mut awake, mut spins) = (None, false, false, 0);
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & (LOCKED | STARVING) == LOCKED && spins < MUTEX_SPINS && may_spin() {
                // Whoever spins is awake: let the holder wake nobody else.
                if !awake && word & WOKEN == 0 && word & WAITERS != 0 {
                    awake = self.change(word, word | WOKEN).is_ok();
                }
                (0..MUTEX_PAUSES).for_each(|_| std::hint::spin_loop());
                spins += 1;
                continue;
            }
            let no_longer_awake = if awake { !WOKEN } else { !0 };
            if word & (LOCKED | STARVING) == 0 {
                if self.change(word, (word | LOCKED) & no_longer_awake).is_ok() {
                    return;
                }
                continue;
            }
            let mut queue = self.queue();
            let mut new = (word | WAITERS) & no_longer_awake;
            if starving && word & LOCKED != 0 {
                new |= STARVING;
            }
            // The word as it was before the queue's lock was taken; if it changed, all begins anew.
            if self.change(word, new).is_err() {
                continue;
            }
            let mut waiter = Waiter::new(None, false);
            let record = NonNull::from(&mut waiter);
            // SAFETY: this frame stays until it is woken, and is out of the queue then.
            unsafe {
                if since.is_none() {
                    queue.push(record);
                } else {
                    queue.push_front(record);
                }
            }
            let began = *since.get_or_insert_with(now_ns);
            let mut queue = Some(queue);
            park::park(reason, object, &mut || {
                drop(queue.take());
                true
            });
            starving |= now_ns().saturating_sub(began) > MUTEX_STARVES_NS;
            // SAFETY: the waker is done with the record, and whoever was woken sees what the waker wrote.
            if unsafe { (*record.as_ptr()).payload } {
                self.was_handed_over(starving);
                return;
            }
            (awake, spins) = (true, 0);
        }
    }

    /// The mutex is the caller's, in starving mode: ends the mode if there is no more need for it.
    fn was_handed_over(&self, starving: bool) {
        let queue = self.queue();
        if !starving || queue.is_empty() {
            // Relaxed: the mutex is held; newcomers that see the bit a little longer queue, and are woken by the unlock.
            self.word.fetch_and(!STARVING, Ordering::Relaxed);
        }
    }

    /// Go: `unlockSlow`.
    #[cold]
    fn unlock_slowly(&self) {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if word & STARVING != 0 {
                return self.hand_over();
            }
            match self.change(word, word & !LOCKED) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & WAITERS != 0 {
            self.wake_one();
        }
    }

    /// Normal mode, after unlocking: wakes the first waiter, unless somebody else sees to it.
    fn wake_one(&self) {
        let mut queue = self.queue();
        loop {
            let word = self.word.load(Ordering::Relaxed);
            if word & WAITERS == 0 || word & (LOCKED | WOKEN | STARVING) != 0 {
                return;
            }
            if self.change(word, word | WOKEN).is_err() {
                continue;
            }
            let next = queue.take();
            if queue.is_empty() {
                self.word.fetch_and(!WAITERS, Ordering::Relaxed);
            }
            drop(queue);
            match next {
                Some(next) => next.wake(),
                None => crate::fatal::fatal(format_args!("a mutex has a waiter that is not there")),
            }
            return;
        }
    }

    /// Starving mode: the mutex passes to the first waiter without being free in between, and the caller gives way to it.
    fn hand_over(&self) {
        let mut queue = self.queue();
        let Some(mut next) = queue.take() else {
            // Whoever asked for the mode is in the queue before it lets go of the queue's lock.
            crate::fatal::fatal(format_args!("a mutex is starving nobody"));
        };
        *next.payload() = true;
        if queue.is_empty() {
            self.word.fetch_and(!WAITERS, Ordering::Relaxed);
        }
        drop(queue);
        next.wake();
        give_way();
    }
}

/// Whether it is worth while to spin for a moment: somebody else runs, who may unlock, and nobody waits for this P. Go:
/// `sync_runtime_canSpin`.
fn may_spin() -> bool {
    let Some((m, _)) = m::running() else {
        return false;
    };
    let idle = &m.sched.idle;
    m.sched.procs() > idle.idle_ps() + idle.spinning() + 1 && m.held_p().runq.is_empty()
}

impl<'a, T> MutexGuard<'a, T> {
    /// What it is the right to.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.mutex
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the right to use the value, and it is borrowed for good.
        unsafe { &mut *self.mutex.value.get() }
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
