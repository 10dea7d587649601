//! A histogram of durations that any thread may add to without waiting. Go: `timeHistogram`.
//!
//! Durations from 0 to 2^47 ns (39 hours), in 40 ranges each twice as long as the one before, the first up to 256 ns, each divided in
//! four equal buckets: the error is at most a quarter. What is longer is counted as such.

use std::sync::atomic::{AtomicU64, Ordering};

/// log2 of the first duration beyond the first range, plus 1. Go: `timeHistMinBucketBits`.
const MIN_BITS: u32 = 9;
/// log2 of the first duration that is too long, plus 1. Go: `timeHistMaxBucketBits`.
const MAX_BITS: u32 = 48;
/// log2 of the buckets of a range. Go: `timeHistSubBucketBits`.
const SUB_BITS: u32 = 2;
const SUBS: usize = 1 << SUB_BITS;
const RANGES: usize = (MAX_BITS - MIN_BITS + 1) as usize;

/// Buckets as they are read, with one for what is less than 0 (which is never) and one for what is too long.
pub(crate) const BUCKETS: usize = RANGES * SUBS + 2;

/// A histogram of durations.
pub(crate) struct TimeHistogram {
    counts: [AtomicU64; RANGES * SUBS],
    too_long: AtomicU64,
}

impl TimeHistogram {
    /// An empty one.
    pub(crate) fn new() -> TimeHistogram {
        TimeHistogram {
            counts: [const { AtomicU64::new(0) }; RANGES * SUBS],
            too_long: AtomicU64::new(0),
        }
    }

    /// Adds a duration in ns.
    pub(crate) fn record(&self, ns: u64) {
        let bits = u64::BITS - ns.leading_zeros();
        let range = (bits + 1).saturating_sub(MIN_BITS) as usize;
        // The two bits below the highest; in the first range the highest is the one that is not set.
        let sub = (ns >> (bits.max(MIN_BITS) - 1 - SUB_BITS)) as usize % SUBS;
        let at = self
            .counts
            .get(range * SUBS + sub)
            .unwrap_or(&self.too_long);
        // Relaxed: statistics.
        at.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there are in each of [`BUCKETS`].
    pub(crate) fn counts(&self) -> Vec<u64> {
        let count = |c: &AtomicU64| c.load(Ordering::Relaxed);
        std::iter::once(0)
            .chain(self.counts.iter().map(count))
            .chain(std::iter::once(count(&self.too_long)))
            .collect()
    }
}

/// The borders of the buckets in seconds: each begins at its border and ends before the next.
pub(crate) fn borders() -> Vec<f64> {
    let seconds = |ns: u64| ns as f64 / 1e9;
    let first = (0..SUBS as u64).map(|sub| sub << (MIN_BITS - 1 - SUB_BITS));
    let others = (MIN_BITS..MAX_BITS).flat_map(|bits| {
        (0..SUBS as u64).map(move |sub| (1 << (bits - 1)) | sub << (bits - 1 - SUB_BITS))
    });
    std::iter::once(f64::NEG_INFINITY)
        .chain(first.chain(others).map(seconds))
        .chain([seconds(1 << (MAX_BITS - 1)), f64::INFINITY])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_buckets_as_in_go() {
        assert_eq!(BUCKETS, 162);
        assert_eq!(borders().len(), BUCKETS + 1);
        assert!(borders().is_sorted_by(|a, b| a < b));
    }

    proptest::proptest! {
        #[test]
        fn a_duration_is_counted_between_its_borders(bits in 0u32..64, low in proptest::num::u64::ANY) {
            let ns = low >> bits;
            let histogram = TimeHistogram::new();
            histogram.record(ns);
            let counts = histogram.counts();
            proptest::prop_assert_eq!(counts.iter().sum::<u64>(), 1);
            let at = counts.iter().position(|n| *n == 1).expect("one");
            let borders = borders();
            let seconds = ns as f64 / 1e9;
            proptest::prop_assert!(borders[at] <= seconds && seconds < borders[at + 1], "{} in {}", ns, at);
        }
    }

    #[test]
    fn the_borders_themselves_begin_a_bucket() {
        for (at, border) in borders().iter().enumerate().skip(1).take(BUCKETS - 1) {
            let ns = (border * 1e9).round() as u64;
            let histogram = TimeHistogram::new();
            histogram.record(ns);
            assert_eq!(histogram.counts()[at], 1, "{ns}");
        }
    }
}
