//! The programs, one a file.

pub mod db_pool;
pub mod fork_join;
pub mod hog;
pub mod io_workers;
pub mod mixed_io;
pub mod netpoll;
pub mod parallel_sum;
pub mod ping_pong;
pub mod queue_overflow;
pub mod skynet;
pub mod sleepers;
pub mod spawn_join;
pub mod steal_imbalance;
pub mod syscall_handoff;
pub mod tcp_echo;
pub mod threads_vs_tasks;
pub mod web_rate_limited;
pub mod web_unlimited;
pub mod web_worker_pool;
pub mod worker_pool;
pub mod yield_points;
pub mod yields;
