//! What can be counted here: found out once, by opening every counter that is wanted for the calling thread and reading it.
//!
//! Nothing that is missing is silent: each counter goes into the recording with the reason why it is not there, or with what it leaves out.
//! A counter that would only ever read 0, because this user may not count the kernel and it counts what happens there, is one that is
//! not available.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gmp_trace::clock;
use gmp_trace::spool::tables::Entry;
use gmp_trace::spool::writer::Spool;
use gmp_trace::version::info;

use super::group::{Group, MOST};
use super::spec::{ALL, Every, Spec, Wanted};

/// A counter that each M opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// Which.
    pub(super) spec: &'static Spec,
    /// The field of the event that it goes to.
    pub(super) field: usize,
    /// Whether it leaves out what happens in the kernel, for want of the right to count it.
    pub(super) exclude_kernel: bool,
}

/// What is counted in this recording, and how often it is read.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order of a group.
    pub(super) chosen: Vec<Chosen>,
    pub(super) every: Every,
    /// What one reading costs.
    pub(super) read_ns: f64,
    pub(super) ticks_per_ns: f64,
    /// Descriptors from this number on are left to the program.
    pub(super) fd_limit: i32,
    /// Intervals seen and selected by the Ms that have ended.
    seen: AtomicU64,
    selected: AtomicU64,
}

/// A counter that was asked for, with what became of it.
struct Verdict {
    spec: &'static Spec,
    field: usize,
    result: Result<bool, String>,
}

impl Plan {
    /// Finds out what the recorder's wishes come to here, and says so in the recording. `None` when nothing is to be read.
    pub(crate) fn make(spool: &Spool, wanted: &Wanted, every: Every) -> Option<Arc<Plan>> {
        if wanted.0.is_empty() {
            spool.info(info::COUNTERS, "none");
            spool.info(info::COUNTERS_REASON, "not asked for");
            return None;
        }
        let paranoid = paranoid();
        let (verdicts, group) = choose(wanted, &paranoid);
        for v in &verdicts {
            let reason = match &v.result {
                Ok(true) if !v.spec.is_clock() => user_only(&paranoid),
                Ok(_) => String::new(),
                Err(why) => why.clone(),
            };
            spool.counter(&Entry::Counter {
                index: v.field as u32,
                name: v.spec.name.to_owned(),
                unit: v.spec.unit.to_owned(),
                hardware: v.spec.is_hardware(),
                available: v.result.is_ok(),
                reason,
            });
        }
        spool.info(info::COUNTERS_REASON, &summary(&verdicts, &paranoid));
        let chosen = chosen(&verdicts);
        let names: Vec<_> = chosen.iter().map(|c| c.spec.name).collect();
        if names.is_empty() {
            spool.info(info::COUNTERS, "none");
            return None;
        }
        spool.info(info::COUNTERS, &names.join(","));
        let (read_ns, ticks_per_ns) = cost(&group);
        spool.info(
            info::COUNTERS_EVERY,
            match every {
                Every::Auto => "auto",
                Every::Switch => "switch",
            },
        );
        spool.info(info::COUNTERS_READ_NS, &format!("{read_ns:.0}"));
        if every == Every::Switch {
            spool.info(info::COUNTERS_PROBABILITY, "1");
        }
        Some(Arc::new(Plan {
            chosen,
            every,
            read_ns,
            ticks_per_ns,
            fd_limit: fd_limit(),
            seen: AtomicU64::new(0),
            selected: AtomicU64::new(0),
        }))
    }

    /// Adds what an M that ends has sampled.
    pub(super) fn add(&self, seen: u64, selected: u64) {
        // Relaxed: sums, read when the Ms have ended, which a lock tells.
        self.seen.fetch_add(seen, Ordering::Relaxed);
        self.selected.fetch_add(selected, Ordering::Relaxed);
    }

    /// The Ms have ended: states how much of all was read.
    pub(crate) fn state_result(&self, spool: &Spool) {
        let seen = self.seen.load(Ordering::Relaxed);
        if self.every == Every::Auto && seen > 0 {
            let share = self.selected.load(Ordering::Relaxed) as f64 / seen as f64;
            spool.info(info::COUNTERS_PROBABILITY, &share.to_string());
        }
    }

    /// Opens the group for the calling thread.
    pub(super) fn open(&self) -> io::Result<Group> {
        let mut group = Group::new();
        for c in &self.chosen {
            group.add(c.spec, c.exclude_kernel)?;
        }
        if group.highest_fd() >= self.fd_limit {
            return Err(io::Error::other("half of all descriptors are in use"));
        }
        group.start()?;
        Ok(group)
    }
}

/// Tries all, hardware first so that it leads the group; the group that is left works.
fn choose(wanted: &Wanted, paranoid: &str) -> (Vec<Verdict>, Group) {
    let mut order: Vec<(usize, &'static Spec)> =
        wanted.0.iter().copied().enumerate().take(MOST).collect();
    order.sort_by_key(|(_, spec)| !spec.is_hardware());
    let mut group = Group::new();
    let mut verdicts: Vec<Verdict> = order
        .into_iter()
        .map(|(field, spec)| Verdict {
            spec,
            field,
            result: add(&mut group, spec, paranoid),
        })
        .collect();
    // The kernel takes counters into a group that the processor then has no room for: such a group never counts at all.
    while !counts(&mut group) {
        let last = verdicts
            .iter_mut()
            .rev()
            .find(|v| v.spec.is_hardware() && v.result.is_ok());
        let Some(last) = last else { break };
        last.result = Err("the processor has no counter free for it beside the others".to_owned());
        group = reopened(&mut verdicts, paranoid);
    }
    let values = match group.read() {
        Ok(values) => values,
        Err(e) => {
            for v in verdicts.iter_mut().filter(|v| v.result.is_ok()) {
                v.result = Err(format!("it cannot be read: {e}"));
            }
            return (verdicts, Group::new());
        }
    };
    // Some virtual machines offer a counter that stands still. All code takes cycles and instructions.
    let mut still = false;
    let available = verdicts.iter_mut().filter(|v| v.result.is_ok());
    for (v, count) in available.zip(values.counts) {
        if count == 0 && ["cycles", "instructions"].contains(&v.spec.name) {
            v.result = Err("the machine offers it, but it stands still".to_owned());
            still = true;
        }
    }
    if still {
        group = reopened(&mut verdicts, paranoid);
        // Whether it counts was seen above; it is to count again for who measures what a reading costs.
        counts(&mut group);
    }
    (verdicts, group)
}

/// A new group of those that are available so far.
fn reopened(verdicts: &mut [Verdict], paranoid: &str) -> Group {
    let mut group = Group::new();
    for v in verdicts.iter_mut().filter(|v| v.result.is_ok()) {
        v.result = add(&mut group, v.spec, paranoid);
    }
    group
}

/// Opens one more; whether it leaves out the kernel, or why it cannot be had.
fn add(group: &mut Group, spec: &'static Spec, paranoid: &str) -> Result<bool, String> {
    let denied = |e: &io::Error| matches!(e.raw_os_error(), Some(libc::EACCES | libc::EPERM));
    match group.add(spec, false) {
        Ok(()) => Ok(false),
        Err(e) if denied(&e) && spec.in_kernel => Err(format!(
            "not permitted: it happens in the kernel, which this user may not count ({paranoid})"
        )),
        Err(e) if denied(&e) => match group.add(spec, true) {
            Ok(()) => Ok(true),
            Err(e) if denied(&e) => Err(format!("not permitted ({paranoid})")),
            Err(e) => Err(why(spec, &e)),
        },
        Err(e) => Err(why(spec, &e)),
    }
}

fn why(spec: &Spec, e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::EOPNOTSUPP) if spec.is_hardware() => {
            "this machine has no such hardware counter".to_owned()
        }
        Some(libc::EINVAL) if spec.is_hardware() => {
            "the processor cannot count it beside the others".to_owned()
        }
        Some(libc::ENOSYS) => "the kernel has no perf_event_open".to_owned(),
        _ => e.to_string(),
    }
}

/// Whether the group counts: some work is done for it.
fn counts(group: &mut Group) -> bool {
    let started = group.start();
    let mut sum = 0u64;
    for i in 0..10_000u64 {
        sum = black_box(sum.wrapping_mul(31).wrapping_add(i));
    }
    // A group that cannot be read is found out by whoever reads it; only one that stands still is looked for here.
    started
        .and_then(|()| group.read())
        .map_or(true, |v| v.running_ns > 0 || v.enabled_ns == 0)
}

fn chosen(verdicts: &[Verdict]) -> Vec<Chosen> {
    let available = verdicts.iter().filter_map(|v| {
        v.result.as_ref().ok().map(|exclude_kernel| Chosen {
            spec: v.spec,
            field: v.field,
            exclude_kernel: *exclude_kernel,
        })
    });
    available.collect()
}

/// What one reading costs in ns, and the rate of the trace's clock.
fn cost(group: &Group) -> (f64, f64) {
    const READS: u32 = 256;
    (0..16).for_each(|_| drop(black_box(group.read())));
    let (began, ticks) = (Instant::now(), clock::now_ticks());
    (0..READS).for_each(|_| drop(black_box(group.read())));
    let (ns, ticks) = (
        began.elapsed().as_nanos() as f64,
        clock::now_ticks().saturating_sub(ticks) as f64,
    );
    (ns / f64::from(READS), (ticks / ns.max(1.0)).max(1e-3))
}

fn user_only(paranoid: &str) -> String {
    format!("user code only: this user may not count the kernel ({paranoid})")
}

/// All reasons in one line; those that several counters share are said once.
fn summary(verdicts: &[Verdict], paranoid: &str) -> String {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for v in verdicts {
        let reason = match &v.result {
            Ok(true) if !v.spec.is_clock() => user_only(paranoid),
            Ok(_) if v.spec.is_hardware() => "counted by the processor".to_owned(),
            Ok(_) => "counted by the kernel".to_owned(),
            Err(why) => why.clone(),
        };
        match reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, names)) => names.push(v.spec.name),
            None => reasons.push((reason, vec![v.spec.name])),
        }
    }
    let parts: Vec<_> = reasons
        .iter()
        .map(|(reason, names)| format!("{}: {reason}", names.join(", ")))
        .collect();
    parts.join("; ")
}

/// The kernel's setting that permits or forbids, as it is named to users.
fn paranoid() -> String {
    let value = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid");
    match value {
        Ok(value) => format!("perf_event_paranoid={}", value.trim()),
        Err(_) => "perf_event_paranoid unknown".to_owned(),
    }
}

/// Half of the descriptors that this process may have: each M takes one for each counter, and the program must not run out of them.
fn fd_limit() -> i32 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is ours.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => i32::try_from(limit.rlim_cur / 2).unwrap_or(i32::MAX),
        _ => 512,
    }
}

const _: () = assert!(ALL.len() <= MOST);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counter_is_either_read_or_has_a_reason() {
        let all: Wanted = "auto".parse().expect("known");
        let (verdicts, group) = choose(&all, "perf_event_paranoid=?");
        assert_eq!(verdicts.len(), ALL.len());
        for v in &verdicts {
            match &v.result {
                Ok(_) => {}
                Err(why) => assert!(!why.is_empty(), "{}", v.spec.name),
            }
        }
        let values = group.read().expect("readable");
        if !chosen(&verdicts).is_empty() {
            assert!(values.enabled_ns > 0 && values.running_ns > 0);
            let (read_ns, _) = cost(&group);
            assert!(read_ns > 0.0);
        }
    }

    #[test]
    fn the_fields_are_those_asked_for_whatever_leads_the_group() {
        let wanted: Wanted = "page-faults,cycles,task-clock".parse().expect("known");
        let (verdicts, _) = choose(&wanted, "");
        assert_eq!(verdicts[0].spec.name, "cycles");
        for v in verdicts {
            assert_eq!(wanted.0[v.field], v.spec);
        }
    }

    #[test]
    fn reasons_that_are_shared_are_said_once() {
        let verdict = |i: usize, result| Verdict {
            spec: &ALL[i],
            field: i,
            result,
        };
        let verdicts = [
            verdict(0, Err("no".to_owned())),
            verdict(1, Err("no".to_owned())),
            verdict(4, Ok(false)),
        ];
        assert_eq!(
            summary(&verdicts, ""),
            "cycles, instructions: no; task-clock: counted by the kernel"
        );
    }
}
