//! The programs, one a file.

pub mod fork_join;
pub mod parallel_sum;
pub mod ping_pong;
pub mod queue_overflow;
pub mod skynet;
pub mod sleepers;
pub mod spawn_join;
pub mod steal_imbalance;
pub mod syscall_handoff;
pub mod threads_vs_tasks;
pub mod worker_pool;
pub mod yield_points;
pub mod yields;
