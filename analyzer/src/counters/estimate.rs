//! From a sample of run intervals to a total, with its interval. Nothing is kept of a single reading but sums.
//!
//! # Events (cycles, page faults …)
//! Each interval is read or not by a draw of its own, with a probability that is on record and that only depends on what came before. How
//! long all intervals took is known exactly, so the total is estimated by the ratio to that time, apart for each class of lengths (each
//! four times as long as the one before; neighbours are taken together until they have [`GROUP`] readings): X·Σ(y/p)/Σ(x/p), `y`
//! being the count less what a reading itself counts, `x` the time, `p` the probability, X the time of all. The variance is that of
//! the linearised ratio under Poisson sampling, (X/X̂)²·Σ(1-p)/p²·(y-Rx)²; the classes add up, with Satterthwaite's degrees of freedom from
//! Kish's effective sizes (Σw)²/Σw². What a reading counts is a mean over null readings, whose own variance is added.
//! Source: Särndal, Swensson and Wretman, *Model Assisted Survey Sampling* (1992), sections 5.6, 7.3 and 7.6.
//!
//! # Where a sample can say nothing
//! Few intervals may hold nearly all of a count (the page faults of a main G), and such a sample looks as if nothing were there. Three
//! rules keep that out of the figures; the limit from above is in each case what all Ms counted in their whole lives, which is exact:
//! - a class of lengths with fewer than [`COVERED`] readings, unless all of it was read, is not covered: the limit from above holds;
//!   if such classes are more than [`UNCOVERED`] of the time, there is no estimate, only limits;
//! - if the count comes from fewer than [`ESTIMABLE`] readings' worth, (Σwy)²/Σ(wy)², there is no estimate, only limits;
//! - if it comes from fewer than [`SYMMETRIC`], quantiles of Student's t are too small on the upper side: the limit holds there.
//!
//! Without that limit (an M that did not end), what needs it is refused. From below, what was read is a limit.
//!
//! # Time on a CPU
//! A thread has a CPU for no more than the time that passes. So the value of an interval is the smaller of its length and what was counted,
//! and only the time without a CPU is estimated, as above. If it comes from fewer than [`SYMMETRIC`] readings' worth it has limits: in
//! each class, the upper limit of a Poisson mean for the share of intervals that were interrupted, each for its whole length; all of a
//! class that is not covered. If such classes are more than [`UNCOVERED`] of the time, which is so where the machine is busy with other
//! things and the time is mostly that of a few long waits for a CPU, there are only limits here too.

use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

/// Readings that a group of classes has.
pub const GROUP: u64 = 10;
/// Readings with which a class is covered.
pub const COVERED: u64 = 5;
/// Of the time, how much may be in classes that are not covered.
pub const UNCOVERED: f64 = 0.1;
/// From so many readings' worth on, there is an estimate.
pub const ESTIMABLE: f64 = 50.0;
/// From so many readings' worth on, its interval has two sides.
pub const SYMMETRIC: f64 = 200.0;
/// Classes of lengths; the last one takes all that are longer (a day).
const CLASSES: usize = 24;
/// Half of what is outside of an interval.
const TAIL: f64 = 0.025;

/// The class of a length in ns.
fn class(x: f64) -> usize {
    let bits = 64 - (x.max(0.0) as u64).leading_zeros();
    (bits as usize / 2).min(CLASSES - 1)
}

/// What one reading itself counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Null {
    /// Null readings.
    pub n: u64,
    sum: f64,
    squares: f64,
}

impl Null {
    /// A null reading counted so much.
    pub fn add(&mut self, y: f64) {
        self.n += 1;
        self.sum += y;
        self.squares += y * y;
    }

    /// The mean; 0 if there is none.
    pub fn mean(&self) -> f64 {
        self.sum / self.n.max(1) as f64
    }

    /// The variance of the mean; nothing for fewer than two.
    pub fn variance(&self) -> f64 {
        let n = self.n as f64;
        if n < 2.0 {
            return 0.0;
        }
        ((self.squares - self.sum * self.sum / n) / (n - 1.0) / n).max(0.0)
    }

    /// By how much the reading of an interval may have counted more, if it counted up to `cold` times as much.
    fn coldness(&self, cold: f64) -> f64 {
        self.mean() * (cold - 1.0).max(0.0)
    }
}

/// The intervals of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Class {
    intervals: u64,
    x: f64,
    read: u64,
}

impl Class {
    fn is_covered(&self) -> bool {
        self.read >= COVERED.min(self.intervals)
    }
}

/// The sums of a counter over the intervals of a class that were read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Sums {
    n: u64,
    /// Of them, how many counted something, by their weights.
    wk: f64,
    w: f64,
    ww: f64,
    wx: f64,
    y: f64,
    wy: f64,
    wwyy: f64,
    vxx: f64,
    vxy: f64,
    vyy: f64,
}

impl Sums {
    fn add(&mut self, x: f64, y: f64, p: f64) {
        let (w, v) = (1.0 / p, (1.0 - p) / (p * p));
        self.n += 1;
        self.wk += if y == 0.0 { 0.0 } else { w };
        self.w += w;
        self.ww += w * w;
        self.wx += w * x;
        self.y += y;
        self.wy += w * y;
        self.wwyy += w * w * y * y;
        self.vxx += v * x * x;
        self.vxy += v * x * y;
        self.vyy += v * y * y;
    }

    fn join(&mut self, o: &Sums) {
        self.n += o.n;
        self.wk += o.wk;
        self.w += o.w;
        self.ww += o.ww;
        self.wx += o.wx;
        self.y += o.y;
        self.wy += o.wy;
        self.wwyy += o.wwyy;
        self.vxx += o.vxx;
        self.vxy += o.vxy;
        self.vyy += o.vyy;
    }

    /// Kish's effective size.
    fn size(&self) -> f64 {
        self.w * self.w / self.ww.max(f64::MIN_POSITIVE)
    }
}

/// A total.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The total; none where the sample cannot say.
    pub total: Option<f64>,
    /// The least it can be, with 97.5 % confidence.
    pub low: f64,
    /// The most; none where nothing bounds it.
    pub high: Option<f64>,
    /// Intervals that were read.
    pub n: u64,
    /// Whether every interval was read, so that nothing but the cost of a reading is estimated.
    pub exact: bool,
    /// Why there is no total, or why the interval ends at what all Ms counted.
    pub why: Option<Why>,
}

/// Why a sample does not say all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing was read.
    Unread,
    /// Too few of the readings hold what there is.
    Few,
    /// Some lengths of intervals were hardly read.
    Uncovered,
}

impl Why {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Why::Unread => "no interval was read",
            Why::Few => "too few readings hold it",
            Why::Uncovered => "the longest intervals were not read",
        }
    }
}

/// The run intervals of a process or of a site, and the sums of its counters.
#[derive(Clone, Debug)]
pub struct Sample<const N: usize> {
    classes: [Class; CLASSES],
    /// By class: most sites have few.
    sums: Vec<(usize, [Sums; N])>,
}

impl<const N: usize> Default for Sample<N> {
    fn default() -> Sample<N> {
        Sample {
            classes: [Class::default(); CLASSES],
            sums: Vec::new(),
        }
    }
}

/// What a group of classes adds up to.
struct Ratio {
    total: f64,
    variance: f64,
    freedom: f64,
    /// Estimated number of intervals.
    intervals: f64,
}

impl<const N: usize> Sample<N> {
    /// An interval of `x` ns that was not read.
    pub fn unread(&mut self, x: f64) {
        let class = &mut self.classes[class(x)];
        class.intervals += 1;
        class.x += x;
    }

    /// An interval of `x` ns that was read, which it was with probability `p`; its values. For time on a CPU: the time without one.
    pub fn read(&mut self, x: f64, values: &[Option<f64>; N], p: f64) {
        self.unread(x);
        let class = class(x);
        self.classes[class].read += 1;
        let at = self.sums.iter().position(|(c, _)| *c == class);
        let at = at.unwrap_or_else(|| {
            self.sums.push((class, [Sums::default(); N]));
            self.sums.len() - 1
        });
        for (sums, y) in self.sums[at].1.iter_mut().zip(values) {
            if let Some(y) = y {
                sums.add(x, *y, p);
            }
        }
    }

    /// How many intervals there were.
    pub fn intervals(&self) -> u64 {
        self.classes.iter().map(|c| c.intervals).sum()
    }

    /// How long they took in all, ns.
    pub fn running_ns(&self) -> f64 {
        self.classes.iter().map(|c| c.x).sum()
    }

    /// How long those took that are in classes which are not covered, ns.
    pub fn uncovered_ns(&self) -> f64 {
        let uncovered = self.classes.iter().filter(|c| !c.is_covered());
        uncovered.map(|c| c.x).sum()
    }

    fn class_sums(&self, class: usize, counter: usize) -> Sums {
        let found = self.sums.iter().find(|(c, _)| *c == class);
        found.map_or(Sums::default(), |(_, sums)| sums[counter])
    }

    /// All that was read.
    fn whole(&self, counter: usize) -> Sums {
        let mut all = Sums::default();
        self.sums
            .iter()
            .for_each(|(_, sums)| all.join(&sums[counter]));
        all
    }

    /// The estimate over the classes that are covered.
    fn ratio(&self, counter: usize) -> Ratio {
        let mut groups: Vec<(f64, Sums)> = Vec::new();
        let mut open: Option<(f64, Sums)> = None;
        for (i, class) in self.classes.iter().enumerate().rev() {
            if class.intervals == 0 || !class.is_covered() {
                continue;
            }
            let (x, sums) = open.get_or_insert_with(|| (0.0, Sums::default()));
            *x += class.x;
            sums.join(&self.class_sums(i, counter));
            if sums.n >= GROUP {
                groups.extend(open.take());
            }
        }
        match (groups.last_mut(), open) {
            (Some((x, sums)), Some((more, rest))) => {
                *x += more;
                sums.join(&rest);
            }
            (None, Some(rest)) => groups.push(rest),
            (_, None) => {}
        }
        let mut all = Ratio {
            total: 0.0,
            variance: 0.0,
            freedom: 0.0,
            intervals: 0.0,
        };
        let mut spread = 0.0;
        for (x, s) in groups.iter().filter(|(_, s)| s.wx > 0.0) {
            let (r, scale) = (s.wy / s.wx, x / s.wx);
            let squares = (s.vyy - 2.0 * r * s.vxy + r * r * s.vxx).max(0.0);
            let n = s.n as f64;
            let variance = scale * scale * squares * n / (n - 1.0).max(1.0);
            all.total += r * x;
            all.variance += variance;
            all.intervals += scale * s.w;
            spread += variance * variance / (s.size() - 1.0).max(1.0);
        }
        all.freedom = if spread > 0.0 {
            all.variance * all.variance / spread
        } else {
            f64::INFINITY
        };
        all
    }

    /// The total of a counter of events, whose values are less the mean of `null`. `most` is what nothing exceeds: the count of all Ms.
    /// `cold` is how many times as much as a null reading the readings of intervals may have counted at most.
    pub fn events(&self, counter: usize, null: &Null, most: Option<f64>, cold: f64) -> Estimate {
        let read = self.whole(counter);
        let n = read.n;
        let exact = n > 0 && n == self.intervals();
        let seen = read.y.max(0.0);
        let cap = |v: f64| most.map_or(v, |m| v.min(m));
        let bounds = |why| Estimate {
            total: None,
            low: cap(seen),
            high: most,
            n,
            exact: false,
            why: Some(why),
        };
        if most == Some(0.0) {
            return Estimate {
                total: Some(0.0),
                low: 0.0,
                high: Some(0.0),
                n,
                exact: true,
                why: None,
            };
        }
        if n == 0 {
            return bounds(Why::Unread);
        }
        let ratio = self.ratio(counter);
        let readings = if exact { n as f64 } else { ratio.intervals };
        let (total, sampling, freedom) = if exact {
            (read.y, 0.0, f64::INFINITY)
        } else {
            (ratio.total, ratio.variance, ratio.freedom)
        };
        let of_null = readings * readings * null.variance();
        let variance = sampling + of_null;
        let spread = sampling * sampling / freedom
            + of_null * of_null / null.n.saturating_sub(1).max(1) as f64;
        let freedom = if spread > 0.0 {
            variance * variance / spread
        } else {
            f64::INFINITY
        };
        let half = quantile(freedom) * variance.sqrt();
        let coldness = readings * null.coldness(cold);
        let running = self.running_ns();
        let uncovered = self.uncovered_ns();
        let worth = if read.wy > 0.0 {
            read.wy * read.wy / read.wwyy.max(f64::MIN_POSITIVE)
        } else {
            0.0
        };
        let why = if exact {
            None
        } else if uncovered > UNCOVERED * running {
            return bounds(Why::Uncovered);
        } else if worth < ESTIMABLE {
            return bounds(Why::Few);
        } else if uncovered > 0.0 {
            Some(Why::Uncovered)
        } else if worth < SYMMETRIC {
            Some(Why::Few)
        } else {
            None
        };
        if why.is_some() && most.is_none() {
            return Estimate {
                why,
                ..bounds(Why::Few)
            };
        }
        let total = if exact {
            total
        } else {
            total * running / (running - uncovered)
        };
        let total = cap(total.max(seen));
        let low = ratio_low(total, half, coldness, if exact { 0.0 } else { seen });
        Estimate {
            total: Some(total),
            low: cap(low),
            high: if why.is_some() {
                most
            } else {
                Some(cap(total + half))
            },
            n,
            exact,
            why,
        }
    }

    /// The total of time on a CPU, of which `counter` holds the time without one: less the mean of `null`, as in [`Sample::events`], so that
    /// its error is one of this total too. `most` is what nothing exceeds.
    pub fn clock(&self, counter: usize, null: &Null, most: Option<f64>, cold: f64) -> Estimate {
        let read = self.whole(counter);
        let running = self.running_ns();
        let n = read.n;
        let exact = n > 0 && n == self.intervals();
        let cap = |v: f64| most.map_or(v, |m| v.min(m)).clamp(0.0, running.max(0.0));
        let of = |lost: f64, least: f64, at_most: f64, why| Estimate {
            total: Some(cap(running - lost)),
            low: cap(running - at_most),
            high: Some(cap(running - least)),
            n,
            exact,
            why,
        };
        let of_null = |readings: f64| {
            let half = quantile(null.n.saturating_sub(1) as f64) * null.variance().sqrt();
            (readings * half, readings * (half + null.coldness(cold)))
        };
        if exact {
            let (less, more) = of_null(n as f64);
            return of(read.y, read.y - less, read.y + more, None);
        }
        let uncovered = self.uncovered_ns();
        if n == 0 || uncovered >= running {
            return Estimate {
                total: None,
                ..of(read.y, read.y, running, Some(Why::Unread))
            };
        }
        let ratio = self.ratio(counter);
        let covered = running - uncovered;
        let lost = (ratio.total * running / covered).clamp(read.y, running);
        let known = |e: Estimate| Estimate {
            total: e.total.filter(|_| uncovered <= UNCOVERED * running),
            ..e
        };
        let worth = read.wy * read.wy / read.wwyy.max(f64::MIN_POSITIVE);
        let why = (uncovered > 0.0).then_some(Why::Uncovered);
        let (less, more) = of_null(ratio.intervals);
        let least = read.y.min(lost - less);
        if worth >= SYMMETRIC {
            let half = quantile(ratio.freedom) * ratio.variance.sqrt();
            let at_most = (ratio.total + half + more + uncovered).max(lost);
            return known(of(
                lost,
                (ratio.total - half - less).max(least),
                at_most,
                why,
            ));
        }
        let at_most: f64 = (0..CLASSES).map(|i| self.most_lost(i, counter)).sum();
        known(of(lost, least, at_most.max(lost) + more, why))
    }

    /// The most time without a CPU in the intervals of a class.
    fn most_lost(&self, i: usize, counter: usize) -> f64 {
        let (class, sums) = (&self.classes[i], self.class_sums(i, counter));
        if !class.is_covered() {
            return class.x;
        }
        if sums.n == 0 || sums.n == class.intervals {
            return sums.y;
        }
        let size = sums.size();
        let interrupted = sums.wk / sums.w * size;
        let limit = ChiSquared::new(2.0 * (interrupted + 1.0))
            .map_or(f64::INFINITY, |c| c.inverse_cdf(1.0 - TAIL) / 2.0);
        // No interval of the class is longer.
        let longest = 2f64.powi(2 * i as i32 + 1);
        (class.intervals as f64 * limit / size * longest).min(class.x)
    }
}

/// The lower end of an interval, no lower than what was seen.
fn ratio_low(total: f64, half: f64, coldness: f64, seen: f64) -> f64 {
    (total - half - coldness).max(seen.min(total)).max(0.0)
}

/// Of Student's t.
fn quantile(freedom: f64) -> f64 {
    // Beyond that it is the normal one's to five digits.
    StudentsT::new(0.0, 1.0, freedom.clamp(1.0, 1e6)).map_or(1.96, |t| t.inverse_cdf(1.0 - TAIL))
}

#[cfg(test)]
mod tests;
