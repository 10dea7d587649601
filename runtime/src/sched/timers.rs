//! Timers: a heap for each P, run by the scheduling loop, as in Go.
//!
//! A timer lives in the heap of the P that started it. Who runs it when it is due: that P at the top of `find_runnable`, or a
//! spinning thief in its last pass over that P (the timer is run there, not moved). What it does, its [`TimerAction`], runs on
//! the scheduler's stack with no lock held and must not block.
//!
//! Starting a timer that is the earliest of its heap must wake somebody who would otherwise sleep too long: the M blocked in the
//! network poller, or, when nobody polls, an idle P ([`wake_net_poller`]).
//!
//! A stopped timer stays in its heap as a zombie until it is due or zombies are many; stopping only moves its state word.

use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gmp_trace::event::{Event, Via};
use gmp_trace::ids::PId;
use gmp_trace::tally::Tally;

use crate::sched::Sched;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::park::{Claim, Unparker, Winner};
use crate::sched::poll_turn::Turn;
use crate::sched::wake;
use crate::timer::TimerHeap;

/// What a timer does when it fires. It runs on the scheduler's stack and must not block.
pub(crate) enum TimerAction {
    /// Wakes a waiter if it wins the claim.
    Claim(Arc<Claim>),
    /// Calls a function with the time at which it was to fire.
    Call(Arc<dyn Fn(u64) + Send + Sync>),
}

/// An entry of a heap.
enum Entry {
    /// Fires for certain.
    Plain(Unparker),
    /// Fires if the timer is still armed with this generation.
    Stoppable(Arc<Timer>, u64),
}

impl Entry {
    fn is_armed(&self) -> bool {
        match self {
            Entry::Plain(_) => true,
            Entry::Stoppable(timer, generation) => {
                timer.generation.load(Ordering::Acquire) == *generation
            }
        }
    }
}

/// Entries from which on a heap is rid of its zombies when they are more than a quarter.
const COMPACT_FROM: usize = 64;

/// A timer that can be stopped and set anew.
struct Timer {
    /// Even: not armed. Odd: armed, with this generation. Each arming takes the next odd number.
    generation: AtomicU64,
    action: TimerAction,
    /// Whose heap it is in, or was in last.
    home: AtomicPtr<Timers>,
}

/// A P's timers.
pub(crate) struct Timers {
    heap: Mutex<TimerHeap<Entry>>,
    /// When the earliest is due; `u64::MAX` when there is none. Written under the lock.
    next_when: AtomicU64,
    /// Stopped timers that are still in the heap, about.
    zombies: AtomicUsize,
}

impl Timers {
    /// None.
    pub(crate) fn new() -> Timers {
        Timers {
            heap: Mutex::new(TimerHeap::new()),
            next_when: AtomicU64::new(u64::MAX),
            zombies: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TimerHeap<Entry>> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the earliest is due; `u64::MAX` when there is none.
    pub(crate) fn next_when(&self) -> u64 {
        // SeqCst: who is about to block reads this after it stopped spinning and released its P; who adds a timer writes it
        // and then looks for spinners and for the poller. One of the two sees the other (the same argument as for run queues).
        self.next_when.load(Ordering::SeqCst)
    }

    fn publish(&self, heap: &TimerHeap<Entry>) {
        // SeqCst: see `next_when`.
        self.next_when
            .store(heap.next_when().unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Adds an entry; `true` if it is the earliest now.
    fn add(&self, when: u64, entry: Entry) -> bool {
        let mut heap = self.lock();
        let earliest = heap.next_when().is_none_or(|next| when < next);
        // Relaxed: a statistic; compaction looks at each entry itself.
        if heap.len() >= COMPACT_FROM && self.zombies.load(Ordering::Relaxed) * 4 > heap.len() {
            heap.retain(Entry::is_armed);
            self.zombies.store(0, Ordering::Relaxed);
        }
        heap.add(when, entry);
        self.publish(&heap);
        earliest
    }

    /// Moves all entries to another P: this one is no more.
    pub(crate) fn move_to(&self, other: &Timers) {
        let mut entries = Vec::new();
        {
            let mut heap = self.lock();
            while let Some(due) = heap.pop_due(u64::MAX) {
                entries.push(due);
            }
            self.publish(&heap);
        }
        let mut heap = other.lock();
        for (when, entry) in entries {
            heap.add(when, entry);
        }
        other.publish(&heap);
    }
}

/// A started timer.
pub(crate) struct TimerHandle(Arc<Timer>);

impl Timer {
    fn note_zombie(&self) {
        // SAFETY: null, or the timers of a P, which is never freed.
        if let Some(home) = unsafe { self.home.load(Ordering::Relaxed).as_ref() } {
            home.zombies.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TimerHandle {
    /// Disarms it; `true` if it had not fired.
    pub(crate) fn stop(&self) -> bool {
        let mut generation = self.0.generation.load(Ordering::Acquire);
        loop {
            if generation.is_multiple_of(2) {
                return false;
            }
            // AcqRel: the same word decides between stopping and firing; the loser sees what the winner did before.
            match self.0.generation.compare_exchange(
                generation,
                generation + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.0.note_zombie();
                    return true;
                }
                Err(now) => generation = now,
            }
        }
    }
}

/// Starts a timer that can be stopped.
pub(crate) fn start_timer(when: u64, action: TimerAction) -> TimerHandle {
    let timer = Arc::new(Timer {
        generation: AtomicU64::new(0),
        action,
        home: AtomicPtr::new(std::ptr::null_mut()),
    });
    arm(&timer, when);
    TimerHandle(timer)
}

/// Starts a timer that wakes a waiter for certain: nothing else may wake it. Called in the commit of the waiter's park.
pub(crate) fn start_wake(when: u64, waiter: Unparker) {
    let (sched, p) = here();
    insert(sched, p, when, Entry::Plain(waiter));
}

fn arm(timer: &Arc<Timer>, when: u64) {
    // AcqRel: see `stop`. Even -> odd: only a disarmed timer is armed, by its one handle.
    let generation = timer.generation.fetch_add(1, Ordering::AcqRel) + 1;
    let (sched, p) = here();
    // Relaxed: only its statistic is reached through it.
    timer
        .home
        .store(std::ptr::from_ref(&p.timers).cast_mut(), Ordering::Relaxed);
    insert(
        sched,
        p,
        when,
        Entry::Stoppable(Arc::clone(timer), generation),
    );
}

/// The runtime and the P whose heap takes a timer that is started here.
fn here() -> (&'static Sched, &'static P) {
    match m::current() {
        Some(m) => (m.sched, m.p.get().unwrap_or_else(|| m.sched.p(PId(0)))),
        None => {
            let sched = crate::sched::timer_home();
            (sched, sched.p(PId(0)))
        }
    }
}

fn insert(sched: &'static Sched, p: &'static P, when: u64, entry: Entry) {
    if p.timers.add(when, entry) {
        wake_net_poller(sched, when);
    }
}

/// Makes sure that somebody is awake at `when`. Go: `wakeNetPoller`.
pub(crate) fn wake_net_poller(sched: &'static Sched, when: u64) {
    match sched.poll_turn.ask(when) {
        Turn::InTime => {}
        Turn::TooLong => sched.poller.wake(),
        Turn::Nobody => wake::wake_p(sched),
    }
}

/// Runs the due timers of a P on this M; returns how many fired. The M holds a P, not necessarily that one.
pub(crate) fn run_due(m: &'static M, p: &'static P, now: u64) -> u32 {
    let mut fired = 0;
    loop {
        let due = {
            let mut heap = p.timers.lock();
            let due = heap.pop_due(now);
            p.timers.publish(&heap);
            due
        };
        let Some((when, entry)) = due else {
            return fired;
        };
        fired += u32::from(fire(m, p, now, when, entry));
    }
}

fn fire(m: &'static M, p: &'static P, now: u64, when: u64, entry: Entry) -> bool {
    let timer = match &entry {
        Entry::Plain(_) => None,
        Entry::Stoppable(timer, generation) => {
            // AcqRel: see `TimerHandle::stop`.
            let armed = timer.generation.compare_exchange(
                *generation,
                generation + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
            if armed.is_err() {
                return false;
            }
            Some(Arc::clone(timer))
        }
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
    match (entry, timer) {
        (Entry::Plain(waiter), _) => wake_waiter(m, waiter),
        (Entry::Stoppable(..), Some(timer)) => match &timer.action {
            TimerAction::Claim(claim) => {
                if claim.claim(Winner::Timer) {
                    wake_waiter(m, claim.unparker());
                }
            }
            TimerAction::Call(f) => f(when),
        },
        (Entry::Stoppable(..), None) => {}
    }
    true
}

fn wake_waiter(m: &'static M, waiter: Unparker) {
    match waiter.g() {
        Some(g) => wake::ready(m, g, Via::Timer),
        None => waiter.unpark_thread(),
    }
}
