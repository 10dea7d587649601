//! Readings of the clocks that a recorder kept: [`gmp_trace::clock`].

use gmp_trace::clock::{Calibration, Snapshot};

/// Reads each line. A reading is printed and read again as the same; any two of them give a rate, by which any ticks become a time.
pub fn clocks(data: &[u8]) {
    let readings: Vec<Snapshot> = String::from_utf8_lossy(data)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    for reading in &readings {
        assert_eq!(reading.to_string().parse(), Ok(*reading));
    }
    for pair in readings.windows(2) {
        let [first, last] = pair else { continue };
        let rate = Calibration::between(first, last);
        assert!(rate.hz() > 0.0 && rate.hz().is_finite());
        assert_eq!(rate.ns(first.ticks), i128::from(first.monotonic_ns));
        // What the database can hold is exact.
        let fits = i64::try_from(last.ticks.max(last.monotonic_ns)).is_ok();
        if fits && last.ticks > first.ticks && last.monotonic_ns > first.monotonic_ns {
            assert_eq!(rate.ns(last.ticks), i128::from(last.monotonic_ns));
        }
        assert!(rate.ns(0) <= rate.ns(u64::MAX));
    }
}
