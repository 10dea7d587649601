//! The event vocabulary of the GMP runtime and the contract that carries it.
//!
//! A leaf: the runtime writes with it, the recorder reads with it, and it knows neither.
//! Read in this order:
//! - [`ids`]: the names of things (G, M, P, sites, objects), one newtype each;
//! - [`event`]: every kind of event, in one table that drives encoding, text, schema and docs;
//! - [`tally`]: the runtime's own counters and which events each must equal;

pub mod event;
pub mod ids;
pub mod tally;
mod value;
