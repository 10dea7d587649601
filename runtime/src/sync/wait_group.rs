//! Waiting for a number of things to be done.
//!
//! The count and the queue are behind one lock, and whoever brings the count to zero takes all waiters out in the same step. So there is
//! no moment at which the count is zero while somebody still waits, in which Go forbids to add.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object};
use crate::sched::preempt;
use crate::sched::wait_queue::{WaitQueue, Waiter};
use crate::spawn::JoinHandle;

/// The most that is left to be done. Go: the positive half of 32 bits.
const MOST: usize = i32::MAX as usize;

/// Counts what is still to be done; clones are the same group.
#[derive(Clone)]
pub struct WaitGroup(Arc<Group>);

struct Group {
    state: Mutex<(usize, WaitQueue<()>)>,
    object: Object,
}

impl WaitGroup {
    /// Nothing is to be done.
    #[track_caller]
    #[allow(
        clippy::new_without_default,
        reason = "the caller's place in the source is part of it"
    )]
    pub fn new() -> WaitGroup {
        let object = Object::new(ObjectKind::WaitGroup);
        WaitGroup(Arc::new(Group {
            state: Mutex::new((0, WaitQueue::new())),
            object,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, (usize, WaitQueue<()>)> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many more are to be done.
    ///
    /// # Panics
    /// When the count overflows.
    pub fn add(&self, n: usize) {
        preempt::checkpoint();
        let mut state = self.lock();
        let Some(left) = state.0.checked_add(n).filter(|left| *left <= MOST) else {
            drop(state);
            panic!("more is added to the wait group than it can count");
        };
        state.0 = left;
    }

    /// Runs `f` in a G of its own, which the group waits for, also if it panics. Go: `WaitGroup.Go`.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use gmp_runtime::sync::WaitGroup;
    ///
    /// // SAFETY: nothing bound to a thread is held over a call into the runtime.
    /// unsafe { gmp_runtime::Builder::new() }.run(|| {
    ///     static SUM: AtomicU32 = AtomicU32::new(0);
    ///     let group = WaitGroup::new();
    ///     for i in 1..=4 {
    ///         group.go(move || SUM.fetch_add(i, Ordering::Relaxed));
    ///     }
    ///     group.wait();
    ///     assert_eq!(SUM.load(Ordering::Relaxed), 10);
    /// });
    /// ```
    #[track_caller]
    pub fn go<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        struct Done(WaitGroup);
        impl Drop for Done {
            fn drop(&mut self) {
                self.0.done();
            }
        }
        self.add(1);
        let done = Done(self.clone());
        crate::go(move || {
            let _done = done;
            f()
        })
    }

    /// One is done; the last wakes all who wait.
    ///
    /// # Panics
    /// When more are done than were added.
    pub fn done(&self) {
        preempt::checkpoint();
        let mut woken = Vec::new();
        {
            let mut state = self.lock();
            let Some(left) = state.0.checked_sub(1) else {
                drop(state);
                panic!("more is done than was added to the wait group");
            };
            state.0 = left;
            if left == 0 {
                woken.extend(std::iter::from_fn(|| state.1.take()));
            }
        }
        woken.into_iter().for_each(|w| w.wake());
    }

    /// Waits until nothing is left to be done.
    ///
    /// # Panics
    /// When the group is used for something new before this wait has returned.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn wait(&self) {
        preempt::checkpoint();
        let mut state = self.lock();
        if state.0 == 0 {
            return;
        }
        let mut waiter = Waiter::new(None, ());
        // SAFETY: this frame stays until we are woken.
        unsafe { state.1.push(NonNull::from(&mut waiter)) };
        let mut state = Some(state);
        park::park(ParkReason::WaitGroup, &self.0.object, &mut || {
            drop(state.take());
            true
        });
        let state = self.lock();
        if state.0 != 0 || !state.1.is_empty() {
            drop(state);
            panic!("the wait group is used anew before all have returned from waiting for it");
        }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("left", &self.lock().0)
            .finish()
    }
}
