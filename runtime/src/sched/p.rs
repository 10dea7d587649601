//! P: a scheduling context, the right to run Gs, with everything that its holder uses without locks.
//!
//! # Who owns a P
//! The M in `m` while the state is running; nobody while it is in a system call, until somebody moves the state on by a
//! compare-and-swap (`p_state.rs`): its own M back to running, sysmon to idle, the stopper of the world to stopped; the list of idle Ps
//! (under the scheduler's lock) while idle; the stopper of the world while stopped.
//! The `Cell` fields belong to the owner, and change hands through the state word or the scheduler's lock.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use gmp_trace::event::PState;
use gmp_trace::ids::{MId, PId};

use crate::sched::g::GRef;
use crate::sched::m::M;
use crate::sched::p_state::{SYSCALL, StateWord};
use crate::sched::runq::RunQueue;
use crate::sched::states::p_may;
use crate::sched::timers::Timers;

/// Ids that a P takes from the scheduler at a time, as in Go (`goidcache`).
const GID_BATCH: u64 = 16;

const _: () = assert!(PState::Syscall as u8 == SYSCALL);

/// A scheduling context. See the module for who may touch what.
pub(crate) struct P {
    /// Its number.
    pub(crate) id: PId,
    state: StateWord,
    /// The M that holds it, or whose G is in the system call. Written by that M; read by sysmon to ask for preemption.
    pub(crate) m: AtomicPtr<M>,
    /// The M that held it last. Written by the owner. Go: `oldm`.
    pub(crate) last_m: Cell<Option<&'static M>>,
    /// Since when it has been idle. Written by who puts it on the list of idle ones.
    pub(crate) idle_since: Cell<u64>,
    /// Counts time slices begun; the 61-tick rule and sysmon look at it. Written by the owner.
    pub(crate) sched_tick: AtomicU32,
    /// Counts system calls left or lost; sysmon looks at it. Written by the owner.
    pub(crate) syscall_tick: AtomicU32,
    /// Its Gs.
    pub(crate) runq: RunQueue<GRef>,
    /// Its timers.
    pub(crate) timers: Timers,
    /// The P that its holder stole from last; `u32::MAX` = none yet. Written by the owner.
    pub(crate) last_victim: Cell<u32>,
    /// How many Gs were spawned on it. Written by the owner.
    pub(crate) spawned: Cell<u32>,
    /// The CPU on which its holder last began a time slice, plus 1; 0 = not known. Written by the owner, and only once a policy asked.
    cpu: AtomicU32,
    /// Timers started by who held it, in whichever heap they are.
    timers_started: Cell<u64>,
    /// How often it changed hands: the `seq` of its events.
    seq: Cell<u64>,
    /// Dead Gs with their stacks, ready for reuse.
    pub(crate) free: RefCell<Vec<GRef>>,
    /// How many those are, for reports. Written by the owner.
    pub(crate) free_len: AtomicU32,
    /// The next G number of its batch, and the end of the batch.
    ids: Cell<(u64, u64)>,
}

// SAFETY: the cells are touched by the owner alone (see the module header); the rest is made of atomics and locks.
unsafe impl Sync for P {}
// SAFETY: as above.
unsafe impl Send for P {}

impl P {
    /// A P that is not in use yet.
    pub(crate) fn new(id: PId, ring: u32) -> P {
        P {
            id,
            state: StateWord::new(PState::Dead as u8),
            m: AtomicPtr::new(std::ptr::null_mut()),
            last_m: Cell::new(None),
            idle_since: Cell::new(0),
            sched_tick: AtomicU32::new(0),
            syscall_tick: AtomicU32::new(0),
            runq: RunQueue::new(ring),
            timers: Timers::new(),
            last_victim: Cell::new(u32::MAX),
            spawned: Cell::new(0),
            cpu: AtomicU32::new(0),
            timers_started: Cell::new(0),
            seq: Cell::new(0),
            free: RefCell::new(Vec::new()),
            free_len: AtomicU32::new(0),
            ids: Cell::new((0, 0)),
        }
    }

    /// The state as of now.
    pub(crate) fn state(&self) -> PState {
        match self.state.get() {
            0 => PState::Idle,
            1 => PState::Running,
            SYSCALL => PState::Syscall,
            3 => PState::Stopped,
            _ => PState::Dead,
        }
    }

    /// The owner moves the state on.
    pub(crate) fn set_state(&self, to: PState) {
        debug_assert!(
            p_may(self.state(), to),
            "{}: {} to {to} is no legal step",
            self.id,
            self.state()
        );
        self.state.set(to as u8);
    }

    /// The owner gives it up for a system call.
    pub(crate) fn enter_syscall(&self, m: MId) {
        debug_assert!(
            p_may(self.state(), PState::Syscall),
            "{}: {} to syscall is no legal step",
            self.id,
            self.state()
        );
        self.state.enter_syscall(m.0);
    }

    /// The M comes back from its system call; `false` if the P was taken since. Else it owns the P again.
    pub(crate) fn leave_syscall(&self, m: MId) -> bool {
        self.state.leave_syscall(m.0, PState::Running as u8)
    }

    /// The M takes its P out of its own system call, for others; `false` if somebody was faster. The caller owns the P.
    pub(crate) fn take_back_from_syscall(&self, m: MId) -> bool {
        self.state.leave_syscall(m.0, PState::Idle as u8)
    }

    /// Takes the P out of a system call, if it is in one and nobody is faster: that of which M. The caller owns the P.
    pub(crate) fn take_from_syscall(&self) -> Option<MId> {
        self.state.take(PState::Idle as u8).map(MId)
    }

    /// The number of its last change of hands. The owner calls it.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.get()
    }

    /// The number of its next change of hands. The owner calls it.
    pub(crate) fn next_seq(&self) -> u64 {
        let seq = self.seq.get() + 1;
        self.seq.set(seq);
        seq
    }

    /// A new G number from its batch. The owner calls it.
    pub(crate) fn next_gid(&self, refill: impl FnOnce(u64) -> u64) -> u64 {
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = refill(GID_BATCH);
            end = next + GID_BATCH;
        }
        self.ids.set((next + 1, end));
        next
    }

    /// Counts a timer that is started on it; how many there were before. The owner calls it.
    pub(crate) fn count_timer(&self) -> u64 {
        self.timers_started.replace(self.timers_started.get() + 1)
    }

    /// Begins a new time slice. The owner calls it.
    pub(crate) fn tick(&self) {
        // Relaxed: a statistic that sysmon compares with its own earlier reading.
        let tick = self.sched_tick.load(Ordering::Relaxed);
        self.sched_tick
            .store(tick.wrapping_add(1), Ordering::Relaxed);
    }

    /// Notes the CPU on which the calling M runs. The owner calls it.
    pub(crate) fn note_cpu(&self) {
        let cpu = crate::sys::affinity::current_cpu().map_or(0, |cpu| cpu + 1);
        // Relaxed: a hint for thieves.
        self.cpu.store(cpu, Ordering::Relaxed);
    }

    /// The CPU on which its holder was last seen.
    pub(crate) fn cpu(&self) -> Option<u32> {
        // Relaxed: as `note_cpu`.
        self.cpu.load(Ordering::Relaxed).checked_sub(1)
    }

    /// Marks that a system call ended or lost its P. The owner calls it.
    pub(crate) fn tick_syscall(&self) {
        // Relaxed: as `tick`.
        let tick = self.syscall_tick.load(Ordering::Relaxed);
        self.syscall_tick
            .store(tick.wrapping_add(1), Ordering::Relaxed);
    }

    /// The time slices begun. The 61-tick rule looks at it before the slice it decides about.
    pub(crate) fn ticks(&self) -> u32 {
        // Relaxed: as `tick`.
        self.sched_tick.load(Ordering::Relaxed)
    }
}
