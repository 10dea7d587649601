//! The counters of the wake-up protocol: spinning Ms, idle Ps, and work that found neither.
//!
//! The argument why no wake-up is lost is in README.md of this folder. What this file does for it:
//! - [`Idle::begin_wake`] is the submitter's barrier and look: it is called after the G was published;
//! - [`Idle::stop_spin`] is the spinner's step back and barrier: it is called before the queues are looked at again;
//! - [`Idle::abandon_wake`] and [`Idle::take_need_spinning`] are called under the scheduler's lock.
//!
//! Shared words: `spinning` (anybody, by read-modify-write), `idle_ps` (under the scheduler's lock; read without it), `need_spinning`
//! (set under the lock; cleared under it or by whoever begins to spin).

use crate::shim::{AtomicU32, Ordering, fence};

/// The counters.
pub(crate) struct Idle {
    spinning: AtomicU32,
    idle_ps: AtomicU32,
    need_spinning: AtomicU32,
}

impl Idle {
    /// Nobody spins, no P is idle.
    pub(crate) fn new() -> Idle {
        Idle {
            spinning: AtomicU32::new(0),
            idle_ps: AtomicU32::new(0),
            need_spinning: AtomicU32::new(0),
        }
    }

    /// Ms that spin, at some moment.
    pub(crate) fn spinning(&self) -> u32 {
        // Relaxed: for decisions that are only economical.
        self.spinning.load(Ordering::Relaxed)
    }

    /// Ps that are idle, at some moment.
    pub(crate) fn idle_ps(&self) -> u32 {
        // Relaxed: written under the scheduler's lock, and who must be sure looks under it.
        self.idle_ps.load(Ordering::Relaxed)
    }

    /// After a timer was published: whether every P is held by somebody, who looks at its timers after it went on the list.
    pub(crate) fn no_p_is_idle(&self) -> bool {
        // The adder's full barrier: pairs with the read-modify-write in `idle_p_added`, after which the holder looks.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        self.idle_ps.load(Ordering::Relaxed) == 0
    }

    /// After a G was published: whether the caller is to wake a spinner, as Go decides it: if none spins and a P is idle, or is about to be. It is counted as
    /// spinning already; the caller must start it, or [`Idle::abandon_wake`].
    #[must_use]
    pub(crate) fn begin_wake(&self) -> bool {
        self.begin_wake_if(|spinning, idle_ps| spinning == 0 && idle_ps != 0)
    }

    /// As [`Idle::begin_wake`], but the caller decides, by the numbers of spinning Ms and of idle Ps.
    #[must_use]
    pub(crate) fn begin_wake_if(&self, wakes: impl Fn(u32, u32) -> bool) -> bool {
        // The submitter's full barrier, between publishing the G and looking for spinners: pairs with the one in `stop_spin`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        let mut spinning = self.spinning.load(Ordering::Relaxed);
        loop {
            let idle_ps = self.idle_ps.load(Ordering::Relaxed);
            // No P is idle, and whoever is about to release one knows already that it is to look once more: the lock would tell nothing new.
            // If the request is being met by now, its spinner's barrier comes after ours (before it, we had seen the request withdrawn), so it
            // sees our G; else it is met later. That no P is idle is not enough to go away: *nobody is asked*, the M that is about to release
            // one need not be a spinner, and would not look again. So the decision is made as for the P that it would release.
            if idle_ps == 0 && self.need_spinning.load(Ordering::Relaxed) != 0 {
                return false;
            }
            if !wakes(spinning, idle_ps.max(1)) {
                return false;
            }
            // AcqRel: only the one who moves the count on starts an M for it, which bounds how many threads a burst wakes. If it is
            // another by now the decision is made anew.
            match self.spinning.compare_exchange(
                spinning,
                spinning + 1,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => spinning = now,
            }
        }
    }

    /// For a P that is handed off while nothing is to be done: whether its M is to spin. Counted already.
    #[must_use]
    pub(crate) fn begin_handoff_spin(&self) -> bool {
        self.spinning
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The spinner that was begun finds no P: it is none. Under the lock, where an M that is about to release its P looks.
    pub(crate) fn abandon_wake(&self) {
        self.need_spinning.store(1, Ordering::Relaxed);
        self.spinning.fetch_sub(1, Ordering::AcqRel);
    }

    /// One more M spins.
    pub(crate) fn start_spin(&self) {
        self.spinning.fetch_add(1, Ordering::AcqRel);
        // Relaxed: a request for a spinner is met by this one.
        self.need_spinning.store(0, Ordering::Relaxed);
    }

    /// One M spins no more. What it looks at afterwards is as new as what any submitter who still saw it published.
    pub(crate) fn stop_spin(&self) {
        let before = self.spinning.fetch_sub(1, Ordering::AcqRel);
        debug_assert_ne!(before, 0, "more spinners stop than began");
        // The spinner's full barrier, between stepping back and looking again: pairs with the one in `begin_wake`.
        fence(Ordering::SeqCst);
    }

    /// An M that has not spun has released its P. What it looks at afterwards is as new as what any submitter published who did not see that P.
    pub(crate) fn step_back(&self) {
        // As in `stop_spin`: pairs with the one in `begin_wake_if`, between the release of the P and looking again.
        fence(Ordering::SeqCst);
    }

    /// Whether somebody found no P for a spinner. Under the lock, by an M that is about to release its P: it becomes the spinner.
    #[must_use]
    pub(crate) fn take_need_spinning(&self) -> bool {
        // Relaxed: both sides hold the lock.
        self.need_spinning.load(Ordering::Relaxed) != 0
    }

    /// Whether somebody found no P for a spinner, at some moment.
    pub(crate) fn needs_spinning(&self) -> bool {
        // Relaxed: for who only looks.
        self.need_spinning.load(Ordering::Relaxed) != 0
    }

    /// A P went on the list. Under the lock.
    pub(crate) fn idle_p_added(&self) {
        // SeqCst: `begin_wake` may look right after.
        self.idle_ps.fetch_add(1, Ordering::SeqCst);
    }

    /// A P came off the list. Under the lock.
    pub(crate) fn idle_p_removed(&self) {
        self.idle_ps.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A submitter publishes one G and perhaps wakes; the last spinner leaves, looks again and perhaps takes it.
    #[test]
    fn loom_nobody_wakes_cannot_happen() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            let queue = Arc::new(AtomicU32::new(0));
            idle.start_spin();
            idle.idle_p_added();
            let (i, q) = (Arc::clone(&idle), Arc::clone(&queue));
            let submitter = thread::spawn(move || {
                // Relaxed on purpose: the protocol's own barrier must be enough.
                q.store(1, Ordering::Relaxed);
                i.begin_wake()
            });
            idle.stop_spin();
            let seen = queue.load(Ordering::Relaxed) == 1;
            let woke = submitter.join().expect("no panic");
            assert!(seen || woke, "nobody wakes");
        });
    }

    /// Without spinners: a submitter publishes one G and finds no idle P, while an M that found nothing releases its own.
    #[test]
    fn loom_nobody_wakes_cannot_happen_without_spinners() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            let queue = Arc::new(AtomicU32::new(0));
            let (i, q) = (Arc::clone(&idle), Arc::clone(&queue));
            let submitter = thread::spawn(move || {
                q.store(1, Ordering::Relaxed);
                i.begin_wake()
            });
            idle.idle_p_added();
            idle.step_back();
            let seen = queue.load(Ordering::Relaxed) == 1;
            let woke = submitter.join().expect("no panic");
            assert!(seen || woke, "nobody wakes");
        });
    }

    /// Two submitters at once start one spinner, not two.
    #[test]
    fn loom_a_burst_wakes_one() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            idle.idle_p_added();
            let i = Arc::clone(&idle);
            let other = thread::spawn(move || i.begin_wake());
            let mine = idle.begin_wake();
            let theirs = other.join().expect("no panic");
            assert!(mine ^ theirs);
        });
    }

    /// Two submitters at once, both of whom the policy lets wake: each starts one spinner, and both are counted.
    #[test]
    fn loom_no_spinner_is_lost_when_two_submitters_wake_one_each() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            idle.idle_p_added();
            idle.idle_p_added();
            let i = Arc::clone(&idle);
            let other = thread::spawn(move || i.begin_wake_if(|_, idle_ps| idle_ps != 0));
            let mine = idle.begin_wake_if(|_, idle_ps| idle_ps != 0);
            assert!(mine && other.join().expect("no panic"));
            assert_eq!(idle.spinning(), 2);
        });
    }

    /// *Nobody is asked*: a submitter finds no spinner and no idle P, while an M that does not spin, and so will not look again, is about to
    /// release one. Either the M becomes a spinner, or the submitter gets the P.
    #[test]
    fn loom_a_submitter_without_an_idle_p_asks_the_m_that_is_about_to_release_one() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            // The idle Ps, under the scheduler's lock.
            let lock = Arc::new(loom::sync::Mutex::new(0u32));
            let (i, l) = (Arc::clone(&idle), Arc::clone(&lock));
            let submitter = thread::spawn(move || {
                // The G is published in the submitter's own ring, where only a spinner looks.
                if !i.begin_wake() {
                    return false;
                }
                let mut ps = l.lock().expect("no panic");
                if *ps > 0 {
                    *ps -= 1;
                    i.idle_p_removed();
                    return true;
                }
                i.abandon_wake();
                false
            });
            let stays = {
                let mut ps = lock.lock().expect("no panic");
                let stays = idle.take_need_spinning();
                if !stays {
                    *ps += 1;
                    idle.idle_p_added();
                }
                stays
            };
            let started = submitter.join().expect("no panic");
            assert!(stays || started, "a P lies idle beside work");
        });
    }

    /// A submitter goes away because a spinner is asked for already; the one that comes must see its G.
    #[test]
    fn loom_whoever_meets_a_request_sees_the_work_of_all_who_relied_on_it() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            let queue = Arc::new(AtomicU32::new(0));
            // Somebody found no P and asked for a spinner.
            assert!(idle.begin_handoff_spin());
            idle.abandon_wake();
            let (i, q) = (Arc::clone(&idle), Arc::clone(&queue));
            let submitter = thread::spawn(move || {
                q.store(1, Ordering::Relaxed);
                i.begin_wake()
            });
            assert!(idle.take_need_spinning());
            idle.start_spin();
            // It finds nothing and steps back, as every spinner does, before it looks for the last time.
            idle.stop_spin();
            let seen = queue.load(Ordering::Relaxed) == 1;
            let wakes = submitter.join().expect("no panic");
            assert!(seen || wakes, "nobody wakes");
        });
    }

    /// A spinner that was begun finds no P, while the last busy M finds no work: one of them goes on.
    #[test]
    fn loom_work_that_finds_no_p_is_seen_by_the_m_that_releases_one() {
        loom::model(|| {
            let idle = Arc::new(Idle::new());
            let lock = Arc::new(loom::sync::Mutex::new(0u32));
            assert!(idle.begin_handoff_spin());
            let (i, l) = (Arc::clone(&idle), Arc::clone(&lock));
            let begun = thread::spawn(move || {
                let mut ps = l.lock().expect("no panic");
                if *ps > 0 {
                    *ps -= 1;
                    return true;
                }
                i.abandon_wake();
                false
            });
            let mut ps = lock.lock().expect("no panic");
            let stays = idle.take_need_spinning();
            if !stays {
                *ps += 1;
            }
            drop(ps);
            let started = begun.join().expect("no panic");
            assert!(stays || started, "a P lies idle beside work");
        });
    }
}
