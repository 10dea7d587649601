//! Whose turn it is to block in the network poller, and until when: at most one M does, and it also watches over the timers.
//!
//! # The words, and who writes them
//! - `last`: when the network was last polled, in ns; 0 while somebody is blocked in the poller. Who swaps a time for 0 has the turn; it
//!   alone puts a time back. Sysmon, which polls without blocking, moves one time on to another.
//! - `until`: until when the one who has the turn sleeps, in ns; 0 = for ever, or not said yet. Written by who has the turn.
//!
//! # Protocol
//! Who blocks: (1) take the turn, (2) say until when, (3) full barrier, (4) look at the times of all heaps that nobody else watches, and say
//! an earlier time if there is one, (5) block, (6) give the turn back, (7) look for work, timers included.
//! Who adds a timer: (1) write the time of its heap, (2) full barrier, (3) look at both words: somebody blocked who sleeps longer is broken
//! out of it; if nobody is blocked a spinner is wanted ([`Turn`]).
//!
//! Who wakes the last one that waited for the network: (1) write that nobody waits, (2) full barrier, (3) look whether the turn is taken, and
//! break whoever has it for ever. Who blocks for ever looks in (4) whether anybody waits, too, and does not block if nobody does.
//!
//! *Blocked for nobody*: an M sees a waiter, another wakes that waiter, and the M blocks for ever. It counts as one that may bring work, so
//! that nobody finds all goroutines asleep when they are. One of the two barriers comes first, as below.
//!
//! *Slept past a timer*: A looks at all heaps; B adds a timer, finds nobody in the poller and no P idle, and goes away; A blocks for ever.
//! One of the two barriers comes first: if that of B, A sees the timer in (4); if that of A, B sees the turn taken and breaks it.

use crate::shim::{AtomicU64, Ordering, fence};

/// The two words.
pub(crate) struct PollTurn {
    last: AtomicU64,
    until: AtomicU64,
}

/// What who added a timer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Somebody is blocked, and wakes early enough.
    InTime,
    /// Somebody is blocked for longer than that: it is to be broken out of the poll.
    TooLong,
    /// Nobody is blocked.
    Nobody,
}

impl PollTurn {
    /// Nobody's. The network counts as polled long ago.
    pub(crate) fn new() -> PollTurn {
        PollTurn {
            last: AtomicU64::new(1),
            until: AtomicU64::new(0),
        }
    }

    /// Whether somebody is blocked in the poller, at some moment: for decisions that are only economical, or made under the scheduler's lock
    /// about a P that somebody else would look after.
    pub(crate) fn is_taken(&self) -> bool {
        // SeqCst: nothing rests on it; the handing-off of a P asks under the lock, and a stale answer keeps an M awake or delays a poll.
        self.last.load(Ordering::SeqCst) == 0
    }

    /// After the last one that waited for the network was woken: whether who has the turn is to be broken out of the poll.
    pub(crate) fn blocks_for_nobody(&self) -> bool {
        // Only who blocks for ever does so for nobody; any other comes back by itself. The barrier is between the number of waiters and the words.
        self.ask(u64::MAX) == Turn::TooLong
    }

    /// Takes the turn, unless somebody has it.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        // AcqRel: from one who has it to the next. The order against timers is made by the barrier in `say`.
        self.last.swap(0, Ordering::AcqRel) != 0
    }

    /// Says until when it will sleep (0 = for ever). Called by who has the turn, which then looks at the heaps.
    pub(crate) fn say(&self, until: u64) {
        // Release: who sees it has seen the turn taken.
        self.until.store(until, Ordering::Release);
        // The blocker's full barrier, between the two words and the look at the heaps: pairs with the one in `ask`.
        fence(Ordering::SeqCst);
    }

    /// Gives the turn back. What it looks at afterwards is as new as what anybody who still saw the turn taken has written.
    pub(crate) fn give_back(&self, now: u64) {
        // The time first, so that nobody takes the old one for that of a later turn.
        self.until.store(0, Ordering::Release);
        self.last.store(now.max(1), Ordering::Release);
        // As in `say`: who adds a timer and is content with what it still sees here has written its time before.
        fence(Ordering::SeqCst);
    }

    /// After the time of a heap was lowered to `when`: what must happen so that somebody is awake then.
    pub(crate) fn ask(&self, when: u64) -> Turn {
        // The adder's full barrier, between the heap's time and the two words: pairs with the one in `say`.
        fence(Ordering::SeqCst);
        // Acquire: the time that belongs to the turn, or a later one.
        if self.last.load(Ordering::Acquire) != 0 {
            Turn::Nobody
        } else if self.sleeps_past(when) {
            Turn::TooLong
        } else {
            Turn::InTime
        }
    }

    /// Whether who has the turn would sleep longer than until `when`, as far as it has said.
    pub(crate) fn sleeps_past(&self, when: u64) -> bool {
        let until = self.until.load(Ordering::Acquire);
        until == 0 || until > when
    }

    /// For who polls without blocking because nobody has for so long (`overdue`, by the time since, in ns): whether it is to, counted as a poll
    /// at `now`.
    #[must_use]
    pub(crate) fn is_overdue(&self, now: u64, overdue: impl Fn(u64) -> bool) -> bool {
        // Relaxed: the swap decides. Nothing is published by a poll that does not block.
        let last = self.last.load(Ordering::Relaxed);
        last != 0
            && overdue(now.saturating_sub(last))
            && self
                .last
                .compare_exchange(last, now, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }

    /// Both words, for reports.
    pub(crate) fn words(&self) -> (u64, u64) {
        (
            self.last.load(Ordering::Relaxed),
            self.until.load(Ordering::Relaxed),
        )
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_turn_and_who_adds_a_timer_learns_whether_it_sleeps_too_long() {
        let turn = PollTurn::new();
        let overdue = |since| since >= 10;
        assert_eq!(turn.ask(5), Turn::Nobody);
        assert!(turn.take());
        assert!(!turn.take() && turn.is_taken());
        // Not said yet: for ever, as far as anybody knows.
        assert_eq!(turn.ask(5), Turn::TooLong);
        turn.say(10);
        assert_eq!((turn.ask(9), turn.ask(10)), (Turn::TooLong, Turn::InTime));
        assert!(!turn.is_overdue(1_000, overdue), "somebody polls");
        turn.give_back(100);
        assert_eq!(turn.ask(5), Turn::Nobody);
        assert!(!turn.is_overdue(109, overdue));
        assert!(turn.is_overdue(110, overdue));
        assert!(!turn.is_overdue(111, overdue), "it was polled at 110");
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::super::idle::Idle;
    use super::*;
    use crate::netpoll::r#break::Break;

    /// No time.
    const NEVER: u64 = u64::MAX;

    /// What a timer and those who might watch over it share.
    struct World {
        turn: PollTurn,
        idle: Idle,
        brk: Break,
        /// What the eventfd holds.
        event: AtomicU64,
        /// The time of the one heap.
        heap: AtomicU64,
    }

    impl World {
        fn new() -> Arc<World> {
            Arc::new(World {
                turn: PollTurn::new(),
                idle: Idle::new(),
                brk: Break::new(),
                event: AtomicU64::new(0),
                heap: AtomicU64::new(NEVER),
            })
        }

        fn break_poll(&self) {
            if self.brk.raise() {
                self.event.fetch_add(1, Ordering::AcqRel);
            }
        }

        /// Adds a timer; whether a spinner was started for it.
        fn add(&self, when: u64) -> bool {
            // Relaxed on purpose: the barrier of the protocol must be enough.
            self.heap.store(when, Ordering::Relaxed);
            match self.turn.ask(when) {
                Turn::InTime => false,
                Turn::TooLong => {
                    self.break_poll();
                    false
                }
                Turn::Nobody => self.idle.begin_wake(),
            }
        }

        /// Until when it would sleep in the poller, `NEVER` if for ever, 0 if somebody breaks it.
        fn block(&self, until: u64) -> Option<u64> {
            if !self.turn.take() {
                return None;
            }
            self.turn.say(if until == NEVER { 0 } else { until });
            let until = until.min(self.heap.load(Ordering::Relaxed));
            self.turn.say(if until == NEVER { 0 } else { until });
            Some(until)
        }
    }

    /// A adds the earliest timer while B is about to block in the poller: A breaks the poll, or B knows the time.
    #[test]
    fn loom_a_poller_about_to_block_does_not_sleep_past_a_new_timer() {
        loom::model(|| {
            let world = World::new();
            let theirs = Arc::clone(&world);
            let adder = thread::spawn(move || theirs.add(7));
            let until = world.block(9).expect("nobody else blocks");
            adder.join().expect("no panic");
            let broken = world.event.load(Ordering::Relaxed) > 0;
            assert!(until <= 7 || broken, "it sleeps past the timer");
        });
    }

    /// An M that releases a P with a due timer leaves it to a spinner, which finds a G: that one sees the timer, or the first no spinner.
    #[test]
    fn loom_a_timer_left_to_a_spinner_is_seen_when_the_spinner_finds_something_else() {
        loom::model(|| {
            let world = World::new();
            world.idle.start_spin();
            let theirs = Arc::clone(&world);
            let parks = thread::spawn(move || {
                // Relaxed on purpose: the barrier of the protocol must be enough.
                theirs.heap.store(7, Ordering::Relaxed);
                theirs.idle.step_back();
                theirs.idle.spinning() > 0
            });
            world.idle.stop_spin();
            let seen = world.heap.load(Ordering::Relaxed) == 7;
            let left = parks.join().expect("no panic");
            assert!(seen || !left, "nobody runs the timer");
        });
    }

    /// The last waiter is woken while an M that saw it is about to block for ever: it does not, or is broken.
    #[test]
    fn loom_a_poller_does_not_block_for_ever_when_the_last_waiter_is_woken() {
        loom::model(|| {
            let world = World::new();
            let waiters = Arc::new(AtomicU64::new(1));
            let (theirs, count) = (Arc::clone(&world), Arc::clone(&waiters));
            let waker = thread::spawn(move || {
                // Relaxed on purpose: the barrier of the protocol must be enough.
                count.store(0, Ordering::Relaxed);
                if theirs.turn.blocks_for_nobody() {
                    theirs.break_poll();
                }
            });
            world.block(NEVER).expect("nobody else blocks");
            let blocks = waiters.load(Ordering::Relaxed) > 0;
            waker.join().expect("no panic");
            let broken = world.event.load(Ordering::Relaxed) > 0;
            assert!(!blocks || broken, "it blocks for ever, and nobody waits");
        });
    }

    /// A timer, as above, with a P idle and nobody spinning: a third possibility is a spinner that the adder starts.
    #[test]
    fn loom_a_timer_added_while_the_last_spinner_goes_to_block_wakes_somebody() {
        loom::model(|| {
            let world = World::new();
            world.idle.start_spin();
            world.idle.idle_p_added();
            let theirs = Arc::clone(&world);
            let adder = thread::spawn(move || theirs.add(7));
            // The spinner: step back, look at the heaps, block.
            world.idle.stop_spin();
            let seen = world.heap.load(Ordering::Relaxed);
            let until = world.block(seen).expect("nobody else blocks");
            let woke = adder.join().expect("no panic");
            let broken = world.event.load(Ordering::Relaxed) > 0;
            assert!(until <= 7 || broken || woke, "nobody wakes for the timer");
        });
    }

    /// Somebody blocks already, and for longer: the second M, which may not block, sees to it that the first wakes in time.
    #[test]
    fn loom_an_m_that_leaves_the_poll_to_another_does_not_take_its_timer_with_it() {
        loom::model(|| {
            let world = World::new();
            // Only this M knows of its timer: the heap of a P that is not idle yet when the other looks.
            let theirs = Arc::clone(&world);
            let second = thread::spawn(move || match theirs.turn.take() {
                true => Some(5),
                false => {
                    if theirs.turn.sleeps_past(5) {
                        theirs.break_poll();
                    }
                    None
                }
            });
            let until = world.block(9);
            let other = second.join().expect("no panic");
            let broken = world.event.load(Ordering::Relaxed) > 0;
            assert!(
                other.is_some() || broken || until.is_some_and(|u| u <= 5),
                "nobody wakes at 5"
            );
        });
    }
}
