//! Every decision of the scheduler that can be varied, as data and pure functions.
//!
//! A leaf without dependencies, threads or clocks: the runtime calls it at run time, and a simulator can call the very same code.
//! - [`Policy`]: the values, with Go's as the default, read from and printed as one string (`steal=one,global_tick=31`);
//! - [`KNOBS`]: what each value is called, means and may be;
//! - [`decide`]: the decisions, as methods of [`Policy`];
//! - [`victims`]: the order in which a thief visits other Ps.
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

pub mod decide;
mod knobs;
mod policy;
pub mod victims;

pub use decide::{RetakeView, default_procs};
pub use knobs::{KNOBS, Knob};
pub use policy::{ParseError, Policy, Steal, YieldTo};
