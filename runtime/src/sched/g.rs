//! G: a goroutine, the task that is scheduled, and every legal change of its state.
//!
//! # Who owns a G
//! Exactly one party may change a G at any time, and its state says who:
//! | state | owner |
//! |---|---|
//! | dead | the free list it is on, or whoever took it from there |
//! | runnable | the run queue it is in, or whoever took it from there |
//! | running | the M in `m` |
//! | syscall | the M in `m`; its P may be taken away |
//! | waiting | the waker that won the right to ready it, by dequeuing it or by a claim |
//!
//! The fields without a lock are written by the owner only; the hand-over from owner to owner always goes through a
//! release store and an acquire load of something else (a queue slot, a lock, the state word), which publishes them.
//!
//! A G is never freed while its scheduler lives, so a stale pointer to one is harmless to read; dead ones are reused.

use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU64, Ordering};

use gmp_trace::event::{GKind, GState, ParkReason};
use gmp_trace::ids::GId;

use crate::context::{Coroutine, Stack, Suspender};
use crate::fatal::fatal;
use crate::sched::Sched;
use crate::sched::m::M;
use crate::sched::measures::Track;
use crate::sched::park::Commit;
use crate::sched::runq::Item;
use crate::sched::states::g_may;
use crate::spans::Entered;

/// What a G asks of the scheduler when it suspends itself; read by the M that ran it.
#[derive(Clone, Copy)]
pub(crate) enum Request {
    /// Nothing: it ended.
    None,
    /// Run somebody else; stay runnable.
    Yield,
    /// As `Yield`, but it stays with its P: behind the G that it has just readied. Go: `goyield`.
    YieldLocal,
    /// As `Yield`, but it was asked to.
    Preempt,
    /// As `Preempt`, by a signal.
    PreemptAsync,
    /// Wait; the commit runs after the state is waiting.
    Park(ParkReason, Commit),
    /// Its system call ended and no P was to be had.
    SyscallExit,
}

/// A goroutine. See the module for who may touch what.
pub(crate) struct G {
    /// Its number; a dead G that is reused gets a new one.
    id: AtomicU64,
    /// The state word: a [`GState`] as its number.
    state: AtomicU8,
    /// The [`ParkReason`] of the last park, for the deadlock report.
    reason: AtomicU8,
    /// The object of the last park, for the deadlock report.
    pub(crate) object: AtomicU64,
    /// The M that runs it or that it is in a system call on. Written by that M.
    pub(crate) m: AtomicPtr<M>,
    /// The M it must run on, if any. Written by itself while it runs.
    pub(crate) locked_m: AtomicPtr<M>,
    /// Whether the lock to its M was taken only because it parked while it unwound.
    pub(crate) pinned_by_panic: Cell<bool>,
    /// How often it locked itself to its M and did not undo it. Written by itself while it runs.
    pub(crate) lock_count: Cell<u32>,
    /// Whether it is the runtime's own, which nobody counts or waits for. Written while dead.
    pub(crate) system: Cell<bool>,
    /// The timing of its waits.
    track: Track,
    /// Whether it ended by a panic.
    pub(crate) panicked: AtomicBool,
    /// How often it moved between Ms: the `seq` of its events. Written by the owner.
    seq: Cell<u64>,
    /// What it is made of.
    pub(crate) kind: Cell<GKind>,
    /// Where it was spawned; null before its first life. Written by the owner; an atomic because reports about a hang read it from outside.
    site: AtomicPtr<Location<'static>>,
    /// What it asks for when it suspends. Written by itself while it runs, read by its M after it suspended.
    pub(crate) request: Cell<Request>,
    /// Whether a signal may stop it where it is. Written by itself while it runs, read by the handler on the same thread.
    pub(crate) preemptible: AtomicBool,
    /// The lowest address of its stack and the one after the highest. Written by the owner while it is dead.
    pub(crate) stack_range: Cell<(usize, usize)>,
    /// Its own end of the switch; valid from its first instruction to its last.
    pub(crate) suspender: Cell<*const Suspender>,
    /// The spans of the `tracing` crate that it is in. Touched by itself while it runs.
    pub(crate) spans: Cell<Option<Box<Entered>>>,
    /// Its stack and what is on it, while it lives.
    pub(crate) coroutine: UnsafeCell<Option<Coroutine>>,
    /// Its stack while it is dead.
    pub(crate) stack: Cell<Option<Stack>>,
    /// The scheduler it belongs to.
    pub(crate) sched: &'static Sched,
}

// SAFETY: the fields that are not atomics are touched by the owner alone, and ownership passes from thread to thread through
// release/acquire pairs (see the module header), so there is no data race; a suspended coroutine may move (see `context`).
unsafe impl Sync for G {}
// SAFETY: as above; nothing in a G is bound to a thread while it is not running.
unsafe impl Send for G {}

impl G {
    /// A dead G without a stack.
    pub(crate) fn new(sched: &'static Sched) -> G {
        G {
            id: AtomicU64::new(0),
            state: AtomicU8::new(GState::Dead as u8),
            reason: AtomicU8::new(0),
            object: AtomicU64::new(0),
            m: AtomicPtr::new(std::ptr::null_mut()),
            locked_m: AtomicPtr::new(std::ptr::null_mut()),
            pinned_by_panic: Cell::new(false),
            lock_count: Cell::new(0),
            system: Cell::new(false),
            track: Track::new(),
            panicked: AtomicBool::new(false),
            seq: Cell::new(0),
            kind: Cell::new(GKind::Stackful),
            site: AtomicPtr::new(std::ptr::null_mut()),
            request: Cell::new(Request::None),
            preemptible: AtomicBool::new(false),
            stack_range: Cell::new((0, 0)),
            suspender: Cell::new(std::ptr::null()),
            spans: Cell::new(None),
            coroutine: UnsafeCell::new(None),
            stack: Cell::new(None),
            sched,
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> GId {
        // Relaxed: written while dead, and whoever holds a live G got it through a queue or a lock.
        GId(self.id.load(Ordering::Relaxed))
    }

    /// Its state as of some moment; only the owner may rely on it.
    pub(crate) fn state(&self) -> GState {
        // Acquire pairs with the release in `transition`: who sees the state sees what was done before it.
        match self.state.load(Ordering::Acquire) {
            1 => GState::Runnable,
            2 => GState::Running,
            3 => GState::Syscall,
            4 => GState::Waiting,
            _ => GState::Dead,
        }
    }

    /// Where it was spawned.
    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        // Relaxed: what it points to is part of the program.
        let site = self.site.load(Ordering::Relaxed);
        // SAFETY: null, or what `born` made of a `&'static Location`.
        unsafe { site.as_ref() }
    }

    /// Whether an address is in its stack with so many bytes below it. The running G asks, or its handler.
    pub(crate) fn has_room(&self, address: usize, bytes: usize) -> bool {
        let (lowest, end) = self.stack_range.get();
        address < end && address.checked_sub(bytes).is_some_and(|a| a >= lowest)
    }

    /// What it last waited for.
    pub(crate) fn reason(&self) -> ParkReason {
        // Relaxed: for reports only.
        let n = self.reason.load(Ordering::Relaxed);
        ParkReason::ALL
            .get(usize::from(n))
            .copied()
            .unwrap_or(ParkReason::Unspecified)
    }

    /// The number of its last move between Ms. The owner calls it.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.get()
    }

    /// The number of its next move between Ms.
    pub(crate) fn next_seq(&self) -> u64 {
        let seq = self.seq.get() + 1;
        self.seq.set(seq);
        seq
    }

    /// dead -> runnable: it gets a number, a place of birth and its count of moves starts anew.
    pub(crate) fn born(&self, id: GId, kind: GKind, site: &'static Location<'static>) {
        // Relaxed: the G is not published yet; the queue it goes into publishes it.
        self.id.store(id.0, Ordering::Relaxed);
        self.panicked.store(false, Ordering::Relaxed);
        self.seq.set(0);
        self.kind.set(kind);
        self.site
            .store(std::ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        self.track.born(id.0);
        self.transition(GState::Dead, GState::Runnable);
    }

    /// running -> waiting; the waker may own the G from the moment the commit releases it.
    pub(crate) fn wait(&self, reason: ParkReason) {
        // Relaxed: for reports only.
        self.reason.store(reason as u8, Ordering::Relaxed);
        self.transition(GState::Running, GState::Waiting);
    }

    /// One step of the G's life. Only the owner may call it; any other `from` means that two parties believed to own it.
    pub(crate) fn transition(&self, from: GState, to: GState) {
        let found = self.state();
        debug_assert!(
            g_may(from, to),
            "{}: {from} to {to} is no legal step",
            self.id()
        );
        if found != from {
            fatal(format_args!(
                "{} is {found}, not {from}, on its way to {to}",
                self.id()
            ));
        }
        self.track
            .step(from, to, || self.reason(), &self.sched.measures);
        // Release pairs with the acquire in `state`. No read-modify-write is needed: only the owner writes.
        self.state.store(to as u8, Ordering::Release);
    }
}

/// A pointer to a G that lives as long as its scheduler, which is for ever.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct GRef(NonNull<G>);

// SAFETY: a G is Sync and is never freed.
unsafe impl Send for GRef {}
// SAFETY: as above.
unsafe impl Sync for GRef {}

impl GRef {
    /// Makes a G that lives for ever.
    pub(crate) fn alloc(sched: &'static Sched) -> GRef {
        GRef(NonNull::from(Box::leak(Box::new(G::new(sched)))))
    }

    /// The address, for words that hold one.
    pub(crate) fn as_ptr(self) -> *mut G {
        self.0.as_ptr()
    }

    /// The G at an address that [`GRef::as_ptr`] gave.
    ///
    /// # Safety
    /// The address came from [`GRef::as_ptr`].
    pub(crate) unsafe fn from_ptr(ptr: *mut G) -> Option<GRef> {
        NonNull::new(ptr).map(GRef)
    }
}

impl std::ops::Deref for GRef {
    type Target = G;

    fn deref(&self) -> &G {
        // SAFETY: made by `alloc`, never freed; G has interior mutability only, so a shared reference is always valid.
        unsafe { self.0.as_ref() }
    }
}

impl Item for GRef {
    fn into_raw(self) -> usize {
        self.0.as_ptr() as usize
    }

    unsafe fn from_raw(raw: usize) -> Self {
        // SAFETY: the caller passes what `into_raw` gave, which is never null.
        GRef(unsafe { NonNull::new_unchecked(raw as *mut G) })
    }

    fn number(self) -> u64 {
        self.id().0
    }
}
