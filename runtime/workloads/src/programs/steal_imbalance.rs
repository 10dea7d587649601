//! All tasks begin on one P; a tenth of them is heavy.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::sync::WaitGroup;
use gmp_runtime::{Tally, go, stats};

use crate::report::{Common, Report, burn, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "Ps without work steal from the one that has it: a skewed load spreads by itself";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 1_000)]
    tasks: u64,
    /// How many of them are heavy
    #[arg(long, default_value_t = 100)]
    heavy: u64,
    /// Rounds of computation of a light task
    #[arg(long, default_value_t = 2_000)]
    rounds: u64,
    /// How many times more a heavy one computes
    #[arg(long, default_value_t = 100)]
    factor: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        tasks,
        heavy,
        rounds,
        factor,
    } = *options;
    let seed = common.seed;
    // Which tasks are heavy is random, so that no position in the queue is special.
    let mut order: Vec<u64> = (0..tasks).collect();
    fastrand::Rng::with_seed(seed).shuffle(&mut order);
    let (done, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let done = Arc::new(AtomicU64::new(0));
        let group = WaitGroup::new();
        group.add(tasks as usize);
        for rank in order {
            let (done, group) = (Arc::clone(&done), group.clone());
            go(move || {
                let parts = if rank < heavy { factor } else { 1 };
                for part in 0..parts {
                    burn(rounds, rank ^ part ^ seed);
                    gmp_runtime::checkpoint();
                }
                done.fetch_add(1, Ordering::Relaxed);
                group.done();
            });
        }
        group.wait();
        (done.load(Ordering::Relaxed), began.elapsed(), stats())
    });
    ensure!(done == tasks, "{done} of {tasks} tasks were done");
    let mut report = Report::new();
    report.figure("tasks", tasks as f64, "");
    report.time("time", took);
    report.counters(
        &stats,
        &[
            Tally::Steals,
            Tally::StolenGs,
            Tally::StealsTried,
            Tally::Overflows,
            Tally::GlobalGrabs,
        ],
    );
    Ok(report)
}
