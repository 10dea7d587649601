//! A web server with a bounded queue before a fixed number of workers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpStream;
use gmp_runtime::{Sender, channel, go};

use crate::load::Plan;
use crate::report::{Common, Report};
use crate::web;

/// What it demonstrates.
pub const CLAIM: &str =
    "a bounded queue before a fixed pool: what finds it full, or waited 5 s in it, gets 503";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many workers
    #[arg(long, default_value_t = 400)]
    workers: u64,
    /// How many requests the queue holds
    #[arg(long, default_value_t = 1_000)]
    queue: usize,
    /// How long a request may wait in it, in milliseconds
    #[arg(long, default_value_t = 5_000)]
    timeout_ms: u64,
    #[command(flatten)]
    plan: Plan,
}

struct Job {
    stream: TcpStream,
    accepted: Instant,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        workers,
        queue,
        timeout_ms,
        ..
    } = *options;
    let timeout = Duration::from_millis(timeout_ms);
    web::run(
        &options.plan,
        common,
        move |counts| -> Sender<Job> {
            let (sender, receiver) = channel::<Job>(queue);
            for _ in 0..workers {
                let (receiver, counts) = (receiver.clone(), Arc::clone(counts));
                go(move || {
                    for job in receiver.iter() {
                        if job.accepted.elapsed() > timeout {
                            web::reject(job.stream);
                        } else {
                            web::serve(job.stream);
                        }
                        counts.leave();
                    }
                });
            }
            sender
        },
        move |jobs, counts, stream| {
            counts.enter();
            let job = Job {
                stream,
                accepted: Instant::now(),
            };
            if let Err(refused) = jobs.try_send(job) {
                let (gmp_runtime::sync::chan::TrySendError::Full(job)
                | gmp_runtime::sync::chan::TrySendError::Closed(job)) = refused;
                let counts = Arc::clone(counts);
                // Not here: a client that is slow to ask must not hold up the others.
                go(move || {
                    web::reject(job.stream);
                    counts.leave();
                });
            }
        },
    )
}
