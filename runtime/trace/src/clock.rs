//! The clock of a trace: what ticks, and how ticks relate to the kernel's clocks.
//!
//! Where the processor has an invariant time stamp counter, ticks are its counts (about 10 ns to read); elsewhere they are nanoseconds of
//! `CLOCK_MONOTONIC`. The choice is made once for the process. A [`Snapshot`] reads the ticks and the kernel's clocks close together; two
//! of them give the [`Calibration`]. A snapshot is written as one line of six numbers.

use std::fmt;
use std::str::FromStr;
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

/// A text that is no [`Snapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no reading of the clocks: six numbers with a blank between two")]
pub struct NoSnapshot;

impl fmt::Display for Snapshot {
    /// The fields in their order, with a blank between two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {} {}",
            self.ticks,
            self.monotonic_ns,
            self.monotonic_raw_ns,
            self.boottime_ns,
            self.realtime_ns,
            self.uncertainty_ticks
        )
    }
}

impl FromStr for Snapshot {
    type Err = NoSnapshot;

    /// The inverse of printing.
    fn from_str(line: &str) -> Result<Snapshot, NoSnapshot> {
        let mut numbers = line.split(' ').map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).ok_or(NoSnapshot);
        let snapshot = Snapshot {
            ticks: next()?,
            monotonic_ns: next()?,
            monotonic_raw_ns: next()?,
            boottime_ns: next()?,
            realtime_ns: next()?,
            uncertainty_ticks: next()?,
        };
        match numbers.next() {
            None => Ok(snapshot),
            Some(_) => Err(NoSnapshot),
        }
    }
}

/// How ticks become nanoseconds: `base_ns + (ticks - base_ticks) * interval_ns / interval_ticks`, exact in integers as long as
/// those are below 2^63.
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

    /// The `CLOCK_MONOTONIC` time of a count of ticks, before the base too. Damaged numbers give a time that means nothing.
    pub fn ns(&self, ticks: u64) -> i128 {
        let past = i128::from(ticks) - i128::from(self.base_ticks);
        // Saturating, and never by 0: a clock of a spool or a row of a database may hold any numbers.
        let ns = past.saturating_mul(self.interval_ns.into());
        let ns = ns.div_euclid(self.interval_ticks.max(1).into());
        ns.saturating_add(self.base_ns.into())
    }

    /// Ticks per second.
    pub fn hz(&self) -> f64 {
        self.interval_ticks.max(1) as f64 * 1e9 / self.interval_ns.max(1) as f64
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
    fn a_snapshot_is_read_as_it_is_printed() {
        let now = Snapshot::take();
        assert_eq!(now.to_string().parse(), Ok(now));
        for wrong in [
            "",
            "1 2 3 4 5",
            "1 2 3 4 5 6 7",
            "1 2 3 4 5 x",
            "1  2 3 4 5 6",
        ] {
            assert_eq!(wrong.parse::<Snapshot>(), Err(NoSnapshot), "{wrong}");
        }
    }

    #[test]
    fn numbers_at_their_limits_give_some_time() {
        let rate = |base_ticks, interval_ticks| Calibration {
            base_ticks,
            base_ns: u64::MAX,
            interval_ticks,
            interval_ns: u64::MAX,
        };
        assert_eq!(rate(0, 1).ns(u64::MAX), i128::MAX);
        assert_eq!(rate(u64::MAX, 1).ns(u64::MAX), u64::MAX.into());
        assert!(rate(u64::MAX, 0).ns(0) < 0 && rate(0, 0).hz() > 0.0);
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
