//! Which intervals to read: a random sample, so large that reading takes a fixed share of the time and no more.
//!
//! How often Gs are switched is not known beforehand and changes, so each M sets its own probability anew every few milliseconds, from how
//! many intervals it had since it last did. Within such an epoch every interval has the same chance, whatever it is. The
//! probability is a power of two, so that it rarely changes, and each change is told to the caller, who records it.
//!
//! To ask for a random number at each interval would cost more than many an interval: the number of intervals until the next that is
//! selected is drawn instead. It is geometrically distributed, which has no memory, so it may be drawn anew at any time.

/// Of a thousand nanoseconds, how many reading may take. The aim is 3 % for all of it: selecting takes a part, and a system call among the
/// work of a program costs more than the one measured in a loop, because of what it leaves in the caches.
const SHARE_PER_MILLE: u64 = 5;
/// How long an epoch is, in ns.
const EPOCH_NS: u64 = 10_000_000;
/// The first epoch is short, because nothing is known yet about the rate.
const FIRST_EPOCH_NS: u64 = 2_000_000;
/// The smallest probability is 2 to the power of minus this.
const RAREST: u32 = 20;
/// At first all are read, until the share of that epoch is used up: what a thread does first (a main G that prepares everything) happens
/// once, and no later reading stands for it.
const FIRST: u32 = 0;

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
    /// Intervals until the next that is selected, that one included.
    left: u64,
    /// Intervals that this epoch had when `left` was drawn, and what was drawn.
    seen: u64,
    drawn: u64,
    /// The state of its random numbers (xorshift64).
    random: u64,
    /// Of these, how many were selected.
    selected: u64,
    /// Both, of the epochs before.
    before: (u64, u64),
}

impl Sampler {
    /// Begins at `ticks`.
    pub(super) fn new(ticks: u64, interval_cost_ns: f64, ticks_per_ns: f64, seed: u64) -> Sampler {
        let mut sampler = Sampler {
            rarity: FIRST,
            cost: (interval_cost_ns * ticks_per_ns).ceil().max(1.0) as u64,
            ticks_per_ns,
            epoch_began: ticks,
            epoch_ends: ticks + (FIRST_EPOCH_NS as f64 * ticks_per_ns) as u64,
            left: 0,
            seen: 0,
            drawn: 0,
            random: seed | 1,
            selected: 0,
            before: (0, 0),
        };
        sampler.draw();
        sampler
    }

    /// The probability of being selected.
    pub(super) fn probability(&self) -> f64 {
        (-f64::from(self.rarity)).exp2()
    }

    /// Intervals begun and selected so far.
    pub(super) fn totals(&self) -> (u64, u64) {
        let (seen, selected) = self.before;
        (seen + self.seen + self.passed(), selected + self.selected)
    }

    /// Intervals begun since the last draw.
    fn passed(&self) -> u64 {
        self.drawn - self.left
    }

    /// Whether the interval that begins at `ticks` is an ordinary one: not to be read, and no cause to [`Sampler::decide`] anything.
    #[inline(always)]
    pub(super) fn passes(&mut self, ticks: u64) -> bool {
        self.left -= 1;
        self.left > 0 && ticks < self.epoch_ends
    }

    /// For an interval that does not pass: whether it is to be read, and whether the probability changed for the intervals after it.
    #[cold]
    pub(super) fn decide(&mut self, ticks: u64) -> (bool, bool) {
        let selected = self.left == 0;
        self.selected += u64::from(selected);
        // If intervals have become much shorter, the share of an epoch is used up before it ends.
        let used_up = self.selected * self.cost * 1000
            > (self.epoch_ends - self.epoch_began) * SHARE_PER_MILLE;
        let changed = (ticks >= self.epoch_ends || used_up) && self.next_epoch(ticks);
        if selected || changed {
            self.draw();
        }
        (selected, changed)
    }

    /// Draws how many intervals there are until the next that is selected.
    fn draw(&mut self) {
        self.seen += self.passed();
        // Uniform in (0, 1]; the logarithm of the probability of not being selected is that of 1 - p.
        let uniform = ((self.random() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let gap = uniform.ln() / (-self.probability()).ln_1p();
        // With p = 1 the quotient is 0.
        self.drawn = gap.ceil().clamp(1.0, 1e12) as u64;
        self.left = self.drawn;
    }

    /// The next random number.
    pub(super) fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    #[cold]
    fn next_epoch(&mut self, ticks: u64) -> bool {
        let elapsed = ticks.saturating_sub(self.epoch_began).max(1);
        // So many readings may have been made in that time, of so many intervals.
        let allowed =
            (elapsed as f64 * SHARE_PER_MILLE as f64 / 1000.0 / self.cost as f64).max(1e-9);
        self.seen += self.passed();
        self.drawn = self.left;
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
        let (began, mut reading) = (*now, 0);
        while *now < began + for_ns {
            if !sampler.passes(*now) && sampler.decide(*now).0 {
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
            let mut sampler = Sampler::new(0, 2_000.0, 1.0, 7);
            let (share, _) = run(&mut sampler, &mut 0, 2_000_000_000, interval_ns);
            assert!(
                (0.0012..0.0075).contains(&share),
                "{interval_ns} ns: {share}"
            );
        }
    }

    #[test]
    fn rare_intervals_are_all_read() {
        let mut sampler = Sampler::new(0, 2_000.0, 1.0, 7);
        let (_, probability) = run(&mut sampler, &mut 0, 1_000_000_000, 1_000_000);
        assert_eq!(probability, 1.0);
    }

    #[test]
    fn the_weights_of_the_selected_add_up_to_all() {
        let mut sampler = Sampler::new(0, 2_000.0, 1.0, 3);
        let (all, mut selected, mut weight, mut now) = (10_000_000, 0, 0.0, 0);
        for _ in 0..all {
            now += 100;
            // It was drawn with the probability before the decision about the next ones.
            let probability = sampler.probability();
            if !sampler.passes(now) && sampler.decide(now).0 {
                selected += 1;
                weight += 1.0 / probability;
                now += 2_000;
            }
        }
        assert_eq!(sampler.totals(), (all, selected));
        let share = weight / all as f64;
        assert!((0.9..1.1).contains(&share), "{share} by {selected}");
    }

    #[test]
    fn the_first_intervals_are_all_read() {
        let mut sampler = Sampler::new(0, 2_000.0, 1.0, 7);
        let mut now = 0;
        for _ in 0..6 {
            assert!(!sampler.passes(now) && sampler.decide(now).0);
            now += 2_100;
        }
        assert!(sampler.probability() < 1.0);
    }

    #[test]
    fn a_sudden_burst_does_not_cost_more_than_its_share_of_an_epoch() {
        let (mut sampler, mut now) = (Sampler::new(0, 2_000.0, 1.0, 7), 0);
        run(&mut sampler, &mut now, 1_000_000_000, 1_000_000);
        let (share, probability) = run(&mut sampler, &mut now, 20_000_000, 100);
        assert!(share < 0.05, "{share}");
        assert!(probability < 0.01);
    }
}
