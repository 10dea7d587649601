//! Many tasks that sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use gmp_runtime::sync::WaitGroup;
use gmp_runtime::{Tally, go, num_threads, stats, time};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "a sleeping task costs a stack page and no thread: 100,000 of them sleep at once";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks; before Linux 6.13 more than 32,000 need a higher vm.max_map_count
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    tasks: u64,
    /// How long each sleeps, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    sleep_ms: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { tasks, sleep_ms } = *options;
    let sleep = Duration::from_millis(sleep_ms);
    let before = resident_bytes();
    // A sleeping G needs little: the smallest stack that the runtime takes.
    let (early, latest, spawned, took, memory, threads, stats) =
        runtime(common).stack_size(16 << 10).run(move || {
            let (early, latest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            let group = WaitGroup::new();
            group.add(tasks as usize);
            let began = Instant::now();
            for _ in 0..tasks {
                let (early, latest, group) =
                    (Arc::clone(&early), Arc::clone(&latest), group.clone());
                go(move || {
                    let slept = Instant::now();
                    time::sleep(sleep);
                    let late = slept.elapsed().as_nanos() as i128 - sleep.as_nanos() as i128;
                    if late < 0 {
                        early.fetch_add(1, Ordering::Relaxed);
                    }
                    latest.fetch_max(late.max(0) as u64, Ordering::Relaxed);
                    group.done();
                });
            }
            let spawned = began.elapsed();
            let (memory, threads) = (resident_bytes(), num_threads());
            group.wait();
            (
                early.load(Ordering::Relaxed),
                latest.load(Ordering::Relaxed),
                spawned,
                began.elapsed(),
                memory,
                threads,
                stats(),
            )
        });
    ensure!(early == 0, "{early} tasks woke before their time");
    let mut report = Report::new();
    report.figure("tasks", tasks as f64, "");
    report.time("spawning all", spawned);
    report.time("until all had slept", took);
    report.figure("latest wake-up", latest as f64 / 1e6, "ms after its time");
    report.figure("threads", threads as f64, "");
    if let (Some(before), Some(memory)) = (before, memory) {
        let each = memory.saturating_sub(before) as f64 / tasks as f64;
        report.figure("memory", memory as f64 / f64::from(1 << 20), "MiB");
        report.figure("memory per task", each, "bytes");
    }
    report.counters(&stats, &[Tally::Timers, Tally::ParksSleep]);
    Ok(report)
}

/// The memory that the process occupies.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kib << 10)
}
