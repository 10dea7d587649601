//! One row of the table `event`, with types.

use gmp_trace::event::Event;
use gmp_trace::ids::{GId, MId, PId};

/// An event as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its place in the order; unique in the file.
    pub id: i64,
    /// Its process's number in the run.
    pub process: u32,
    /// When, ns since the run's start. Clocks of two threads may disagree by a little.
    pub ts: i64,
    /// The M that says so.
    pub m: MId,
    /// Its number in the stream of its writer.
    pub m_seq: u64,
    /// The P concerned, else the one that the M holds.
    pub p: Option<PId>,
    /// The G concerned, else the one that the M runs.
    pub g: GId,
    /// The G that did it, when that is another: the one that the M runs.
    pub by: GId,
    /// What happened.
    pub event: Event,
}
