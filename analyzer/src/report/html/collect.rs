//! What the page embeds: bins over the whole run, and single intervals in a few windows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use gmp_store::EventRow;
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{GId, SiteId};
use serde_json::{Value, json};

use super::super::stats::Stats;
use crate::frame::SiteTimes;
use crate::model::{GInterval, GState, PInterval, PState, Queue, Sink, Wakeup};
use crate::names::Names;
use crate::select::Window;
use crate::time::human;

/// Bins of equal length over the run.
const BINS: usize = 600;
/// Single intervals that a page holds at most, all windows together.
pub const MOST_INTERVALS: usize = 120_000;
/// Gs with a row of their own in a window.
const MOST_ROWS: usize = 400;
/// Sites with a colour of their own.
const COLOURS: usize = 8;

/// A stretch of the run in which every switch is shown.
#[derive(Debug)]
struct Detail {
    window: Window,
    why: String,
    ps: Vec<(u32, i64, i64, u8, u64)>,
    gs: Vec<(u64, i64, i64, u8, usize)>,
    rows: BTreeSet<u64>,
}

/// Fills bins and windows.
#[derive(Debug)]
pub struct Collected {
    range: Window,
    bin: i64,
    names: Names,
    colours: HashMap<SiteId, usize>,
    sites: HashMap<GId, SiteId>,
    /// Time of each P in each bin: running, in a system call, scheduling, stopped, and of which that is not known.
    ps: BTreeMap<u32, [Vec<i64>; 5]>,
    /// The longest of each queue in each bin; the last length carries over.
    queues: BTreeMap<Queue, (Vec<u32>, u32, usize)>,
    threads: Vec<f64>,
    thread_count: (i64, u32),
    blocked: Vec<f64>,
    details: Vec<Detail>,
    intervals: usize,
    reasons: Vec<String>,
    latency: Vec<(u64, u64)>,
    steals: Vec<(u32, u32, u64)>,
    /// What each of the slowest had waited for, by G and time.
    slowest: HashMap<(GId, i64), Option<(&'static str, String)>>,
    last_waits: HashMap<GId, (&'static str, String, i64)>,
    kept_sites: HashSet<GId>,
}

impl Collected {
    /// For a run whose statistics are known: they say which moments are worth a window.
    pub fn new(range: Window, stats: &Stats, sites: &[SiteTimes], names: Names) -> Collected {
        let length = (range.to - range.from).max(1);
        let colours = sites
            .iter()
            .take(COLOURS)
            .enumerate()
            .map(|(i, s)| (s.site, i))
            .collect();
        let bin = length / BINS as i64 + 1;
        let kept_sites = stats.slowest.iter().flat_map(|w| [w.g, w.by]).collect();
        Collected {
            range,
            bin,
            names,
            colours,
            sites: HashMap::new(),
            ps: BTreeMap::new(),
            queues: BTreeMap::new(),
            threads: vec![0.0; BINS],
            thread_count: (range.from, 0),
            blocked: vec![0.0; BINS],
            details: windows(range, stats),
            intervals: 0,
            reasons: vec!["running".into(), "runnable".into(), "system call".into()],
            latency: stats.latency.buckets(),
            steals: stats
                .steals
                .iter()
                .map(|((t, v), (_, gs))| (t.0, v.0, *gs))
                .collect(),
            slowest: stats
                .slowest
                .iter()
                .map(|w| ((w.g, w.ready_ts), None))
                .collect(),
            last_waits: HashMap::new(),
            kept_sites,
        }
    }

    /// The names of the process.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The length of a bin.
    pub fn bin_ns(&self) -> i64 {
        self.bin
    }

    /// Where a G was spawned that the page names.
    pub fn site_of(&self, g: GId) -> SiteId {
        self.sites.get(&g).copied().unwrap_or(SiteId(0))
    }

    /// What one of the slowest had waited for before it became runnable: the reason, and where the thing was made.
    pub fn waited_for(&self, w: &Wakeup) -> Option<&(&'static str, String)> {
        self.slowest.get(&(w.g, w.ready_ts))?.as_ref()
    }

    /// For each bin, how many Ps were idle while how many Gs were queued at most.
    pub fn idle_beside_work(&self) -> i64 {
        let procs = self.ps.len() as f64;
        let mut wasted = 0;
        for bin in 0..BINS {
            // What is not known is not idle.
            let busy = |s: &[Vec<i64>; 5]| s[0][bin] + s[1][bin] + s[4][bin];
            let busy: i64 = self.ps.values().map(busy).sum();
            let idle = procs - busy as f64 / self.bin as f64;
            let queued = self
                .queues
                .values()
                .map(|(q, ..)| q[bin])
                .max()
                .unwrap_or(0);
            if idle >= 1.0 && queued >= 2 {
                wasted += self.bin;
            }
        }
        wasted.min(self.range.to - self.range.from)
    }

    /// The share of time each P ran Gs, of that time of which it is known; none of a P of which nothing is.
    pub fn busy_shares(&self) -> Vec<(u32, f64)> {
        let length = (self.range.to - self.range.from).max(1);
        let share = |s: &[Vec<i64>; 5]| {
            let known = length - s[4].iter().sum::<i64>();
            (known > 0).then(|| s[0].iter().sum::<i64>() as f64 / known as f64)
        };
        let shares = self.ps.iter().filter_map(|(p, s)| Some((*p, share(s)?)));
        shares.collect()
    }

    /// Adds `value` for each nanosecond of an interval to the bins that it touches.
    fn spread(range: Window, bin: i64, from: i64, to: i64, mut add: impl FnMut(usize, i64)) {
        let (mut at, to) = (from.max(range.from), to.min(range.to));
        while at < to {
            let index = (((at - range.from) / bin) as usize).min(BINS - 1);
            let end = (range.from + (index as i64 + 1) * bin).min(to);
            let end = if index == BINS - 1 { to } else { end };
            add(index, end - at);
            at = end;
        }
    }

    fn index(&self, ts: i64) -> usize {
        (((ts - self.range.from).max(0) / self.bin) as usize).min(BINS - 1)
    }

    /// Up to now there were as many threads as before.
    fn advance_threads(&mut self, ts: i64) {
        let (since, n) = self.thread_count;
        let (threads, bin) = (&mut self.threads, self.bin as f64);
        Collected::spread(self.range, self.bin, since, ts, |i, ns| {
            threads[i] += f64::from(n) * ns as f64 / bin
        });
        self.thread_count.0 = self.thread_count.0.max(ts);
    }

    fn reason(&mut self, text: String) -> usize {
        match self.reasons.iter().position(|r| *r == text) {
            Some(index) => index,
            None => {
                self.reasons.push(text);
                self.reasons.len() - 1
            }
        }
    }

    /// The page's data as JSON.
    pub fn data(&self) -> Value {
        let share = |of: &Vec<i64>| -> Vec<f64> {
            of.iter()
                .map(|ns| round(*ns as f64 / self.bin as f64))
                .collect()
        };
        let ps: Vec<Value> = self
            .ps
            .iter()
            .map(|(p, s)| {
                let mut value = json!({"p": p, "running": share(&s[0]), "syscall": share(&s[1]), "scheduling": share(&s[2])});
                if s[4].iter().any(|ns| *ns > 0) {
                    value["unknown"] = json!(share(&s[4]));
                }
                value
            })
            .collect();
        let queues: Vec<Value> = self
            .queues
            .iter()
            .map(|(queue, (longest, ..))| {
                let name = match queue {
                    Queue::Local(p) => p.to_string(),
                    Queue::Global => "global".into(),
                };
                json!({"name": name, "longest": longest})
            })
            .collect();
        let mut colours: Vec<(&SiteId, &usize)> = self.colours.iter().collect();
        colours.sort_by_key(|(_, i)| **i);
        let sites: Vec<&str> = colours
            .iter()
            .map(|(site, _)| self.names.site(**site))
            .collect();
        let details: Vec<Value> = self
            .details
            .iter()
            .map(|d| {
                let mut site_of: BTreeMap<u64, Value> = BTreeMap::new();
                for g in d.rows.iter().copied().chain(d.ps.iter().map(|p| p.4)).filter(|g| *g > 0) {
                    let site = self.site_of(GId(g));
                    let colour = self.colours.get(&site).copied();
                    site_of.entry(g).or_insert_with(|| json!([colour, self.names.site(site)]));
                }
                json!({
                    "from": d.window.from, "to": d.window.to, "why": d.why, "ps": d.ps, "gs": d.gs, "sites": site_of,
                })
            })
            .collect();
        let rounded = |of: &Vec<f64>| -> Vec<f64> { of.iter().map(|v| round(*v)).collect() };
        json!({
            "from": self.range.from, "to": self.range.to, "bin": self.bin, "bins": BINS, "ps": ps, "queues": queues,
            "threads": rounded(&self.threads), "blocked": rounded(&self.blocked), "latency": self.latency,
            "steals": self.steals, "sites": sites, "states": self.reasons, "details": details,
        })
    }
}

/// Enough for a chart, and short as text.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The windows worth showing: all of a short run, else its beginning and the surroundings of the slowest waits.
fn windows(range: Window, stats: &Stats) -> Vec<Detail> {
    let detail = |window: Window, why: String| Detail {
        window,
        why,
        ps: Vec::new(),
        gs: Vec::new(),
        rows: BTreeSet::new(),
    };
    let events: u64 = stats.kinds.values().sum();
    // An event makes about two intervals.
    if events < MOST_INTERVALS as u64 / 2 {
        return vec![detail(range, "the whole run".into())];
    }
    let length = (range.to - range.from).max(1);
    // So long that it holds a few thousand events at the run's average rate.
    let width = (length as f64 / events as f64 * 4_000.0) as i64 + 1;
    let within = |from: i64| Window {
        from: from.max(range.from),
        to: (from + width).min(range.to),
    };
    let mut out = vec![
        detail(within(range.from), "the beginning".into()),
        detail(within(range.from + length / 2), "the middle".into()),
    ];
    for w in stats.slowest.iter().take(4) {
        let margin = width / 4;
        let window = Window {
            from: (w.ready_ts - margin).max(range.from),
            to: (w.start_ts + margin).min(range.to),
        };
        let why = format!("{} waits {} for a P", w.g, human(w.latency()));
        out.push(detail(window, why));
    }
    out.sort_by_key(|d| d.window.from);
    out
}

impl Sink for Collected {
    fn event(&mut self, row: &EventRow) {
        match row.event {
            Event::Spawn { g, site, .. } => {
                self.sites.insert(g, site);
            }
            Event::MStart { kind, .. } if kind != MKind::Foreign => {
                self.advance_threads(row.ts);
                self.thread_count.1 += 1;
            }
            Event::MExit {} => {
                self.advance_threads(row.ts);
                self.thread_count.1 = self.thread_count.1.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn p(&mut self, i: &PInterval) {
        let slot = match i.state {
            PState::Running(_) => Some(0),
            PState::Syscall(_) => Some(1),
            PState::Scheduling => Some(2),
            PState::Stopped => Some(3),
            PState::Unknown => Some(4),
            PState::Idle => None,
        };
        let states = self
            .ps
            .entry(i.p.0)
            .or_insert_with(|| std::array::from_fn(|_| vec![0; BINS]));
        if let Some(slot) = slot {
            Collected::spread(self.range, self.bin, i.from, i.to, |index, ns| {
                states[slot][index] += ns
            });
            let g = match i.state {
                PState::Running(g) | PState::Syscall(g) => g.0,
                _ => 0,
            };
            for d in &mut self.details {
                if self.intervals < MOST_INTERVALS
                    && let Some((from, to)) = d.window.clip(i.from, i.to)
                {
                    self.intervals += 1;
                    d.ps.push((i.p.0, from, to, slot as u8, g));
                    self.kept_sites.insert(GId(g));
                }
            }
        }
        self.advance_threads(i.to);
    }

    fn g(&mut self, i: &GInterval) {
        let (state, reason) = match i.state {
            GState::Running => (0, 0),
            GState::Runnable(_) => (1, 1),
            GState::Syscall => {
                let (blocked, bin) = (&mut self.blocked, self.bin as f64);
                Collected::spread(self.range, self.bin, i.from, i.to, |index, ns| {
                    blocked[index] += ns as f64 / bin
                });
                (2, 2)
            }
            GState::Waiting(reason, object) => {
                let made = if object.0 == 0 {
                    String::new()
                } else {
                    let object = self.names.object(object);
                    object
                        .split_once(" made at ")
                        .map_or(String::new(), |(_, at)| at.to_owned())
                };
                self.last_waits
                    .insert(i.g, (reason.word(), made.clone(), i.to));
                let text = if made.is_empty() {
                    format!("waiting: {reason}")
                } else {
                    format!("waiting: {reason} ({made})")
                };
                (3, self.reason(text))
            }
            // Drawn as nothing.
            GState::Unknown => (4, 0),
        };
        let known = i.state != GState::Unknown;
        for d in self.details.iter_mut().filter(|_| known) {
            if self.intervals < MOST_INTERVALS
                && (d.rows.len() < MOST_ROWS || d.rows.contains(&i.g.0))
                && let Some((from, to)) = d.window.clip(i.from, i.to)
            {
                self.intervals += 1;
                d.rows.insert(i.g.0);
                d.gs.push((i.g.0, from, to, state, reason));
                self.kept_sites.insert(i.g);
            }
        }
        if i.last {
            self.last_waits.remove(&i.g);
            if !self.kept_sites.contains(&i.g) {
                self.sites.remove(&i.g);
            }
        }
    }

    fn wakeup(&mut self, w: &Wakeup) {
        if let Some(slot) = self.slowest.get_mut(&(w.g, w.ready_ts))
            && let Some((reason, made, until)) = self.last_waits.get(&w.g)
            && *until == w.ready_ts
        {
            *slot = Some((*reason, made.clone()));
        }
    }

    fn queue(&mut self, ts: i64, queue: Queue, len: u32) {
        let index = self.index(ts);
        let (longest, last, filled) = self
            .queues
            .entry(queue)
            .or_insert_with(|| (vec![0; BINS], 0, 0));
        // Bins without a change had the length from before.
        while *filled < index {
            *filled += 1;
            longest[*filled] = longest[*filled].max(*last);
        }
        longest[index] = longest[index].max(len);
        *last = len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_spread_over_its_bins_without_loss() {
        let range = Window {
            from: 100,
            to: 100 + 600 * 7,
        };
        for (from, to) in [
            (100, 4_300),
            (103, 109),
            (0, 9_999),
            (4_299, 4_300),
            (200, 200),
        ] {
            let mut bins = vec![0; BINS];
            Collected::spread(range, 7, from, to, |i, ns| bins[i] += ns);
            let expected = to.min(range.to) - from.max(range.from);
            assert_eq!(bins.iter().sum::<i64>(), expected.max(0));
            assert!(bins.iter().all(|ns| *ns <= 7));
        }
    }
}
