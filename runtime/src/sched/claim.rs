//! The race between a waker and a deadline for the right to end a wait.
//!
//! One word, written once: by whoever moves it from nobody to itself. The winner alone may, and must, wake the waiter, which then reads
//! who it was.

use crate::shim::{AtomicU32, Ordering};

/// Who ended a wait that has a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Winner {
    /// Nobody yet.
    Nobody = 0,
    /// Somebody who had what was waited for.
    Waker = 1,
    /// The deadline.
    Timer = 2,
}

/// The word.
pub(crate) struct Race(AtomicU32);

impl Race {
    /// Undecided.
    pub(crate) fn new() -> Race {
        Race(AtomicU32::new(Winner::Nobody as u32))
    }

    /// Tries to win.
    pub(crate) fn claim(&self, by: Winner) -> bool {
        // AcqRel: the winner's earlier writes are seen by the woken waiter through its own acquire in `winner`.
        self.0
            .compare_exchange(
                Winner::Nobody as u32,
                by as u32,
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Who won.
    pub(crate) fn winner(&self) -> Winner {
        // Acquire pairs with the release in `claim`.
        match self.0.load(Ordering::Acquire) {
            0 => Winner::Nobody,
            1 => Winner::Waker,
            _ => Winner::Timer,
        }
    }
}
