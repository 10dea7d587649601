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
//! - [`queues`]: the run queues with what is in them, from the events alone;
//! - [`text`]: one event as a line;
//! - [`version`]: the format's version and the names of the handshake.

#[cfg(not(loom))]
pub mod clock;
#[cfg(not(loom))]
pub mod codec;
#[cfg(not(loom))]
pub mod counter;
#[cfg(not(loom))]
pub mod event;
#[cfg(not(loom))]
pub mod ids;
#[cfg(not(loom))]
pub mod order;
#[cfg(not(loom))]
pub mod queues;
mod shim;
#[cfg(not(loom))]
pub mod spool;
#[cfg(not(loom))]
pub mod tally;
#[cfg(not(loom))]
pub mod text;
#[cfg(not(loom))]
mod value;
#[cfg(not(loom))]
pub mod version;

/// Under the model checker only what it can check is compiled: the life of a chunk, which knows no files.
#[cfg(loom)]
#[allow(dead_code, missing_docs, reason = "the models use a part of each")]
mod spool {
    #[path = "layout.rs"]
    mod layout;
    #[path = "protocol.rs"]
    mod protocol;
}
