//! Tasks made and joined, one after the other.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "what it costs to spawn a task and to wait for its end";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 200_000)]
    tasks: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let tasks = options.tasks;
    let (sum, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let sum: u64 = (0..tasks)
            .map(|t| {
                let g = go(move || t);
                g.join().unwrap_or_else(|e| std::panic::resume_unwind(e))
            })
            .sum();
        (sum, began.elapsed(), stats())
    });
    ensure!(
        sum == tasks * tasks.saturating_sub(1) / 2,
        "a result is wrong"
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure(
        "spawn and join",
        took.as_secs_f64() * 1e9 / tasks as f64,
        "ns",
    );
    report.counters(&stats, &[Tally::Spawns, Tally::Steals]);
    Ok(report)
}
