//! The counters of one thread, which are read together by one system call.

use std::io;
use std::os::fd::AsRawFd;

use perf_event::{Counter, ReadFormat};

use super::spec::Spec;

/// The most counters of a group: the fields that an event has.
pub(super) const MOST: usize = 8;

/// What a group has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    /// How long it was to count, in ns.
    pub(super) enabled_ns: u64,
    /// How long it counted, in ns: less where the processor has too few counters for all who want some.
    pub(super) running_ns: u64,
    /// The counters, in the order in which they were opened.
    pub(super) counts: [u64; MOST],
}

/// Open counters of one thread. The first is the leader, by which all are read, and with which all begin to count ([`Group::start`]).
///
/// A leader that counts already while others join it would count alone: the kernel lets those begin only when the thread next comes back to
/// a CPU, and on an idle machine that can be long after. (A G's first 44 ms had all their CPU time and a third of their page faults.)
pub(super) struct Group {
    counters: Vec<Counter>,
}

impl Group {
    /// No counter yet.
    pub(super) fn new() -> Group {
        Group {
            counters: Vec::new(),
        }
    }

    /// Opens one more, for the calling thread.
    pub(super) fn add(&mut self, spec: &Spec, exclude_kernel: bool) -> io::Result<()> {
        let mut builder = spec.builder();
        builder.exclude_kernel(exclude_kernel).read_format(
            ReadFormat::GROUP | ReadFormat::TOTAL_TIME_ENABLED | ReadFormat::TOTAL_TIME_RUNNING,
        );
        let counter = match self.counters.first_mut() {
            None => builder.enabled(false).build()?,
            Some(leader) => builder.enabled(true).build_with_group(leader)?,
        };
        self.counters.push(counter);
        Ok(())
    }

    /// Begins to count, with all that were added at once.
    pub(super) fn start(&mut self) -> io::Result<()> {
        match self.counters.first_mut() {
            Some(leader) => leader.enable_group(),
            None => Ok(()),
        }
    }

    /// The largest number of a descriptor in it.
    pub(super) fn highest_fd(&self) -> i32 {
        let fds = self.counters.iter().map(AsRawFd::as_raw_fd);
        fds.max().unwrap_or(-1)
    }

    /// Reads all; one system call, no allocation.
    pub(super) fn read(&self) -> io::Result<Values> {
        let Some(leader) = self.counters.first() else {
            return Ok(Values::default());
        };
        // As the kernel documents it for this read_format, to which perf-event2 adds the ids: how many, time enabled, time running,
        // then each value with its id.
        let mut words = [0u64; 3 + 2 * MOST];
        let want = 8 * (3 + 2 * self.counters.len());
        // SAFETY: the buffer has `want` bytes, because a group never has more than MOST counters; see `Plan`.
        let got = unsafe { libc::read(leader.as_raw_fd(), words.as_mut_ptr().cast(), want) };
        if got < 0 {
            return Err(io::Error::last_os_error());
        }
        if got as usize != want || words[0] as usize != self.counters.len() {
            return Err(io::Error::other(format!(
                "a group of {} counters gave {got} bytes",
                self.counters.len()
            )));
        }
        let mut counts = [0; MOST];
        for (count, value) in counts.iter_mut().zip(words[3..].iter().step_by(2)) {
            *count = *value;
        }
        Ok(Values {
            enabled_ns: words[1],
            running_ns: words[2],
            counts,
        })
    }
}
