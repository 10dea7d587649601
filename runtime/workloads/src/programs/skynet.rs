//! A tree of tasks, ten children each, whose leaves are summed up through channels.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Sender, Tally, channel, go, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "a million tasks come and go in a tree, each with a channel of its own";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many leaves: a power of ten
    #[arg(long, default_value_t = 100_000)]
    leaves: u64,
}

fn node(sum: &Sender<u64>, first: u64, leaves: u64) {
    if leaves == 1 {
        // The parent listens until it has heard of all its children.
        let _ = sum.send(first);
        return;
    }
    let (sender, receiver) = channel::<u64>(10);
    for child in 0..10 {
        let sender = sender.clone();
        go(move || node(&sender, first + child * leaves / 10, leaves / 10));
    }
    drop(sender);
    let _ = sum.send(receiver.iter().sum());
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let leaves = options.leaves;
    ensure!(
        leaves > 0 && 10_u64.pow(leaves.ilog10()) == leaves,
        "--leaves {leaves} is no power of ten"
    );
    let (sum, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let (sender, receiver) = channel::<u64>(0);
        go(move || node(&sender, 0, leaves));
        let sum = receiver.recv();
        (sum, began.elapsed(), stats())
    });
    let expected = leaves * (leaves - 1) / 2;
    ensure!(sum == Ok(expected), "the sum is {sum:?}, not {expected}");
    let mut report = Report::new();
    let tasks = stats.get(Tally::Spawns);
    report.figure("tasks", tasks as f64, "");
    report.time("time", took);
    report.figure(
        "time per task",
        took.as_secs_f64() * 1e9 / tasks as f64,
        "ns",
    );
    report.counters(&stats, &[Tally::Steals, Tally::Overflows]);
    Ok(report)
}
