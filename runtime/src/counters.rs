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
    m::current().map(|m| m.sched).or_else(sched::last_started)
}

/// The number of Ps; 0 outside a runtime.
pub fn procs() -> usize {
    this().map_or(0, |s| s.procs() as usize)
}

/// Changes the number of Ps while the program runs; returns the number before. 0 changes nothing, more than [`crate::MAX_PROCS`] are that
/// many. Go: `runtime.GOMAXPROCS`.
///
/// The world stops for a moment, unless there are that many already. From then on the number follows neither the cgroup's quota nor the
/// CPUs that the process may use, until [`set_default_procs`].
///
/// # Blocking
/// Parks the G while others have the world stopped; then blocks the M until all others came to rest.
pub fn set_procs(n: usize) -> usize {
    match (this(), n) {
        (None, _) => 0,
        (Some(sched), 0) => sched.procs() as usize,
        (Some(sched), n) => {
            let n = u32::try_from(n).unwrap_or(u32::MAX);
            sched::default_procs::set_custom(sched, n) as usize
        }
    }
}

/// Changes the number of Ps to the default as of now, and lets it follow the cgroup's quota and the affinity mask again, whatever was asked
/// for before. Go: `runtime.SetDefaultGOMAXPROCS`.
///
/// # Blocking
/// As [`set_procs`].
pub fn set_default_procs() {
    if let Some(sched) = this() {
        sched::default_procs::set_default(sched);
    }
}

/// Changes how many threads for Gs there may be at once; returns the number before, 0 outside a runtime. The program ends with an error
/// when it needs more, and at once if it has more already. Sysmon is not counted. Go: `debug.SetMaxThreads`.
pub fn set_max_threads(n: usize) -> usize {
    let Some(sched) = this() else { return 0 };
    let locked = sched.lock();
    // Relaxed: a number by itself.
    let before = sched.max_ms.swap(n, std::sync::atomic::Ordering::Relaxed);
    let ms = locked.ms;
    drop(locked);
    if ms > n {
        sched::boot::too_many_threads(n);
    }
    before
}

/// The number of Gs that have not ended, those of the runtime's own excluded; 0 outside a runtime. Go: `runtime.NumGoroutine`.
pub fn num_goroutines() -> usize {
    this().map_or(0, |s| {
        usize::try_from(s.live_gs.load(std::sync::atomic::Ordering::Relaxed)).unwrap_or(0)
    })
}

/// The number of threads that the runtime has for Gs: Ms made and not ended, sysmon not counted. 0 outside a runtime.
pub fn num_threads() -> usize {
    this().map_or(0, |s| s.lock().ms)
}
