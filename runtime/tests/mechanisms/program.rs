//! Running this binary again as a recorded program, and reading what it left.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use gmp_trace::order::{Ordered, Orderer, Step};
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::tally::{Equals, Tally};
use gmp_trace::version::ENV_SPOOL;

/// Set in the program that a test runs: the policy of its run.
const POLICY: &str = "GMP_TEST_POLICY";

/// The policy under which this process is the program of a test; none in the test itself.
pub fn policy() -> Option<String> {
    std::env::var(POLICY).ok()
}

/// This binary as the program of a test, not yet started.
pub fn command(test: &str, policy: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(POLICY, policy);
    command
}

/// What a recorded program left.
pub struct Recording {
    /// All events in causal order.
    pub events: Vec<Ordered>,
    /// Its spool.
    pub spool: ProcessSpool,
    _dir: tempfile::TempDir,
}

/// Runs the program recorded, and holds its events against its own counters.
pub fn record(test: &str, policy: &str) -> Recording {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = command(test, policy)
        .env(ENV_SPOOL, dir.path())
        .output()
        .expect("it starts");
    succeeded(&output);
    let spool = open(dir.path());
    let events = ordered(&spool);
    counted(&spool, &events);
    Recording {
        events,
        spool,
        _dir: dir,
    }
}

/// Shows what the program said if it failed.
pub fn succeeded(output: &Output) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
}

fn open(dir: &Path) -> ProcessSpool {
    let process = std::fs::read_dir(dir).expect("readable").next();
    let process = process.expect("a process").expect("readable");
    ProcessSpool::open(&process.path()).expect("a spool")
}

/// The events in causal order; nothing may be out of place.
fn ordered(spool: &ProcessSpool) -> Vec<Ordered> {
    let mut orderer = Orderer::new(false);
    for (writer, m) in spool.writers() {
        let stream = spool.stream(writer).map(|r| r.expect("whole records"));
        orderer.add(writer, m, stream);
    }
    let mut events = Vec::new();
    loop {
        match orderer.next() {
            Step::Event(o) => {
                assert_eq!(o.note, None, "{o:?}");
                events.push(o);
            }
            Step::Pending => unreachable!("whole streams"),
            Step::End => return events,
        }
    }
}

/// Recorded = counted.
fn counted(spool: &ProcessSpool, events: &[Ordered]) {
    assert_eq!(spool.lost, 0);
    let mut counts: BTreeMap<Tally, u64> = BTreeMap::new();
    for (writer, _) in spool.writers() {
        for (tally, n) in spool.tally(writer).expect("counters") {
            *counts.entry(tally).or_default() += n;
        }
    }
    for (tally, count) in counts {
        if tally.equals() == Equals::Nothing {
            continue;
        }
        let recorded: u64 = events.iter().map(|o| tally.added_by(&o.event)).sum();
        assert_eq!(recorded, count, "{}", tally.name());
    }
}
