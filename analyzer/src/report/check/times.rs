//! Times: those of one M never go back, all lie within the life of the process and the run, and no event is moved farther than it may be.
//!
//! A thread reads the clock, acts, and records the event; another may see what it did and act on that at once. So of two events that follow
//! from each other the later one may have the earlier time, if its thread was held up between the clock and the act. But it acted before
//! it read the clock for its next event: what it follows from must not be later than that.

use gmp_store::entity::{Clock, Process};
use gmp_store::run::Run;
use gmp_store::{EventRow, Store};
use gmp_trace::ids::MId;
use rustc_hash::FxHashMap;

use super::Checked;
use crate::model::Violation;
use crate::time::human;

const RULE: &str = "times";
/// How much the kernel may change the rate of its clock while it is corrected, in parts of a million.
const SLEW_PPM: i64 = 500;

/// What one M's times were.
#[derive(Clone, Copy, Debug)]
struct Last {
    ts: i64,
    /// The event since `ts` that had to be moved the farthest, and to where.
    moved: Option<(i64, i64, i64)>,
}

/// The times of a process.
pub struct Times {
    from: i64,
    to: i64,
    /// How well the clocks of two threads agree.
    tolerance: i64,
    last: FxHashMap<MId, Last>,
}

impl Times {
    /// Of a process, before its first event.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn new(store: &Store, run: &Run, process: &Process) -> anyhow::Result<Times> {
        let clocks = Clock::all(store, run.run)?;
        let worst = clocks.iter().map(|c| c.uncertainty_ns).fold(0.0, f64::max);
        // The conversion rounds down.
        let tolerance = (worst.ceil() as i64).saturating_add(1);
        let end = clocks.iter().map(|c| c.at_ns).max();
        // A recorder that died did not see the end.
        let end = end.max(run.duration_ns).filter(|_| !run.recovered);
        let began = process
            .started_boottime_ns
            .filter(|_| was_awake(&clocks))
            .map_or(0, |ns| ns.saturating_sub(run.started_boottime_ns));
        // Times are as good as the rate of the clock is known, which may have been measured over a part of the run.
        let span = end.unwrap_or(0).max(0);
        let beyond = span.saturating_sub(process.interval_ns).max(0);
        let parts = span / process.interval_ns.max(1) + 2;
        let slack = tolerance
            .saturating_mul(parts)
            .saturating_add(beyond / 1_000_000 * SLEW_PPM);
        Ok(Times {
            from: began.saturating_sub(slack),
            to: end.map_or(i64::MAX, |end| end.saturating_add(slack)),
            tolerance,
            last: FxHashMap::default(),
        })
    }

    /// The next event.
    pub fn event(&mut self, row: &EventRow, checked: &mut Checked) {
        let mut wrong = |event: i64, what: String| {
            checked.add(Violation {
                event,
                ts: row.ts,
                rule: RULE,
                what,
            });
        };
        if row.ts < self.from {
            let early = human(self.from.saturating_sub(row.ts));
            wrong(row.id, format!("{early} before the process began"));
        }
        if row.ts > self.to {
            let late = human(row.ts.saturating_sub(self.to));
            wrong(row.id, format!("{late} after the end of the run"));
        }
        let last = self.last.entry(row.m).or_insert(Last {
            ts: row.ts,
            moved: None,
        });
        if row.ts < last.ts {
            let back = human(last.ts.saturating_sub(row.ts));
            wrong(row.id, format!("the time of {} goes back by {back}", row.m));
        }
        if row.ts != last.ts {
            if let Some((event, ts, to)) = last.moved
                && to.saturating_sub(self.tolerance) > row.ts
            {
                wrong(event, too_far(row.m, ts, to, row.ts));
            }
            last.ts = row.ts;
            last.moved = None;
        }
    }

    /// The event happened at `to` or later.
    pub fn moved(&mut self, row: &EventRow, to: i64) {
        if let Some(last) = self.last.get_mut(&row.m)
            && last.moved.is_none_or(|(_, _, farthest)| farthest < to)
        {
            last.moved = Some((row.id, row.ts, to));
        }
    }
}

fn too_far(m: MId, ts: i64, to: i64, next: i64) -> String {
    format!(
        "it follows from what happened {} later, but {m} was at its next event {} before that",
        human(to.saturating_sub(ts)),
        human(to.saturating_sub(next))
    )
}

/// Whether the machine never slept while the clocks were read: then CLOCK_BOOTTIME tells the times of the trace too.
fn was_awake(clocks: &[Clock]) -> bool {
    let asleep = |c: &Clock| c.boottime_ns.saturating_sub(c.monotonic_ns);
    let (Some(least), Some(most)) = (
        clocks.iter().map(asleep).min(),
        clocks.iter().map(asleep).max(),
    ) else {
        return false;
    };
    // Two readings of clocks are apart by how long they take.
    most - least < 10_000_000
}
