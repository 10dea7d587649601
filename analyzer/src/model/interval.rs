//! What the model derives.

use gmp_trace::event::{ParkReason, Placed, PreemptCause, Source, Via};
use gmp_trace::ids::{GId, MId, ObjectId, PId};

/// What a G is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GState {
    /// It runs.
    Running,
    /// It could run and waits for a P.
    Runnable(Cause),
    /// It waits for something else.
    Waiting(ParkReason, ObjectId),
    /// It is in a system call.
    Syscall,
    /// Events that would say it are missing.
    Unknown,
}

impl GState {
    /// The state's word.
    pub fn word(self) -> &'static str {
        match self {
            GState::Running => "running",
            GState::Runnable(_) => "runnable",
            GState::Waiting(..) => "waiting",
            GState::Syscall => "syscall",
            GState::Unknown => "unknown",
        }
    }
}

/// How a G became runnable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It was spawned.
    Spawn,
    /// It was readied.
    Ready(Via),
    /// It gave way.
    Yield,
    /// It was made to give way.
    Preempt,
    /// Its system call ended without a P.
    Syscall,
    /// The beginning was not recorded.
    Unknown,
}

impl Cause {
    /// The cause's word.
    pub fn word(self) -> &'static str {
        match self {
            Cause::Spawn => "spawn",
            Cause::Ready(via) => match via {
                Via::G => "ready by g",
                Via::Timer => "ready by timer",
                Via::Netpoll => "ready by netpoll",
                Via::Foreign => "ready by foreign thread",
                Via::Scheduler => "ready by scheduler",
            },
            Cause::Yield => "yield",
            Cause::Preempt => "preempt",
            Cause::Syscall => "syscall",
            Cause::Unknown => "unknown",
        }
    }
}

/// A G was in a state from one time to another, ns since the run's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GInterval {
    /// The G.
    pub g: GId,
    /// What it did.
    pub state: GState,
    /// Since when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// The P it ran on; the P that it was readied at.
    pub p: Option<PId>,
    /// The M it was on.
    pub m: Option<MId>,
    /// The G that ended its wait, or spawned it.
    pub by: GId,
    /// The event that began it.
    pub event: i64,
    /// Whether the G ended with it.
    pub last: bool,
}

/// What a P is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PState {
    /// No M holds it.
    Idle,
    /// Its M runs a G.
    Running(GId),
    /// Its M looks for work.
    Scheduling,
    /// Its M's G is in a system call; it may be retaken.
    Syscall(GId),
    /// The world is stopped.
    Stopped,
    /// Events that would say it are missing.
    Unknown,
}

impl PState {
    /// The state's word.
    pub fn word(self) -> &'static str {
        match self {
            PState::Idle => "idle",
            PState::Running(_) => "running",
            PState::Scheduling => "scheduling",
            PState::Syscall(_) => "syscall",
            PState::Stopped => "stopped",
            PState::Unknown => "unknown",
        }
    }
}

/// A P was in a state from one time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PInterval {
    /// The P.
    pub p: PId,
    /// What it did.
    pub state: PState,
    /// Since when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// The M that held it.
    pub m: Option<MId>,
}

/// What an M is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MState {
    /// It runs a G.
    Running(GId),
    /// Its G is in a system call.
    Syscall(GId),
    /// It looks for a G, on its own P or in passing.
    Scheduling,
    /// It looks for a G at other Ps.
    Spinning,
    /// It waits in the network poller.
    Polling,
    /// It sleeps.
    Parked,
    /// It watches the others.
    Monitoring,
    /// Events that would say it are missing.
    Unknown,
}

impl MState {
    /// The state's word.
    pub fn word(self) -> &'static str {
        match self {
            MState::Running(_) => "running",
            MState::Syscall(_) => "syscall",
            MState::Scheduling => "scheduling",
            MState::Spinning => "spinning",
            MState::Polling => "polling",
            MState::Parked => "parked",
            MState::Monitoring => "monitoring",
            MState::Unknown => "unknown",
        }
    }
}

/// An M was in a state from one time to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MInterval {
    /// The M.
    pub m: MId,
    /// What it did.
    pub state: MState,
    /// Since when.
    pub from: i64,
    /// Until when.
    pub to: i64,
    /// The P it held at the end.
    pub p: Option<PId>,
}

/// A runnable G started: the sample of scheduling latency. Only where it is known to have been runnable all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wakeup {
    /// The G.
    pub g: GId,
    /// How it became runnable.
    pub cause: Cause,
    /// Who made it so.
    pub by: GId,
    /// Where it was put then.
    pub placed: Option<Placed>,
    /// The P at which it became runnable.
    pub ready_p: Option<PId>,
    /// When.
    pub ready_ts: i64,
    /// The M at which that happened.
    pub ready_m: Option<MId>,
    /// The event that made it so.
    pub ready_event: i64,
    /// The P that it started on.
    pub p: Option<PId>,
    /// The M that it started on.
    pub m: MId,
    /// When.
    pub start_ts: i64,
    /// Where it was found.
    pub source: Source,
}

impl Wakeup {
    /// The scheduling latency, ns.
    pub fn latency(&self) -> i64 {
        self.start_ts - self.ready_ts
    }
}

/// A G that was asked to give way, with what became of it, where that is known. Most give way at once; [`Unanswered::ignored`] tells those
/// who did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The G.
    pub g: GId,
    /// The P it ran on.
    pub p: PId,
    /// The M that held it.
    pub m: Option<MId>,
    /// Since when it ran.
    pub from: i64,
    /// When it was first asked.
    pub asked: i64,
    /// Until when it ran.
    pub to: i64,
    /// Whether it stopped then; if not, the trace ends.
    pub over: bool,
    /// Why it was asked.
    pub cause: PreemptCause,
    /// For how long its time slice had lasted then, or the world had been stopping, ns.
    pub before_ns: u64,
    /// Whether it was in a preemptible section and a signal was sent.
    pub signal: bool,
    /// How many requests are recorded.
    pub requests: u32,
}

impl Unanswered {
    /// For how long it ran, ns.
    pub fn ran(&self) -> i64 {
        self.to - self.from
    }

    /// For how long it ran on after it was asked, ns.
    pub fn ignored(&self) -> i64 {
        self.to - self.asked
    }
}

/// An event that contradicts a rule of the scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its id; 0 for the run as a whole.
    pub event: i64,
    /// When.
    pub ts: i64,
    /// Which rule, in short.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
}
