//! Performance counters: what the processor or the kernel counted while a G ran.
//!
//! Each M has a group of counters of its own thread ([`group`]); what can be counted here, and why the rest cannot, is found out once, at
//! the start of a recording ([`probe`]). A reading is a system call (some 700 ns on a virtual machine), so by default only a random sample of
//! the intervals in which Gs run is read, so many that reading takes at most 3 % of the time ([`sample`]).
//!
//! # What a reading says
//! A reading is a [`Counters`](gmp_trace::event::Event::Counters) event: what was counted on this M since the last reading on it. An interval
//! of a G goes from its `start` to the event that takes it off the M (park, yield, preempt, exit, or the end of a system call that lost
//! its P); the system calls in it belong to it. An interval that is read has one reading immediately before its `start`, while
//! no G runs, and one immediately before the event that ends it. So a reading with a running G and exactly one `start` since the
//! reading before it on the same M is that interval's value; any other reading only belongs to its M.
//!
//! The reading itself is in that value, because the clock of a counter stops in the middle of the reading that ends it and began in the
//! middle of the one before. How much that is, is measured in the same run: one in eight of the intervals that are read has two readings
//! before it, with nothing between them. The second is a *null reading*, known by following another reading immediately in its M's stream.
//!
//! An M reads a last time when it ends, so all its readings together are what was counted in its whole life, exactly.

mod group;
mod probe;
mod readings;
mod sample;
mod spec;

pub(crate) use probe::Plan;
pub(crate) use readings::Readings;
