//! M: an OS thread of the runtime, and how code finds the one it runs on.
//!
//! An M is in one of these conditions: running a G with a P; looking for one with a P (spinning when it looks at other
//! Ps); in a system call, whose P may be gone; parked on the list of idle Ms; parked for the G that is locked to it;
//! blocked in the network poller without a P. A parked M is given a P in `next_p` before it is woken.
//!
//! A `&'static M` is reached through a thread-local that is read by a function which is never inlined: a G may suspend on one
//! thread and go on another, and the compiler, which does not know, could keep the address of a thread-local over that.
//! For the same reason a `&M` obtained before a suspension must not be used after it.

use std::cell::{Cell, UnsafeCell};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering};

use gmp_trace::ids::MId;

use crate::sched::Sched;
use crate::sched::find::Pick;
use crate::sched::g::GRef;
use crate::sched::p::P;
use crate::sched::preempt_signal::PreemptSignal;
use crate::sys::futex;
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
    pub(crate) spinning: Cell<bool>,
    /// Passes over all Ps and victims tried in the present search.
    pub(crate) search: Cell<(u32, u32)>,
    /// Clock ticks of the present switch, shared by the events of one switch; 0 when stale.
    pub(crate) switch_ticks: Cell<u64>,
    /// The state of its random numbers.
    pub(crate) random: Cell<u64>,
    /// Whether the spans of its G are being taken off this thread or put on it, which is nothing that the program did.
    pub(crate) moving_spans: Cell<bool>,
    /// The G that is locked to it.
    pub(crate) locked_g: Cell<Option<GRef>>,
    /// The P it gets when it is woken. Written by the waker before the wake, read after it.
    pub(crate) next_p: AtomicPtr<P>,
    /// Whether it begins as a spinner when it is woken. As `next_p`.
    pub(crate) next_spinning: AtomicBool,
    /// How its locked G was found, when it is woken for it. Written by the waker under the scheduler's lock.
    pub(crate) next_pick: Cell<Option<Pick>>,
    /// Asks the running G to give way at its next call into the runtime.
    pub(crate) preempt: AtomicBool,
    /// Its preemptible section, and the signals into that.
    pub(crate) signal: PreemptSignal,
    /// The kernel's number of its thread, for signals; 0 before the thread runs. Written by itself.
    pub(crate) tid: AtomicI32,
    /// The signals that its thread blocked when it started.
    pub(crate) mask: Cell<u64>,
    /// Its end of the trace, and its own counters.
    tracer: UnsafeCell<Tracer>,
    /// 0 = nobody woke it, 1 = somebody did.
    wake: AtomicU32,
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
            spinning: Cell::new(false),
            search: Cell::new((0, 0)),
            switch_ticks: Cell::new(0),
            random: Cell::new(seed | 1),
            moving_spans: Cell::new(false),
            locked_g: Cell::new(None),
            next_p: AtomicPtr::new(std::ptr::null_mut()),
            next_spinning: AtomicBool::new(false),
            next_pick: Cell::new(None),
            preempt: AtomicBool::new(false),
            signal: PreemptSignal::new(),
            tid: AtomicI32::new(0),
            mask: Cell::new(0),
            tracer: UnsafeCell::new(Tracer::off()),
            wake: AtomicU32::new(0),
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
        // Acquire pairs with the release in `unpark`: `next_p` and its companions are visible.
        while self.wake.load(Ordering::Acquire) == 0 {
            futex::wait(&self.wake, 0, None);
        }
        // Relaxed: consumed by this thread; the next waker is ordered after it by the scheduler's lock.
        self.wake.store(0, Ordering::Relaxed);
    }

    /// Ends a [`M::sleep`], the present one or the next. Woken twice for one sleep is a broken invariant.
    pub(crate) fn unpark(&self) {
        // Release publishes `next_p` and its companions to `sleep`.
        if self.wake.swap(1, Ordering::Release) != 0 {
            crate::fatal::fatal(format_args!("{} was woken twice", self.id));
        }
        futex::wake_one(&self.wake);
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
