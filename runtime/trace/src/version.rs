//! The version of the spool format, and the names by which recorder and runtime find each other.
//!
//! Compatibility: a reader refuses a spool of another version and says which it is. The vocabulary may gain kinds without a new version;
//! a reader refuses a record of a kind that it does not know, since records carry no length.

/// The version of the spool's files.
pub const FORMAT_VERSION: u64 = 1;

/// The folder in which each recorded process makes its own. Unset: nothing is recorded.
pub const ENV_SPOOL: &str = "GMP_SPOOL";
/// The most bytes of segments that one process may write.
pub const ENV_SPOOL_LIMIT: &str = "GMP_SPOOL_LIMIT";
/// The number of Ps; wins over the program's own.
pub const ENV_PROCS: &str = "GMP_PROCS";
/// The policy; wins over the program's own.
pub const ENV_POLICY: &str = "GMP_POLICY";
/// What a writer does when there is no more room: `block` while the recorder lives, or `drop`.
pub const ENV_SPOOL_FULL: &str = "GMP_SPOOL_FULL";
/// The number of the recorder's process: writers wait for room only while it lives.
pub const ENV_RECORDER: &str = "GMP_RECORDER";
/// Which performance counters are read: `auto`, `none`, or names with commas between them.
pub const ENV_COUNTERS: &str = "GMP_COUNTERS";
/// When performance counters are read: `auto` (a random sample of the intervals in which Gs run) or `switch` (each of them).
pub const ENV_COUNTERS_EVERY: &str = "GMP_COUNTERS_EVERY";

/// Facts about a process that its runtime states in `tables` ([`crate::spool::tables::Entry::Info`]), by their keys.
pub mod info {
    /// The runtime's name and version.
    pub const RUNTIME: &str = "runtime";
    /// The path of the program.
    pub const EXECUTABLE: &str = "executable";
    /// The number of Ps at the start.
    pub const PROCS: &str = "procs";
    /// The policy, as its text form.
    pub const POLICY: &str = "policy";
    /// The CPUs to which Ms are bound while they hold a P, with commas between them: P `i` has the `i`th, beginning anew at the end. Not stated
    /// when Ms are not bound; `refused: REASON` once the kernel refused.
    pub const PINNED_CPUS: &str = "pinned_cpus";
    /// Bytes of each G's stack.
    pub const STACK_BYTES: &str = "stack_bytes";
    /// What recording one event costs, the reading of the clock included, in ns; measured at the start.
    pub const EVENT_COST_NS: &str = "event_cost_ns";
    /// Where the counters come from and what is missing, in words. `counters_reason.m3` is about M3 alone.
    pub const COUNTERS_REASON: &str = "counters_reason";
    /// When counters are read: `auto` or `switch`.
    pub const COUNTERS_EVERY: &str = "counters_every";
    /// What one reading of the counters costs in ns; measured at the start.
    pub const COUNTERS_READ_NS: &str = "counters_read_ns";
    /// The names of the counters that are read, with commas between them; `none`.
    pub const COUNTERS: &str = "counters";
    /// The share of the intervals of Gs that were read, over the whole run: stated at its end; 1 when each switch is read.
    pub const COUNTERS_PROBABILITY: &str = "counters_probability";
    /// With which probability an interval of a G is read on one M, stated anew whenever that M changes it. The key goes on with the M and
    /// the ticks, `counters_sampling.m3.t12345`: the value holds for the intervals that begin on M3 from then on. An estimate of a
    /// total weighs each reading with its inverse.
    pub const COUNTERS_SAMPLING: &str = "counters_sampling";
    /// How many entries of `tables` found no room there: names of places in the source, strings, threads, facts like these. Not stated when all
    /// did. The one fact that is not in `tables` itself, but in [`crate::spool::reader::ProcessSpool::names_lost`].
    pub const NAMES_LOST: &str = "names_lost";
}
