//! Jobs through a channel to one worker for each P.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, channel, go, procs, stats};

use crate::report::{Common, Report, burn, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "one worker a P drains a shared channel, and the jobs spread over the workers";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many jobs
    #[arg(long, default_value_t = 20_000)]
    jobs: u64,
    /// Rounds of computation in each
    #[arg(long, default_value_t = 2_000)]
    rounds: u64,
    /// Jobs that the channel holds
    #[arg(long, default_value_t = 128)]
    capacity: usize,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        jobs,
        rounds,
        capacity,
    } = *options;
    let seed = common.seed;
    let (done, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let (sender, receiver) = channel::<u64>(capacity);
        let workers: Vec<_> = (0..procs())
            .map(|_| {
                let receiver = receiver.clone();
                go(move || {
                    let mut done = 0_u64;
                    for job in receiver.iter() {
                        burn(rounds, job ^ seed);
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        for job in 0..jobs {
            // The workers end only when the channel is closed.
            let _ = sender.send(job);
        }
        drop(sender);
        let done: Vec<u64> = workers
            .into_iter()
            .map(|w| w.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect();
        (done, began.elapsed(), stats())
    });
    ensure!(
        done.iter().sum::<u64>() == jobs,
        "{done:?} jobs were done, not {jobs}"
    );
    let mut report = Report::new();
    report.figure("workers", done.len() as f64, "");
    report.time("time", took);
    report.figure("jobs per second", jobs as f64 / took.as_secs_f64(), "");
    report.figure(
        "most jobs of one worker",
        done.iter().copied().max().unwrap_or(0) as f64,
        "",
    );
    report.figure(
        "fewest jobs of one worker",
        done.iter().copied().min().unwrap_or(0) as f64,
        "",
    );
    report.counters(&stats, &[Tally::Parks, Tally::Readies, Tally::Steals]);
    Ok(report)
}
