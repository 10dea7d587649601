//! The word in which a waiter for one direction of a descriptor meets what ends its wait. Go: `rg` and `wg` of `pollDesc`.
//!
//! ```text
//!  NIL    nothing happened, nobody waits
//!  READY  it became ready, and nobody has used that yet
//!  WAIT   somebody is about to wait: its state is not waiting yet
//!  else   the token of who waits
//! ```
//!
//! # Protocol
//! Waiter, one at a time: (1) `begin`: NIL to WAIT, or READY to NIL and no wait; (2) full barrier; (3) look at the flags of the descriptor (closed,
//! deadline passed); (4) suspend, and in the commit WAIT to token, which fails if somebody came in between; (5) `end` when it goes on.
//! Poller: `unblock(true)`: anything to READY. Who closes, and a deadline: (1) set the flag; (2) full barrier; (3) `unblock(false)`: WAIT or a
//! token to NIL. Who takes a token out, and nobody else, wakes its waiter.
//!
//! *Lost readiness*: the edge comes after the failed read and before the wait. It leaves READY, which (1) consumes; or it turns WAIT into READY, and
//! the commit fails.
//! *Lost deadline*: the waiter looks at the flags, the deadline passes and finds NIL, the waiter waits for ever. One of the barriers comes
//! first: if that of the waiter, the deadline sees WAIT; if that of the deadline, the waiter sees the flag.

use crate::shim::{AtomicUsize, Ordering, fence};

const NIL: usize = 0;
/// No token is 2 or 4: they are aligned addresses, tagged with 1 at most.
const READY: usize = 2;
const WAIT: usize = 4;

/// How a wait begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It is to be waited for, unless a flag says otherwise.
    Wait,
    /// It is ready: there is nothing to wait for.
    Ready,
    /// Somebody else waits, which its owner must not let happen.
    Busy,
}

/// The word.
pub(super) struct Semaphore(AtomicUsize);

impl Semaphore {
    /// Nothing happened, nobody waits.
    pub(super) fn new() -> Semaphore {
        Semaphore(AtomicUsize::new(NIL))
    }

    /// Forgets what happened. Nobody waits: the caller alone may.
    pub(super) fn reset(&self) {
        // AcqRel: the next edge is ordered behind what was done with the one before. An edge is not lost: the operation is tried after this.
        self.0.swap(NIL, Ordering::AcqRel);
    }

    /// Announces a waiter. After `Wait` the caller looks at the flags.
    #[must_use]
    pub(super) fn begin(&self) -> Begin {
        loop {
            // AcqRel: acquire what was done before READY was set. Success needs the barrier below besides.
            match self
                .0
                .compare_exchange(NIL, WAIT, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(READY) => {
                    let used =
                        self.0
                            .compare_exchange(READY, NIL, Ordering::AcqRel, Ordering::Relaxed);
                    if used.is_ok() {
                        return Begin::Ready;
                    }
                }
                Err(_) => return Begin::Busy,
            }
        }
        // The waiter's full barrier, between announcing itself and looking at the flags: pairs with the one in `unblock`.
        fence(Ordering::SeqCst);
        Begin::Wait
    }

    /// In the commit of the waiter's park: whether it waits, under this token.
    #[must_use]
    pub(super) fn commit(&self, token: usize) -> bool {
        // AcqRel: release publishes the waiter to who takes the token out; acquire what was done by who was faster.
        self.0
            .compare_exchange(WAIT, token, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The wait is over: READY is used up, WAIT is taken back.
    pub(super) fn end(&self) {
        // AcqRel: as `reset`.
        self.0.swap(NIL, Ordering::AcqRel);
    }

    /// It became ready, or (`ready` false) its wait is to end, whose reason is published already: the token of who is to be woken.
    pub(super) fn unblock(&self, ready: bool) -> Option<usize> {
        // The full barrier between the flag and the look at the word: pairs with the one in `begin`.
        fence(Ordering::SeqCst);
        let to = if ready { READY } else { NIL };
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            if old == READY || (old == NIL && !ready) {
                return None;
            }
            // AcqRel: acquire the waiter behind the token; release what was done before to who consumes READY.
            match self
                .0
                .compare_exchange(old, to, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => old = now,
            }
        }
        (old != NIL && old != WAIT).then_some(old)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const TOKEN: usize = 64;

    #[test]
    fn readiness_is_kept_for_one_wait() {
        let s = Semaphore::new();
        assert_eq!(s.unblock(true), None);
        assert_eq!(s.unblock(true), None);
        assert_eq!(s.begin(), Begin::Ready);
        assert_eq!(s.begin(), Begin::Wait);
    }

    #[test]
    fn a_token_is_taken_out_once() {
        let s = Semaphore::new();
        assert_eq!(s.begin(), Begin::Wait);
        assert!(s.commit(TOKEN));
        assert_eq!(s.begin(), Begin::Busy);
        assert_eq!(s.unblock(true), Some(TOKEN));
        assert_eq!(s.unblock(true), None);
        s.end();
        assert_eq!(s.begin(), Begin::Wait);
    }

    #[test]
    fn the_end_of_a_wait_leaves_no_readiness_behind() {
        let s = Semaphore::new();
        assert_eq!(s.begin(), Begin::Wait);
        assert!(s.commit(TOKEN));
        assert_eq!(s.unblock(false), Some(TOKEN));
        s.end();
        assert_eq!(s.unblock(false), None);
        assert_eq!(s.begin(), Begin::Wait);
        assert_eq!(s.unblock(false), None);
        assert!(!s.commit(TOKEN), "it was told before it waited");
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::shim::AtomicU32;

    const TOKEN: usize = 64;

    /// One direction of a descriptor, what the kernel has for it, and how often its waiter was woken.
    struct Direction {
        semaphore: Semaphore,
        flag: AtomicU32,
        data: AtomicU32,
        woken: AtomicU32,
    }

    impl Direction {
        fn new() -> Arc<Direction> {
            Arc::new(Direction {
                semaphore: Semaphore::new(),
                flag: AtomicU32::new(0),
                data: AtomicU32::new(0),
                woken: AtomicU32::new(0),
            })
        }

        fn wake(&self, token: Option<usize>) {
            if token.is_some() {
                self.woken.fetch_add(1, Ordering::AcqRel);
            }
        }

        /// The edge: the data is there, and the poller says so.
        fn ready(&self) {
            self.data.store(1, Ordering::Release);
            let token = self.semaphore.unblock(true);
            self.wake(token);
        }

        /// The socket is closed, or the deadline passes.
        fn end(&self) {
            // Relaxed on purpose: the barrier of the protocol must be enough.
            self.flag.store(1, Ordering::Relaxed);
            let token = self.semaphore.unblock(false);
            self.wake(token);
        }

        fn flagged(&self) -> bool {
            self.flag.load(Ordering::Relaxed) == 1
        }

        /// Tries, waits until there is something or the wait is ended, tries again; whether there was something.
        fn read(&self) -> bool {
            self.semaphore.reset();
            loop {
                if self.data.load(Ordering::Acquire) == 1 {
                    return true;
                }
                match self.semaphore.begin() {
                    Begin::Ready => {}
                    Begin::Busy => unreachable!("one waits"),
                    Begin::Wait => {
                        if !self.flagged() && self.semaphore.commit(TOKEN) {
                            // A sleep that nobody ends is reported as an endless loop.
                            while self.woken.load(Ordering::Acquire) == 0 {
                                thread::yield_now();
                            }
                            self.woken.fetch_sub(1, Ordering::AcqRel);
                        }
                        self.semaphore.end();
                    }
                }
                if self.flagged() {
                    return false;
                }
            }
        }
    }

    /// The edge comes between the failed read and the wait, or during the park.
    #[test]
    fn loom_readiness_is_not_lost_between_the_failed_read_and_the_park() {
        loom::model(|| {
            let d = Direction::new();
            let theirs = Arc::clone(&d);
            let poller = thread::spawn(move || theirs.ready());
            assert!(d.read());
            poller.join().expect("no panic");
        });
    }

    /// The deadline passes, or the socket is closed, while the waiter is about to park.
    #[test]
    fn loom_a_deadline_is_not_lost_while_its_waiter_parks() {
        loom::model(|| {
            let d = Direction::new();
            let theirs = Arc::clone(&d);
            let timer = thread::spawn(move || theirs.end());
            assert!(!d.read());
            timer.join().expect("no panic");
        });
    }

    /// Readiness and a deadline at once: the waiter is woken once, and goes on. Three threads: as many changes of thread as such a race
    /// needs, not all.
    #[test]
    fn loom_readiness_and_a_deadline_wake_their_waiter_once() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let d = Direction::new();
            let (a, b) = (Arc::clone(&d), Arc::clone(&d));
            let poller = thread::spawn(move || a.ready());
            let timer = thread::spawn(move || b.end());
            d.read();
            poller.join().expect("no panic");
            timer.join().expect("no panic");
            let left = d.woken.load(Ordering::Relaxed);
            assert_eq!(left, 0, "a wake is left for the next wait");
        });
    }
}
