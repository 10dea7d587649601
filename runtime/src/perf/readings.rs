//! The readings of one M: when they are made, and the events that come of them.

use std::sync::Arc;

use gmp_trace::event::Event;
use gmp_trace::ids::MId;
use gmp_trace::spool::writer::Spool;
use gmp_trace::version::info;

use super::group::{Group, MOST, Values};
use super::probe::Plan;
use super::sample::Sampler;
use super::spec::Every;

/// What the writing of an event adds to the cost of a reading, in ns.
const EVENT_NS: f64 = 30.0;
/// Of the intervals that are read, one in so many (a power of two) has a null reading before it.
const NULL_IN: u64 = 8;

/// One M's counters and what they said last.
pub(crate) struct Readings {
    plan: Arc<Plan>,
    spool: Arc<Spool>,
    m: MId,
    group: Group,
    last: Values,
    every: Every,
    sampler: Sampler,
    /// Whether the interval that runs is being read.
    reading: bool,
    /// Whether the last interval ended with a reading.
    just_read: bool,
    /// Whether there was a null reading: the first interval that is read has one.
    had_null: bool,
}

impl Readings {
    /// Opens the counters of the calling thread; `None`, and a fact in the recording, where it can have none.
    pub(crate) fn open(
        plan: &Arc<Plan>,
        spool: &Arc<Spool>,
        m: MId,
        ticks: u64,
    ) -> Option<Readings> {
        let opened = plan.open().and_then(|group| Ok((group.read()?, group)));
        let (last, group) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                let key = format!("{}.m{}", info::COUNTERS_REASON, m.0);
                spool.info(&key, &format!("this M reads none: {e}"));
                return None;
            }
        };
        // Of its own, so that a recorded scheduler chooses its victims as one that is not.
        let seed = 0x9E37_79B9_7F4A_7C15 ^ (u64::from(m.0) + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let readings_each = 2.0 + 1.0 / NULL_IN as f64;
        let interval_cost_ns = readings_each * (plan.read_ns + EVENT_NS);
        let readings = Readings {
            plan: Arc::clone(plan),
            spool: Arc::clone(spool),
            m,
            group,
            last,
            sampler: Sampler::new(ticks, interval_cost_ns, plan.ticks_per_ns, seed),
            every: plan.every,
            reading: false,
            just_read: false,
            had_null: false,
        };
        if plan.every == Every::Auto {
            readings.state_probability(ticks);
        }
        Some(readings)
    }

    /// An interval begins at `ticks`: whether there is nothing to do.
    #[inline(always)]
    pub(crate) fn passes(&mut self, ticks: u64) -> bool {
        self.every == Every::Auto && self.sampler.passes(ticks) && !self.just_read
    }

    /// The beginning of an interval that does not pass: the reading that it needs, and whether some time has passed because of readings.
    ///
    /// The last reading of the interval before is never made to serve, not even where this one follows at once: what the scheduler did
    /// between the two would be in the value.
    #[cold]
    #[inline(never)]
    pub(crate) fn begin(&mut self, ticks: u64) -> (Option<Event>, bool) {
        let just_read = std::mem::replace(&mut self.just_read, false);
        self.reading = match self.every {
            Every::Switch => true,
            Every::Auto => {
                let (selected, changed) = self.sampler.decide(ticks);
                if changed {
                    self.state_probability(ticks);
                }
                selected
            }
        };
        let reading = if self.reading { self.read() } else { None };
        let late = just_read || reading.is_some();
        (reading, late)
    }

    /// After the reading that [`Readings::begin`] gave was recorded: a null reading, if it is time for one. Nothing but that reading and
    /// its record lies between, so it says what a reading itself puts into each value.
    #[cold]
    #[inline(never)]
    pub(crate) fn null(&mut self) -> Option<Event> {
        let due = self.sampler.random().is_multiple_of(NULL_IN) || !self.had_null;
        self.had_null = true;
        if due { self.read() } else { None }
    }

    /// The thread ends: a last reading, with which all of them are what the M counted in its whole life.
    pub(crate) fn close(&mut self) -> Option<Event> {
        self.read()
    }

    /// The interval ends: the reading, if it is being read.
    #[inline(always)]
    pub(crate) fn end(&mut self) -> Option<Event> {
        if !self.reading {
            return None;
        }
        self.reading = false;
        self.just_read = true;
        self.read()
    }

    #[cold]
    #[inline(never)]
    fn read(&mut self) -> Option<Event> {
        // What fails once for an open descriptor fails always; the interval then has no value.
        let now = self.group.read().ok()?;
        let last = std::mem::replace(&mut self.last, now);
        let mut fields = [0; MOST];
        for (i, c) in self.plan.chosen.iter().enumerate() {
            fields[c.field] = now.counts[i].saturating_sub(last.counts[i]);
        }
        let [c0, c1, c2, c3, c4, c5, c6, c7] = fields;
        Some(Event::Counters {
            enabled_ns: now.enabled_ns.saturating_sub(last.enabled_ns),
            running_ns: now.running_ns.saturating_sub(last.running_ns),
            c0,
            c1,
            c2,
            c3,
            c4,
            c5,
            c6,
            c7,
        })
    }

    #[cold]
    fn state_probability(&self, ticks: u64) {
        let probability = self.sampler.probability();
        let key = format!("{}.m{}.t{ticks}", info::COUNTERS_SAMPLING, self.m.0);
        self.spool.info(&key, &probability.to_string());
    }
}

impl Drop for Readings {
    fn drop(&mut self) {
        let (seen, selected) = self.sampler.totals();
        self.plan.add(seen, selected);
    }
}
