//! Network requests and file operations at the same time.

use std::time::Instant;

use anyhow::{Context, ensure};
use gmp_runtime::{Tally, fs, go, num_threads, procs, stats};

use crate::loopback::{Echo, talk};
use crate::report::{Common, Report, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "files block a thread each, the network none: the threads are P + files, whatever the connections";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many network requests
    #[arg(long, default_value_t = 1_000)]
    requests: u64,
    /// How many file operations
    #[arg(long, default_value_t = 10)]
    files: u64,
    /// Bytes of each file
    #[arg(long, default_value_t = 1 << 20)]
    bytes: usize,
}

/// Writes a file and reads it again; whether the same came back.
fn file(path: &std::path::Path, byte: u8, bytes: usize) -> anyhow::Result<bool> {
    let content = vec![byte; bytes];
    fs::write(path, &content).with_context(|| format!("cannot write {}", path.display()))?;
    let read = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(read == content)
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let Options {
        requests,
        files,
        bytes,
    } = *options;
    let dir = tempfile::tempdir().context("cannot make a folder for files")?;
    let path = dir.path().to_owned();
    let (right, same, took, threads, used, stats) =
        runtime(common).run(move || -> anyhow::Result<_> {
            let echo = Echo::start()?;
            let address = echo.address;
            let began = Instant::now();
            let clients: Vec<_> = (0..requests)
                .map(|r| go(move || talk(address, &r.to_le_bytes(), 1)))
                .collect();
            let readers: Vec<_> = (0..files)
                .map(|f| {
                    let path = path.join(f.to_string());
                    go(move || file(&path, f as u8, bytes))
                })
                .collect();
            let (mut right, mut same) = (0, 0);
            for client in clients {
                right += client
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e))?;
            }
            for reader in readers {
                let read = reader
                    .join()
                    .unwrap_or_else(|e| std::panic::resume_unwind(e))?;
                same += u64::from(read);
            }
            let (took, threads) = (began.elapsed(), num_threads());
            echo.stop();
            Ok((right, same, took, threads, procs(), stats()))
        })?;
    ensure!(
        right == requests && same == files,
        "{right} of {requests} requests were answered, {same} of {files} files came back"
    );
    let mut report = Report::new();
    report.time("time", took);
    report.figure("Ps", used as f64, "");
    report.figure("threads", threads as f64, "");
    report.figure(
        "threads = P + files would be",
        (used as u64 + files) as f64,
        "",
    );
    report.counters(
        &stats,
        &[
            Tally::ParksNet,
            Tally::SyscallEnters,
            Tally::Retakes,
            Tally::Handoffs,
        ],
    );
    Ok(report)
}
