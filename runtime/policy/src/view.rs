//! What a decision may look at: plain data, filled by the runtime or by a simulator.
//!
//! All of it is of some moment shortly before the decision, and may have changed by the time it is carried out: other Ms do not stand still.

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
