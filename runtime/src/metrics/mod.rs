//! What the runtime knows of itself, under the names and in the units of Go's `runtime/metrics` where Go has the thing.
//!
//! [`all`] says what there is, [`read`] what it is now. A name is a path and a unit, `/sched/goroutines:goroutines`. The runtime's
//! own counters ([`crate::stats`]) are there too, as `/gmp/steals:steals`.
//!
//! Reading stops nothing: values that change while they are read need not fit together. Go's states of goroutines are approximate in the
//! same way. Of Go's classes of CPU time there are those that have a meaning without a collector; they are estimates of what the
//! Ps were used for, and are not to be compared with what the kernel counts.
//!
//! ```
//! use gmp_runtime::metrics;
//! // SAFETY: nothing bound to a thread is held over a call into the runtime.
//! unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
//!     let now = metrics::read();
//!     assert_eq!(now.number("/sched/gomaxprocs:threads"), Some(2));
//!     let latencies = now.histogram("/sched/latencies:seconds").unwrap();
//!     assert_eq!(latencies.buckets.len(), latencies.counts.len() + 1);
//! });
//! ```

use std::sync::OnceLock;

use gmp_trace::event::PState;
use gmp_trace::tally::Tally;

use crate::counters::{Stats, stats, this};
use crate::sched::{Sched, preempt, schedtrace};
use crate::time::now_ns;

pub(crate) mod histogram;

use histogram::TimeHistogram;

/// What kind of value a metric has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    U64,
    /// A number.
    F64,
    /// How many there were of which size.
    Histogram,
}

/// What a metric is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name: a path and, after a colon, the unit.
    pub name: String,
    /// What it means.
    pub description: &'static str,
    /// What kind of value it has.
    pub kind: Kind,
    /// Whether it only grows.
    pub cumulative: bool,
}

impl Description {
    /// Its unit: what follows the colon in its name.
    pub fn unit(&self) -> &str {
        self.name.split_once(':').map_or("", |(_, unit)| unit)
    }
}

/// How many there were of which size.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// How many there were in each bucket.
    pub counts: Vec<u64>,
    /// Where the buckets begin and, one more than there are, where the last ends, in the metric's unit: `counts[i]` is about
    /// `buckets[i]..buckets[i + 1]`. The first and the last may be infinite.
    pub buckets: Vec<f64>,
}

impl Histogram {
    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The value of a metric.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    U64(u64),
    /// A number.
    F64(f64),
    /// How many there were of which size.
    Histogram(Histogram),
}

/// The values of all metrics, read at about one moment.
#[derive(Clone, Debug)]
pub struct Metrics {
    values: Vec<Value>,
}

impl Metrics {
    /// All, in the order of [`all`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static Description, &Value)> {
        all().iter().zip(&self.values)
    }

    /// One, by its name with the unit.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = all().iter().position(|d| d.name == name)?;
        self.values.get(at)
    }

    /// As [`Metrics::get`], if it is a whole number.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::U64(n) => Some(*n),
            Value::F64(_) | Value::Histogram(_) => None,
        }
    }

    /// As [`Metrics::get`], if it is a number that need not be whole.
    pub fn float(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::F64(n) => Some(*n),
            Value::U64(_) | Value::Histogram(_) => None,
        }
    }

    /// As [`Metrics::get`], if it is a histogram.
    pub fn histogram(&self, name: &str) -> Option<&Histogram> {
        match self.get(name)? {
            Value::Histogram(h) => Some(h),
            Value::U64(_) | Value::F64(_) => None,
        }
    }
}

/// What all values are computed from.
struct Reading {
    sched: Option<&'static Sched>,
    tallies: Stats,
    threads: u64,
    goroutines: u64,
    runnable: u64,
    running: u64,
    not_in_go: u64,
    cpu_idle_ns: u64,
    cpu_total_ns: u64,
}

impl Reading {
    fn new() -> Reading {
        let mut reading = Reading {
            sched: this(),
            tallies: stats(),
            threads: 0,
            goroutines: crate::num_goroutines() as u64,
            runnable: 0,
            running: 0,
            not_in_go: 0,
            cpu_idle_ns: 0,
            cpu_total_ns: 0,
        };
        if let Some(sched) = reading.sched {
            reading.look(sched);
        }
        reading
    }

    fn look(&mut self, sched: &'static Sched) {
        sched.measures.calibrate();
        let locked = sched.lock();
        let now = now_ns();
        let idle_since = locked.idle_ps.iter().map(|p| p.idle_since.get());
        self.cpu_idle_ns = locked.cpu.idle_ns(idle_since, now);
        self.cpu_total_ns = locked.cpu.total_ns(sched.procs(), now);
        self.threads = schedtrace::threads(sched, &locked) as u64;
        self.runnable = locked.global.len() as u64;
        self.not_in_go = u64::from(sched.measures.syscalls_without_p());
        for p in sched.ps() {
            self.runnable += u64::from(p.runq.len()) + u64::from(p.runq.has_runnext());
            match p.state() {
                PState::Running => self.running += 1,
                PState::Syscall => self.not_in_go += 1,
                PState::Idle | PState::Stopped | PState::Dead => {}
            }
        }
        // A spinning M holds a P, but has no G.
        self.running = self
            .running
            .saturating_sub(u64::from(sched.idle.spinning()));
    }

    /// Who is in none of the other states, as Go computes it.
    fn waiting(&self) -> u64 {
        self.goroutines
            .saturating_sub(self.runnable + self.running + self.not_in_go)
    }

    fn histogram(&self, of: impl Fn(&'static Sched) -> &'static TimeHistogram) -> Value {
        Value::Histogram(Histogram {
            counts: match self.sched {
                Some(sched) => of(sched).counts(),
                None => vec![0; histogram::BUCKETS],
            },
            buckets: histogram::borders(),
        })
    }
}

fn seconds(ns: u64) -> Value {
    Value::F64(ns as f64 / 1e9)
}

/// A metric of Go's: its name, whether it only grows, its meaning, its value.
struct Gos {
    name: &'static str,
    kind: Kind,
    cumulative: bool,
    description: &'static str,
    value: fn(&Reading) -> Value,
}

macro_rules! gos {
    ($($name:literal $kind:ident $cumulative:literal $description:literal $value:expr;)*) => {
        const GOS: &[Gos] = &[$(Gos {
            name: $name,
            kind: Kind::$kind,
            cumulative: $cumulative,
            description: $description,
            value: $value,
        }),*];
    };
}

gos! {
    "/cpu/classes/idle:cpu-seconds" F64 true
        "Time of Ps that were idle: nobody held them."
        |r| seconds(r.cpu_idle_ns);
    "/cpu/classes/total:cpu-seconds" F64 true
        "Time of all Ps: their number, integrated over the life of the runtime."
        |r| seconds(r.cpu_total_ns);
    "/cpu/classes/user:cpu-seconds" F64 true
        "Time of Ps that were not idle: Gs ran or were in system calls, or the scheduler looked for some."
        |r| seconds(r.cpu_total_ns.saturating_sub(r.cpu_idle_ns));
    "/sched/gomaxprocs:threads" U64 false
        "The number of Ps: how many Gs may run at the same time."
        |r| Value::U64(r.sched.map_or(0, |s| u64::from(s.procs())));
    "/sched/goroutines-created:goroutines" U64 true
        "Gs spawned."
        |r| Value::U64(r.tallies.get(Tally::Spawns));
    "/sched/goroutines/not-in-go:goroutines" U64 false
        "Gs in system calls. Approximate."
        |r| Value::U64(r.not_in_go);
    "/sched/goroutines/runnable:goroutines" U64 false
        "Gs in run queues. Approximate."
        |r| Value::U64(r.runnable);
    "/sched/goroutines/running:goroutines" U64 false
        "Gs that run. Approximate; at most the number of Ps."
        |r| Value::U64(r.running);
    "/sched/goroutines/waiting:goroutines" U64 false
        "Gs that wait for something. Approximate."
        |r| Value::U64(r.waiting());
    "/sched/goroutines:goroutines" U64 false
        "Gs that have not ended."
        |r| Value::U64(r.goroutines);
    "/sched/latencies:seconds" Histogram true
        "How long Gs were runnable before they ran. One of eight ways from running to running is timed."
        |r| r.histogram(|s| &s.measures.latencies);
    "/sched/pauses/stopping/other:seconds" Histogram true
        "From asking for a stop of the world to the last P's stop."
        |r| r.histogram(|s| &s.measures.stw_stopping);
    "/sched/pauses/total/other:seconds" Histogram true
        "From asking for a stop of the world until it goes on."
        |r| r.histogram(|s| &s.measures.stw_total);
    "/sched/threads/total:threads" U64 false
        "Threads of the runtime: Ms, sysmon, the one that makes threads for locked ones."
        |r| Value::U64(r.threads);
    "/sync/mutex/wait/total:seconds" F64 true
        "How long Gs waited for mutexes. One of eight ways from running to running is timed, and counts eightfold."
        |r| seconds(r.sched.map_or(0, |s| s.measures.mutex_wait_ns()));
}

/// The name of one of the runtime's own counters. What counts Gs or threads has those as its unit, the others what they count.
fn own_name(tally: Tally) -> String {
    let name = tally.name().replace('_', "-");
    let unit = match tally {
        Tally::StolenGs | Tally::OverflowedGs | Tally::GlobalGrabbedGs | Tally::NetpollReadies => {
            "goroutines"
        }
        Tally::MCreated => "threads",
        _ => &name,
    };
    format!("/gmp/{name}:{unit}")
}

/// Every metric there is: Go's by name, then the runtime's own counters.
pub fn all() -> &'static [Description] {
    preempt::checkpoint();
    static ALL: OnceLock<Vec<Description>> = OnceLock::new();
    ALL.get_or_init(|| {
        let gos = GOS.iter().map(|go| Description {
            name: go.name.to_owned(),
            description: go.description,
            kind: go.kind,
            cumulative: go.cumulative,
        });
        let own = Tally::ALL.iter().map(|tally| Description {
            name: own_name(*tally),
            description: tally.doc(),
            kind: Kind::U64,
            cumulative: true,
        });
        gos.chain(own).collect()
    })
}

/// Reads all metrics of the runtime that the caller belongs to, or of the one started last. All are 0 if there was none.
///
/// # Blocking
/// Takes the scheduler's lock for a moment.
pub fn read() -> Metrics {
    let reading = Reading::new();
    let gos = GOS.iter().map(|go| (go.value)(&reading));
    let own = Tally::ALL
        .iter()
        .map(|tally| Value::U64(reading.tallies.get(*tally)));
    Metrics {
        values: gos.chain(own).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_has_a_name_of_its_own_with_a_unit() {
        let mut names: Vec<&str> = all().iter().map(|d| d.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
        assert!(
            all()
                .iter()
                .all(|d| d.name.starts_with('/') && !d.unit().is_empty())
        );
        assert!(names.contains(&"/gmp/steals:steals"));
    }

    #[test]
    fn the_values_are_of_the_kinds_that_are_described() {
        for (description, value) in read().iter() {
            let kind = match value {
                Value::U64(_) => Kind::U64,
                Value::F64(_) => Kind::F64,
                Value::Histogram(_) => Kind::Histogram,
            };
            assert_eq!(kind, description.kind, "{}", description.name);
        }
    }
}
