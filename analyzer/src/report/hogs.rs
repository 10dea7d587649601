//! Hogs: Gs that ran on for longer than a time slice after they were asked to give way, because their code neither calls into the runtime nor
//! may be stopped by a signal.
//!
//! Times are wall times: a thread that had to wait for a CPU itself looks like a hog, which the sentences say.

use std::io::Write;

use gmp_policy::Policy;
use gmp_store::Store;
use gmp_store::run::Run;
use gmp_trace::event::PreemptCause;
use gmp_trace::ids::SiteId;
use serde_json::{Value, json};

use crate::model::Unanswered;
use crate::names::Names;
use crate::time::{at, human};

/// Hogs that are told one by one: those that ran on for longest.
const SHOWN: usize = 20;

/// One time that a G was a hog.
#[derive(Clone, Copy, Debug)]
pub struct Hog {
    /// What it did.
    pub what: Unanswered,
    /// Where the G was spawned; 0 if that is not known.
    pub site: SiteId,
}

/// Those of a process.
#[derive(Clone, Debug)]
pub struct Hogs {
    /// The time slice of the run, ns.
    pub time_slice: i64,
    /// How many there were.
    pub n: u64,
    /// For how long they ran on after they were asked, ns, summed.
    pub ran_on: i64,
    /// Those that ran on for longest, the longest first.
    pub longest: Vec<Hog>,
}

impl Default for Hogs {
    fn default() -> Hogs {
        Hogs::with(Policy::default())
    }
}

impl Hogs {
    /// None yet. A policy that is not known, or has knobs that are not, counts as the default.
    pub fn of(run: &Run) -> Hogs {
        let policy = run.policy.as_deref().and_then(|p| p.parse().ok());
        Hogs::with(policy.unwrap_or_default())
    }

    fn with(policy: Policy) -> Hogs {
        Hogs {
            time_slice: i64::try_from(policy.time_slice.as_nanos()).unwrap_or(i64::MAX),
            n: 0,
            ran_on: 0,
            longest: Vec::new(),
        }
    }

    /// Looks at a G that was asked to give way.
    pub fn add(&mut self, what: &Unanswered) {
        let ignored = what.ignored();
        if ignored <= self.time_slice {
            return;
        }
        self.n += 1;
        self.ran_on += ignored;
        let at = self
            .longest
            .partition_point(|h| h.what.ignored() >= ignored);
        if at < SHOWN {
            let hog = Hog {
                what: *what,
                site: SiteId(0),
            };
            self.longest.insert(at, hog);
            self.longest.truncate(SHOWN);
        }
    }

    /// Looks up where their Gs were spawned.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn find_sites(&mut self, store: &Store, run: u32, process: u32) -> anyhow::Result<()> {
        if self.longest.is_empty() {
            return Ok(());
        }
        let mut query = store
            .db()
            .prepare("SELECT max(site) FROM g WHERE run = ? AND process = ? AND g = ?")
            .map_err(store.sql())?;
        for hog in &mut self.longest {
            let site: Option<u32> = query
                .query_row((run, process, hog.what.g.0 as i64), |r| r.get(0))
                .map_err(store.sql())?;
            hog.site = SiteId(site.unwrap_or(0));
        }
        Ok(())
    }

    /// All of them in a sentence.
    pub fn sentence(&self) -> String {
        let (times, slice) = (self.n, human(self.time_slice));
        let times = match times {
            1 => "once a G".to_owned(),
            n => format!("{n} times a G"),
        };
        format!(
            "{times} ran on for longer than a time slice ({slice}) after it was asked to give way, {} in all",
            human(self.ran_on)
        )
    }
}

/// What to do about it.
pub const ADVICE: &str = "a call of `checkpoint` in such a loop, or `preemptible` around it, lets others run; \
     the time may also be that of a thread that had to wait for a CPU";

impl Hog {
    /// `G5, spawned at main.rs:12, ran on P0 (M2) for 120 ms from 3.000 ms on, 110 ms of it after its time slice was over`.
    pub fn sentence(&self, names: &Names) -> String {
        let Unanswered { g, p, m, from, .. } = self.what;
        let m = m.map(|m| format!(" ({m})")).unwrap_or_default();
        let after = match self.what.cause {
            PreemptCause::Slice | PreemptCause::AsyncSlice => "it was asked to let others run",
            PreemptCause::Stw | PreemptCause::AsyncStw => "the world was to stop",
        };
        let signal = match self.what.signal {
            true => ", although a signal was sent",
            false => "",
        };
        let over = match self.what.over {
            true => "",
            false => "; it still runs at the end",
        };
        format!(
            "{g}, spawned at {}, ran on {p}{m} for {} from {} on, {} of it after {after}{signal}{over}",
            names.site(self.site),
            human(self.what.ran()),
            at(from),
            human(self.what.ignored()),
        )
    }

    fn json(&self, names: &Names) -> Value {
        let w = &self.what;
        json!({
            "g": w.g.0, "site": names.site(self.site), "p": w.p.0, "m": w.m.map(|m| m.0), "from_ns": w.from, "asked_ns": w.asked,
            "to_ns": w.to, "ran_ns": w.ran(), "ran_on_ns": w.ignored(), "over": w.over, "cause": w.cause.word(),
            "signal": w.signal, "requests": w.requests,
        })
    }
}

/// Prints them, if there are any.
///
/// # Errors
/// When the output cannot be written.
pub fn text(hogs: &Hogs, names: &Names, out: &mut dyn Write) -> anyhow::Result<()> {
    if hogs.n == 0 {
        return Ok(());
    }
    writeln!(out, "\nhogs: {}", hogs.sentence())?;
    for hog in &hogs.longest {
        writeln!(out, "  {}", hog.sentence(names))?;
    }
    let shown = hogs.longest.len() as u64;
    if hogs.n > shown {
        writeln!(out, "  ... and {} more", hogs.n - shown)?;
    }
    Ok(writeln!(out, "  {ADVICE}")?)
}

/// All of them as JSON.
pub fn json(hogs: &Hogs, names: &Names) -> Value {
    let longest: Vec<Value> = hogs.longest.iter().map(|h| h.json(names)).collect();
    json!({"n": hogs.n, "ran_on_ns": hogs.ran_on, "time_slice_ns": hogs.time_slice, "longest": longest})
}

#[cfg(test)]
mod tests {
    use gmp_trace::ids::{GId, MId, PId};

    use super::*;

    fn asked(ignored: i64) -> Unanswered {
        Unanswered {
            g: GId(ignored as u64),
            p: PId(0),
            m: Some(MId(3)),
            from: 1_000,
            asked: 2_000,
            to: 2_000 + ignored,
            over: true,
            cause: PreemptCause::Slice,
            before_ns: 10_000_000,
            signal: false,
            requests: 1,
        }
    }

    #[test]
    fn who_gives_way_within_a_time_slice_is_no_hog_and_the_longest_are_told() {
        let run = Run {
            policy: Some("time_slice=1ms".into()),
            ..Run::default()
        };
        let mut hogs = Hogs::of(&run);
        assert_eq!(hogs.time_slice, 1_000_000);
        hogs.add(&asked(1_000_000));
        assert_eq!(hogs.n, 0);
        (1..=50).for_each(|i| hogs.add(&asked(1_000_000 + i)));
        assert_eq!((hogs.n, hogs.ran_on), (50, 50_001_275));
        let longest: Vec<i64> = hogs.longest.iter().map(|h| h.what.ignored()).collect();
        let want: Vec<i64> = (31..=50).rev().map(|i| 1_000_000 + i).collect();
        assert_eq!(longest, want);
    }

    #[test]
    fn a_policy_that_is_not_known_counts_as_the_default() {
        for policy in [None, Some("time_machine=on".to_owned())] {
            let run = Run {
                policy,
                ..Run::default()
            };
            assert_eq!(Hogs::of(&run).time_slice, 10_000_000);
        }
    }

    #[test]
    fn the_sentence_says_who_where_and_how_long() {
        let hog = Hog {
            what: Unanswered {
                over: false,
                signal: true,
                cause: PreemptCause::Stw,
                ..asked(30_000_000)
            },
            site: SiteId(1),
        };
        assert_eq!(
            hog.sentence(&Names::default()),
            "G30000000, spawned at ?, ran on P0 (M3) for 30.0 ms from 0.001 ms on, 30.0 ms of it after the world was to stop, although a \
             signal was sent; it still runs at the end"
        );
    }
}
