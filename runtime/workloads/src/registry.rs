//! The table of programs: a line here and a file in `programs/` make a program.

use crate::load;
use crate::programs::*;
use crate::report::{Common, Report};

macro_rules! registry {
    ($($variant:ident = $module:ident $name:literal,)*) => {
        /// A program with its options.
        #[derive(Debug, clap::Subcommand)]
        pub enum Program {
            $(
                #[command(name = $name, about = $module::CLAIM)]
                $variant($module::Options),
            )*
            /// The load on a web program, in a process of its own
            #[command(hide = true)]
            Load(load::Options),
        }

        /// Each program's name and what it demonstrates.
        pub const CLAIMS: &[(&str, &str)] = &[$(($name, $module::CLAIM)),*];

        impl Program {
            /// Runs it.
            pub fn run(&self, common: &Common) -> anyhow::Result<Option<Report>> {
                match self {
                    $(Program::$variant(options) => {
                        Ok(Some($module::run(options, common)?.of($name, $module::CLAIM)))
                    })*
                    Program::Load(options) => load::run(options, common).map(|()| None),
                }
            }
        }
    };
}

registry! {
    ParallelSum = parallel_sum "parallel-sum",
    WorkerPool = worker_pool "worker-pool",
    IoWorkers = io_workers "io-workers",
    Sleepers = sleepers "sleepers",
    ThreadsVsTasks = threads_vs_tasks "threads-vs-tasks",
    YieldPoints = yield_points "yield-points",
    StealImbalance = steal_imbalance "steal-imbalance",
    SyscallHandoff = syscall_handoff "syscall-handoff",
    Netpoll = netpoll "netpoll",
    MixedIo = mixed_io "mixed-io",
    Hog = hog "hog",
    QueueOverflow = queue_overflow "queue-overflow",
    WebUnlimited = web_unlimited "web-unlimited",
    WebRateLimited = web_rate_limited "web-rate-limited",
    WebWorkerPool = web_worker_pool "web-worker-pool",
    DbPool = db_pool "db-pool",
    SpawnJoin = spawn_join "spawn-join",
    Yield = yields "yield",
    PingPong = ping_pong "ping-pong",
    Skynet = skynet "skynet",
    ForkJoin = fork_join "fork-join",
    TcpEcho = tcp_echo "tcp-echo",
}
