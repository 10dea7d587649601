//! What stands for `park.rs` under the model checker: a waiter is a thread of the model, with a token of the model's to sleep on.
//!
//! The race of a waker and a deadline is the real one; the deadline may pass at any moment.

use gmp_trace::event::{ObjectKind, ParkReason};
use loom::sync::{Arc, Condvar};

use super::claim::Race;
pub(crate) use super::claim::Winner;
use crate::shim::Mutex;

/// What a thread of the model sleeps on; it outlives all who might wake it, as the real one does.
///
/// Not a word that is looked at in a loop, as the real one: the checker runs two who look in turn for ever, and not the third who would wake
/// one of them.
pub(crate) struct Token {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Token {
    /// Nobody woke it yet.
    pub(crate) fn new() -> Arc<Token> {
        Arc::new(Token {
            woken: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    /// Sleeps until it is woken. One that nobody ends is reported as a deadlock.
    pub(crate) fn sleep(&self) {
        let mut woken = self.woken.lock().expect("no panic");
        while !*woken {
            woken = self.changed.wait(woken).expect("no panic");
        }
        *woken = false;
    }
}

loom::thread_local! {
    /// What a thread sleeps on that brings no token of its own. It may end with its thread: who has woken it does not touch it again.
    static TOKEN: Arc<Token> = Token::new();
}

/// What is waited for has no name in a model.
pub(crate) struct Object;

impl Object {
    /// Nothing is recorded.
    pub(crate) fn new(_: ObjectKind) -> Object {
        Object
    }
}

/// As the real one, for the calling thread.
pub(crate) fn park(_: ParkReason, _: &Object, commit: &mut dyn FnMut() -> bool) {
    if commit() {
        TOKEN.with(|token| token.sleep());
    }
}

/// As the real one: the deadline is a thread that may be the first or the last to do anything.
pub(crate) fn park_until(
    reason: ParkReason,
    object: &Object,
    _deadline_ns: u64,
    claim: &std::sync::Arc<Claim>,
    commit: &mut dyn FnMut() -> bool,
) {
    let mut timer = None;
    park(reason, object, &mut || {
        let claim = std::sync::Arc::clone(claim);
        let waits = commit();
        timer = Some(loom::thread::spawn(move || {
            if claim.claim(Winner::Timer) {
                claim.unparker().unpark();
            }
        }));
        waits
    });
    if let Some(timer) = timer {
        timer.join().expect("no panic");
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

    /// Of the calling thread.
    pub(crate) fn current() -> Unparker {
        TOKEN.with(|token| Unparker::of(token))
    }

    /// Ends the wait.
    pub(crate) fn unpark(self) {
        // SAFETY: the model holds the token until all its threads have ended.
        let token = unsafe { &*self.0 };
        let mut woken = token.woken.lock().expect("no panic");
        assert!(!*woken, "woken twice for one wait");
        *woken = true;
        token.changed.notify_one();
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
