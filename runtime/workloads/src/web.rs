//! The web server that the web programs share: they differ in what becomes of a request that was accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{Tally, go, num_threads, stats, time};

use crate::http;
use crate::load::{self, Plan};
use crate::loopback::accept_all;
use crate::report::{Common, Report, runtime};

/// What the server counts.
#[derive(Debug, Default)]
pub struct Counts {
    in_flight: AtomicU64,
    most: AtomicU64,
}

impl Counts {
    /// A request begins; how many there are with it.
    pub fn enter(&self) -> u64 {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(now, Ordering::Relaxed);
        now
    }

    /// A request is done.
    pub fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads the request of a connection, serves it and answers. A client that went away is no error of the server.
pub fn serve(mut stream: TcpStream) {
    let Ok(path) = http::read_request(&mut stream) else {
        return;
    };
    let status = match http::service_us(&path) {
        Some(us) => {
            time::sleep(Duration::from_micros(us));
            200
        }
        None => 400,
    };
    let _ = http::respond(&mut stream, status, "done\n");
}

/// Reads the request of a connection and rejects it.
pub fn reject(mut stream: TcpStream) {
    if http::read_request(&mut stream).is_ok() {
        // As in `serve`.
        let _ = http::respond(&mut stream, 503, "too much to do\n");
    }
}

/// Runs a server under the plan's loads. `accept` gets each connection; `start` runs first, on the runtime.
pub fn run<S: Send + Sync + 'static>(
    plan: &Plan,
    common: &Common,
    start: impl FnOnce(&Arc<Counts>) -> S + Send + 'static,
    accept: impl Fn(&Arc<S>, &Arc<Counts>, TcpStream) + Send + Sync + 'static,
) -> anyhow::Result<Report> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the number of open files")?;
    let (plan, seed) = (plan.clone(), common.seed);
    let (results, most, threads, stats) = runtime(common).run(move || -> anyhow::Result<_> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback")?;
        let address: SocketAddr = listener
            .local_addr()
            .context("the listener has no address")?;
        let listener = Arc::new(listener);
        let counts = Arc::new(Counts::default());
        let state = Arc::new(start(&counts));
        let accepting = {
            let (listener, counts) = (Arc::clone(&listener), Arc::clone(&counts));
            go(move || {
                // Until the deadline is set below.
                accept_all(&listener, |stream| accept(&state, &counts, stream));
            })
        };
        let results = load::apply(&plan, seed, address);
        let threads = num_threads();
        listener.set_deadline(Some(Instant::now()));
        accepting
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e));
        Ok((
            results?,
            counts.most.load(Ordering::Relaxed),
            threads,
            stats(),
        ))
    })?;
    let mut report = Report::new();
    load::report(&mut report, &results)?;
    report.figure("most requests in flight", most as f64, "");
    report.figure("threads", threads as f64, "");
    report.counters(
        &stats,
        &[
            Tally::Spawns,
            Tally::ParksNet,
            Tally::ParksSleep,
            Tally::NetpollReadies,
            Tally::Steals,
        ],
    );
    Ok(report)
}
