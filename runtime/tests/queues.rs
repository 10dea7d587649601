//! The run queues rebuilt from the events alone are the runtime's own.
//!
//! The test runs itself again as the recorded program, which does a bit of everything and looks at its own queues at random points. Then the
//! events are ordered, the queues rebuilt, and at the end of each look they must hold the same Gs in the same order.

use std::collections::VecDeque;
use std::fmt::Write;

use gmp_runtime::inspect::{self, RunQueues};
use gmp_runtime::sync::Mutex;
use gmp_runtime::{Builder, channel, go, set_procs, syscall, time, yield_now};
use gmp_testing::{Recording, program};
use gmp_trace::event::{Event, StwKind};
use gmp_trace::ids::GId;
use gmp_trace::order::Ordered;
use gmp_trace::queues::{At, Queues, Watch, global_operation};
use gmp_trace::version::ENV_POLICY;

/// Set in the recorded program: the file for what it saw.
const SEEN: &str = "GMP_TEST_SEEN";
/// How often the program looks at its queues.
const LOOKS: usize = 80;

/// xorshift: the points are random but the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A line for each look; `|` between queues.
fn line(q: &RunQueues) -> String {
    let ids = |gs: &[GId]| {
        gs.iter()
            .fold(String::new(), |s, g| s + &format!("{} ", g.0))
    };
    let mut out = format!("{}|{}", q.global_operations, ids(&q.global));
    for local in &q.locals {
        let next = local.runnext.map_or(0, |g| g.0);
        let _ = write!(out, "|{} {next} {}", local.p.0, ids(&local.ring));
    }
    out
}

/// Each G does a little of everything.
fn busy(i: u64, mutex: &Mutex<u64>, tx: &gmp_runtime::Sender<u64>) {
    for round in 0..20 {
        match (i + round) % 6 {
            0 => yield_now(),
            1 => *mutex.lock() += 1,
            2 => tx.send(i).expect("open"),
            3 => syscall(|| std::thread::sleep(std::time::Duration::from_micros(20))),
            4 => time::sleep(std::time::Duration::from_micros(30 + i % 50)),
            _ => go(yield_now).join().expect("no panic"),
        }
    }
}

/// The recorded program.
fn looks_at_itself(procs: usize) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(move || {
        let mutex = std::sync::Arc::new(Mutex::new(0));
        let (tx, rx) = channel::<u64>(7);
        let mut gs: Vec<_> = (0..600_u64)
            .map(|i| {
                let (mutex, tx) = (std::sync::Arc::clone(&mutex), tx.clone());
                go(move || busy(i, &mutex, &tx))
            })
            .collect();
        drop(tx);
        gs.push(go(move || rx.iter().for_each(drop)));
        let mut random = Random(procs as u64 + 1);
        let mut seen = String::new();
        for look in 0..LOOKS {
            let queues = inspect::run_queues();
            seen += &line(&queues);
            seen.push('\n');
            // A stop that is no look, and that moves queues.
            if look % 16 == 15 {
                set_procs(1 + random.below(4) as usize);
                set_procs(procs);
            }
            for _ in 0..random.below(30) {
                yield_now();
            }
            if random.below(3) == 0 {
                drop(go(|| ()));
            }
        }
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        let file = std::env::var_os(SEEN).expect("a file");
        std::fs::write(file, seen).expect("writable");
    });
}

struct Nothing;

impl Watch for Nothing {
    fn contradiction(&mut self, what: impl FnOnce() -> String) {
        panic!("{}", what());
    }
}

/// What the events say at each look, in the program's own form.
fn rebuilt(history: &[Ordered], operations: &[u64]) -> Vec<String> {
    let (mut queues, mut out) = (Queues::default(), Vec::new());
    let (mut procs, mut gq, mut looks) = (0, 0, false);
    // The latest states of the global queue: its operations go on while the world stands still.
    let mut globals = VecDeque::from([(0, Vec::new())]);
    for o in history {
        let running = o.running();
        queues.event(At { p: o.p, running }, &o.event, false, &mut Nothing);
        let global: Vec<_> = queues.global().iter().copied().collect();
        let operation = global_operation(&o.event);
        gq = if operation == 0 { gq } else { operation };
        globals.push_back((gq, global));
        if globals.len() > 2_000 {
            globals.pop_front();
        }
        match o.event {
            Event::Procs { procs: n } => procs = n,
            Event::StwBegin { kind } => looks = kind == StwKind::Inspect,
            Event::StwEnd {} if looks => {
                let wanted = operations[out.len()];
                let global = globals.iter().rev().find(|(n, _)| *n <= wanted);
                let (_, global) = global.expect("a state of the global queue");
                let locals = (0..procs)
                    .map(|p| {
                        let local = queues.local(gmp_trace::ids::PId(p));
                        inspect::LocalQueue {
                            p: gmp_trace::ids::PId(p),
                            runnext: local.and_then(|l| l.runnext),
                            ring: local.map_or(Vec::new(), |l| l.ring().iter().copied().collect()),
                        }
                    })
                    .collect();
                out.push(line(&RunQueues {
                    locals,
                    global: global.clone(),
                    global_operations: wanted,
                }));
            }
            _ => {}
        }
    }
    out
}

fn check(test: &str, procs: usize) {
    check_under(test, procs, "default");
}

fn check_under(test: &str, procs: usize, policy: &str) {
    if let Some(procs) = program::part() {
        return looks_at_itself(procs.parse().expect("a number"));
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let seen = dir.path().join("seen");
    let mut command = program::command(test, &procs.to_string());
    let recording = Recording::whole(command.env(SEEN, &seen).env(ENV_POLICY, policy));
    let text = std::fs::read_to_string(seen).expect("readable");
    let own: Vec<&str> = text.lines().collect();
    assert_eq!(own.len(), LOOKS);
    let number = |line: &&str| line.split('|').next().and_then(|n| n.parse().ok());
    let operations: Vec<u64> = own.iter().filter_map(number).collect();
    assert_eq!(rebuilt(&recording.history(), &operations), own);
    // They were not empty all the time; how long they got depends on the thieves.
    let longest = own.iter().map(|l| l.split(' ').count()).max();
    assert!(longest > Some(30), "{longest:?}");
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_on_1_p() {
    check("queues_rebuilt_from_events_are_the_runtimes_own_on_1_p", 1);
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_on_2_ps() {
    check("queues_rebuilt_from_events_are_the_runtimes_own_on_2_ps", 2);
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_on_4_ps() {
    check("queues_rebuilt_from_events_are_the_runtimes_own_on_4_ps", 4);
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_when_the_youngest_runs_first() {
    let test = "queues_rebuilt_from_events_are_the_runtimes_own_when_the_youngest_runs_first";
    check_under(test, 3, "local_order=lifo,runnext=off");
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_when_small_rings_overflow_and_the_youngest_runs_first()
 {
    let test = "queues_rebuilt_from_events_are_the_runtimes_own_when_small_rings_overflow_and_the_youngest_runs_first";
    check_under(test, 4, "local_order=lifo,local_queue=3,steal=2");
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_when_new_gs_are_meant_for_ps() {
    let test = "queues_rebuilt_from_events_are_the_runtimes_own_when_new_gs_are_meant_for_ps";
    check_under(test, 4, "place=round_robin");
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_when_every_g_wakes_and_spinners_stay() {
    let test =
        "queues_rebuilt_from_events_are_the_runtimes_own_when_every_g_wakes_and_spinners_stay";
    let policy = "wake=always,spin_for=100us,spin=100,victims=last,place=global,yield_to=local";
    check_under(test, 4, policy);
}

#[test]
fn queues_rebuilt_from_events_are_the_runtimes_own_when_nobody_is_woken() {
    let test = "queues_rebuilt_from_events_are_the_runtimes_own_when_nobody_is_woken";
    check_under(
        test,
        3,
        "wake=never,victims=nearest,place=round_robin,local_order=lifo",
    );
}
