//! A distribution of scheduling latencies, with the percentiles that its sample supports.

use hdrhistogram::Histogram;

/// Percentiles that are shown.
pub const PERCENTILES: &[f64] = &[50.0, 90.0, 99.0, 99.9];

/// Scheduling latencies, ns.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Latency {
        match Histogram::new(3) {
            Ok(histogram) => Latency(histogram),
            Err(e) => unreachable!("3 digits are allowed: {e}"),
        }
    }
}

impl Latency {
    /// One more.
    pub fn add(&mut self, ns: i64) {
        // Histograms of `new` grow as needed, so that no value is refused.
        let _ = self.0.record(ns.max(0) as u64);
    }

    /// How many samples.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A percentile, where the sample supports it: at least ten samples lie beyond.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let beyond = self.0.len() as f64 * (100.0 - percent) / 100.0;
        (beyond >= 10.0 || (percent == 50.0 && !self.0.is_empty()))
            .then(|| self.0.value_at_quantile(percent / 100.0))
    }

    /// The longest.
    pub fn max(&self) -> u64 {
        self.0.max()
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// Counts in buckets that double, from 128 ns up: each with its upper bound.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        self.0
            .iter_log(128, 2.0)
            .map(|step| (step.value_iterated_to(), step.count_since_last_iteration()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_any_size_are_kept_to_three_digits() {
        let mut latency = Latency::default();
        (0..1_000).for_each(|i| latency.add(i * 1_000_000));
        assert_eq!(latency.len(), 1_000);
        let near = |value: Option<u64>, want: f64| {
            value.is_some_and(|v| (v as f64 / want - 1.0).abs() < 2e-3)
        };
        assert!(near(latency.percentile(50.0), 499e6));
        assert!(near(latency.percentile(99.0), 989e6));
        assert!(near(Some(latency.max()), 999e6));
    }

    #[test]
    fn a_percentile_needs_samples_beyond_it() {
        let mut latency = Latency::default();
        assert_eq!(latency.percentile(50.0), None);
        (0..1_000).for_each(|i| latency.add(i));
        assert!(latency.percentile(99.0).is_some());
        assert_eq!(latency.percentile(99.9), None);
    }
}
