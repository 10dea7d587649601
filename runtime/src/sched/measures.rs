//! What the scheduler measures of itself beside counting: how long Gs wait to run, how long the world stops, how long Ps are idle.
//! [`crate::metrics`] shows it.
//!
//! # What it costs
//! A G is timed on one of eight of its ways from running to running again ([`Track`]; Go: `gTrackingPeriod`); on the others a step costs a
//! branch. The histograms are shared by all threads, but one of eight steps alone touches them. Gs are timed by the clock of the trace, which
//! is the cheaper one; its rate is measured while the runtime starts, which is exact enough for buckets, and again when sums are read. Ps are
//! timed when they become idle, beside a lock and a wake.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use gmp_trace::clock::{self, Calibration, Snapshot};
use gmp_trace::event::{GState, ParkReason};

use crate::metrics::histogram::TimeHistogram;
use crate::time::now_ns;

/// One of how many ways of a G is timed.
const PERIOD: u8 = 8;

/// What any thread adds to.
pub(crate) struct Measures {
    /// How long Gs were runnable before they ran, of those that are timed.
    pub(crate) latencies: TimeHistogram,
    /// How long Gs waited for mutexes, in ticks: that of those that are timed, times [`PERIOD`].
    mutex_wait: AtomicU64,
    /// The clocks when the runtime was made.
    made: Snapshot,
    /// Nanoseconds of a tick, times 2^32.
    tick_ns: AtomicU64,
    /// From asking for a stop of the world to the last P's.
    pub(crate) stw_stopping: TimeHistogram,
    /// From asking for a stop of the world until it goes on.
    pub(crate) stw_total: TimeHistogram,
    /// Gs in system calls that lost their P, or gave it away before.
    no_p: AtomicU32,
}

impl Measures {
    /// Nothing measured.
    pub(crate) fn new() -> Measures {
        Measures {
            latencies: TimeHistogram::new(),
            mutex_wait: AtomicU64::new(0),
            made: Snapshot::take(),
            tick_ns: AtomicU64::new(1 << 32),
            stw_stopping: TimeHistogram::new(),
            stw_total: TimeHistogram::new(),
            no_p: AtomicU32::new(0),
        }
    }

    /// Measures the clock's rate over the time since the runtime was made: a fraction of a millisecond at its start, good to about a
    /// thousandth.
    pub(crate) fn calibrate(&self) {
        let hz = Calibration::between(&self.made, &Snapshot::take()).hz();
        // Relaxed: a number by itself.
        self.tick_ns
            .store((1e9 / hz * 4_294_967_296.0) as u64, Ordering::Relaxed);
    }

    fn ns(&self, ticks: u64) -> u64 {
        let tick_ns = self.tick_ns.load(Ordering::Relaxed);
        u64::try_from((u128::from(ticks) * u128::from(tick_ns)) >> 32).unwrap_or(u64::MAX)
    }

    /// How long Gs waited for mutexes, in ns; an estimate.
    pub(crate) fn mutex_wait_ns(&self) -> u64 {
        self.ns(self.mutex_wait.load(Ordering::Relaxed))
    }

    /// A system call goes on without its P.
    pub(crate) fn syscall_lost_p(&self) {
        // Relaxed: a statistic.
        self.no_p.fetch_add(1, Ordering::Relaxed);
    }

    /// A system call ended that went on without its P. Its loss is counted by whoever took the P, perhaps a little later: the number wraps
    /// meanwhile.
    pub(crate) fn syscall_without_p_ended(&self) {
        self.no_p.fetch_sub(1, Ordering::Relaxed);
    }

    /// Gs in system calls without a P.
    pub(crate) fn syscalls_without_p(&self) -> u32 {
        u32::try_from(self.no_p.load(Ordering::Relaxed).cast_signed()).unwrap_or(0)
    }
}

/// The timing of a G. Its owner's.
pub(crate) struct Track {
    /// Whether this way is timed.
    on: Cell<bool>,
    /// Counts the ways.
    ways: Cell<u8>,
    /// When the state began that is being timed, in ticks.
    since: Cell<u64>,
    /// How long it has been runnable on this way, in ticks.
    runnable: Cell<u64>,
}

impl Track {
    /// Of a G that never lived.
    pub(crate) fn new() -> Track {
        Track {
            on: Cell::new(false),
            ways: Cell::new(0),
            since: Cell::new(0),
            runnable: Cell::new(0),
        }
    }

    /// The G begins a life, with this number: one of eight is timed on its first way, which ones is as good as random.
    pub(crate) fn born(&self, id: u64) {
        let ways = (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8;
        self.ways.set(ways);
        self.on.set(ways.is_multiple_of(PERIOD));
        self.runnable.set(0);
    }

    /// The G goes from one state to another; `reason` is what it waits for.
    #[inline]
    pub(crate) fn step(
        &self,
        from: GState,
        to: GState,
        reason: impl Fn() -> ParkReason,
        measures: &Measures,
    ) {
        if from == GState::Running {
            let ways = self.ways.get();
            self.ways.set(ways.wrapping_add(1));
            if ways.is_multiple_of(PERIOD) {
                self.on.set(true);
            }
        }
        if self.on.get() {
            self.timed_step(from, to, reason(), measures);
        }
    }

    /// Go: the end of `casgstatus`.
    #[cold]
    fn timed_step(&self, from: GState, to: GState, reason: ParkReason, measures: &Measures) {
        let now = clock::now_ticks();
        let lasted = now.saturating_sub(self.since.get());
        match from {
            GState::Runnable => self.runnable.set(self.runnable.get() + lasted),
            GState::Waiting if is_mutex(reason) => {
                let all = lasted.saturating_mul(u64::from(PERIOD));
                // Relaxed: a statistic.
                measures.mutex_wait.fetch_add(all, Ordering::Relaxed);
            }
            _ => {}
        }
        self.since.set(now);
        if to == GState::Running {
            self.on.set(false);
            let runnable = measures.ns(self.runnable.replace(0));
            measures.latencies.record(runnable);
        }
    }
}

fn is_mutex(reason: ParkReason) -> bool {
    matches!(reason, ParkReason::Mutex | ParkReason::RwLock)
}

/// The time of the Ps, used and idle. Behind the scheduler's lock.
pub(crate) struct CpuTime {
    /// What Ps were idle, in ns, those excluded that are idle now.
    idle_ns: u64,
    /// What Ps there were, in ns, up to the last change of their number.
    total_ns: u64,
    /// When that was.
    since: u64,
}

impl CpuTime {
    /// From now on.
    pub(crate) fn new() -> CpuTime {
        CpuTime {
            idle_ns: 0,
            total_ns: 0,
            since: now_ns(),
        }
    }

    /// The number of Ps changes from `procs`.
    pub(crate) fn procs_change(&mut self, procs: u32, now: u64) {
        self.total_ns = self.total_ns(procs, now);
        self.since = now;
    }

    /// A P is idle no more.
    pub(crate) fn idle_ended(&mut self, since: u64, now: u64) {
        self.idle_ns += now.saturating_sub(since);
    }

    /// The time of all Ps, of which there are `procs` now.
    pub(crate) fn total_ns(&self, procs: u32, now: u64) -> u64 {
        self.total_ns + u64::from(procs) * now.saturating_sub(self.since)
    }

    /// The idle time of all Ps, those included that are idle now, given since when each of them is.
    pub(crate) fn idle_ns(&self, idle_now: impl Iterator<Item = u64>, now: u64) -> u64 {
        self.idle_ns + idle_now.map(|since| now.saturating_sub(since)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(track: &Track, measures: &Measures, ways: u32, wait: ParkReason) {
        track.born(1);
        for _ in 0..ways {
            track.step(GState::Runnable, GState::Running, || wait, measures);
            track.step(GState::Running, GState::Waiting, || wait, measures);
            track.step(GState::Waiting, GState::Runnable, || wait, measures);
        }
    }

    #[test]
    fn one_way_of_eight_is_timed() {
        let measures = Measures::new();
        lives(&Track::new(), &measures, 800, ParkReason::Sleep);
        let timed: u64 = measures.latencies.counts().iter().sum();
        assert!((99..=101).contains(&timed), "{timed}");
        assert_eq!(measures.mutex_wait_ns(), 0);
    }

    #[test]
    fn ticks_become_nanoseconds() {
        let measures = Measures::new();
        let (ticks, began) = (clock::now_ticks(), now_ns());
        while now_ns() < began + 20_000_000 {
            std::hint::spin_loop();
        }
        measures.calibrate();
        let (ticks, ns) = (clock::now_ticks() - ticks, now_ns() - began);
        let error = measures.ns(ticks).abs_diff(ns) as f64 / ns as f64;
        assert!(error < 0.01, "{error}");
    }

    #[test]
    fn waits_for_a_mutex_add_up() {
        let measures = Measures::new();
        lives(&Track::new(), &measures, 800, ParkReason::Mutex);
        let ticks = measures.mutex_wait.load(Ordering::Relaxed);
        assert!(ticks > 0 && ticks.is_multiple_of(u64::from(PERIOD)));
    }

    #[test]
    fn the_time_of_ps_follows_their_number() {
        let mut cpu = CpuTime {
            idle_ns: 0,
            total_ns: 0,
            since: 100,
        };
        assert_eq!(cpu.total_ns(2, 110), 20);
        cpu.procs_change(2, 110);
        assert_eq!(cpu.total_ns(3, 120), 50);
        cpu.idle_ended(105, 108);
        assert_eq!(cpu.idle_ns([100, 110].into_iter(), 120), 33);
    }
}
