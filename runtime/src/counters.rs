//! What the runtime counted for itself, summed over its threads.

use std::sync::PoisonError;

use gmp_trace::tally::Tally;

use crate::sched::{self, Sched, m, preempt};

/// The runtime's own counters at some moment, summed over all its threads. They do not depend on recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    counts: Vec<u64>,
}

impl Stats {
    /// One counter.
    pub fn get(&self, tally: Tally) -> u64 {
        self.counts[tally as usize]
    }

    /// All counters with their names.
    pub fn iter(&self) -> impl Iterator<Item = (Tally, u64)> + '_ {
        Tally::ALL.iter().map(|t| (*t, self.get(*t)))
    }
}

/// The counters of the runtime that the caller belongs to, or of the one started last. All zero if there was none.
pub fn stats() -> Stats {
    let mut counts = vec![0; Tally::ALL.len()];
    if let Some(sched) = this() {
        for block in sched
            .tallies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            for (sum, tally) in counts.iter_mut().zip(Tally::ALL) {
                *sum += block.get(*tally);
            }
        }
    }
    Stats { counts }
}

/// The runtime that the caller asks about. Every question to it is a checkpoint first.
pub(crate) fn this() -> Option<&'static Sched> {
    preempt::checkpoint();
    m::current().map(|m| m.sched).or_else(sched::home)
}

/// The number of Ps; 0 outside a runtime.
pub fn procs() -> usize {
    this().map_or(0, |s| s.procs() as usize)
}

/// Changes the number of Ps while the program runs; returns the number before. The world stops for a moment.
///
/// # Blocking
/// Blocks the M until all others came to rest.
pub fn set_procs(n: usize) -> usize {
    let Some(sched) = this() else { return 0 };
    let before = sched.procs() as usize;
    if n > 0 {
        sched::stw::set_procs(sched, u32::try_from(n).unwrap_or(u32::MAX));
    }
    before
}

/// The number of Gs that have not ended; 0 outside a runtime.
pub fn num_goroutines() -> usize {
    this().map_or(0, |s| {
        usize::try_from(s.live_gs.load(std::sync::atomic::Ordering::Relaxed)).unwrap_or(0)
    })
}

/// The number of threads that the runtime has for Gs: Ms made and not ended, sysmon not counted. 0 outside a runtime.
pub fn num_threads() -> usize {
    this().map_or(0, |s| s.lock().ms)
}
