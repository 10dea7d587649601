//! Looking at the scheduler from outside: what is in the run queues at one moment.
//!
//! The world is stopped for it, so that it is one moment for all queues. In a recording the moment is that of the `stw_end` event of the
//! stop, so that a reader who rebuilds the queues from the events can be held against it.

use gmp_trace::ids::{GId, PId};

use crate::counters::this;
use crate::sched::stw;

/// All run queues at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueues {
    /// Those of the Ps in use, by their ids.
    pub locals: Vec<LocalQueue>,
    /// The global queue, the first to be taken first.
    pub global: Vec<GId>,
    /// How many operations on the global queue there were before: threads that come out of system calls, or that run no G, put Gs
    /// there even when the world is stopped, and number what they do.
    pub global_operations: u64,
}

/// The run queue of a P.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalQueue {
    /// Whose.
    pub p: PId,
    /// The G that runs next.
    pub runnext: Option<GId>,
    /// The others, the oldest first.
    pub ring: Vec<GId>,
}

/// What is in the run queues; empty outside a runtime and after its end.
///
/// ```
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(1).run(|| {
///     let g = gmp_runtime::go(|| ());
///     let queues = gmp_runtime::inspect::run_queues();
///     assert!(queues.locals[0].runnext.is_some());
///     g.join().unwrap();
/// });
/// ```
///
/// # Blocking
/// Blocks the M until all others came to rest.
pub fn run_queues() -> RunQueues {
    let Some(sched) = this() else {
        return RunQueues::default();
    };
    stw::inspect(sched, || {
        let locals = sched
            .ps()
            .map(|p| {
                let (next, ring) = p.runq.contents();
                LocalQueue {
                    p: p.id,
                    runnext: Some(GId(next)).filter(|g| g.is_some()),
                    ring: ring.into_iter().map(GId).collect(),
                }
            })
            .collect();
        let (global, global_operations) = sched.lock().global.contents();
        RunQueues {
            locals,
            global: global.iter().map(|g| g.id()).collect(),
            global_operations,
        }
    })
    .unwrap_or_default()
}
