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
/// Which perf counters to read: `auto`, `none`, or a comma list of names.
pub const ENV_COUNTERS: &str = "GMP_COUNTERS";
/// When to read them: `auto` for a random sample of run intervals, `switch` for every switch.
pub const ENV_COUNTERS_EVERY: &str = "GMP_COUNTERS_EVERY";
