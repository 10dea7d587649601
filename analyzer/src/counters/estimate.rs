//! From a sample of run intervals to a total, with its interval.
//!
//! Each interval is read or not by a draw of its own, with a probability that is on record. What all intervals took is known exactly, so the total
//! of a counter is estimated by the ratio to that time: total = time of all · Σ(y/p) / Σ(x/p), over the intervals that were read, `y` being the
//! counter, `x` the time and `p` the probability. The variance is that of the linearised ratio under Poisson sampling,
//! (X/X̂)² · Σ (1-p)/p² · (y - Rx)², and the interval takes quantiles of Student's t with n - 1 degrees of freedom.
//! Source: Särndal, Swensson and Wretman, *Model Assisted Survey Sampling* (1992), sections 5.6 and 7.3.
//!
//! If all intervals were read, the total is exact. If a counter was 0 in every one that was, the interval ends at three events in as many
//! intervals as the sample is worth: Hanley and Lippman-Hand, *If nothing goes wrong, is everything all right?* (JAMA 1983), with Kish's
//! effective size (Σw)²/Σw². A counter that rarely counts needs more readings than these formulas can say: where few intervals hold nearly
//! all of it, the interval is too narrow.
//!
//! A value includes what one reading costs, because the clock of a counter stops in the middle of the reading that ends it and began in the
//! middle of the one before. The reports say how much time that is.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// What is kept of the intervals that were read; nothing is kept for each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Intervals that were read.
    pub n: u64,
    y: f64,
    w: f64,
    ww: f64,
    wx: f64,
    wy: f64,
    vxx: f64,
    vxy: f64,
    vyy: f64,
}

/// A total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The total.
    pub total: f64,
    /// The 95 % interval; none with fewer than two readings.
    pub interval: Option<(f64, f64)>,
    /// Intervals that were read.
    pub n: u64,
    /// Whether every interval was read, so that nothing is estimated.
    pub exact: bool,
}

impl Sums {
    /// An interval of length `x` was read, which it was with probability `p`, and the counter counted `y`.
    pub fn add(&mut self, x: f64, y: f64, p: f64) {
        let (w, v) = (1.0 / p, (1.0 - p) / (p * p));
        self.n += 1;
        self.y += y;
        self.w += w;
        self.ww += w * w;
        self.wx += w * x;
        self.wy += w * y;
        self.vxx += v * x * x;
        self.vxy += v * x * y;
        self.vyy += v * y * y;
    }

    /// The total of `intervals` intervals that took `x` in all; nothing if none was read.
    pub fn estimate(&self, x: f64, intervals: u64) -> Option<Estimate> {
        if self.n == 0 {
            return None;
        }
        if self.n >= intervals {
            return Some(Estimate {
                total: self.y,
                interval: Some((self.y, self.y)),
                n: self.n,
                exact: true,
            });
        }
        if self.wx <= 0.0 {
            return None;
        }
        if self.wy == 0.0 {
            let worth = self.w * self.w / self.ww;
            return Some(Estimate {
                total: 0.0,
                interval: Some((0.0, 3.0 * intervals as f64 / worth)),
                n: self.n,
                exact: false,
            });
        }
        let ratio = self.wy / self.wx;
        let total = ratio * x;
        let squares = self.vyy - 2.0 * ratio * self.vxy + ratio * ratio * self.vxx;
        let deviation = x / self.wx * squares.max(0.0).sqrt();
        let quantile = StudentsT::new(0.0, 1.0, (self.n - 1) as f64)
            .ok()
            .map(|t| t.inverse_cdf(0.975));
        Some(Estimate {
            total,
            interval: quantile.map(|t| ((total - t * deviation).max(0.0), total + t * deviation)),
            n: self.n,
            exact: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// xorshift, uniform in (0, 1].
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> f64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 11) + 1) as f64 / (1_u64 << 53) as f64
        }
    }

    #[test]
    fn all_read_is_exact() {
        let mut sums = Sums::default();
        [3.0, 5.0].iter().for_each(|y| sums.add(10.0, *y, 1.0));
        let e = sums.estimate(20.0, 2).expect("readings");
        assert_eq!(
            (e.total, e.interval, e.exact),
            (8.0, Some((8.0, 8.0)), true)
        );
        assert_eq!(Sums::default().estimate(20.0, 2), None);
    }

    #[test]
    fn nothing_seen_is_not_nothing_there() {
        let mut sums = Sums::default();
        (0..100).for_each(|_| sums.add(10.0, 0.0, 0.1));
        let e = sums.estimate(10_000.0, 1_000).expect("readings");
        let (low, high) = e.interval.expect("an interval");
        assert!(
            e.total == 0.0 && low == 0.0 && (high - 30.0).abs() < 1e-9,
            "{e:?}"
        );
    }

    #[test]
    fn one_reading_has_no_interval() {
        let mut sums = Sums::default();
        sums.add(10.0, 3.0, 0.1);
        let e = sums.estimate(100.0, 9).expect("a reading");
        assert!((e.total - 30.0).abs() < 1e-9 && e.interval.is_none() && !e.exact);
    }

    /// Intervals of very different lengths, two probabilities, a counter that follows the length with noise of its own.
    #[test]
    fn the_interval_covers_the_truth_as_often_as_it_says() {
        let mut random = Random(42);
        let intervals: Vec<(f64, f64, f64)> = (0..4_000)
            .map(|i| {
                let x = 100.0 - 400.0 * random.next().ln();
                let y = x * (2.0 + 3.0 * random.next()) - 50.0 * random.next().ln();
                (x, y, if i % 3 == 0 { 0.125 } else { 0.03125 })
            })
            .collect();
        let all: f64 = intervals.iter().map(|(x, ..)| x).sum();
        let truth: f64 = intervals.iter().map(|(_, y, _)| y).sum();
        let (rounds, mut covered, mut sum) = (4_000, 0, 0.0);
        for _ in 0..rounds {
            let mut sums = Sums::default();
            for (x, y, p) in &intervals {
                if random.next() <= *p {
                    sums.add(*x, *y, *p);
                }
            }
            let e = sums.estimate(all, 4_000).expect("readings");
            let (low, high) = e.interval.expect("an interval");
            covered += u32::from(low <= truth && truth <= high);
            sum += e.total;
        }
        let share = f64::from(covered) / f64::from(rounds);
        assert!((0.93..=0.97).contains(&share), "{share}");
        let bias = sum / f64::from(rounds) / truth - 1.0;
        assert!(bias.abs() < 0.003, "{bias}");
    }
}
