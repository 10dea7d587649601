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

mod builder;
mod counters;
pub mod fs;
pub mod net;
mod spawn;
pub mod sync;
pub mod time;

mod sched;

mod context;
mod netpoll;
mod timer;
mod tracer;

mod fatal;
mod limits;
mod shim;
mod sys;

pub use builder::Builder;
pub use counters::{Stats, num_goroutines, num_threads, procs, set_procs, stats};
pub use gmp_policy::Policy;
pub use gmp_trace::ids::GId;
pub use gmp_trace::tally::Tally;
pub use sched::preempt::checkpoint;
pub use sched::syscall::{blocking, syscall};
pub use spawn::{JoinHandle, current_g, go, yield_now};
pub use sync::chan::{Receiver, Sender, channel};
