//! What one event costs the thread that emits it, by kind.
//!
//! Each sample is a process of its own (this program again), which writes into a new spool in memory, so the making of segments by the
//! thread in the background is part of the picture, and on a machine with few CPUs competes with the writer. It does not show what a recorder costs that reads at the same time, nor the
//! effect on the caches of a program that does something else between two events: `switch` does.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gmp_trace::clock;
use gmp_trace::event::{Event, MKind, ParkReason, Placed, Rule, Source, Via};
use gmp_trace::ids::{GId, MId, ObjectId};
use gmp_trace::spool::writer::{Spool, SpoolOptions};

/// What a process of a sample is to write,
const PART: &str = "GMP_BENCH_PART";
/// how often,
const EVENTS: &str = "GMP_BENCH_EVENTS";
/// and where.
const DIR: &str = "GMP_BENCH_DIR";

/// Memory, so that no disk is measured; elsewhere if there is none.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    }
    .expect("a temporary folder")
}

/// Writes so many events, and prints how many nanoseconds it took.
fn write(dir: &Path, events: u64, ticks: fn(u64) -> u64, event: fn(u64) -> Event) {
    let spool = Spool::create(dir, &SpoolOptions::default()).expect("a spool");
    let mut writer = spool.writer(MId(0), 1, MKind::Worker, "bench");
    // The first segment is ready.
    (0..100).for_each(|i| writer.emit(ticks(i), event(i)));
    let began = Instant::now();
    for i in 0..events {
        writer.emit(ticks(i), event(i));
    }
    let took = began.elapsed();
    assert_eq!(writer.lost(), 0, "the disk is full");
    println!("{}", took.as_nanos());
}

/// Has a process write so many events; how long that took it.
fn sample(part: &str, events: u64) -> Duration {
    let dir = folder();
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .env(PART, part)
        .env(EVENTS, events.to_string())
        .env(DIR, dir.path())
        .output()
        .expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    Duration::from_nanos(text.trim().parse().expect("nanoseconds"))
}

/// Time of the i-th event: at hand, or read from the clock.
type Ticks = fn(u64) -> u64;
/// The i-th event.
type Make = fn(u64) -> Event;

const PARTS: [(&str, Ticks, Make); 4] = [
    ("start, time at hand", |i| i * 100, start),
    ("start", |_| clock::now_ticks(), start),
    ("ready", |_| clock::now_ticks(), ready),
    ("park", |_| clock::now_ticks(), park),
];

fn start(i: u64) -> Event {
    Event::Start {
        g: GId(i % 10_000),
        seq: i / 100,
        source: Source::Local,
        rule: Rule::Order,
        pos: i as u32,
    }
}

fn ready(i: u64) -> Event {
    Event::Ready {
        g: GId(i % 10_000),
        seq: i / 100,
        via: Via::G,
        placed: Placed::Runnext,
        kicked: GId(0),
        gq: 0,
    }
}

fn park(i: u64) -> Event {
    Event::Park {
        reason: ParkReason::ChanRecv,
        object: ObjectId(i % 1_000),
    }
}

fn event(c: &mut Criterion) {
    let mut group = c.benchmark_group("event");
    group.throughput(Throughput::Elements(1)).sample_size(30);
    group.bench_function("clock", |b| b.iter(clock::now_ticks));
    for (part, ..) in PARTS {
        group.bench_function(part, |b| b.iter_custom(|events| sample(part, events)));
    }
    group.finish();
}

fn main() {
    let set = |name| std::env::var(name).ok();
    match (set(PART), set(EVENTS), set(DIR)) {
        (Some(part), Some(events), Some(dir)) => {
            let (_, ticks, event) = PARTS.into_iter().find(|p| p.0 == part).expect("a part");
            write(
                Path::new(&dir),
                events.parse().expect("a number"),
                ticks,
                event,
            );
        }
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            event(&mut criterion);
            criterion.final_summary();
        }
    }
}
