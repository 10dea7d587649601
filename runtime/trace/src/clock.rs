//! The clock of a trace: what ticks, and how ticks relate to the kernel's clocks.
//!
//! Where the processor has an invariant time stamp counter, ticks are its counts (about 10 ns to read); elsewhere they are nanoseconds of
//! `CLOCK_MONOTONIC`. The choice is made once for the process. A [`Snapshot`] reads the ticks and the kernel's clocks close together; two
//! of them give the [`Calibration`].

use std::sync::atomic::{AtomicU8, Ordering};

use crate::value::words;

words! {
    /// What ticks.
    ClockKind {
        /// `CLOCK_MONOTONIC`, in nanoseconds.
        Monotonic = 0 "monotonic",
        /// The processor's time stamp counter, which runs at one rate in all states and is the same on all cores.
        Tsc = 1 "tsc",
    }
}

/// 2 = not chosen yet.
static KIND: AtomicU8 = AtomicU8::new(2);

/// The clock of this process.
#[inline(always)]
pub fn kind() -> ClockKind {
    // Relaxed: every thread that chooses chooses the same.
    match KIND.load(Ordering::Relaxed) {
        0 => ClockKind::Monotonic,
        1 => ClockKind::Tsc,
        _ => choose(),
    }
}

#[cold]
fn choose() -> ClockKind {
    let kind = if has_invariant_tsc() {
        ClockKind::Tsc
    } else {
        ClockKind::Monotonic
    };
    KIND.store(kind as u8, Ordering::Relaxed);
    kind
}

/// Now, in ticks of this process's clock.
#[inline(always)]
pub fn now_ticks() -> u64 {
    match kind() {
        ClockKind::Tsc => tsc(),
        ClockKind::Monotonic => kernel_ns(libc::CLOCK_MONOTONIC),
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it is chosen only where it is invariant.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc() -> u64 {
    kernel_ns(libc::CLOCK_MONOTONIC)
}

#[cfg(target_arch = "x86_64")]
fn has_invariant_tsc() -> bool {
    use std::arch::x86_64::__cpuid;
    // Leaf 0x8000_0007, EDX bit 8: the counter runs at a constant rate in all states of the processor.
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn has_invariant_tsc() -> bool {
    false
}

/// One of the kernel's clocks, in nanoseconds.
pub fn kernel_ns(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the timespec is ours; the clocks asked for exist on every Linux.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// The trace's clock and the kernel's, read close together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Ticks, half-way through the reading of `monotonic_ns`.
    pub ticks: u64,
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic_ns: u64,
    /// `CLOCK_MONOTONIC_RAW`, ns.
    pub monotonic_raw_ns: u64,
    /// `CLOCK_BOOTTIME`, ns.
    pub boottime_ns: u64,
    /// `CLOCK_REALTIME`, ns since 1970.
    pub realtime_ns: u64,
    /// How many ticks the reading of `monotonic_ns` took: the pair is good to half of that.
    pub uncertainty_ticks: u64,
}

impl Snapshot {
    /// Reads the clocks; the best of a few tries, so that an interruption in between does not spoil it.
    pub fn take() -> Snapshot {
        let mut best: Option<Snapshot> = None;
        for _ in 0..8 {
            let before = now_ticks();
            let monotonic_ns = kernel_ns(libc::CLOCK_MONOTONIC);
            let took = now_ticks().saturating_sub(before);
            if best.is_none_or(|b| took < b.uncertainty_ticks) {
                best = Some(Snapshot {
                    ticks: before + took / 2,
                    monotonic_ns,
                    monotonic_raw_ns: kernel_ns(libc::CLOCK_MONOTONIC_RAW),
                    boottime_ns: kernel_ns(libc::CLOCK_BOOTTIME),
                    realtime_ns: kernel_ns(libc::CLOCK_REALTIME),
                    uncertainty_ticks: took,
                });
            }
        }
        match best {
            Some(best) => best,
            None => unreachable!("the loop runs"),
        }
    }
}

/// How ticks become nanoseconds: `base_ns + (ticks - base_ticks) * ns / ticks_per`, exact in integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// Ticks at the base.
    pub base_ticks: u64,
    /// Nanoseconds at the base.
    pub base_ns: u64,
    /// Ticks of an interval,
    pub interval_ticks: u64,
    /// which lasted this many nanoseconds.
    pub interval_ns: u64,
}

impl Calibration {
    /// From two readings; the later one gives the rate.
    pub fn between(first: &Snapshot, last: &Snapshot) -> Calibration {
        let ticks = last.ticks.saturating_sub(first.ticks);
        let ns = last.monotonic_ns.saturating_sub(first.monotonic_ns);
        let (interval_ticks, interval_ns) = if ticks == 0 || ns == 0 {
            (1, 1)
        } else {
            (ticks, ns)
        };
        Calibration {
            base_ticks: first.ticks,
            base_ns: first.monotonic_ns,
            interval_ticks,
            interval_ns,
        }
    }

    /// The `CLOCK_MONOTONIC` time of a count of ticks, before the base too.
    pub fn ns(&self, ticks: u64) -> i128 {
        let past = i128::from(ticks) - i128::from(self.base_ticks);
        let ns = (past * i128::from(self.interval_ns)).div_euclid(i128::from(self.interval_ticks));
        i128::from(self.base_ns) + ns
    }

    /// Ticks per second.
    pub fn hz(&self) -> f64 {
        self.interval_ticks as f64 * 1e9 / self.interval_ns as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_go_back_on_one_thread() {
        let mut last = now_ticks();
        for _ in 0..10_000 {
            let now = now_ticks();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn a_calibration_maps_its_own_ends_exactly() {
        let at = |ticks, monotonic_ns| Snapshot {
            ticks,
            monotonic_ns,
            monotonic_raw_ns: 0,
            boottime_ns: 0,
            realtime_ns: 0,
            uncertainty_ticks: 0,
        };
        let (a, b) = (at(1_000, 500), at(3_600_001_000, 1_000_000_500));
        let c = Calibration::between(&a, &b);
        assert_eq!((c.ns(a.ticks), c.ns(b.ticks)), (500, 1_000_000_500));
        assert_eq!(c.ns(0), 500 - 278);
        assert!((c.hz() - 3.6e9).abs() < 1.0);
    }
}
