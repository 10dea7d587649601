//! Blocking reads while CPU-bound tasks go on.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gmp_runtime::{Tally, blocking, go, num_threads, procs, stats, time};

use crate::report::{Common, Report, burn, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "a task blocked in the kernel gives its P away: there are P + blocked threads, and the others run on";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Tasks that block in a read from a pipe
    #[arg(long, default_value_t = 10)]
    blocked: u64,
    /// Tasks that compute
    #[arg(long, default_value_t = 100)]
    tasks: u64,
    /// Rounds of computation in each
    #[arg(long, default_value_t = 1_000_000)]
    rounds: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        blocked,
        tasks,
        rounds,
    } = *options;
    let seed = common.seed;
    let (threads, used, took, read, file_bytes, stats) =
        runtime(common).run(move || -> anyhow::Result<_> {
            let began = Instant::now();
            let mut pipes = Vec::new();
            let mut readers = Vec::new();
            for _ in 0..blocked {
                let (mut reader, writer) = std::io::pipe().context("cannot make a pipe")?;
                pipes.push(writer);
                readers.push(go(move || {
                    let mut byte = [0];
                    // The P is given away at once: it is known that this blocks.
                    blocking(|| reader.read(&mut byte)).unwrap_or(0)
                }));
            }
            let file = go(|| {
                let text = gmp_runtime::fs::read("/proc/self/maps");
                text.map(|t| t.len()).unwrap_or(0)
            });
            // All of them are in the kernel before the others begin.
            while stats().get(Tally::SyscallEnters) < blocked {
                time::sleep(Duration::from_micros(100));
            }
            let workers: Vec<_> = (0..tasks)
                .map(|t| {
                    go(move || {
                        for part in 0..10 {
                            burn(rounds / 10, t ^ part ^ seed);
                            gmp_runtime::checkpoint();
                        }
                    })
                })
                .collect();
            for worker in workers {
                worker
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e));
            }
            let (threads, took) = (num_threads(), began.elapsed());
            for mut pipe in pipes {
                pipe.write_all(&[1]).context("cannot write to a pipe")?;
            }
            let mut read = 0;
            for reader in readers {
                read += reader
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e))
                    as u64;
            }
            let file_bytes = file.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
            Ok((threads, procs(), took, read, file_bytes, stats()))
        })?;
    ensure!(read == blocked, "{read} of {blocked} reads came back");
    ensure!(file_bytes > 0, "the file could not be read");
    let mut report = Report::new();
    report.figure("Ps", used as f64, "");
    report.figure("blocked tasks", blocked as f64, "");
    report.figure("threads while they were blocked", threads as f64, "");
    report.figure(
        "threads = P + blocked would be",
        (used as u64 + blocked) as f64,
        "",
    );
    report.time("computing beside them", took);
    report.counters(
        &stats,
        &[
            Tally::SyscallEnters,
            Tally::Handoffs,
            Tally::Retakes,
            Tally::MCreated,
        ],
    );
    Ok(report)
}
