//! Thin system calls with safe signatures; they know nothing of Gs.

pub(crate) mod affinity;
pub(crate) mod cgroup;
pub(crate) mod futex;
pub(crate) mod thread;
pub(crate) mod topology;
