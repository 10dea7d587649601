//! The scheduler: its shared state, and nothing else.
//!
//! `README.md` in this folder is the text to read: states, protocols step by step, lock order, why no wake-up is lost.
//! The files, from the bottom up: [`g`], [`p`], [`m`] (what is scheduled, the right to run, the threads), [`states`] (their legal steps);
//! [`runq`], [`global_queue`], [`idle`], [`poll_turn`], [`wait_queue`], [`claim`], [`timer_set`], [`timers`], [`world`] (where they wait);
//! [`wake`], [`park`], [`steal`], [`find`], [`syscall`], [`lock`], [`preempt`], [`preempt_signal`], [`async_preempt`], [`pin`] (the
//! decisions); [`run`], [`sysmon`], [`poller_thread`], [`stw`], [`deadlock`], [`boot`], [`template`] (the loops); [`default_procs`] (how many Ps); [`measures`], [`schedtrace`] (what is known of it all).

use std::collections::VecDeque;
use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

use gmp_policy::{Policy, Topology};
use gmp_trace::ids::PId;
use gmp_trace::spool::writer::{Spool, TallyBlock};

use crate::context::StackPool;
use crate::debug::Debug;
use crate::netpoll::Poller;
use crate::perf::Plan;
use crate::sched::default_procs::DefaultProcs;
use crate::sched::g::GRef;
use crate::sched::global_queue::{GlobalQueue, LengthHint};
use crate::sched::idle::Idle;
use crate::sched::m::M;
use crate::sched::measures::{CpuTime, Measures};
use crate::sched::p::P;
use crate::sched::pin::Pins;
use crate::sched::poll_turn::PollTurn;
use crate::sched::template::Template;
use crate::sched::world::World;
use crate::sys::thread::Tid;

pub(crate) mod async_preempt;
pub(crate) mod boot;
pub(crate) mod claim;
pub(crate) mod deadlock;
pub(crate) mod default_procs;
pub(crate) mod find;
pub(crate) mod g;
pub(crate) mod global_queue;
pub(crate) mod idle;
pub(crate) mod lock;
pub(crate) mod m;
pub(crate) mod measures;
pub(crate) mod p;
pub(crate) mod p_state;
pub(crate) mod park;
pub(crate) mod park_slot;
pub(crate) mod pin;
pub(crate) mod poll_turn;
pub(crate) mod poller_thread;
pub(crate) mod preempt;
pub(crate) mod preempt_signal;
pub(crate) mod retire;
pub(crate) mod run;
pub(crate) mod runq;
pub(crate) mod schedtrace;
pub(crate) mod states;
pub(crate) mod steal;
pub(crate) mod stw;
pub(crate) mod syscall;
pub(crate) mod sysmon;
pub(crate) mod template;
pub(crate) mod tidy;
pub(crate) mod timer_set;
pub(crate) mod timers;
pub(crate) mod wait_queue;
pub(crate) mod wake;
pub(crate) mod world;

use crate::limits::MAX_PROCS;

/// One runtime's shared state. It lives for ever once made: threads in system calls may come back to it at any time.
pub(crate) struct Sched {
    /// The decisions.
    pub(crate) policy: Policy,
    /// Which CPUs share what; read when the policy first asks.
    topology: OnceLock<Topology>,
    /// Which CPU each P has.
    pub(crate) pins: Pins,
    /// Where stacks come from.
    pub(crate) stacks: StackPool,
    /// The network poller.
    pub(crate) poller: Poller,
    /// Where events go, if this runtime is recorded.
    pub(crate) spool: Option<Arc<Spool>>,
    /// Which performance counters its Ms read, if any.
    pub(crate) counters: Option<Arc<Plan>>,
    /// All Ps ever made; the first `procs` are in use. A slot is written once, while the world is stopped.
    ps: Box<[AtomicPtr<P>]>,
    /// The number of Ps in use. Written while the world is stopped.
    procs: AtomicU32,
    /// Spinning Ms, idle Ps, and work that found neither.
    pub(crate) idle: Idle,
    /// The length of the global queue, as a hint.
    pub(crate) global_len: LengthHint,
    /// The part behind the lock. Lock order: this, then a heap of timers; never the other way round, and never two of a kind.
    locked: Mutex<Locked>,
    /// All Gs ever made, for reports. Its own lock, taken last.
    pub(crate) all_gs: Mutex<Vec<GRef>>,
    /// Gs that have not ended.
    pub(crate) live_gs: AtomicI64,
    /// The next batch of G numbers.
    pub(crate) next_gid: AtomicU64,
    /// The last object number given.
    pub(crate) next_object: AtomicU64,
    /// Whether the world is to stop.
    pub(crate) stopping: AtomicBool,
    /// Ps that still have to stop; a futex word for the stopper.
    pub(crate) stop_wait: AtomicU32,
    /// The right to stop the world.
    pub(crate) world: World,
    /// Whose turn it is to block in the poller, and until when; always taken if a thread is there for it.
    pub(crate) poll_turn: PollTurn,
    /// Whether some M is polling without blocking: one at a time.
    pub(crate) polling: AtomicBool,
    /// Whether the runtime is ending.
    pub(crate) shutdown: AtomicBool,
    /// Sysmon's sleep: 1 = it sleeps until somebody wakes it. A futex word.
    pub(crate) sysmon_wait: AtomicU32,
    /// How far sysmon is.
    pub(crate) sysmon_life: sysmon::Life,
    /// Whether the poller thread was started and has not ended.
    pub(crate) poller_thread: AtomicBool,
    /// What to do with the counters of threads that ended or run: all blocks ever made.
    pub(crate) tallies: Mutex<Vec<TallyBlock>>,
    /// The most Ms there may be.
    pub(crate) max_ms: AtomicUsize,
    /// Where the default number of Ps comes from, and whether it is in force.
    pub(crate) default_procs: DefaultProcs,
    /// The thread that makes threads for locked ones.
    pub(crate) template: Template,
    /// What is measured beside counting.
    pub(crate) measures: Measures,
    /// What `GMP_DEBUG` asks for.
    pub(crate) debug: Debug,
    /// The kernel's number of the thread that waits for the main G.
    pub(crate) runner_tid: Tid,
    /// The kernel's number of sysmon's thread.
    pub(crate) sysmon_tid: Tid,
    /// The poller thread's kernel number.
    pub(crate) poller_tid: Tid,
    /// The seed of the Ms' random numbers.
    pub(crate) seed: u64,
    /// Whether the possible deadlock beside foreign threads was reported already.
    pub(crate) deadlock_warned: AtomicBool,
    /// All Gs waited when it was looked last, and only threads that are not the runtime's, if any were there, could ready one. Changed
    /// under the lock. See `deadlock`.
    pub(crate) deadlock_watched: AtomicBool,
    /// The main G has ended.
    pub(crate) main_ended: AtomicBool,
}

/// What is behind the scheduler's lock.
pub(crate) struct Locked {
    /// Runnable Gs of nobody's.
    pub(crate) global: GlobalQueue,
    /// Parked Ms, the last parked on top.
    pub(crate) idle_ms: Vec<&'static M>,
    /// Ps that nobody holds; their run queues are empty.
    pub(crate) idle_ps: Vec<&'static P>,
    /// All Ms ever made.
    pub(crate) all_ms: Vec<&'static M>,
    /// Ms made and not ended.
    pub(crate) ms: usize,
    /// An M was made.
    pub(crate) has_begun: bool,
    /// The threads of the Ms that ended last: they may still be there, and drop what is the user's.
    pub(crate) ended_tids: VecDeque<u32>,
    /// The time of the Ps.
    pub(crate) cpu: CpuTime,
    /// Ms parked until the G that is locked to them can run.
    pub(crate) idle_locked: Vec<&'static M>,
    /// The next M number, those of sysmon and foreign threads included.
    pub(crate) next_mid: u32,
    /// Dead Gs beyond what the Ps keep.
    pub(crate) free: Vec<GRef>,
}

impl Sched {
    /// A runtime with no Ps yet. `boot` gives it some.
    pub(crate) fn new(
        policy: Policy,
        stacks: StackPool,
        poller: Poller,
        spool: Option<Arc<Spool>>,
        counters: Option<Arc<Plan>>,
        max_ms: usize,
        seed: u64,
    ) -> Sched {
        Sched {
            pins: Pins::new(&policy),
            policy,
            topology: OnceLock::new(),
            stacks,
            poller,
            spool,
            counters,
            ps: (0..MAX_PROCS)
                .map(|_| AtomicPtr::new(std::ptr::null_mut()))
                .collect(),
            procs: AtomicU32::new(0),
            idle: Idle::new(),
            global_len: LengthHint::new(),
            locked: Mutex::new(Locked {
                global: GlobalQueue::new(),
                idle_ms: Vec::new(),
                idle_ps: Vec::new(),
                all_ms: Vec::new(),
                ms: 0,
                has_begun: false,
                ended_tids: VecDeque::new(),
                cpu: CpuTime::new(),
                idle_locked: Vec::new(),
                next_mid: 0,
                free: Vec::new(),
            }),
            all_gs: Mutex::new(Vec::new()),
            live_gs: AtomicI64::new(0),
            next_gid: AtomicU64::new(1),
            next_object: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stop_wait: AtomicU32::new(0),
            world: World::new(),
            poll_turn: PollTurn::new(),
            polling: AtomicBool::new(false),
            shutdown: AtomicBool::new(false),
            sysmon_wait: AtomicU32::new(0),
            sysmon_life: sysmon::Life::new(),
            poller_thread: AtomicBool::new(false),
            tallies: Mutex::new(Vec::new()),
            max_ms: AtomicUsize::new(max_ms),
            default_procs: DefaultProcs::new(None, None, false),
            template: Template::new(),
            measures: Measures::new(),
            debug: Debug::default(),
            runner_tid: Tid::unknown(),
            sysmon_tid: Tid::unknown(),
            poller_tid: Tid::unknown(),
            seed,
            deadlock_warned: AtomicBool::new(false),
            deadlock_watched: AtomicBool::new(false),
            main_ended: AtomicBool::new(false),
        }
    }

    /// Takes the scheduler's lock. The runtime does not panic while it holds it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Sched::lock`], unless somebody has it: for who only looks.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, Locked>> {
        match self.locked.try_lock() {
            Ok(locked) => Some(locked),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The number of Ps in use.
    pub(crate) fn procs(&self) -> u32 {
        // Acquire pairs with the release in `set_procs`, for the threads that do not stop with the world: the Ps are made.
        self.procs.load(Ordering::Acquire)
    }

    /// Changes the number of Ps in use; the world is stopped, and `0..n` were made.
    pub(crate) fn set_procs(&self, n: u32) {
        self.procs.store(n, Ordering::Release);
    }

    /// A P that was made, in use or not.
    pub(crate) fn p(&self, id: PId) -> &'static P {
        // Acquire pairs with the release in `make_p`, for the threads that did not stop with the world.
        let p = self.ps[id.0 as usize].load(Ordering::Acquire);
        // SAFETY: a slot below the P count holds a leaked P.
        unsafe { &*p }
    }

    /// All Ps in use.
    pub(crate) fn ps(&self) -> impl Iterator<Item = &'static P> + '_ {
        (0..self.procs()).map(|i| self.p(PId(i)))
    }

    /// Which CPUs share what. From the first call on, Ps note on which CPU they are used.
    pub(crate) fn topology(&self) -> &Topology {
        self.topology.get_or_init(crate::sys::topology::read)
    }

    /// Whether Ps are to note on which CPU they are used.
    pub(crate) fn notes_cpus(&self) -> bool {
        self.topology.get().is_some()
    }

    /// Makes the P with this number unless it exists.
    pub(crate) fn make_p(&self, id: PId) {
        let slot = &self.ps[id.0 as usize];
        if slot.load(Ordering::Acquire).is_null() {
            let p = Box::leak(Box::new(P::new(id, self.policy.local_queue)));
            slot.store(p, Ordering::Release);
        }
    }

    /// Whether one of its threads waits for room in the spool. It gives up by itself when the recorder has died.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.spool.as_ref().is_some_and(|s| s.is_waited_for())
    }

    /// Whether all Ps are idle.
    pub(crate) fn is_idle(&self) -> bool {
        // SeqCst: sysmon announces its sleep before it looks here (see `sysmon::wake`).
        fence(Ordering::SeqCst);
        self.idle.idle_ps() == self.procs()
    }
}

/// The runtime that was started last, for threads that are not Ms.
static HOME: AtomicPtr<Sched> = AtomicPtr::new(std::ptr::null_mut());

/// Sets what [`last_started`] gives.
pub(crate) fn set_home(sched: &'static Sched) {
    // Release pairs with the acquire in `last_started`: the Sched is complete.
    HOME.store(std::ptr::from_ref(sched).cast_mut(), Ordering::Release);
}

/// The runtime that was started last: it can be asked also when it has ended.
pub(crate) fn last_started() -> Option<&'static Sched> {
    let sched = HOME.load(Ordering::Acquire);
    // SAFETY: null, or a leaked Sched.
    unsafe { sched.as_ref() }
}

/// The runtime that does what threads ask for that are not Ms: the one that was started last, until it ends, when nothing of it runs any more.
pub(crate) fn home() -> Option<&'static Sched> {
    last_started().filter(|sched| !sched.is_shutdown())
}

/// The runtime of the caller: that of its M, else of threads.
pub(crate) fn of_caller() -> Option<&'static Sched> {
    m::in_service().map(|m| m.sched).or_else(home)
}
