//! CPU-bound sums: as many at the same time as there are Ps.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, procs, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "CPU-bound tasks run on as many Ps as there are, no more";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many sums
    #[arg(long, default_value_t = 8)]
    tasks: u64,
    /// Numbers in each
    #[arg(long, default_value_t = 40_000_000)]
    numbers: u64,
}

/// Adds the numbers of one task up. The loop gives the scheduler a chance now and then, as compiled Go code does by signal.
fn sum(from: u64, numbers: u64) -> u64 {
    let mut total = 0_u64;
    for block in 0..numbers.div_ceil(1 << 20) {
        let first = from + (block << 20);
        let last = (first + (1 << 20)).min(from + numbers);
        for n in first..last {
            total = total.wrapping_add(std::hint::black_box(n));
        }
        gmp_runtime::checkpoint();
    }
    total
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { tasks, numbers } = *options;
    let (total, took, used, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let gs: Vec<_> = (0..tasks)
            .map(|t| go(move || sum(t * numbers, numbers)))
            .collect();
        let total = gs
            .into_iter()
            .map(|g| g.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .fold(0, u64::wrapping_add);
        (total, began.elapsed(), procs(), stats())
    });
    let n = u128::from(tasks) * u128::from(numbers);
    let expected = (n * n.saturating_sub(1) / 2) as u64;
    ensure!(total == expected, "the sum is {total}, not {expected}");
    let mut report = Report::new();
    report.figure("Ps", used as f64, "");
    report.figure("sums", tasks as f64, "");
    report.time("time", took);
    report.figure("numbers per second", n as f64 / took.as_secs_f64(), "");
    report.counters(&stats, &[Tally::Steals, Tally::Preempts]);
    Ok(report)
}
