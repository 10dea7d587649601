//! The event vocabulary of the GMP runtime and the contract that carries it.
//!
//! A leaf: the runtime writes with it, the recorder reads with it, and it knows neither.
//! Read in this order:
//! - [`ids`]: the names of things (G, M, P, sites, objects), one newtype each;
//! - [`event`]: every kind of event, in one table that drives encoding, text, schema and docs;
//! - [`tally`]: the runtime's own counters and which events each must equal;
//! - [`clock`]: what ticks, and how ticks become nanoseconds;
//! - [`codec`]: one event as bytes;
//! - [`spool`]: the files that carry the bytes from the writers to the reader;
//! - [`order`]: the streams of all writers as one legal history;
//! - [`text`]: one event as a line;
//! - [`version`]: the format's version and the names of the handshake.

pub mod clock;
pub mod codec;
pub mod event;
pub mod ids;
pub mod order;
pub mod spool;
pub mod tally;
pub mod text;
mod value;
pub mod version;
