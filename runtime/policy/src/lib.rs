//! Every decision of the scheduler that can be varied, as data and pure functions.
//!
//! A leaf without dependencies, threads or clocks: the runtime calls it at run time, and a simulator can call the very same code.
//! - [`Policy`]: the values, with Go's as the default, read from and printed as one string (`steal=one,global_tick=31`);
//! - [`knobs`]: the registry, one line for each value, and one file for each with its meaning, its range and the decision it is for;
//! - [`KNOBS`] and [`help()`]: what the registry says, for programs and for people;
//! - [`Choice`]: a decision that is one of several named functions;
//! - [`view`]: what a decision may look at.
//!
//! How to add one is told step by step in `docs/adding-a-policy.md`.
//!
//! ```
//! use gmp_policy::Policy;
//! let policy: Policy = "steal=one,global_tick=31".parse()?;
//! assert_eq!(policy.steal_amount(10), 1);
//! assert_eq!(policy.to_string(), "global_tick=31,steal=one");
//! assert_eq!(Policy::default().steal_amount(10), 5);
//! # Ok::<(), gmp_policy::ParseError>(())
//! ```
#![forbid(unsafe_code)]

mod choice;
mod help;
pub mod knobs;
mod procs;
mod random;
mod registry;
mod text;
mod topology;
mod value;
pub mod view;

pub use choice::{Choice, Decision};
pub use help::help;
pub use knobs::{KNOBS, Policy};
pub use procs::{MAX_PROCS, default_procs};
pub use random::Random;
pub use registry::{Knob, Setting};
pub use text::ParseError;
pub use topology::{Cpu, Topology};
pub use value::{Takes, Value};
