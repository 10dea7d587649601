//! The same work on OS threads and on Gs.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gmp_runtime::{channel, go};

use super::sleepers::resident_bytes;
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "a G is made, switched and kept for a fraction of what an OS thread costs";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks of each sort live at once
    #[arg(long, default_value_t = 1_000)]
    tasks: u64,
    /// Round trips of a pair of them
    #[arg(long, default_value_t = 20_000)]
    trips: u64,
}

struct Costs {
    create: Duration,
    memory: Option<u64>,
    switch: Duration,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { tasks, trips } = *options;
    let gs = runtime(common).run(move || on_gs(tasks, trips));
    let threads = on_threads(tasks, trips)?;
    let mut report = Report::new();
    for (name, costs) in [("G", &gs), ("thread", &threads)] {
        let each = costs.create.as_secs_f64() * 1e6 / tasks as f64;
        report.figure(format!("{name}: create"), each, "µs");
        if let Some(memory) = costs.memory {
            report.figure(
                format!("{name}: memory"),
                memory as f64 / tasks as f64,
                "bytes",
            );
        }
        let each = costs.switch.as_secs_f64() * 1e6 / (2 * trips) as f64;
        report.figure(format!("{name}: switch"), each, "µs");
    }
    let ratio = threads.create.as_secs_f64() / gs.create.as_secs_f64();
    report.figure("creation, thread : G", ratio, "x");
    let ratio = threads.switch.as_secs_f64() / gs.switch.as_secs_f64();
    report.figure("switch, thread : G", ratio, "x");
    ensure!(ratio.is_finite(), "nothing was measured");
    Ok(report)
}

fn on_gs(tasks: u64, trips: u64) -> Costs {
    let before = resident_bytes();
    let (release, held) = channel::<()>(0);
    let began = Instant::now();
    let all: Vec<_> = (0..tasks)
        .map(|_| {
            let held = held.clone();
            // Ends when the other side is dropped.
            go(move || held.recv().is_err())
        })
        .collect();
    let create = began.elapsed();
    gmp_runtime::yield_now();
    let memory = resident_bytes()
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    drop(release);
    for g in all {
        g.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
    }
    let (ping, ping_end) = channel::<()>(0);
    let (pong, pong_end) = channel::<()>(0);
    let other = go(move || {
        while ping_end.recv().is_ok() {
            if pong.send(()).is_err() {
                break;
            }
        }
    });
    let began = Instant::now();
    for _ in 0..trips {
        let _ = ping.send(());
        let _ = pong_end.recv();
    }
    let switch = began.elapsed();
    drop(ping);
    other
        .join()
        .unwrap_or_else(|e| std::panic::resume_unwind(e));
    Costs {
        create,
        memory,
        switch,
    }
}

fn on_threads(tasks: u64, trips: u64) -> anyhow::Result<Costs> {
    let before = resident_bytes();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Arc::new(std::sync::Mutex::new(held));
    let began = Instant::now();
    let mut all = Vec::new();
    for _ in 0..tasks {
        let held = std::sync::Arc::clone(&held);
        let thread = std::thread::Builder::new().spawn(move || {
            // A poisoned lock would mean that another of these panicked, which none can.
            drop(held.lock().map(|held| held.recv()));
        });
        all.push(thread.with_context(|| format!("cannot create thread {}", all.len()))?);
    }
    let create = began.elapsed();
    let memory = resident_bytes()
        .zip(before)
        .map(|(now, before)| now.saturating_sub(before));
    drop(release);
    for thread in all {
        thread.join().ok().context("a thread panicked")?;
    }
    let (ping, ping_end) = mpsc::sync_channel::<()>(0);
    let (pong, pong_end) = mpsc::sync_channel::<()>(0);
    let other = std::thread::spawn(move || {
        while ping_end.recv().is_ok() {
            if pong.send(()).is_err() {
                break;
            }
        }
    });
    let began = Instant::now();
    for _ in 0..trips {
        ping.send(()).context("the other thread ended")?;
        pong_end.recv().context("the other thread ended")?;
    }
    let switch = began.elapsed();
    drop(ping);
    other.join().ok().context("a thread panicked")?;
    Ok(Costs {
        create,
        memory,
        switch,
    })
}
