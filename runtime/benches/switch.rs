//! What the steps of the scheduler cost, recorded and not: spawn and join, yield, a message there and back.
//!
//! Each sample is a process of its own (this program again), since a process is recorded or not for its whole life. The recorded ones
//! write into memory and are read by nobody; performance counters are off unless the name says so. The time is that of the rounds
//! alone, taken by the process itself, without its start. It does not show contention: `P` is 1, but for the message between two Ps.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use gmp_runtime::{Builder, channel, go, yield_now};
use gmp_trace::version::{ENV_COUNTERS, ENV_SPOOL};

/// What a process of a sample is to do.
const PART: &str = "GMP_BENCH_PART";
/// And how often.
const ROUNDS: &str = "GMP_BENCH_ROUNDS";

fn spawn_join(rounds: u64) {
    for i in 0..rounds {
        go(move || i).join().expect("no panic");
    }
}

fn yields(rounds: u64) {
    (0..rounds).for_each(|_| yield_now());
}

fn ping_pong(rounds: u64) {
    let (there, from_here) = channel::<u64>(0);
    let (back, from_there) = channel::<u64>(0);
    let other = go(move || from_here.iter().for_each(|i| back.send(i).expect("open")));
    for i in 0..rounds {
        there.send(i).expect("open");
        assert_eq!(from_there.recv(), Ok(i));
    }
    drop(there);
    other.join().expect("no panic");
}

/// What is done so many times.
type Body = fn(u64);

/// The parts, with the number of Ps.
const PARTS: [(&str, usize, Body); 4] = [
    ("spawn_join", 1, spawn_join),
    ("yield", 1, yields),
    ("ping_pong", 1, ping_pong),
    ("ping_pong on 2 Ps", 2, ping_pong),
];

/// Plays a part in this process and prints how many nanoseconds it took.
fn play(part: &str, rounds: u64) {
    let (_, procs, body) = PARTS
        .into_iter()
        .find(|(name, ..)| *name == part)
        .expect("a part");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    let took = unsafe { Builder::new() }.procs(procs).run(move || {
        // The first rounds make stacks and Gs.
        body(rounds.min(1_000));
        let began = Instant::now();
        body(rounds);
        began.elapsed()
    });
    println!("{}", took.as_nanos());
}

#[derive(Clone, Copy)]
enum Recording {
    Off,
    Events,
    EventsAndCounters,
}

/// Has a process play a part; how long that took.
fn sample(part: &str, rounds: u64, recording: Recording) -> Duration {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    let dir = dir.expect("a temporary folder");
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .env(PART, part)
        .env(ROUNDS, rounds.to_string())
        .env_remove(ENV_SPOOL);
    match recording {
        Recording::Off => {}
        Recording::Events => {
            command.env(ENV_SPOOL, dir.path()).env(ENV_COUNTERS, "none");
        }
        Recording::EventsAndCounters => {
            command.env(ENV_SPOOL, dir.path()).env(ENV_COUNTERS, "auto");
        }
    }
    let output = command.output().expect("it starts");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout);
    Duration::from_nanos(text.trim().parse().expect("nanoseconds"))
}

fn switch(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch");
    group.throughput(Throughput::Elements(1)).sample_size(15);
    for (part, ..) in PARTS {
        for (how, recording) in [
            ("unrecorded", Recording::Off),
            ("recorded", Recording::Events),
            ("recorded with counters", Recording::EventsAndCounters),
        ] {
            group.bench_function(format!("{part}, {how}"), |b| {
                b.iter_custom(|rounds| sample(part, rounds, recording));
            });
        }
    }
    group.finish();
}

fn main() {
    match (std::env::var(PART), std::env::var(ROUNDS)) {
        (Ok(part), Ok(rounds)) => play(&part, rounds.parse().expect("a number")),
        _ => {
            let mut criterion = Criterion::default().configure_from_args();
            switch(&mut criterion);
            criterion.final_summary();
        }
    }
}
