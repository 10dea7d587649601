//! Performance counters in a recording: what was asked for is there or has a reason, and readings bracket the intervals of Gs.

use std::hint::black_box;
use std::process::Command;

use gmp_runtime::{Builder, go, syscall, yield_now};
use gmp_testing::Recording;
use gmp_testing::program::{command, is_part, stderr};
use gmp_testing::recording::streams;
use gmp_trace::event::{Event, Kind};
use gmp_trace::spool::reader::ProcessSpool;
use gmp_trace::spool::tables::Entry;
use gmp_trace::version::{ENV_COUNTERS, ENV_COUNTERS_EVERY, ENV_SPOOL, info};

/// This binary as the program of a test, with these wishes for counters.
fn program(test: &str, part: &str, counters: &str, every: &str) -> Command {
    let mut command = command(test, part);
    command
        .env(ENV_COUNTERS, counters)
        .env(ENV_COUNTERS_EVERY, every);
    command
}

/// Runs that program recorded.
fn record(test: &str, part: &str, counters: &str, every: &str) -> Recording {
    Recording::whole(&mut program(test, part, counters, every))
}

fn facts(spool: &ProcessSpool, key: &str) -> Vec<String> {
    let values = spool.entries.iter().filter_map(|e| match e {
        Entry::Info { key: k, value } if k == key => Some(value.clone()),
        _ => None,
    });
    values.collect()
}

/// The field of a counter, if it is available.
fn field(spool: &ProcessSpool, wanted: &str) -> Option<usize> {
    spool.entries.iter().find_map(|e| match e {
        Entry::Counter {
            index,
            name,
            available: true,
            ..
        } if name == wanted => Some(*index as usize),
        _ => None,
    })
}

fn values(event: &Event) -> Option<Vec<u64>> {
    let mut values = Vec::new();
    event.args(|raw| values.push(raw));
    (event.kind() == Kind::Counters).then(|| values.split_off(2))
}

fn ends_an_interval(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Park | Kind::Yield | Kind::Preempt | Kind::Exit | Kind::SyscallExitBlocked
    )
}

/// Gs that compute, yield, make system calls and touch new memory.
fn work(rounds: u64) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(move || {
        let gs: Vec<_> = (0..rounds)
            .map(|i| {
                go(move || {
                    let memory = vec![1u8; 64 << 10];
                    yield_now();
                    syscall(|| black_box(std::fs::metadata("/")).is_ok());
                    (0..2_000).fold(i, |a, b| black_box(a.wrapping_mul(31) ^ b))
                        + u64::from(memory[5])
                })
            })
            .collect();
        for g in gs {
            black_box(g.join().expect("no panic"));
        }
    });
}

#[test]
fn every_interval_is_read_when_each_switch_is() {
    if is_part("switch") {
        return work(300);
    }
    let test = "every_interval_is_read_when_each_switch_is";
    let Recording { spool, .. } = &record(test, "switch", "auto", "switch");
    let defined = spool.entries.iter().filter_map(|e| match e {
        Entry::Counter {
            name,
            unit,
            available,
            reason,
            ..
        } => Some((name, unit, *available, reason)),
        _ => None,
    });
    let defined: Vec<_> = defined.collect();
    assert_eq!(defined.len(), 8);
    for (name, unit, available, reason) in defined {
        assert!(["events", "ns"].contains(&unit.as_str()));
        assert!(
            available || !reason.is_empty(),
            "{name} is missing without a reason"
        );
    }
    let cost: f64 = facts(spool, info::EVENT_COST_NS)[0].parse().expect("ns");
    assert!(cost > 0.0);
    let Some(clock) = field(spool, "task-clock") else {
        // A sandbox without perf_event_open: it must have said so, and read nothing.
        assert!(!facts(spool, info::COUNTERS_REASON).is_empty());
        return;
    };
    assert_eq!(facts(spool, info::COUNTERS_EVERY), ["switch"]);
    assert_eq!(facts(spool, info::COUNTERS_PROBABILITY), ["1"]);
    let (mut intervals, mut on_cpu_ns) = (0, 0);
    for events in streams(spool).values() {
        let (mut starts, mut running) = (0, false);
        for (before, r) in events.iter().zip(&events[1..]) {
            match r.event.kind() {
                Kind::Start => {
                    assert!(!running);
                    (starts, running) = (starts + 1, true);
                }
                Kind::Counters if running => {
                    // One interval alone is between this reading and the one before.
                    assert_eq!(starts, 1);
                    on_cpu_ns += values(&r.event).expect("counters")[clock];
                    starts = 0;
                }
                Kind::Counters => {
                    starts = 0;
                }
                kind if ends_an_interval(kind) && running => {
                    assert_eq!(before.event.kind(), Kind::Counters);
                    running = false;
                    intervals += 1;
                }
                _ => {}
            }
        }
    }
    assert!(intervals >= 601, "{intervals}");
    assert!(on_cpu_ns > 0);
}

#[test]
fn a_sample_says_with_which_probability_it_was_drawn() {
    if is_part("sample") {
        return work(20_000);
    }
    let test = "a_sample_says_with_which_probability_it_was_drawn";
    let Recording { spool, .. } = &record(test, "sample", "task-clock,page-faults", "auto");
    if field(spool, "task-clock").is_none() {
        assert!(!facts(spool, info::COUNTERS_REASON).is_empty());
        return;
    }
    let read_ns: f64 = facts(spool, info::COUNTERS_READ_NS)[0].parse().expect("ns");
    assert!(read_ns > 0.0);
    let mut stated = 0;
    for entry in &spool.entries {
        if let Entry::Info { key, value } = entry
            && let Some(of) = key.strip_prefix(info::COUNTERS_SAMPLING)
        {
            let p: f64 = value.parse().expect("a probability");
            assert!(p > 0.0 && p <= 1.0 && of.starts_with(".m") && of.contains(".t"));
            stated += 1;
        }
    }
    assert!(stated > 0);
    let (mut starts, mut read) = (0, 0);
    for events in streams(spool).values() {
        let mut running = false;
        for r in events {
            match r.event.kind() {
                Kind::Start => (starts, running) = (starts + 1, true),
                Kind::Counters => read += u32::from(running),
                kind if ends_an_interval(kind) => running = false,
                _ => {}
            }
        }
    }
    assert!(read > 0 && read < starts, "{read} of {starts}");
    let share: f64 = facts(spool, info::COUNTERS_PROBABILITY)[0]
        .parse()
        .expect("a share");
    assert!((share - f64::from(read) / f64::from(starts)).abs() < 0.01);
}

/// Page faults of this process so far, and its CPU time in ns.
fn used() -> (u64, u64) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the struct is ours, and all zeros are a value of it.
    let usage = unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0);
        usage.assume_init()
    };
    let faults = (usage.ru_minflt + usage.ru_majflt) as u64;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the struct is ours.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(rc, 0);
    (
        faults,
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
    )
}

/// Touches so many pages that nobody touched before, one by one.
fn touch(pages: usize) {
    // SAFETY: it only answers.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let bytes = pages * page_bytes;
    // SAFETY: a new mapping, written to within its length and unmapped when nobody points to it.
    unsafe {
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let at = libc::mmap(std::ptr::null_mut(), bytes, prot, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        // Where the kernel has no large pages it refuses, and needs no telling.
        libc::madvise(at, bytes, libc::MADV_NOHUGEPAGE);
        for page in 0..pages {
            at.cast::<u8>().add(page * page_bytes).write_volatile(1);
        }
        libc::munmap(at, bytes);
    }
}

/// Pages that the main G touches in one interval.
const PAGES: usize = 20_000;

#[test]
fn all_readings_of_the_ms_are_what_the_program_did() {
    if is_part("faults") {
        let before = used();
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.procs(2).run(|| {
            touch(PAGES);
            for g in (0..500).map(|_| go(yield_now)) {
                g.join().expect("no panic");
            }
        });
        let after = used();
        eprintln!("faults={}\ncpu={}", after.0 - before.0, after.1 - before.1);
        return;
    }
    let test = "all_readings_of_the_ms_are_what_the_program_did";
    let recording = record(test, "faults", "auto", "auto");
    let spool = &recording.spool;
    let (Some(faults), Some(clock)) = (field(spool, "page-faults"), field(spool, "task-clock"))
    else {
        assert!(!facts(spool, info::COUNTERS_REASON).is_empty());
        return;
    };
    let said = |name: &str| {
        let stderr = recording.stderr();
        let mut lines = stderr.lines();
        let value = lines.find_map(|l| l.strip_prefix(name)?.strip_prefix('='));
        let value = value.and_then(|n| n.parse::<u64>().ok());
        value.expect("what the kernel counted for the process")
    };
    let (mut faulted, mut ran, mut nulls) = (0, 0, 0);
    for events in streams(spool).values() {
        if !events.iter().any(|r| r.event.kind() == Kind::Start) {
            continue;
        }
        let kinds: Vec<_> = events.iter().map(|r| r.event.kind()).collect();
        assert!(
            kinds.ends_with(&[Kind::Counters, Kind::MExit]),
            "a last reading"
        );
        let mut pairs = kinds.windows(2);
        assert!(
            pairs.any(|p| p == [Kind::Counters, Kind::Counters]),
            "a null reading"
        );
        nulls += 1;
        for values in events.iter().filter_map(|r| values(&r.event)) {
            faulted += values[faults];
            ran += values[clock];
        }
    }
    assert!(nulls > 0);
    // Only what threads did that are no Ms, and Ms before their counters were open, is not in it.
    let all = said("faults");
    assert!(faulted <= all, "{faulted} of {all}");
    assert!(
        faulted >= PAGES as u64 && faulted as f64 > 0.9 * all as f64,
        "{faulted} of {all}"
    );
    let cpu = said("cpu") as f64;
    assert!(
        (0.5..1.02).contains(&(ran as f64 / cpu)),
        "{ran} of {cpu} ns"
    );
}

#[test]
fn none_are_read_when_none_are_wanted() {
    if is_part("none") {
        return work(50);
    }
    let Recording { spool, .. } =
        &record("none_are_read_when_none_are_wanted", "none", "none", "auto");
    assert_eq!(facts(spool, info::COUNTERS_REASON), ["not asked for"]);
    let all = streams(spool);
    assert!(all.values().flatten().all(|r| values(&r.event).is_none()));
}

#[test]
fn a_counter_that_does_not_exist_ends_the_program() {
    if is_part("wrong") {
        return work(1);
    }
    let test = "a_counter_that_does_not_exist_ends_the_program";
    let dir = tempfile::tempdir().expect("a temporary folder");
    let output = program(test, "wrong", "cakes", "auto")
        .env(ENV_SPOOL, dir.path())
        .output()
        .expect("it starts");
    let stderr = stderr(&output);
    assert!(!output.status.success());
    assert!(
        stderr.contains("GMP_COUNTERS=cakes: 'cakes' is no counter"),
        "{stderr}"
    );
}
