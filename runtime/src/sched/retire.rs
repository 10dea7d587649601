//! Values of users that the runtime drops when it has done with them.
//!
//! Their `Drop` is the user's code: it may panic, sleep, or start a timer. So it never runs under a lock of the runtime, on the scheduler's
//! stack, or in a G that only happened to be there when the runtime tidied up: there a G of its own is made for it.
//!
//! *Dropped under the heap's lock*: a timer that was stopped leaves the heap of its P when the next one is added there; its function held a
//! guard that starts a timer, which waited for the lock for ever.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::Location;

use crate::sched::{m, tidy};
use crate::spawn;

/// A value of a user that is dropped where its `Drop` may do anything.
pub(crate) struct Retired<T: Send + 'static> {
    value: ManuallyDrop<T>,
    /// Where the user handed it over.
    location: &'static Location<'static>,
}

impl<T: Send + 'static> Retired<T> {
    pub(crate) fn new(value: T, location: &'static Location<'static>) -> Retired<T> {
        Retired {
            value: ManuallyDrop::new(value),
            location,
        }
    }
}

impl<T: Send + 'static> Deref for Retired<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Send + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY: it is taken once, here, and not used afterwards.
        let value = unsafe { ManuallyDrop::take(&mut self.value) };
        let on_the_schedulers_stack = m::current().is_some() && m::running().is_none();
        if std::mem::needs_drop::<T>() && (tidy::is_tidying() || on_the_schedulers_stack) {
            let body = move || {
                drop(value);
                false
            };
            // *Left behind*: an M that looks for work drops this at moments when it believes that its own queue is empty, and releases its P. It
            // looks at the global queue once more after that.
            match m::in_service() {
                Some(m) => _ = spawn::spawn_global(m.sched, m.tracer(), body, self.location),
                // *The last to tidy up*: the runtime has ended meanwhile. There is no G that could drop it, as for all that an ended runtime
                // keeps; and a panic here may be one in a `Drop` while another unwinds.
                None => _ = spawn::spawn_from_thread(body, self.location).map_err(std::mem::forget),
            }
        }
    }
}
