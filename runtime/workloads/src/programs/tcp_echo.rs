//! Many connections that send a message to and fro.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, num_threads, stats};

use crate::loopback::{Echo, talk};
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "what a round trip over TCP costs when reads and writes park the task and not the thread";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many connections
    #[arg(long, default_value_t = 100)]
    connections: u64,
    /// Round trips on each
    #[arg(long, default_value_t = 200)]
    trips: u64,
    /// Bytes of the message
    #[arg(long, default_value_t = 64)]
    bytes: usize,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        connections,
        trips,
        bytes,
    } = *options;
    let (right, served, took, threads, stats) =
        runtime(common).run(move || -> anyhow::Result<_> {
            let echo = Echo::start()?;
            let address = echo.address;
            let began = Instant::now();
            let clients: Vec<_> = (0..connections)
                .map(|c| go(move || talk(address, &vec![c as u8; bytes], trips)))
                .collect();
            let mut right = 0;
            for client in clients {
                right += client
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e))?;
            }
            let (took, threads) = (began.elapsed(), num_threads());
            Ok((right, echo.stop(), took, threads, stats()))
        })?;
    ensure!(
        right == connections * trips && served == connections,
        "{right} of {} messages came back",
        connections * trips
    );
    let mut report = Report::new();
    report.figure("connections", connections as f64, "");
    report.time("time", took);
    report.figure(
        "round trips per second",
        right as f64 / took.as_secs_f64(),
        "",
    );
    report.figure("threads", threads as f64, "");
    report.counters(
        &stats,
        &[Tally::ParksNet, Tally::Netpolls, Tally::NetpollReadies],
    );
    Ok(report)
}
