//! Divide and conquer: each task forks a half, does the other half itself, and joins.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "recursive parallelism: work is stolen from the top of the tree, where it is largest";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which Fibonacci number
    #[arg(long, default_value_t = 27, value_parser = clap::value_parser!(u64).range(0..=40))]
    n: u64,
    /// Below this, no task is forked
    #[arg(long, default_value_t = 10)]
    cutoff: u64,
}

fn sequential(n: u64) -> u64 {
    if n < 2 {
        n
    } else {
        sequential(n - 1) + sequential(n - 2)
    }
}

fn parallel(n: u64, cutoff: u64) -> u64 {
    if n < 2 || n < cutoff {
        return sequential(n);
    }
    let other = go(move || parallel(n - 1, cutoff));
    let own = parallel(n - 2, cutoff);
    own + other
        .join()
        .unwrap_or_else(|e| std::panic::resume_unwind(e))
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { n, cutoff } = *options;
    let (result, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        (parallel(n, cutoff), began.elapsed(), stats())
    });
    let expected = (0..n).fold((0_u64, 1_u64), |(a, b), _| (b, a + b)).0;
    ensure!(result == expected, "the result is {result}, not {expected}");
    let mut report = Report::new();
    let tasks = stats.get(Tally::Spawns);
    report.figure("tasks", tasks as f64, "");
    report.time("time", took);
    report.figure(
        "time per task",
        took.as_secs_f64() * 1e9 / tasks as f64,
        "ns",
    );
    report.counters(&stats, &[Tally::Steals, Tally::StolenGs, Tally::Parks]);
    Ok(report)
}
