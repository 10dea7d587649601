//! A thousand network requests at once.

use std::time::Instant;

use anyhow::ensure;
use gmp_runtime::{Tally, go, num_threads, procs, stats};

use crate::loopback::{Echo, talk};
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str =
    "1,000 network requests wait in the poller on about P threads, not on 1,000";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many requests
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let requests = options.requests;
    let (right, served, took, threads, used, stats) =
        runtime(common).run(move || -> anyhow::Result<_> {
            let echo = Echo::start()?;
            let address = echo.address;
            let began = Instant::now();
            let clients: Vec<_> = (0..requests)
                .map(|r| go(move || talk(address, &r.to_le_bytes(), 1)))
                .collect();
            let mut right = 0;
            for client in clients {
                right += client
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e))?;
            }
            let (took, threads) = (began.elapsed(), num_threads());
            Ok((right, echo.stop(), took, threads, procs(), stats()))
        })?;
    ensure!(
        right == requests && served == requests,
        "{right} of {requests} requests were answered"
    );
    // Connecting is a system call that may hold a thread for a moment; a thread for each request it is not.
    ensure!(
        (threads as u64) < requests.max(100) / 2,
        "{threads} threads for {requests} requests"
    );
    let mut report = Report::new();
    report.figure("requests", requests as f64, "");
    report.time("time", took);
    report.figure("Ps", used as f64, "");
    report.figure("threads", threads as f64, "");
    report.counters(
        &stats,
        &[
            Tally::ParksNet,
            Tally::Netpolls,
            Tally::NetpollReadies,
            Tally::Retakes,
        ],
    );
    Ok(report)
}
