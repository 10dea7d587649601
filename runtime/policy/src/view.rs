//! What a decision may look at: plain data, filled by the runtime or by a simulator.
//!
//! All of it is of some moment shortly before the decision, and may have changed by the time it is carried out: other Ms do not stand still.

use crate::topology::Topology;

/// A place that a runnable G can go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The queue of the P that decides.
    Local,
    /// The global queue.
    Global,
}

/// What is known of a P whose G is in a system call.
#[derive(Clone, Copy, Debug)]
pub struct RetakeView {
    /// Gs in the P's ring and `runnext`.
    pub queue_len: u32,
    /// Ms that spin.
    pub spinning: u32,
    /// Ps that are idle.
    pub idle_ps: u32,
    /// How long the system call has been seen to last, in ns.
    pub away_ns: u64,
}

/// What is known when a G yields.
#[derive(Clone, Copy, Debug)]
pub struct YieldView {
    /// Gs in the P's ring, without the one that yields.
    pub queue_len: u32,
    /// Gs in the global queue.
    pub global_len: u32,
    /// Time slices that the P began.
    pub tick: u32,
}

/// What a thief can see of the Ps.
pub trait Ps {
    /// Gs in the ring of a P, without `runnext`. A read of two words of the P's, so one miss of the cache.
    fn queue_len(&self, p: u32) -> u32;

    /// The CPU on which the P was last seen at work, if it was. A P has none of its own: this is where the M that held it ran when it
    /// last began a time slice; it stays put only if Ms are pinned.
    fn cpu(&self, p: u32) -> Option<u32>;

    /// Which CPUs share what. Empty if the system does not say.
    fn topology(&self) -> &Topology;
}

/// What is known when a thief begins a pass over the Ps.
#[derive(Clone, Copy)]
pub struct StealView<'a> {
    /// The P of the thief.
    pub thief: u32,
    /// Ps in use: their numbers are below this.
    pub procs: u32,
    /// The pass, from 0 on.
    pub pass: u32,
    /// How many passes there are at most.
    pub passes: u32,
    /// Time slices that the thief's P began.
    pub tick: u32,
    /// The P that the thief's P stole from last, if it is in use.
    pub last_victim: Option<u32>,
    /// A random number, another one for each pass; [`crate::Random`] makes more of it.
    pub random: u64,
    /// What can be seen of the other Ps.
    pub ps: &'a dyn Ps,
}

impl std::fmt::Debug for StealView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StealView")
            .field("thief", &self.thief)
            .field("procs", &self.procs)
            .field("pass", &self.pass)
            .field("passes", &self.passes)
            .field("tick", &self.tick)
            .field("last_victim", &self.last_victim)
            .field("random", &self.random)
            .finish_non_exhaustive()
    }
}

/// What is known when a G became runnable.
#[derive(Clone, Copy, Debug)]
pub struct WakeView {
    /// Whether the thread that made it runnable holds a P, and so comes to look at the queues itself.
    pub holds_p: bool,
    /// Ms that spin.
    pub spinning: u32,
    /// Ps that are idle; not 0.
    pub idle_ps: u32,
}

/// Where a new G goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The queue of the P that spawns it.
    Local,
    /// The global queue, for any P.
    Global,
    /// The global queue, for this P first.
    For(u32),
}

/// What is known when a G spawns another.
#[derive(Clone, Copy, Debug)]
pub struct PlaceView {
    /// The P of the one that spawns.
    pub p: u32,
    /// Ps in use: their numbers are below this.
    pub procs: u32,
    /// How many Gs this P has spawned before.
    pub spawned: u32,
    /// Gs in the P's ring.
    pub queue_len: u32,
    /// Ps that are idle.
    pub idle_ps: u32,
}

/// One end of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where thieves take, too.
    Oldest,
    /// Where the owner puts.
    Youngest,
}

/// What is known when a P takes a G of its ring.
#[derive(Clone, Copy, Debug)]
pub struct TakeView {
    /// Time slices that the P began.
    pub tick: u32,
}

/// What is known when a G starts a timer.
#[derive(Clone, Copy, Debug)]
pub struct TimerView {
    /// The P that runs the G.
    pub current: u32,
    /// Ps in use: heaps are numbered below it.
    pub procs: u32,
    /// How many timers were started on that P before this one.
    pub nth: u64,
}

/// What is known when an M with a P readies what it polled from the network.
#[derive(Clone, Copy, Debug)]
pub struct InjectView {
    /// How many Gs, without the one that it runs at once.
    pub gs: u32,
    /// Ps that are idle, and that the policy would wake.
    pub idle_ps: u32,
}

/// What is known when a time slice is over: as [`YieldView`], but the G did not ask for it.
#[derive(Clone, Copy, Debug)]
pub struct PreemptView {
    /// Gs in the P's ring, without the one that is preempted.
    pub queue_len: u32,
    /// Gs in the global queue.
    pub global_len: u32,
    /// Time slices that the P began.
    pub tick: u32,
}
