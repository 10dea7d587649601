//! What stands for `park.rs` under the model checker: a waiter is a thread of the model, with a token of the model's to sleep on.
//!
//! The race of a waker and a deadline is the real one.

use loom::sync::Arc;

use super::claim::Race;
pub(crate) use super::claim::Winner;
use crate::shim::{AtomicU32, Ordering};

/// What a thread of the model sleeps on; it outlives all who might wake it, as the real one does.
pub(crate) struct Token {
    woken: AtomicU32,
}

impl Token {
    /// Nobody woke it yet.
    pub(crate) fn new() -> Arc<Token> {
        Arc::new(Token {
            woken: AtomicU32::new(0),
        })
    }

    /// Sleeps until it is woken.
    pub(crate) fn sleep(&self) {
        // Acquire pairs with the release in `unpark`. A sleep that nobody ends is reported as an endless loop.
        while self.woken.load(Ordering::Acquire) == 0 {
            loom::thread::yield_now();
        }
    }
}

/// A waiter. One wake for one wait.
#[derive(Clone, Copy)]
pub(crate) struct Unparker(*const Token);

// SAFETY: it points to a token that outlives the model's threads, and which is Sync.
unsafe impl Send for Unparker {}
// SAFETY: as above.
unsafe impl Sync for Unparker {}

impl Unparker {
    /// Of the thread that sleeps on this token.
    pub(crate) fn of(token: &Token) -> Unparker {
        Unparker(token)
    }

    /// Every waiter of a model has a claim, which knows its unparker.
    pub(crate) fn current() -> Unparker {
        unreachable!("the waiters of the models have claims")
    }

    /// Ends the wait.
    pub(crate) fn unpark(self) {
        // SAFETY: the model holds the token until all its threads have ended.
        let token = unsafe { &*self.0 };
        // Release, as the real one.
        token.woken.store(1, Ordering::Release);
    }
}

/// As the real one, without the timer.
pub(crate) struct Claim {
    race: Race,
    unparker: Unparker,
}

impl Claim {
    /// An undecided one.
    pub(crate) fn new(unparker: Unparker) -> std::sync::Arc<Claim> {
        std::sync::Arc::new(Claim {
            race: Race::new(),
            unparker,
        })
    }

    /// Tries to win; the winner alone may, and must, unpark.
    pub(crate) fn claim(&self, by: Winner) -> bool {
        self.race.claim(by)
    }

    /// Who won.
    pub(crate) fn winner(&self) -> Winner {
        self.race.winner()
    }

    /// The waiter.
    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker
    }
}
