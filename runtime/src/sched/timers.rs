//! Timers: a heap for each P, run by the scheduling loop, as in Go.
//!
//! A timer lives in the heap of the P that started it (the policy `timers` changes that). Who runs it when it is due: that P at the top of
//! `find_runnable`, or a spinning thief in its last pass over that P (the timer is run there, not moved). What it does, its [`TimerAction`], runs on
//! the scheduler's stack with no lock held and must not block.
//!
//! Starting a timer that is the earliest of its heap, or moving one to an earlier time, must wake somebody who would otherwise sleep too
//! long: the M blocked in the network poller (or the poller thread), or, when nobody polls, an idle P ([`wake_net_poller`]; the protocol is
//! in [`super::poll_turn`]).
//!
//! Stopping and moving a timer never touch the heap it is in: [`super::timer_set`] says how.

use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Weak};

use gmp_policy::knobs::netpoll::Netpoll;
use gmp_policy::view::TimerView;
use gmp_trace::event::{Event, Via};
use gmp_trace::ids::PId;
use gmp_trace::tally::Tally;

use crate::sched::Sched;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::park::{Claim, Unparker, Winner};
use crate::sched::poll_turn::Turn;
use crate::sched::timer_set::{Change, Closed, Due, Firing, Removed, Timer, TimerSet};
use crate::sched::wake;
use crate::time::now_ns;

/// What a timer does when it fires. It runs on the scheduler's stack and must not block.
pub(crate) enum TimerAction {
    /// Wakes a waiter if it wins the claim.
    Claim(Arc<Claim>),
    /// Calls a function with the time at which it was to fire.
    Call(Arc<dyn Fn(u64) + Send + Sync>),
    /// Puts the time at which it was to fire into a channel, if that still is there.
    Fill(Weak<dyn Fill>),
}

/// A channel that a timer fills.
pub(crate) trait Fill: Send + Sync {
    /// Puts `when` in, if `counts` says so when the channel is locked, and if there is room or somebody waits.
    fn fill(&self, when: u64, counts: &dyn Fn() -> bool);
}

/// An action, and the runtime whose heaps the timer is put into.
pub(crate) struct Action {
    action: TimerAction,
    /// Written under the timer's lock when it is put into a heap. *The other's heap*: two runtimes set one timer at once, and only one of them
    /// gets to put it into a heap.
    sched: AtomicPtr<Sched>,
}

/// A P's timers. What is added for certain is a waiter that nothing else wakes.
pub(crate) type Timers = TimerSet<Unparker, Action>;
/// What was taken out of them.
pub(crate) type RemovedTimers = Removed<Unparker, Action>;

/// A timer that can be stopped and set anew.
pub(crate) struct TimerHandle(Arc<Timer<Action>>);

impl TimerHandle {
    /// A timer that is not set yet.
    pub(crate) fn new(action: TimerAction) -> TimerHandle {
        let is_chan = matches!(action, TimerAction::Fill(_));
        let sched = AtomicPtr::new(std::ptr::null_mut());
        TimerHandle(Arc::new(Timer::new(Action { action, sched }, is_chan)))
    }

    /// Another handle of the same timer.
    pub(crate) fn share(&self) -> TimerHandle {
        TimerHandle(Arc::clone(&self.0))
    }

    /// Disarms it; `true` if it was to fire. A channel that it fills is locked by the caller.
    pub(crate) fn stop(&self) -> bool {
        self.0.stop()
    }

    /// Sets it; [`TimerHandle::settle`] is to follow. A channel that it fills is locked by the caller.
    pub(crate) fn set(&self, when: u64, period: u64) -> Change {
        self.0.modify(when, period)
    }

    /// Does what is left to do after a change.
    ///
    /// # Panics
    /// When no runtime runs that would run it.
    pub(crate) fn settle(&self, change: Change) {
        if !self.try_settle(change) {
            nobody_runs_it();
        }
    }

    /// The same; `false` when no runtime runs that would run it, so it is in no heap.
    fn try_settle(&self, change: Change) -> bool {
        let placed = !change.add
            || put(|sched, timers| {
                let owner = std::ptr::from_ref(sched).cast_mut();
                // Relaxed: the timer's lock orders it, which who changes the timer takes before it reads this.
                timers.add(&self.0, |action| {
                    action.sched.store(owner, Ordering::Relaxed)
                })
            });
        if let Some(when) = change.wake {
            // SAFETY: null, or a runtime, which is never freed.
            if let Some(sched) = unsafe { self.0.action.sched.load(Ordering::Relaxed).as_ref() } {
                wake_net_poller(sched, when);
            }
        }
        placed
    }

    /// Somebody begins to wait for the channel that it fills, which is locked. For a G of a runtime that has ended meanwhile that is for ever.
    pub(crate) fn block(&self) {
        self.try_settle(self.0.block());
    }

    /// That wait is over.
    pub(crate) fn unblock(&self) {
        self.0.unblock();
    }

    /// Somebody is about to look at the channel that it fills, which is not locked: if it is due it fires now.
    pub(crate) fn look(&self) {
        if let Some(firing) = self.0.look(now_ns) {
            act(&self.0, firing, |waiter| waiter.unpark());
        }
    }
}

/// Starts a timer that can be stopped. Where no runtime runs it never fires.
pub(crate) fn start_timer(when: u64, action: TimerAction) -> TimerHandle {
    let timer = TimerHandle::new(action);
    timer.try_settle(timer.set(when, 0));
    timer
}

/// Starts a timer that wakes a waiter for certain: nothing else may wake it. Called in the commit of the waiter's park. A G of a runtime that
/// has ended is not woken any more.
pub(crate) fn start_wake(when: u64, waiter: Unparker) {
    put(|_, timers| {
        let earliest = timers.add_plain(when, waiter)?;
        Ok(earliest.then_some(when))
    });
}

/// Adds something to the heap that takes what is started here, and sees to it that somebody is awake when `add` says so. `false` if no
/// runtime runs.
fn put(add: impl Fn(&'static Sched, &Timers) -> Result<Option<u64>, Closed>) -> bool {
    while let Some((sched, p)) = here() {
        // If that is closed its runtime ended just now, and is not here any more.
        if let Ok(when) = add(sched, &p.timers) {
            if let Some(when) = when {
                wake_net_poller(sched, when);
            }
            return true;
        }
    }
    false
}

/// The runtime and the P whose heap takes a timer that is started here. What does not hold a P uses P 0, the one that is always there.
fn here() -> Option<(&'static Sched, &'static P)> {
    match m::in_service() {
        Some(m) => Some((
            m.sched,
            m.p.get()
                .map_or_else(|| m.sched.p(PId(0)), |p| heap_for(m.sched, p)),
        )),
        None => crate::sched::home().map(|sched| (sched, sched.p(PId(0)))),
    }
}

/// Says whether a timer that is started here would ever be run.
///
/// # Panics
/// When it would not, because no runtime runs in this process.
pub(crate) fn assert_running() {
    if m::in_service().is_none() && crate::sched::home().is_none() {
        nobody_runs_it();
    }
}

fn nobody_runs_it() -> ! {
    panic!("no gmp runtime runs in this process, so nothing would run this timer")
}

/// The P whose heap takes a timer that is started on a P, which the caller holds: so the number of Ps does not change meanwhile.
fn heap_for(sched: &'static Sched, current: &P) -> &'static P {
    sched.p(PId(sched.policy.timer_heap(&TimerView {
        current: current.id.0,
        procs: sched.procs(),
        nth: current.count_timer(),
    })))
}

/// The earlier of a time to wait until (0 = none) and that of a heap (`u64::MAX` = none), in the first form.
pub(crate) fn earlier(until: u64, when: u64) -> u64 {
    match (until, when) {
        (_, u64::MAX) => until,
        (0, _) => when,
        _ => until.min(when),
    }
}

/// Makes sure that somebody is awake at `when`. Go: `wakeNetPoller`.
pub(crate) fn wake_net_poller(sched: &'static Sched, when: u64) {
    // While no P is idle, a poller thread has nothing to wait for: the holder of each P looks after its timers, and looks once more when it
    // releases the P; then it breaks the wait.
    if sched.policy.netpoll == Netpoll::Thread && sched.idle.no_p_is_idle() {
        return wake::wake_p(sched);
    }
    match sched.poll_turn.ask(when) {
        Turn::InTime => {}
        Turn::TooLong => sched.poller.wake(),
        Turn::Nobody => wake::wake_p(sched),
    }
}

/// Runs the due timers of a P on this M; returns how many fired. The M holds a P, not necessarily that one.
pub(crate) fn run_due(m: &'static M, p: &'static P, now: u64) -> u32 {
    let mut fired = 0;
    while let Some(due) = p.timers.take_due(now) {
        fired += 1;
        let when = match &due {
            Due::Plain(when, _) => *when,
            Due::Timer(_, firing) => firing.when,
        };
        let tracer = m.tracer();
        tracer.count(Tally::Timers);
        tracer.emit(
            tracer.now(),
            Event::Timer {
                heap: p.id,
                late_ns: now.saturating_sub(when),
            },
        );
        match due {
            Due::Plain(_, waiter) => wake_waiter(m, waiter),
            Due::Timer(timer, firing) => act(&timer, firing, |waiter| wake_waiter(m, waiter)),
        }
    }
    fired
}

/// Does what a timer is to do when it fires. No lock is held.
fn act(timer: &Timer<Action>, firing: Firing, wake: impl FnOnce(Unparker)) {
    match &timer.action.action {
        TimerAction::Claim(claim) => {
            if claim.claim(Winner::Timer) {
                wake(claim.unparker());
            }
        }
        TimerAction::Call(f) => f(firing.when),
        TimerAction::Fill(chan) => {
            // A channel that is gone has nobody who could see whether the firing counted.
            if let Some(chan) = chan.upgrade() {
                chan.fill(firing.when, &|| timer.may_send(firing));
            }
        }
    }
}

fn wake_waiter(m: &'static M, waiter: Unparker) {
    match waiter.g() {
        Some(g) if std::ptr::eq(g.sched, m.sched) => wake::ready(m, g, Via::Timer),
        _ => waiter.unpark(),
    }
}
