//! Loops without calls beside tasks that give way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use gmp_runtime::{Tally, checkpoint, go, preemptible, procs, stats, yield_now};

use crate::report::{Common, Report, burn, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "a loop without calls keeps its P to its end, unless it asks now and then or may be stopped by a signal";

/// What a loop does for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum With {
    /// Nothing: it is a hog
    Nothing,
    /// It calls `checkpoint` every 10,000 rounds
    Checkpoint,
    /// It runs in `preemptible`
    Preemptible,
}

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many loops [default: as many as Ps]
    #[arg(long)]
    hogs: Option<usize>,
    /// How long each computes, in milliseconds of CPU time, about
    #[arg(long, default_value_t = 60)]
    ms: u64,
    /// What a loop does for the others
    #[arg(long, value_enum, default_value_t = With::Nothing)]
    with: With,
}

/// Rounds between two looks.
const CHUNK: u64 = 10_000;

fn compute(chunks: u64, seed: u64, mut between: impl FnMut()) -> u64 {
    let mut sum = 0u64;
    for n in 0..chunks {
        sum = sum.wrapping_add(burn(CHUNK, seed ^ n));
        between();
    }
    sum
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { hogs, ms, with } = *options;
    let seed = common.seed;
    // How many chunks make a millisecond: the fastest of some, because others may have had the CPU meanwhile.
    let chunk = (0..20)
        .map(|n| {
            let began = Instant::now();
            std::hint::black_box(burn(CHUNK, n));
            began.elapsed()
        })
        .min()
        .unwrap_or_default();
    let chunks = (Duration::from_millis(ms).as_nanos() / chunk.as_nanos().max(1)).max(1) as u64;
    let (took, sums, turns, worst, stats) = runtime(common).run(move || {
        let hogs = hogs.unwrap_or_else(procs);
        let left = Arc::new(AtomicUsize::new(hogs));
        let turns = Arc::new(AtomicU64::new(0));
        // It gives way all the time, and notices how long it does not get a turn.
        let ticker = {
            let (left, turns) = (Arc::clone(&left), Arc::clone(&turns));
            go(move || {
                let (mut last, mut worst) = (Instant::now(), Duration::ZERO);
                while left.load(Ordering::Relaxed) > 0 {
                    yield_now();
                    turns.fetch_add(1, Ordering::Relaxed);
                    worst = worst.max(last.elapsed());
                    last = Instant::now();
                }
                worst
            })
        };
        let began = Instant::now();
        let gs: Vec<_> = (0..hogs as u64)
            .map(|n| {
                let left = Arc::clone(&left);
                go(move || {
                    let sum = match with {
                        With::Nothing => compute(chunks, seed ^ n, || ()),
                        With::Checkpoint => compute(chunks, seed ^ n, checkpoint),
                        // SAFETY: it computes on its own variables.
                        With::Preemptible => unsafe {
                            preemptible(|| compute(chunks, seed ^ n, || ()))
                        },
                    };
                    left.fetch_sub(1, Ordering::Relaxed);
                    sum
                })
            })
            .collect();
        let sums: Vec<u64> = gs
            .into_iter()
            .map(|g| g.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect();
        let took = began.elapsed();
        let worst = ticker
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e));
        (took, sums, turns.load(Ordering::Relaxed), worst, stats())
    });
    // What was stopped and moved has computed what it would have computed alone.
    let mut alone = (0..sums.len() as u64).map(|n| compute(chunks, seed ^ n, || ()));
    ensure!(
        sums.iter().all(|sum| alone.next() == Some(*sum)),
        "a loop computed something else than it does alone"
    );
    ensure!(
        with == With::Preemptible || stats.get(Tally::AsyncPreempts) == 0,
        "a loop was stopped by a signal that may not be"
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure("turns of the other task", turns as f64, "");
    report.time("longest wait of the other task", worst);
    report.counters(
        &stats,
        &[
            Tally::Preempts,
            Tally::AsyncPreempts,
            Tally::PreemptRequests,
            Tally::PreemptSignals,
        ],
    );
    Ok(report)
}
