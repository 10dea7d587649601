//! More tasks than a P's run queue holds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::ensure;
use gmp_runtime::sync::WaitGroup;
use gmp_runtime::{Tally, go, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "a P's queue holds 256; when it is full, half of it goes to the global queue";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks are spawned in one go
    #[arg(long, default_value_t = 2_000)]
    tasks: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let tasks = options.tasks;
    let (done, stats) = runtime(common).run(move || {
        let done = Arc::new(AtomicU64::new(0));
        let group = WaitGroup::new();
        group.add(tasks as usize);
        for _ in 0..tasks {
            let (done, group) = (Arc::clone(&done), group.clone());
            go(move || {
                done.fetch_add(1, Ordering::Relaxed);
                group.done();
            });
        }
        group.wait();
        (done.load(Ordering::Relaxed), stats())
    });
    ensure!(done == tasks, "{done} of {tasks} tasks were done");
    let mut report = Report::new();
    report.figure("tasks", tasks as f64, "");
    report.counters(
        &stats,
        &[
            Tally::Overflows,
            Tally::OverflowedGs,
            Tally::GlobalGrabs,
            Tally::GlobalGrabbedGs,
            Tally::Steals,
        ],
    );
    let overflows = stats.get(Tally::Overflows);
    if overflows > 0 {
        let each = stats.get(Tally::OverflowedGs) as f64 / overflows as f64;
        report.figure("Gs per overflow", each, "");
    } else {
        report.remark("other Ps stole so fast that the queue never filled; --procs 1 shows the overflow for certain");
    }
    Ok(report)
}
