//! Waiting for a number of things to be done.

use std::fmt;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object};
use crate::sched::preempt;
use crate::sched::wait_queue::{WaitQueue, Waiter};

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
    pub fn add(&self, n: usize) {
        preempt::checkpoint();
        self.lock().0 += n;
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
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("left", &self.lock().0)
            .finish()
    }
}
