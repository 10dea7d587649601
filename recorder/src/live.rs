//! What the recorder does while the program runs: it reads the clocks each second, and after two seconds without a runtime says so.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use gmp_trace::clock::Snapshot;

use crate::clocks::Clocks;
use crate::place;

/// After this long without a runtime the user is told.
const PATIENCE: Duration = Duration::from_secs(2);

/// The thread that watches a run.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<()>,
    thread: JoinHandle<Vec<Snapshot>>,
}

impl Watch {
    /// Begins to watch the run whose spool is in `dir`; `clocks` has its first reading of the clocks, `first`. `program` is what to look
    /// at when no runtime starts.
    pub fn start(
        dir: PathBuf,
        mut clocks: Clocks,
        first: Snapshot,
        program: PathBuf,
    ) -> anyhow::Result<Watch> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                let began = Instant::now();
                let mut told = false;
                let mut snapshots = vec![first];
                let mut read = || {
                    let snapshot = Snapshot::take();
                    clocks.keep(&snapshot);
                    snapshot
                };
                while stopped.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout)
                {
                    snapshots.push(read());
                    if !told && began.elapsed() >= PATIENCE - Duration::from_millis(100) {
                        told = true;
                        if place::processes(&dir).is_ok_and(|found| found.is_empty()) {
                            eprintln!(
                                "gmp-record: no GMP runtime has started yet: {}",
                                advice(&program)
                            );
                        }
                    }
                }
                snapshots.push(read());
                snapshots
            })
            .context("cannot start the thread that watches the run")?;
        Ok(Watch { stop, thread })
    }

    /// The readings of the clocks, the last one taken now.
    pub fn finish(self) -> Vec<Snapshot> {
        // Its end is closed only when the thread is gone.
        let _ = self.stop.send(());
        self.thread
            .join()
            .unwrap_or_else(|_| vec![Snapshot::take()])
    }
}

/// What to do about a program in which no runtime starts, by what the program is.
pub fn advice(program: &Path) -> &'static str {
    let path = find(program).unwrap_or_else(|| program.to_owned());
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|f| f.take(256 << 20).read_to_end(&mut bytes));
    let contains = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
    if read.is_err() {
        "the program cannot be read to see what it is"
    } else if bytes.starts_with(b"#!") {
        "the program is a script; whatever it starts is recorded as soon as it starts a runtime"
    } else if contains(gmp_trace::version::ENV_SPOOL.as_bytes()) {
        "the program has one in it; it is recorded from `Builder::run` on"
    } else if contains(b"Go build ID: ") || contains(b".gopclntab") {
        "the program is written in Go, which has its own: use GODEBUG or `go test -trace`, or write it for gmp-runtime"
    } else if contains(b"tokio-") || contains(b"tokio::runtime") {
        "the program runs on tokio; only programs that use the crate gmp-runtime are recorded"
    } else {
        "only programs that use the crate gmp-runtime are recorded; see \"Record your own program\" in the README"
    }
}

/// The file that the system runs for a program's name.
fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return None;
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_depends_on_what_the_program_is() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let script = dir.path().join("run.sh");
        std::fs::write(&script, "#!/bin/sh\ntrue\n").expect("writable");
        assert!(advice(&script).contains("script"));
        assert!(advice(Path::new("sh")).contains("gmp-runtime"));
        assert!(advice(&dir.path().join("none")).contains("cannot be read"));
        let this = std::env::current_exe().expect("this program");
        assert!(advice(&this).contains("Builder::run"));
    }
}
