//! A lock for many readers or one writer, with Go's rules.
//!
//! `readers` counts those who read or want to. A writer that wants in takes [`MOST_READERS`] away from it, so that it is negative as long as a writer
//! waits or writes: a reader that sees that waits, whatever is read at the moment. The readers of that moment are counted in `leaving`; the last of
//! them wakes the writer. When it is done, the writer puts the number back, lets in all readers that came meanwhile, and only then the next writer.
//! So neither readers nor writers starve.

use std::cell::UnsafeCell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI32, Ordering};

use gmp_trace::event::{ObjectKind, ParkReason};

use super::mutex::RawMutex;
use super::sema::Sema;
use crate::sched::park::Object;
use crate::sched::preempt;

/// More readers than there can be. Go: `rwmutexMaxReaders`.
const MOST_READERS: i32 = 1 << 30;

/// A value that many may read at a time, or one may change. It may be held over calls into the runtime, and is not poisoned by a panic.
/// Go: `sync.RWMutex`.
///
/// A G that reads must not ask to read again: if a writer has come in between, both wait for ever.
///
/// ```
/// use gmp_runtime::sync::RwLock;
///
/// static TABLE: RwLock<Vec<u32>> = RwLock::new(Vec::new());
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let writer = gmp_runtime::go(|| TABLE.write().push(7));
///     let (one, two) = (TABLE.read(), TABLE.try_read());
///     assert!(one.len() <= 1 && two.is_none_or(|two| two.len() == one.len()));
///     drop(one);
///     writer.join().expect("no panic");
///     assert_eq!(*TABLE.read(), [7]);
/// });
/// ```
pub struct RwLock<T> {
    /// Held by the writer.
    writer: RawMutex,
    readers: AtomicI32,
    leaving: AtomicI32,
    /// What a writer waits for: that the readers it found leave.
    last_reader_left: Sema,
    /// What readers wait for: that the writer they found is done.
    writer_done: Sema,
    object: Object,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through guards only: many for reading, which T allows (Sync), or one for writing, which moves the right to change it
// from thread to thread (Send).
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}
// SAFETY: moving it moves the value; nobody waits on a lock that is being moved.
unsafe impl<T: Send> Send for RwLock<T> {}

/// The right to read the value; gives it back when dropped. It may move between threads with its G.
pub struct RwLockReadGuard<'a, T>(&'a RwLock<T>);

/// The right to change the value; gives it back when dropped. It may move between threads with its G.
pub struct RwLockWriteGuard<'a, T>(&'a RwLock<T>);

impl<T> RwLock<T> {
    /// A free lock.
    #[track_caller]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock {
            writer: RawMutex::new(),
            readers: AtomicI32::new(0),
            leaving: AtomicI32::new(0),
            last_reader_left: Sema::new(0),
            writer_done: Sema::new(0),
            object: Object::new(ObjectKind::RwLock),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits until the value may be read. Go: `RLock`.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none, while somebody writes or waits to.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        preempt::checkpoint();
        // Acquire pairs with the release of the last writer, where there is none now; else the semaphore does.
        if self.readers.fetch_add(1, Ordering::Acquire) < 0 {
            self.writer_done.acquire(ParkReason::RwLock, &self.object);
        }
        RwLockReadGuard(self)
    }

    /// Reads, if nobody writes or waits to. Go: `TryRLock`.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        preempt::checkpoint();
        // Acquire as in `read`; Relaxed: a failure only looks again.
        self.readers
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |readers| {
                (readers >= 0).then_some(readers + 1)
            })
            .ok()
            .map(|_| RwLockReadGuard(self))
    }

    /// Waits until the value may be changed. Readers that come from now on wait. Go: `Lock`.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        preempt::checkpoint();
        self.writer.lock(ParkReason::RwLock, &self.object);
        // AcqRel: readers that leave after this see it and count in `leaving`; Acquire pairs with the release of those that left before.
        let reading = self.readers.fetch_sub(MOST_READERS, Ordering::AcqRel);
        // A reader that leaves may count before its number is added here: then the sum is 0, and the writer does not wait.
        // AcqRel pairs with the readers' own.
        if reading != 0 && self.leaving.fetch_add(reading, Ordering::AcqRel) + reading != 0 {
            self.last_reader_left
                .acquire(ParkReason::RwLock, &self.object);
        }
        RwLockWriteGuard(self)
    }

    /// Takes the lock for writing, if nobody has it. Go: `TryLock`.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        preempt::checkpoint();
        if !self.writer.try_lock() {
            return None;
        }
        // Acquire pairs with the release of the last readers.
        let free =
            self.readers
                .compare_exchange(0, -MOST_READERS, Ordering::AcqRel, Ordering::Relaxed);
        if free.is_err() {
            self.writer.unlock();
            return None;
        }
        Some(RwLockWriteGuard(self))
    }

    /// The value, which needs no lock because the lock is borrowed for good.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        let lock = self.0;
        // Release pairs with the acquire of the next writer, if none waits; AcqRel on `leaving` does, if one waits.
        if lock.readers.fetch_sub(1, Ordering::Release) < 0
            && lock.leaving.fetch_sub(1, Ordering::AcqRel) == 1
        {
            lock.last_reader_left.release(false);
        }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        let lock = self.0;
        // Release pairs with the acquire of readers that need not wait; the semaphore's own with those that wait.
        let waiting = lock.readers.fetch_add(MOST_READERS, Ordering::Release) + MOST_READERS;
        for _ in 0..waiting {
            lock.writer_done.release(false);
        }
        lock.writer.unlock();
    }
}

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to read the value; nobody changes it while there is one.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the guard is the right to use the value.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard is the right to use the value, and it is borrowed for good.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
