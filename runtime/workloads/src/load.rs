//! The load on a web program: a process of its own, which is not recorded.
//!
//! Open loop: requests are sent at the times that a Poisson process gives, whether or not the answers to earlier ones are there, and each
//! latency counts from the time at which its request was meant to be sent. So a server that stalls is charged for all that had to wait
//! (no coordinated omission). `--closed` sends the next request of each client when the last was answered, and says so.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use gmp_runtime::sync::{Mutex, WaitGroup};
use gmp_runtime::{blocking, go, time};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::http;
use crate::report::{Common, Report, runtime};

/// After this long a request counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Percentiles that are looked at.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// How service times are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// All the same
    Fixed,
    /// Exponential
    Exponential,
    /// Nine of ten a ninth of what makes the mean right, the tenth ten times the mean's share
    Bimodal,
}

/// What to send.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where the server listens
    #[arg(long)]
    pub address: SocketAddr,
    /// Requests per second
    #[arg(long)]
    pub rate: f64,
    /// How long, in milliseconds
    #[arg(long)]
    pub duration_ms: u64,
    /// The mean service time, in microseconds
    #[arg(long)]
    pub service_us: u64,
    /// How service times are distributed
    #[arg(long)]
    pub service: Service,
    /// Closed loop with this many clients instead
    #[arg(long)]
    pub closed: Option<u64>,
}

/// What came back.
#[derive(Debug)]
struct Tally {
    latency: Histogram<u64>,
    sent: u64,
    ok: u64,
    /// Those of them that were answered before the last was sent.
    in_time: u64,
    rejected: u64,
    failed: u64,
}

impl Options {
    /// Draws a service time.
    fn draw(&self, rng: &mut fastrand::Rng) -> u64 {
        let mean = self.service_us as f64;
        let drawn = match self.service {
            Service::Fixed => mean,
            Service::Exponential => exponential(rng) * mean,
            Service::Bimodal if rng.f64() < 0.9 => mean / 2.0,
            Service::Bimodal => mean * 5.5,
        };
        drawn as u64
    }
}

/// A draw from the exponential distribution with mean 1.
fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// Sends one request; its latency counts from `intended`.
fn request(
    tally: &Mutex<Tally>,
    address: SocketAddr,
    service_us: u64,
    intended: Instant,
    end: Instant,
) {
    let status = http::get(address, &format!("/work/{service_us}"), intended + PATIENCE);
    let latency = intended.elapsed().as_micros() as u64;
    let mut tally = tally.lock();
    match status {
        Ok(200) => {
            tally.ok += 1;
            tally.in_time += u64::from(Instant::now() <= end);
            // It grows as needed, so that no value is refused.
            let _ = tally.latency.record(latency);
        }
        Ok(503) => tally.rejected += 1,
        Ok(_) | Err(_) => tally.failed += 1,
    }
}

/// The body of the process that makes the load: prints what came back as one JSON line.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the number of open files")?;
    let tally = Tally {
        latency: Histogram::new(3).context("no histogram")?,
        sent: 0,
        ok: 0,
        in_time: 0,
        rejected: 0,
        failed: 0,
    };
    let options = options.clone();
    let seed = common.seed;
    let value = runtime(common).run(move || {
        let tally = Arc::new(Mutex::new(tally));
        let group = WaitGroup::new();
        let began = Instant::now();
        match options.closed {
            None => open(&options, seed, &tally, &group, began),
            Some(clients) => closed(&options, seed, clients, &tally, &group, began),
        }
        group.wait();
        as_json(&options, &tally.lock())
    });
    // Its reader may have ended in the meantime.
    writeln!(std::io::stdout(), "{value}").context("cannot give back what was measured")
}

fn open(
    options: &Options,
    seed: u64,
    tally: &Arc<Mutex<Tally>>,
    group: &WaitGroup,
    began: Instant,
) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let end = began + Duration::from_millis(options.duration_ms);
    let mut intended = began;
    loop {
        intended += Duration::from_secs_f64(exponential(&mut rng) / options.rate);
        if intended >= end {
            return;
        }
        let now = Instant::now();
        if intended > now {
            time::sleep(intended - now);
        }
        let service = options.draw(&mut rng);
        let (tally, group, address) = (Arc::clone(tally), group.clone(), options.address);
        tally.lock().sent += 1;
        group.add(1);
        go(move || {
            request(&tally, address, service, intended, end);
            group.done();
        });
    }
}

fn closed(
    options: &Options,
    seed: u64,
    clients: u64,
    tally: &Arc<Mutex<Tally>>,
    group: &WaitGroup,
    began: Instant,
) {
    let end = began + Duration::from_millis(options.duration_ms);
    for client in 0..clients {
        let (tally, group, options) = (Arc::clone(tally), group.clone(), options.clone());
        group.add(1);
        go(move || {
            let mut rng = fastrand::Rng::with_seed(seed ^ (client << 32));
            while Instant::now() < end {
                tally.lock().sent += 1;
                request(
                    &tally,
                    options.address,
                    options.draw(&mut rng),
                    Instant::now(),
                    end,
                );
            }
            group.done();
        });
    }
}

/// Percentiles are given only where at least ten samples lie beyond them.
fn as_json(options: &Options, tally: &Tally) -> Value {
    let n = tally.latency.len();
    let percentiles: Vec<Value> = PERCENTILES
        .iter()
        .map(|p| {
            let supported = n as f64 * (100.0 - p) / 100.0 >= 10.0;
            let value = supported.then(|| tally.latency.value_at_quantile(p / 100.0) as f64 / 1e3);
            json!({"percent": p, "ms": value})
        })
        .collect();
    let seconds = options.duration_ms as f64 / 1e3;
    let offered = options
        .closed
        .is_none()
        .then(|| tally.sent as f64 / seconds);
    json!({
        "closed": options.closed,
        "offered": offered,
        "achieved": tally.in_time as f64 / seconds,
        "sent": tally.sent,
        "ok": tally.ok,
        "rejected": tally.rejected,
        "failed": tally.failed,
        "percentiles": percentiles,
        "max_ms": tally.latency.max() as f64 / 1e3,
    })
}

/// How a web program is loaded.
#[derive(Clone, Debug, clap::Args)]
pub struct Plan {
    /// Requests per second under normal load; high load is 4 times, extreme load 12 times as much
    #[arg(long, default_value_t = 500.0)]
    pub rate: f64,
    /// How long each load lasts, in milliseconds
    #[arg(long, default_value_t = 1_000)]
    pub duration_ms: u64,
    /// The mean service time, in milliseconds
    #[arg(long, default_value_t = 200)]
    pub service_ms: u64,
    /// How service times are distributed
    #[arg(long, default_value = "exponential")]
    pub service: Service,
    /// Closed loop with this many clients under normal load instead of a rate
    #[arg(long, value_name = "CLIENTS")]
    pub closed: Option<u64>,
}

/// Loads the server at `address` normally, highly and extremely, one after the other; adds the figures to the report.
///
/// To be called by a G; what came back is counted by the caller as well: `(sent, ok, rejected)`.
pub fn apply(
    plan: &Plan,
    seed: u64,
    address: SocketAddr,
) -> anyhow::Result<Vec<(&'static str, Value)>> {
    let program = std::env::current_exe().context("this program's file is not known")?;
    let mut results = Vec::new();
    for (name, factor) in [("normal", 1.0), ("high", 4.0), ("extreme", 12.0)] {
        let mut command = Command::new(&program);
        command
            .arg("load")
            .args(["--address", &address.to_string()])
            .args(["--rate", &(plan.rate * factor).to_string()])
            .args(["--duration-ms", &plan.duration_ms.to_string()])
            .args(["--service-us", &(plan.service_ms * 1_000).to_string()])
            .args(["--seed", &seed.to_string()])
            .args(["--procs", "1"])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        if let Some(value) = plan.service.to_possible_value() {
            command.args(["--service", value.get_name()]);
        }
        if let Some(clients) = plan.closed {
            let clients = clients * factor as u64;
            command.args(["--closed", &clients.to_string()]);
        }
        // The load is no part of what is recorded, and not subject to the policy under test.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("GMP_") {
                command.env_remove(&key);
            }
        }
        let output = blocking(|| command.output()).context("cannot start the load")?;
        anyhow::ensure!(
            output.status.success(),
            "the load failed: {}",
            output.status
        );
        let value: Value =
            serde_json::from_slice(&output.stdout).context("the load said nothing sensible")?;
        results.push((name, value));
    }
    Ok(results)
}

/// Adds what came back to a report, and checks that every request was answered.
pub fn report(report: &mut Report, results: &[(&'static str, Value)]) -> anyhow::Result<()> {
    for (name, value) in results {
        let number = |key: &str| value[key].as_f64().unwrap_or(0.0);
        let (sent, ok, rejected) = (number("sent"), number("ok"), number("rejected"));
        if value["closed"].is_null() {
            report.figure(format!("{name}: offered"), number("offered"), "requests/s");
        } else {
            report.remark(format!(
                "{name}: closed loop with {} clients: latencies leave out what would have arrived meanwhile",
                value["closed"]
            ));
        }
        report.figure(
            format!("{name}: answered"),
            number("achieved"),
            "requests/s",
        );
        report.figure(format!("{name}: rejected"), rejected, "requests");
        for p in value["percentiles"].as_array().into_iter().flatten() {
            let percent = p["percent"].as_f64().unwrap_or(0.0);
            match p["ms"].as_f64() {
                Some(ms) => report.figure(format!("{name}: p{percent}"), ms, "ms"),
                None => report.remark(format!("{name}: too few answers for a p{percent}")),
            }
        }
        report.figure(format!("{name}: slowest"), number("max_ms"), "ms");
        anyhow::ensure!(
            number("failed") == 0.0 && ok + rejected == sent && ok > 0.0,
            "{name} load: of {sent} requests {ok} were answered, {rejected} rejected, {} failed",
            number("failed")
        );
    }
    Ok(())
}
