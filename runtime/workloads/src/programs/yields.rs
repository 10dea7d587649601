//! Tasks that do nothing but give way.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, stats, yield_now};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "what it costs to give way: a switch by way of the global queue";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 100)]
    tasks: u64,
    /// How often each yields
    #[arg(long, default_value_t = 5_000)]
    yields: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { tasks, yields } = *options;
    let (done, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let gs: Vec<_> = (0..tasks)
            .map(|_| go(move || (0..yields).map(|_| yield_now()).count() as u64))
            .collect();
        let done: u64 = gs
            .into_iter()
            .map(|g| g.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .sum();
        (done, began.elapsed(), stats())
    });
    ensure!(
        done == tasks * yields,
        "{done} yields, not {}",
        tasks * yields
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure("yield", took.as_secs_f64() * 1e9 / done as f64, "ns");
    report.counters(&stats, &[Tally::Yields, Tally::Starts, Tally::GlobalGrabs]);
    Ok(report)
}
