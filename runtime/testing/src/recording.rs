//! What a program left in its spool.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use gmp_trace::event::Event;
use gmp_trace::ids::WriterId;
use gmp_trace::order::{Ordered, Orderer, Step};
use gmp_trace::spool::reader::{ProcessSpool, Recorded};
use gmp_trace::tally::{Equals, Tally};
use gmp_trace::version::ENV_SPOOL;

use crate::program;

/// A program that ran recorded.
pub struct Recording {
    /// What it left.
    pub spool: ProcessSpool,
    /// How it ended, and what it said.
    pub output: Output,
    _dir: tempfile::TempDir,
}

impl Recording {
    /// Runs a program recorded, to its end, however that is.
    ///
    /// # Panics
    /// When it recorded nothing.
    pub fn of(command: &mut Command) -> Recording {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let output = command
            .env(ENV_SPOOL, dir.path())
            .output()
            .expect("it starts");
        let Some(spool) = spools(dir.path()).pop() else {
            panic!("it was not recorded: {output:?}");
        };
        Recording {
            spool,
            output,
            _dir: dir,
        }
    }

    /// Runs a program recorded that is to succeed, and of whose events none is to be lost.
    ///
    /// # Panics
    /// When it is otherwise.
    pub fn whole(command: &mut Command) -> Recording {
        let recording = Recording::of(command);
        let (said, status) = (recording.stderr(), recording.output.status);
        assert!(status.success(), "{status}: {said}");
        assert!(recording.spool.finished && recording.spool.lost == 0);
        recording
    }

    /// What the program said on its standard error.
    pub fn stderr(&self) -> String {
        program::stderr(&self.output)
    }

    /// All that happened, in causal order.
    ///
    /// # Panics
    /// When the place of an event is not proven, or the events are not as many as the runtime counted.
    pub fn history(&self) -> Vec<Ordered> {
        let mut orderer = Orderer::new(false);
        for (writer, m) in self.spool.writers() {
            let stream = self.spool.stream(writer);
            orderer.add(writer, m, stream.map(|r| r.expect("whole records")));
        }
        let mut history = Vec::new();
        loop {
            match orderer.next() {
                Step::Event(o) => {
                    assert_eq!(o.note, None, "{o:?}");
                    history.push(o);
                }
                Step::Pending => unreachable!("whole streams"),
                Step::End => break,
            }
        }
        assert_counted(&self.spool, history.iter().map(|o| &o.event));
        history
    }
}

/// The spools in a folder, one for each process.
pub fn spools(dir: &Path) -> Vec<ProcessSpool> {
    std::fs::read_dir(dir)
        .expect("readable")
        .map(|p| ProcessSpool::open(&p.expect("readable").path()).expect("a spool"))
        .collect()
}

/// The events of each thread, in its own order.
pub fn streams(spool: &ProcessSpool) -> BTreeMap<WriterId, Vec<Recorded>> {
    let read = |(writer, _)| {
        let events: Result<_, _> = spool.stream(writer).collect();
        (writer, events.expect("whole records"))
    };
    spool.writers().map(read).collect()
}

/// The events of all threads, one thread after the other.
pub fn events(spool: &ProcessSpool) -> Vec<Recorded> {
    streams(spool).into_values().flatten().collect()
}

/// The runtime's own counters, of all threads together.
pub fn counters(spool: &ProcessSpool) -> BTreeMap<Tally, u64> {
    let mut counters = BTreeMap::new();
    for (writer, _) in spool.writers() {
        for (tally, n) in spool.tally(writer).expect("counters") {
            *counters.entry(tally).or_default() += n;
        }
    }
    counters
}

/// Recorded = counted.
///
/// # Panics
/// When one of the runtime's own counters is not what these events, which are all there are, add up to.
pub fn assert_counted<'a>(spool: &ProcessSpool, events: impl Iterator<Item = &'a Event> + Clone) {
    for (tally, counted) in counters(spool) {
        if tally.equals() == Equals::Nothing {
            continue;
        }
        let recorded: u64 = events.clone().map(|e| tally.added_by(e)).sum();
        assert_eq!(recorded, counted, "{}", tally.name());
    }
}
