//! Which part of a run a report is about: a window of time, a G, a P, some kinds of events.

use gmp_store::entity::Process;
use gmp_store::run::Run;
use gmp_store::{EventRow, Store};
use gmp_trace::event::Kind;
use gmp_trace::ids::{GId, PId};

use crate::model::{GInterval, MInterval, PInterval, Queue, Sink, Unanswered, Violation, Wakeup};
use crate::time;

/// A window of time, ns since the run's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub from: i64,
    /// Its end.
    pub to: i64,
}

impl Window {
    /// All of a run.
    pub const ALL: Window = Window {
        from: i64::MIN,
        to: i64::MAX,
    };

    /// Whether a time lies in it.
    pub fn has(&self, ts: i64) -> bool {
        self.from <= ts && ts <= self.to
    }

    /// The part of an interval that lies in it.
    pub fn clip(&self, from: i64, to: i64) -> Option<(i64, i64)> {
        let (from, to) = (from.max(self.from), to.min(self.to));
        (from <= to).then_some((from, to))
    }
}

impl std::str::FromStr for Window {
    type Err = String;

    /// `12ms..15ms`; either end may be left out.
    fn from_str(text: &str) -> Result<Window, String> {
        let (from, to) = text
            .split_once("..")
            .ok_or_else(|| format!("{text} is no window; write it like 12ms..15ms"))?;
        let end = |text: &str, open: i64| match text.trim() {
            "" => Ok(open),
            text => time::parse(text),
        };
        let window = Window {
            from: end(from, i64::MIN)?,
            to: end(to, i64::MAX)?,
        };
        if window.from > window.to {
            return Err(format!("{text} ends before it begins"));
        }
        Ok(window)
    }
}

/// What is wanted of a run.
#[derive(Clone, Debug)]
pub struct Selection {
    /// When.
    pub window: Window,
    /// Which G; all if none.
    pub g: Option<GId>,
    /// Which P; all if none.
    pub p: Option<PId>,
    /// Which kinds of events; all if none.
    pub kinds: Vec<Kind>,
}

impl Default for Selection {
    fn default() -> Selection {
        Selection {
            window: Window::ALL,
            g: None,
            p: None,
            kinds: Vec::new(),
        }
    }
}

impl Selection {
    /// Whether everything is wanted.
    pub fn is_all(&self) -> bool {
        self.window == Window::ALL && self.g.is_none() && self.p.is_none() && self.kinds.is_empty()
    }

    /// Whether times of Gs are among it: kinds of events have none.
    pub fn has_times(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Whether times of Ps are: one G has none.
    pub fn has_ps(&self) -> bool {
        self.has_times() && self.g.is_none()
    }

    /// Whether threads and times of Ms are: one P has none either, which Ms only pass by.
    pub fn has_ms(&self) -> bool {
        self.has_ps() && self.p.is_none()
    }

    /// Whether all events of a kind are, of those in its window and of its G and P.
    pub fn has_kind(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Makes sure that there is something to select in a run.
    ///
    /// # Errors
    /// What is not there, and what is.
    pub fn check(&self, store: &Store, run: &Run, processes: &[Process]) -> anyhow::Result<()> {
        if self.is_all() {
            return Ok(());
        }
        let one = |sql: &str, key: i64| {
            store.db().query_row(sql, [i64::from(run.run), key], |row| {
                row.get::<_, Option<i64>>(0)
            })
        };
        let least = |sql: &str| {
            store
                .db()
                .query_row(sql, [run.run], |row| row.get::<_, Option<i64>>(0))
        };
        if let Some(g) = self.g
            && one("SELECT max(g) FROM g WHERE run = ? AND g = ?", g.0 as i64)?.is_none()
        {
            let most = least("SELECT max(g) FROM g WHERE run = ?")?.unwrap_or(0);
            anyhow::bail!(
                "run {} has no {g}; its Gs have numbers up to {most}",
                run.run
            );
        }
        if let Some(p) = self.p
            && one("SELECT max(p) FROM p WHERE run = ? AND p = ?", p.0.into())?.is_none()
        {
            let most = least("SELECT max(p) FROM p WHERE run = ?")?.unwrap_or(0);
            anyhow::bail!(
                "run {} has no {p}; its Ps have numbers up to {most}",
                run.run
            );
        }
        let ends = processes.iter().flat_map(|p| [p.first_event, p.last_event]);
        let mut times = Vec::new();
        for event in ends.flatten() {
            times.extend(one(
                "SELECT max(ts) FROM event WHERE run = ? AND id = ?",
                event,
            )?);
        }
        if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max())
            && self.window.clip(*first, *last).is_none()
        {
            anyhow::bail!(
                "run {} lasts from {} to {}: the window lies outside",
                run.run,
                time::human(*first),
                time::human(*last)
            );
        }
        Ok(())
    }

    /// What is selected, in words; nothing when that is everything.
    pub fn words(&self) -> Option<String> {
        let mut words = Vec::new();
        words.extend(self.g.map(|g| g.to_string()));
        words.extend(self.p.map(|p| p.to_string()));
        if self.window != Window::ALL {
            let end = |t: i64, open: i64, word: &str| match t == open {
                true => word.to_owned(),
                false => time::human(t),
            };
            words.push(format!(
                "{} to {}",
                end(self.window.from, i64::MIN, "the beginning"),
                end(self.window.to, i64::MAX, "the end")
            ));
        }
        words.extend(self.kinds.iter().map(|k| k.name().to_owned()));
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// Whether an event is wanted.
    pub fn has(&self, row: &EventRow) -> bool {
        let kind = Some(row.event.kind());
        self.has_one(row.ts, kind, row.p, [row.g, row.by])
    }

    /// Whether an event at a time, of a kind if it is a known one, at a P, of these Gs is wanted.
    pub fn has_one(&self, ts: i64, kind: Option<Kind>, p: Option<PId>, gs: [GId; 2]) -> bool {
        self.window.has(ts)
            && self.g.is_none_or(|g| gs.contains(&g))
            && self.p.is_none_or(|wanted| p == Some(wanted))
            && (self.kinds.is_empty() || kind.is_some_and(|k| self.kinds.contains(&k)))
    }
}

/// Passes on what is selected, cut to the window.
#[derive(Debug)]
pub struct Clip<S> {
    selection: Selection,
    sink: S,
}

impl<S: Sink> Clip<S> {
    /// Between the model and a sink.
    pub fn new(selection: Selection, sink: S) -> Clip<S> {
        Clip { selection, sink }
    }

    /// The sink behind it.
    pub fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }
}

impl<S: Sink> Sink for Clip<S> {
    fn event(&mut self, row: &EventRow) {
        if self.selection.has(row) {
            self.sink.event(row);
        }
    }

    fn g(&mut self, interval: &GInterval) {
        let wanted = self.selection.g.is_none_or(|g| g == interval.g)
            && self.selection.p.is_none_or(|p| interval.p == Some(p));
        if let (true, Some((from, to))) = (
            wanted,
            self.selection.window.clip(interval.from, interval.to),
        ) {
            self.sink.g(&GInterval {
                from,
                to,
                last: interval.last && to == interval.to,
                ..*interval
            });
        }
    }

    fn p(&mut self, interval: &PInterval) {
        let wanted = self.selection.p.is_none_or(|p| p == interval.p);
        if let (true, Some((from, to))) = (
            wanted,
            self.selection.window.clip(interval.from, interval.to),
        ) {
            self.sink.p(&PInterval {
                from,
                to,
                ..*interval
            });
        }
    }

    fn m(&mut self, interval: &MInterval) {
        if let Some((from, to)) = self.selection.window.clip(interval.from, interval.to) {
            self.sink.m(&MInterval {
                from,
                to,
                ..*interval
            });
        }
    }

    fn wakeup(&mut self, wakeup: &Wakeup) {
        let wanted = self
            .selection
            .g
            .is_none_or(|g| g == wakeup.g || g == wakeup.by)
            && self.selection.p.is_none_or(|p| wakeup.p == Some(p));
        if wanted && self.selection.window.has(wakeup.start_ts) {
            self.sink.wakeup(wakeup);
        }
    }

    fn unanswered(&mut self, unanswered: &Unanswered) {
        let wanted = self.selection.g.is_none_or(|g| g == unanswered.g)
            && self.selection.p.is_none_or(|p| p == unanswered.p);
        // Not cut: how long it went on is what it says.
        let (from, to) = (unanswered.from, unanswered.to);
        if wanted && self.selection.window.clip(from, to).is_some() {
            self.sink.unanswered(unanswered);
        }
    }

    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        if self.selection.window.has(ts) {
            self.sink.queue(ts, queue, len);
        }
    }

    fn moved(&mut self, row: &EventRow, to: i64) {
        self.sink.moved(row, to);
    }

    fn violation(&mut self, violation: &Violation) {
        self.sink.violation(violation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_as_they_are_written() {
        let window = |from, to| Ok(Window { from, to });
        assert_eq!("1ms..2.5ms".parse(), window(1_000_000, 2_500_000));
        assert_eq!("..3us".parse(), window(i64::MIN, 3_000));
        assert_eq!("0..".parse(), window(0, i64::MAX));
        assert!("5ms".parse::<Window>().is_err());
        assert!("5ms..1ms".parse::<Window>().is_err());
    }

    #[test]
    fn intervals_are_cut_to_the_window() {
        let window = Window { from: 10, to: 20 };
        assert_eq!(window.clip(5, 15), Some((10, 15)));
        assert_eq!(window.clip(12, 30), Some((12, 20)));
        assert_eq!(window.clip(21, 30), None);
    }
}
