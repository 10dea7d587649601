//! M: an OS thread of the runtime, and how code finds the one it runs on.
//!
//! An M is in one of these conditions: running a G with a P; looking for one with a P (spinning when it looks at other
//! Ps); in a system call, whose P may be gone; parked on the list of idle Ms; parked for the G that is locked to it;
//! blocked in the network poller without a P. A parked M is given a P in `next_p` before it is woken. `states.rs` has the legal steps between
//! them; a spinning M is one that searches and is counted.
//!
//! A `&'static M` is reached through a thread-local that is read by a function which is never inlined: a G may suspend on one
//! thread and go on another, and the compiler, which does not know, could keep the address of a thread-local over that.
//! For the same reason a `&M` obtained before a suspension must not be used after it.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use gmp_trace::ids::MId;

use crate::sched::Sched;
use crate::sched::find::Pick;
use crate::sched::g::GRef;
use crate::sched::p::P;
use crate::sched::park_slot::ParkSlot;
use crate::sched::preempt_signal::PreemptSignal;
use crate::sched::states::MState;
#[cfg(debug_assertions)]
use crate::sched::states::m_may;
use crate::tracer::Tracer;

/// An OS thread that runs Gs. The `Cell` fields belong to that thread.
pub(crate) struct M {
    /// Its number.
    pub(crate) id: MId,
    /// The scheduler it belongs to.
    pub(crate) sched: &'static Sched,
    /// The P it holds.
    pub(crate) p: Cell<Option<&'static P>>,
    /// The P it entered a system call with.
    pub(crate) old_p: Cell<Option<&'static P>>,
    /// The G it runs, also while that is in a system call.
    pub(crate) g: Cell<Option<GRef>>,
    /// Whether it is counted as spinning.
    pub(crate) spinning: Shown,
    /// Whether its thread is to end: its locked G did.
    pub(crate) ends: Cell<bool>,
    /// Passes over all Ps and victims tried in the present search.
    pub(crate) search: Cell<(u32, u32)>,
    /// When it found nothing for the first time in the present search, in ns; 0 = not yet. Kept only for a policy that asks.
    pub(crate) spins_since: Cell<u64>,
    /// The order of a pass over the victims, kept so that a pass allocates nothing.
    pub(crate) victims: RefCell<Vec<u32>>,
    /// Clock ticks of the present switch, shared by the events of one switch; 0 when stale.
    pub(crate) switch_ticks: Cell<u64>,
    /// The state of its random numbers.
    pub(crate) random: Cell<u64>,
    /// Whether the spans of its G are being taken off this thread or put on it, which is nothing that the program did.
    pub(crate) moving_spans: Cell<bool>,
    /// The CPU to which its thread is bound, or [`super::pin::ANYWHERE`]. Written by the M; read by who chooses a parked M.
    pub(crate) cpu: AtomicU32,
    /// The G that is locked to it.
    pub(crate) locked_g: Cell<Option<GRef>>,
    /// The P it gets when it is woken. Written by the waker before the wake, read after it.
    pub(crate) next_p: AtomicPtr<P>,
    /// Whether it begins as a spinner when it is woken. As `next_p`.
    pub(crate) next_spinning: AtomicBool,
    /// How its locked G was found, when it is woken for it. Written by the waker under the scheduler's lock.
    pub(crate) next_pick: Cell<Option<Pick>>,
    /// The kernel's number of its thread; 0 until that runs.
    pub(crate) tid: AtomicU32,
    /// Asks the running G to give way at its next call into the runtime.
    pub(crate) preempt: AtomicBool,
    /// Its preemptible section, and the signals into that.
    pub(crate) signal: PreemptSignal,
    /// The signals that its thread blocked when it started.
    pub(crate) mask: Cell<u64>,
    /// Its end of the trace, and its own counters.
    tracer: UnsafeCell<Tracer>,
    /// What it does, as far as debug builds check it. Written by the M itself.
    #[cfg(debug_assertions)]
    state: Cell<MState>,
    /// What it sleeps on.
    slot: ParkSlot,
}

/// A flag of an M's own thread that reports may look at.
pub(crate) struct Shown(AtomicBool);

impl Shown {
    fn new() -> Shown {
        Shown(AtomicBool::new(false))
    }

    /// As of now.
    #[inline]
    pub(crate) fn get(&self) -> bool {
        // Relaxed: the M's own thread alone relies on it.
        self.0.load(Ordering::Relaxed)
    }

    /// The M's own thread sets it.
    #[inline]
    pub(crate) fn set(&self, to: bool) {
        self.0.store(to, Ordering::Relaxed);
    }
}

// SAFETY: the cells are used by the M's own thread, except `next_pick`, which the waker writes while the M is parked and which
// the release in `unpark` and the acquire in `sleep` publish; the tracer is reached only through `tracer`, whose contract says so.
unsafe impl Sync for M {}
// SAFETY: as above; an M is made on one thread and handed to its own before that starts.
unsafe impl Send for M {}

impl M {
    /// An M whose thread is still to start.
    pub(crate) fn new(id: MId, sched: &'static Sched, seed: u64) -> M {
        M {
            id,
            sched,
            p: Cell::new(None),
            old_p: Cell::new(None),
            g: Cell::new(None),
            spinning: Shown::new(),
            ends: Cell::new(false),
            tid: AtomicU32::new(0),
            search: Cell::new((0, 0)),
            spins_since: Cell::new(0),
            victims: RefCell::new(Vec::new()),
            switch_ticks: Cell::new(0),
            random: Cell::new(seed | 1),
            moving_spans: Cell::new(false),
            cpu: AtomicU32::new(super::pin::ANYWHERE),
            locked_g: Cell::new(None),
            next_p: AtomicPtr::new(std::ptr::null_mut()),
            next_spinning: AtomicBool::new(false),
            next_pick: Cell::new(None),
            preempt: AtomicBool::new(false),
            signal: PreemptSignal::new(),
            mask: Cell::new(0),
            tracer: UnsafeCell::new(Tracer::off()),
            #[cfg(debug_assertions)]
            state: Cell::new(MState::New),
            slot: ParkSlot::new(),
        }
    }

    /// Its tracer. Called on the M's own thread only, and never while another borrow of it lives: every use is one expression.
    #[inline]
    #[allow(clippy::mut_from_ref, reason = "one thread, one expression at a time")]
    pub(crate) fn tracer(&self) -> &mut Tracer {
        // SAFETY: only the M's own thread calls this (G code and scheduler code alternate on it), and no caller keeps the borrow
        // over a call that could ask for it again.
        unsafe { &mut *self.tracer.get() }
    }

    /// It does something else from now on. Debug builds check that it may; the M itself calls it.
    #[inline]
    pub(crate) fn goes_to(&self, to: MState) {
        #[cfg(debug_assertions)]
        {
            let from = self.state.replace(to);
            if !m_may(from, to) {
                crate::fatal::fatal(format_args!(
                    "{}: {from:?} to {to:?} is no legal step",
                    self.id
                ));
            }
            let counted_alone = self.spinning.get() && to != MState::Searching;
            if counted_alone {
                crate::fatal::fatal(format_args!("{} counts as spinning and is {to:?}", self.id));
            }
        }
        #[cfg(not(debug_assertions))]
        let _ = to;
    }

    /// The P it holds; the scheduler's own paths only run where there is one.
    pub(crate) fn held_p(&self) -> &'static P {
        match self.p.get() {
            Some(p) => p,
            None => crate::fatal::fatal(format_args!("{} holds no P where one is needed", self.id)),
        }
    }

    /// A random number (xorshift64*): for victims, where speed matters and quality hardly does.
    pub(crate) fn next_random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Whether its locked G was found and the wake is on its way. Called by the M itself, under the scheduler's lock.
    pub(crate) fn next_pick_is_there(&self) -> bool {
        let pick = self.next_pick.take();
        self.next_pick.set(pick);
        pick.is_some()
    }

    /// Sleeps until [`M::unpark`]; returns at once if that came first.
    pub(crate) fn sleep(&self) {
        // `next_p` and its companions are visible afterwards.
        self.slot.sleep();
    }

    /// Ends a [`M::sleep`], the present one or the next. Woken twice for one sleep is a broken invariant.
    pub(crate) fn unpark(&self) {
        if !self.slot.wake() {
            crate::fatal::fatal(format_args!("{} was woken twice", self.id));
        }
    }
}

thread_local! {
    static CURRENT: Cell<Option<&'static M>> = const { Cell::new(None) };
}

/// The M that this thread is, if it is one. Never inlined: see the module header. Not for code inside of a preemptible section, which
/// ends the program in a debug build.
#[inline(never)]
pub(crate) fn current() -> Option<&'static M> {
    let m = CURRENT.with(Cell::get);
    #[cfg(debug_assertions)]
    if let Some(m) = m {
        crate::sched::async_preempt::assert_outside(m);
    }
    m
}

/// The M that this thread is, unless its runtime has ended: then it is in a call that nobody waits for, and a thread as any other.
pub(crate) fn in_service() -> Option<&'static M> {
    current().filter(|m| !m.sched.is_shutdown())
}

/// As [`current`], for signal handlers, which may interrupt a preemptible section.
#[inline(never)]
pub(crate) fn current_anywhere() -> Option<&'static M> {
    CURRENT.with(Cell::get)
}

/// The M that this thread is, if it is running a G and holds a P: if it is inside the world of Gs.
#[inline]
pub(crate) fn running() -> Option<(&'static M, GRef)> {
    let m = current()?;
    m.p.get()?;
    Some((m, m.g.get()?))
}

/// Makes this thread an M, or no M again.
#[inline(never)]
pub(crate) fn set_current(m: Option<&'static M>) {
    CURRENT.with(|c| c.set(m));
}
