//! Pairs of tasks that hand a token to and fro.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, channel, go, stats};

use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "what a hand-over through an unbuffered channel costs: ready into runnext, park, switch";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many pairs
    #[arg(long, default_value_t = 1)]
    pairs: u64,
    /// Round trips of each
    #[arg(long, default_value_t = 200_000)]
    trips: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options { pairs, trips } = *options;
    let (returned, took, stats) = runtime(common).run(move || {
        let began = Instant::now();
        let gs: Vec<_> = (0..pairs)
            .map(|_| {
                let (ping, ping_end) = channel::<u64>(0);
                let (pong, pong_end) = channel::<u64>(0);
                go(move || {
                    for n in ping_end.iter() {
                        if pong.send(n + 1).is_err() {
                            break;
                        }
                    }
                });
                go(move || {
                    (0..trips)
                        .filter(|n| ping.send(*n).is_ok() && pong_end.recv() == Ok(n + 1))
                        .count() as u64
                })
            })
            .collect();
        let returned: u64 = gs
            .into_iter()
            .map(|g| g.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .sum();
        (returned, began.elapsed(), stats())
    });
    ensure!(
        returned == pairs * trips,
        "{returned} of {} tokens came back",
        pairs * trips
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure(
        "hand-over",
        took.as_secs_f64() * 1e9 / (2 * returned) as f64,
        "ns",
    );
    report.counters(&stats, &[Tally::Starts, Tally::ParksChan, Tally::Steals]);
    Ok(report)
}
