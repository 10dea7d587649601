//! Populations whose totals are known, drawn from many times with a fixed seed: how often the intervals hold the truth.

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

    fn normal(&mut self) -> f64 {
        (-2.0 * self.next().ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        let (limit, mut product, mut n) = ((-mean).exp(), self.next(), 0.0);
        while product > limit {
            product *= self.next();
            n += 1.0;
        }
        n
    }
}

/// An interval: its length, what it counts, with which probability it is read.
type Interval = (f64, f64, f64);

/// What came of many samples.
#[derive(Debug, Default)]
struct Outcome {
    /// Shares of all samples.
    covered: f64,
    estimated: f64,
    /// Of those with an estimate.
    bias: f64,
}

const ROUNDS: u32 = 1_500;
/// What a reading itself counts, on average, and how many null readings there are.
const COST: f64 = 400.0;
const NULLS: u32 = 100;

fn population(
    random: &mut Random,
    n: u32,
    of: impl Fn(&mut Random) -> (f64, f64),
) -> Vec<Interval> {
    let one = |i: u32| {
        let (x, y) = of(random);
        (x, y, if i.is_multiple_of(3) { 0.125 } else { 0.0625 })
    };
    (0..n).map(one).collect()
}

/// Draws, with readings that add their own cost, and estimates with the limit that all Ms counted a tenth more.
fn draw(random: &mut Random, all: &[Interval], cost: f64) -> Outcome {
    let truth: f64 = all.iter().map(|(_, y, _)| y).sum();
    let (mut outcome, mut sum) = (Outcome::default(), 0.0);
    for _ in 0..ROUNDS {
        let mut null = Null::default();
        (0..NULLS).for_each(|_| null.add(cost * (0.5 + random.next())));
        let mut sample = Sample::<1>::default();
        for (x, y, p) in all {
            if random.next() <= *p {
                let counted = y + cost * (0.5 + random.next());
                sample.read(*x, &[Some(counted - null.mean())], *p);
            } else {
                sample.unread(*x);
            }
        }
        let e = sample.events(0, &null, Some(truth * 1.1), 1.0);
        let high = e.high.expect("a limit");
        outcome.covered += f64::from(u8::from(e.low <= truth && truth <= high));
        if let Some(total) = e.total {
            assert!(e.low <= total && total <= high, "{e:?}");
            outcome.estimated += 1.0;
            sum += total;
        }
    }
    outcome.bias = sum / f64::max(outcome.estimated, 1.0) / truth - 1.0;
    outcome.covered /= f64::from(ROUNDS);
    outcome.estimated /= f64::from(ROUNDS);
    outcome
}

fn covers_as_often_as_it_says(o: &Outcome) {
    assert!((0.93..=0.97).contains(&o.covered), "{o:?}");
    assert!(o.estimated == 1.0 && o.bias.abs() < 0.005, "{o:?}");
}

/// Lengths of which none is in a class that is hardly read.
fn length(random: &mut Random) -> f64 {
    200.0 + 3_000.0 * random.next() * random.next()
}

#[test]
fn events_that_follow_the_time_are_covered_with_the_cost_of_readings() {
    let mut random = Random(42);
    let all = population(&mut random, 8_000, |r| {
        let x = length(r);
        (x, x * (2.0 + 3.0 * r.next()) - 50.0 * r.next().ln())
    });
    covers_as_often_as_it_says(&draw(&mut random, &all, COST));
    // Not subtracted, the cost alone would lie outside.
    let truth: f64 = all.iter().map(|(_, y, _)| y).sum();
    assert!(COST * 8_000.0 > 0.02 * truth);
}

#[test]
fn skewed_events_are_covered() {
    let mut random = Random(7);
    let all = population(&mut random, 16_000, |r| (length(r), r.normal().exp()));
    covers_as_often_as_it_says(&draw(&mut random, &all, 0.0));
}

#[test]
fn events_in_every_fifth_interval_are_covered() {
    let mut random = Random(9);
    let all = population(&mut random, 24_000, |r| {
        let x = length(r);
        (x, r.poisson(x / 3_000.0))
    });
    covers_as_often_as_it_says(&draw(&mut random, &all, 0.0));
}

/// Very skewed: the upper end is then the limit, so that truth is outside less often, never more.
#[test]
fn very_skewed_events_are_outside_no_more_often_than_it_says() {
    let mut random = Random(3);
    let all = population(&mut random, 20_000, |r| {
        (length(r), (1.5 * r.normal()).exp())
    });
    let o = draw(&mut random, &all, 0.0);
    assert!(o.covered >= 0.93 && o.bias.abs() < 0.02, "{o:?}");
}

/// One interval in five hundred holds nearly all: there is no estimate, and the limits hold.
#[test]
fn rare_and_heavy_events_have_limits_only() {
    let mut random = Random(5);
    let all = population(&mut random, 16_000, |r| {
        let y = if r.next() < 0.002 {
            100.0
        } else {
            r.poisson(0.02)
        };
        (length(r), y)
    });
    let o = draw(&mut random, &all, 0.0);
    assert!(o.covered >= 0.95 && o.estimated < 0.05, "{o:?}");
}

#[test]
fn a_main_interval_that_is_not_read_is_not_left_out() {
    let mut sample = Sample::<1>::default();
    for i in 0..10_000 {
        if i % 10 == 0 {
            sample.read(1_000.0, &[Some(1.0)], 0.1);
        } else {
            sample.unread(1_000.0);
        }
    }
    // A twentieth of the time, and all of the events.
    sample.unread(500_000.0);
    let e = sample.events(0, &Null::default(), Some(25_000.0), 1.0);
    assert_eq!((e.high, e.why), (Some(25_000.0), Some(Why::Uncovered)));
    // Half of the time: nothing is estimated.
    sample.unread(10_000_000.0);
    let e = sample.events(0, &Null::default(), Some(25_000.0), 1.0);
    assert_eq!((e.total, e.low, e.high), (None, 1_000.0, Some(25_000.0)));
    // Without the limit the rest is refused too.
    let e = sample.events(0, &Null::default(), None, 1.0);
    assert_eq!((e.total, e.high, e.why), (None, None, Some(Why::Uncovered)));
}

#[test]
fn all_read_is_exact_but_for_the_cost_of_a_reading() {
    let mut null = Null::default();
    [9.0, 11.0].iter().for_each(|y| null.add(*y));
    let mut sample = Sample::<1>::default();
    (0..100).for_each(|_| sample.read(50.0, &[Some(15.0 - null.mean())], 1.0));
    let e = sample.events(0, &null, Some(2_000.0), 1.0);
    assert!(e.exact && e.total == Some(500.0), "{e:?}");
    let high = e.high.expect("a limit");
    assert!(e.low < 500.0 && 500.0 < high && high < 2_000.0, "{e:?}");
    assert_eq!(
        Sample::<1>::default().events(0, &null, None, 1.0).why,
        Some(Why::Unread)
    );
}

#[test]
fn what_no_m_counted_is_nothing() {
    let mut sample = Sample::<1>::default();
    sample.unread(10.0);
    let e = sample.events(0, &Null::default(), Some(0.0), 1.0);
    assert_eq!((e.total, e.high), (Some(0.0), Some(0.0)));
}

/// Intervals of 200 ns, of which a few in ten thousand lose the CPU for milliseconds: no sample need see one.
#[test]
fn time_on_a_cpu_holds_the_truth_whether_an_interruption_was_read_or_not() {
    let mut random = Random(11);
    let all = population(&mut random, 20_000, |r| {
        let lost = if r.next() < 0.000_5 {
            4e6 * r.next()
        } else {
            0.0
        };
        (200.0 + 100.0 * r.next() + lost, lost)
    });
    let running: f64 = all.iter().map(|(x, ..)| x).sum();
    let truth = running - all.iter().map(|(_, lost, _)| lost).sum::<f64>();
    assert!(truth < 0.5 * running);
    let mut covered = 0;
    for _ in 0..ROUNDS {
        let mut sample = Sample::<1>::default();
        for (x, lost, p) in &all {
            if random.next() <= *p {
                sample.read(*x, &[Some(*lost)], *p);
            } else {
                sample.unread(*x);
            }
        }
        let e = sample.clock(0, &Null::default(), None, 1.0);
        let high = e.high.expect("the time that passed");
        assert!(high <= running + 1.0);
        covered += u32::from(e.low <= truth && truth <= high);
    }
    assert!(f64::from(covered) >= 0.95 * f64::from(ROUNDS), "{covered}");
}

/// Every second interval loses a part of its time: enough to estimate.
#[test]
fn time_on_a_cpu_that_is_often_lost_is_estimated() {
    let mut random = Random(13);
    let all = population(&mut random, 16_000, |r| {
        let x = length(r);
        (x, if r.next() < 0.5 { x * r.next() } else { 0.0 })
    });
    let running: f64 = all.iter().map(|(x, ..)| x).sum();
    let truth = running - all.iter().map(|(_, lost, _)| lost).sum::<f64>();
    let mut covered = 0;
    for _ in 0..ROUNDS {
        let mut sample = Sample::<1>::default();
        for (x, lost, p) in &all {
            if random.next() <= *p {
                sample.read(*x, &[Some(*lost)], *p);
            } else {
                sample.unread(*x);
            }
        }
        let e = sample.clock(0, &Null::default(), None, 1.0);
        let high = e.high.expect("a limit");
        assert!(high - e.low < 0.1 * running, "{e:?}");
        covered += u32::from(e.low <= truth && truth <= high);
    }
    let share = f64::from(covered) / f64::from(ROUNDS);
    assert!((0.93..=0.97).contains(&share), "{share}");
}

/// Where every interval is read, what remains uncertain is what a reading costs: it is taken off, and known from a few null readings only.
#[test]
fn time_on_a_cpu_that_is_read_everywhere_has_the_readings_error() {
    let mut random = Random(17);
    let all: Vec<f64> = (0..2_000).map(|_| length(&mut random)).collect();
    let lost: f64 = all.iter().map(|x| x / 4.0).sum();
    let truth = all.iter().sum::<f64>() - lost;
    let (mut covered, mut exact) = (0, 0);
    for _ in 0..ROUNDS {
        let mut null = Null::default();
        (0..NULLS).for_each(|_| null.add(COST * (0.5 + random.next())));
        let mut sample = Sample::<1>::default();
        for x in &all {
            let counted = x * 0.75 + COST * (0.5 + random.next());
            sample.read(*x, &[Some(x - (counted - null.mean()))], 1.0);
        }
        let e = sample.clock(0, &null, None, 1.0);
        let (total, high) = (e.total.expect("all was read"), e.high.expect("a limit"));
        assert!(e.exact && e.low <= total && total <= high);
        covered += u32::from(e.low <= truth && truth <= high);
        exact += u32::from(e.low == high);
    }
    let share = f64::from(covered) / f64::from(ROUNDS);
    assert!((0.93..=0.97).contains(&share) && exact == 0, "{share}");
}
