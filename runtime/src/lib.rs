//! A GMP runtime: Go's scheduler model in Rust, recorded at every decision.
//!
//! Gs (goroutines: tasks with stacks of their own) run on Ms (OS threads) that hold a P (a scheduling context). The scheduler follows
//! Go's where Go decided; each decision is data in [`gmp_policy::Policy`]. When `gmp-record` starts the program, every scheduling
//! event goes to its spool; otherwise an event costs one branch.
//!
//! ```
//! // SAFETY: nothing bound to a thread is held over a call into the runtime (see `Builder::new`).
//! unsafe { gmp_runtime::Builder::new() }.run(|| {
//!     let (tx, rx) = gmp_runtime::channel::<u32>(0);
//!     gmp_runtime::go(move || (1..=3).for_each(|i| tx.send(i).expect("somebody receives")));
//!     assert_eq!(rx.iter().sum::<u32>(), 6);
//! });
//! ```

#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod counters;
#[cfg(not(loom))]
mod debug;
#[cfg(not(loom))]
pub mod fs;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
pub mod net;
#[cfg(not(loom))]
pub mod spans;
#[cfg(not(loom))]
mod spawn;
#[cfg(not(loom))]
pub mod sync;
#[cfg(not(loom))]
pub mod time;

#[cfg(not(loom))]
mod sched;

#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
pub mod inspect;
#[cfg(not(loom))]
mod netpoll;
#[cfg(not(loom))]
mod perf;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod tracer;

#[cfg(not(loom))]
mod fatal;
#[cfg(not(loom))]
mod limits;
mod shim;
#[cfg(not(loom))]
mod sys;

#[cfg(not(loom))]
pub use builder::Builder;
#[cfg(not(loom))]
pub use counters::{
    Stats, num_goroutines, num_threads, procs, set_default_procs, set_max_threads, set_procs, stats,
};
#[cfg(not(loom))]
pub use gmp_policy::{MAX_PROCS, Policy};
#[cfg(not(loom))]
pub use gmp_trace::ids::GId;
#[cfg(not(loom))]
pub use gmp_trace::tally::Tally;
#[cfg(not(loom))]
pub use sched::async_preempt::preemptible;
#[cfg(not(loom))]
pub use sched::lock::{lock_os_thread, unlock_os_thread};
#[cfg(not(loom))]
pub use sched::preempt::checkpoint;
#[cfg(not(loom))]
pub use sched::syscall::{blocking, syscall};
#[cfg(not(loom))]
pub use spawn::{JoinHandle, current_g, go, yield_now};
#[cfg(not(loom))]
pub use sync::chan::{Receiver, Sender, channel};

/// Under the model checker only what it can check is compiled: the parts which know no threads and no stacks.
#[cfg(loom)]
#[allow(dead_code, missing_docs, reason = "the models use a part of each")]
mod sched {
    #[path = "claim.rs"]
    mod claim;
    #[path = "idle.rs"]
    mod idle;
    #[path = "p_state.rs"]
    mod p_state;
    #[path = "models/park.rs"]
    pub(crate) mod park;
    #[path = "park_slot.rs"]
    mod park_slot;
    #[path = "poll_turn.rs"]
    mod poll_turn;
    #[path = "preempt_signal.rs"]
    mod preempt_signal;
    #[path = "runq.rs"]
    mod runq;
    #[path = "tidy.rs"]
    mod tidy;
    #[path = "timer_set.rs"]
    mod timer_set;
    #[path = "wait_queue.rs"]
    pub(crate) mod wait_queue;
}

#[cfg(loom)]
#[allow(dead_code, missing_docs, reason = "the models use a part of each")]
mod timer;

/// As above, of what programs synchronise with.
#[cfg(loom)]
#[allow(dead_code, missing_docs, reason = "the models use a part of each")]
mod sync {
    pub(crate) mod chan {
        #[path = "core.rs"]
        pub(crate) mod core;
        #[path = "error.rs"]
        mod error;
    }
    pub(crate) mod select {
        #[path = "case.rs"]
        pub(crate) mod case;
        #[path = "engine.rs"]
        pub(crate) mod engine;
        #[cfg(test)]
        #[path = "models.rs"]
        mod models;
    }
    #[path = "sema.rs"]
    pub(crate) mod sema;
}

/// As above: what the poller shares with the waiters and with those who break it.
#[cfg(loom)]
#[allow(dead_code, missing_docs, reason = "the models use a part of each")]
mod netpoll {
    pub(crate) mod r#break;
    mod semaphore;
}
