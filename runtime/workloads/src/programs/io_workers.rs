//! Tasks that do I/O in turn: a file, the network, a pause.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gmp_runtime::{Tally, fs, go, num_threads, stats, time};

use crate::loopback::{Echo, talk};
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "100 tasks that mostly wait share a few threads, and each makes progress";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many tasks
    #[arg(long, default_value_t = 100)]
    tasks: u64,
    /// How often each does all its I/O
    #[arg(long, default_value_t = 10)]
    rounds: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { tasks, rounds } = *options;
    let dir = tempfile::tempdir().context("cannot make a folder for files")?;
    let path = dir.path().to_owned();
    let seed = common.seed;
    let (done, took, threads, stats) = runtime(common).run(move || -> anyhow::Result<_> {
        let echo = Echo::start()?;
        let address = echo.address;
        let began = Instant::now();
        let gs: Vec<_> = (0..tasks)
            .map(|t| {
                let path = path.join(t.to_string());
                let mut rng = fastrand::Rng::with_seed(seed ^ (t << 20));
                go(move || -> anyhow::Result<u64> {
                    let mut done = 0;
                    for round in 0..rounds {
                        let content = [t as u8, round as u8];
                        fs::write(&path, content).context("cannot write a file")?;
                        let same = fs::read(&path).context("cannot read a file")? == content;
                        let right = talk(address, &content, 1).context("no connection")?;
                        time::sleep(Duration::from_micros(rng.u64(100..2_000)));
                        done += u64::from(same) * right;
                    }
                    Ok(done)
                })
            })
            .collect();
        let mut done = 0;
        for g in gs {
            done += g.join().unwrap_or_else(|e| std::panic::resume_unwind(e))?;
        }
        let (took, threads) = (began.elapsed(), num_threads());
        echo.stop();
        Ok((done, took, threads, stats()))
    })?;
    ensure!(
        done == tasks * rounds,
        "{done} of {} rounds were right",
        tasks * rounds
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure(
        "operations per second",
        3.0 * done as f64 / took.as_secs_f64(),
        "",
    );
    report.figure("threads", threads as f64, "");
    report.counters(
        &stats,
        &[
            Tally::SyscallEnters,
            Tally::ParksNet,
            Tally::ParksSleep,
            Tally::Handoffs,
        ],
    );
    Ok(report)
}
