//! One descriptor's readiness and deadlines.

use std::os::fd::RawFd;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use gmp_trace::event::ParkReason;

use super::semaphore::{Begin, Semaphore};
use crate::sched::park::{self, Object, Unparker};
use crate::sched::timers::{self, TimerAction, TimerHandle};
use crate::sched::{Sched, m};
use crate::time::now_ns;

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Reading, accepting.
    Read = 0,
    /// Writing, connecting.
    Write = 1,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The descriptor may be ready: try again.
    Ready,
    /// The deadline passed.
    TimedOut,
    /// It was closed.
    Closed,
    /// The runtime whose poller knows it has ended: nobody would say that it is ready.
    Ended,
}

/// The state of a descriptor. Never freed; see the module header.
pub(crate) struct PollDesc {
    semaphores: [Semaphore; 2],
    /// 0 = none, -1 = passed, else when, in ns.
    deadlines: [AtomicI64; 2],
    /// Bumped when a deadline changes, so that a timer of the one before does nothing. Written under the lock of `timers`, together with
    /// the deadline.
    deadline_seq: [AtomicU64; 2],
    timers: [Mutex<Option<TimerHandle>>; 2],
    closing: AtomicBool,
    /// Which use of this descriptor it is.
    pub(super) seq: AtomicU32,
    /// The runtime whose poller knows it. Who waits need not be one of its Gs.
    owner: &'static Sched,
}

/// One waiter less in a runtime's poller.
fn waits_no_more(owner: &'static Sched) {
    if owner.poller.woken(1) {
        crate::sched::find::nobody_waits(owner);
    }
}

impl PollDesc {
    pub(super) fn new(owner: &'static Sched) -> PollDesc {
        PollDesc {
            semaphores: [Semaphore::new(), Semaphore::new()],
            deadlines: [const { AtomicI64::new(0) }; 2],
            deadline_seq: [const { AtomicU64::new(0) }; 2],
            timers: [const { Mutex::new(None) }; 2],
            closing: AtomicBool::new(false),
            seq: AtomicU32::new(0),
            owner,
        }
    }

    /// Makes it fit for a new socket.
    pub(super) fn reuse(&self) {
        for d in [Direction::Read, Direction::Write] {
            self.semaphores[d as usize].reset();
            self.deadlines[d as usize].store(0, Ordering::Relaxed);
            self.deadline_seq[d as usize].fetch_add(1, Ordering::Relaxed);
        }
        // Release: the registration with the kernel orders it for the poller.
        self.closing.store(false, Ordering::Release);
    }

    /// Forgets an old readiness before an operation is tried. Go: `netpollReset`.
    pub(crate) fn prepare(&self, d: Direction) -> Waited {
        let state = self.state(d);
        if state == Waited::Ready {
            // Nobody waits in this direction: the caller holds the right to.
            self.semaphores[d as usize].reset();
        }
        state
    }

    /// Watches the descriptor no more: it is about to be closed, and nobody waits for it.
    pub(crate) fn deregister(&'static self, fd: RawFd) {
        self.owner.poller.deregister(fd, self);
    }

    /// Whether the descriptor may be used in this direction now.
    fn state(&self, d: Direction) -> Waited {
        // SeqCst: the closer and the timer publish their flag before they touch the semaphore; the waiter sets the semaphore before it
        // reads the flags. One of the two sees the other.
        if self.closing.load(Ordering::SeqCst) {
            Waited::Closed
        } else if self.deadlines[d as usize].load(Ordering::SeqCst) < 0 {
            Waited::TimedOut
        } else {
            Waited::Ready
        }
    }

    /// Waits until the direction is ready. One waiter for each direction. Go: `netpollblock`.
    pub(crate) fn wait(&self, d: Direction, reason: ParkReason, object: &Object) -> Waited {
        let semaphore = &self.semaphores[d as usize];
        match semaphore.begin() {
            Begin::Wait => {}
            Begin::Ready => return self.state(d),
            Begin::Busy => panic!("two Gs wait for the same socket in the same direction"),
        }
        let ended = self.owner.is_shutdown();
        if !ended && self.state(d) == Waited::Ready {
            let me = Unparker::current().into_raw();
            let owner = self.owner;
            // Counted before the token can be taken out, so that the count is never less than nothing.
            owner.poller.waits();
            let foreign = m::running().is_none_or(|(m, _)| !std::ptr::eq(m.sched, owner));
            park::park(reason, object, &mut || {
                // Copied from the G's stack: once the semaphore has the token, the G may go on elsewhere and its frame be gone.
                let by_another = foreign;
                let waits = semaphore.commit(me);
                if !waits {
                    waits_no_more(owner);
                } else if by_another {
                    // It does not come by the scheduler afterwards: if nobody polls, an M is to.
                    crate::sched::wake::wake_p(owner);
                }
                waits
            });
        }
        semaphore.end();
        match self.state(d) {
            Waited::Ready if ended => Waited::Ended,
            state => state,
        }
    }

    /// The direction is ready, or (`ready` false) its wait is to end; the token of the waiter to wake, who counts as waiting until the
    /// caller says that it was woken. Go: `netpollunblock`.
    pub(super) fn unblock(&self, d: Direction, ready: bool) -> Option<usize> {
        self.semaphores[d as usize].unblock(ready)
    }

    fn wake(&self, d: Direction) {
        if let Some(token) = self.unblock(d, false) {
            // SAFETY: a waiter stored it in the commit of its park, and it was taken out just now, once.
            unsafe { Unparker::from_raw(token) }.unpark();
            // After it was made runnable: in between, nobody else may find that nothing is waited for.
            waits_no_more(self.owner);
        }
    }

    /// Ends all waits: the socket is about to be closed.
    pub(crate) fn close(&'static self) {
        self.closing.store(true, Ordering::SeqCst);
        for d in [Direction::Read, Direction::Write] {
            self.set_deadline(d, None);
            self.wake(d);
        }
    }

    /// Sets, moves or clears a deadline, in ns of [`now_ns`]. One that has passed ends the present wait at once.
    pub(crate) fn set_deadline(&'static self, d: Direction, deadline: Option<u64>) {
        let i = d as usize;
        let mut timer = self.timers[i]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Under the lock, together with what follows. *The deadline without a timer*: two set deadlines at once; the number of the first is
        // older, but its timer is started last, finds a newer number when it fires, and does nothing.
        let seq = self.deadline_seq[i].fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(old) = timer.take() {
            old.stop();
        }
        match deadline {
            None => self.deadlines[i].store(0, Ordering::SeqCst),
            Some(when) if when <= now_ns() => {
                self.deadlines[i].store(-1, Ordering::SeqCst);
                drop(timer);
                self.wake(d);
            }
            Some(when) => {
                self.deadlines[i].store(i64::try_from(when).unwrap_or(i64::MAX), Ordering::SeqCst);
                let action = std::sync::Arc::new(move |_| self.deadline_passed(d, seq));
                *timer = Some(timers::start_timer(when, TimerAction::Call(action)));
            }
        }
    }

    /// The timer of deadline number `seq` fired. It runs on the scheduler's stack: the lock is held for a few instructions only.
    fn deadline_passed(&self, d: Direction, seq: u64) {
        let i = d as usize;
        {
            let _timer = self.timers[i]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Another deadline has taken its place, or takes it after this: then it undoes this.
            if self.deadline_seq[i].load(Ordering::SeqCst) != seq {
                return;
            }
            self.deadlines[i].store(-1, Ordering::SeqCst);
        }
        self.wake(d);
    }
}
