//! Which intervals to read: a random sample, so large that reading takes a fixed share of the time and no more.
//!
//! How often Gs are switched is not known beforehand and changes, so each M sets its own probability anew every few milliseconds, from how
//! many intervals it had since it last did. Within such an epoch every interval has the same chance, whatever it is. The
//! probability is a power of two, so that it rarely changes, and each change is told to the caller, who records it.

/// Of a thousand nanoseconds, how many reading may take: 3 %, less the part that selecting takes.
const SHARE_PER_MILLE: u64 = 28;
/// How long an epoch is, in ns.
const EPOCH_NS: u64 = 10_000_000;
/// The first epoch is short, because its probability is a guess.
const FIRST_EPOCH_NS: u64 = 1_000_000;
/// The smallest probability is 2 to the power of minus this.
const RAREST: u32 = 20;
/// The guess: right for a switch each 100 ns, which is as often as it gets.
const FIRST: u32 = 9;

/// The sampling of one M. Times are in ticks of the trace's clock.
#[derive(Debug)]
pub(super) struct Sampler {
    /// The probability is 2 to the power of minus this.
    rarity: u32,
    /// What the readings of one interval cost, in ticks.
    cost: u64,
    ticks_per_ns: f64,
    epoch_began: u64,
    epoch_ends: u64,
    /// Intervals begun in this epoch.
    seen: u64,
    /// Of these, how many were selected.
    selected: u64,
    /// Both, of the epochs before.
    before: (u64, u64),
}

impl Sampler {
    /// Begins at `ticks`.
    pub(super) fn new(ticks: u64, interval_cost_ns: f64, ticks_per_ns: f64) -> Sampler {
        Sampler {
            rarity: FIRST,
            cost: (interval_cost_ns * ticks_per_ns).ceil().max(1.0) as u64,
            ticks_per_ns,
            epoch_began: ticks,
            epoch_ends: ticks + (FIRST_EPOCH_NS as f64 * ticks_per_ns) as u64,
            seen: 0,
            selected: 0,
            before: (0, 0),
        }
    }

    /// The probability of being selected.
    pub(super) fn probability(&self) -> f64 {
        (-f64::from(self.rarity)).exp2()
    }

    /// Intervals begun and selected so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        (self.before.0 + self.seen, self.before.1 + self.selected)
    }

    /// Whether the interval that begins at `ticks` is to be read; `random` is different each time.
    #[inline]
    pub(super) fn select(&mut self, random: u64) -> bool {
        self.seen += 1;
        let selected = random.trailing_zeros() >= self.rarity;
        self.selected += u64::from(selected);
        selected
    }

    /// To be called before [`Sampler::select`]: ends the epoch if it is over, or if its share is used up because intervals have become much
    /// shorter. Whether the probability changed.
    #[inline]
    pub(super) fn adapt(&mut self, ticks: u64) -> bool {
        let used_up = self.selected * self.cost * 1000
            > (self.epoch_ends - self.epoch_began) * SHARE_PER_MILLE;
        (ticks >= self.epoch_ends || used_up) && self.next_epoch(ticks)
    }

    #[cold]
    fn next_epoch(&mut self, ticks: u64) -> bool {
        let elapsed = ticks.saturating_sub(self.epoch_began).max(1);
        // So many readings may have been made in that time, of so many intervals.
        let allowed =
            (elapsed as f64 * SHARE_PER_MILLE as f64 / 1000.0 / self.cost as f64).max(1e-9);
        let per_reading = (self.seen as f64 / allowed).max(1.0);
        let before = self.rarity;
        self.rarity = (per_reading.log2().ceil() as u32).min(RAREST);
        self.epoch_began = ticks;
        self.epoch_ends = ticks + (EPOCH_NS as f64 * self.ticks_per_ns) as u64;
        self.before = self.totals();
        (self.seen, self.selected) = (0, 0);
        self.rarity != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs intervals of the given length for so many ns; the share of time that reading took, and the last probability.
    fn run(sampler: &mut Sampler, now: &mut u64, for_ns: u64, interval_ns: u64) -> (f64, f64) {
        let (began, mut random, mut reading) = (*now, 0x9E37_79B9_7F4A_7C15_u64, 0);
        while *now < began + for_ns {
            sampler.adapt(*now);
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if sampler.select(random) {
                *now += 2_000;
                reading += 2_000;
            }
            *now += interval_ns;
        }
        (
            reading as f64 / (*now - began) as f64,
            sampler.probability(),
        )
    }

    #[test]
    fn reading_takes_its_share_whatever_the_rate() {
        for interval_ns in [100, 1_000, 10_000, 60_000] {
            let mut sampler = Sampler::new(0, 2_000.0, 1.0);
            let (share, _) = run(&mut sampler, &mut 0, 2_000_000_000, interval_ns);
            assert!((0.008..0.031).contains(&share), "{interval_ns} ns: {share}");
        }
    }

    #[test]
    fn rare_intervals_are_all_read() {
        let mut sampler = Sampler::new(0, 2_000.0, 1.0);
        let (_, probability) = run(&mut sampler, &mut 0, 1_000_000_000, 1_000_000);
        assert_eq!(probability, 1.0);
    }

    #[test]
    fn a_sudden_burst_does_not_cost_more_than_its_share_of_an_epoch() {
        let (mut sampler, mut now) = (Sampler::new(0, 2_000.0, 1.0), 0);
        run(&mut sampler, &mut now, 1_000_000_000, 1_000_000);
        let (share, probability) = run(&mut sampler, &mut now, 20_000_000, 100);
        assert!(share < 0.06, "{share}");
        assert!(probability < 0.01);
    }
}
