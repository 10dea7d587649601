//! Which G is next: local_order, yield_to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmp_runtime::{go, yield_now};
use gmp_trace::event::{Event, Placed, Source};

use crate::{History, run};

/// One P, whose running G spawns `n` others before any of them can run.
fn spawn(n: usize) {
    run(1, move || {
        let gs: Vec<_> = (0..n).map(|_| go(|| ())).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

pub fn spawn_20() {
    spawn(20);
}

pub fn spawn_200() {
    spawn(200);
}

/// The main G yields until another one has run.
pub fn yield_until_another_ran() {
    run(1, || {
        let ran = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&ran);
        go(move || set.store(true, Ordering::Relaxed));
        while !ran.load(Ordering::Relaxed) {
            yield_now();
        }
    });
}

pub fn ten_that_yield() {
    run(1, || {
        let gs: Vec<_> = (0..10).map(|_| go(yield_now)).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// The Gs that were started, by the order of their spawn, the main G left out.
fn started(history: &History) -> Vec<u64> {
    let spawned: Vec<_> = history
        .events()
        .filter_map(|e| match e {
            Event::Spawn { g, .. } => Some(*g),
            _ => None,
        })
        .collect();
    let starts = history.events().filter_map(|e| match e {
        Event::Start { g, seq: 1, .. } => spawned.iter().position(|s| s == g),
        _ => None,
    });
    starts
        .filter(|at| *at > 0)
        .map(|at| at as u64 - 1)
        .collect()
}

#[test]
fn local_order_is_which_end_of_the_ring_comes_first() {
    let fifo = History::of("order::spawn_20", "runnext=off,time_slice=10s");
    assert!(started(&fifo).into_iter().eq(0..20));
    let policy = "local_order=lifo,runnext=off,time_slice=10s";
    let lifo = History::of("order::spawn_20", policy);
    assert!(started(&lifo).into_iter().eq((0..20).rev()));
    let youngest = |h: &History| h.count(|e| is_start_from(e, Source::Youngest));
    assert_eq!(youngest(&fifo), 0);
    // Those that were in the ring, and the main G, which the last but one of them readied.
    assert!(youngest(&lifo) >= 20);
}

fn is_start_from(event: &Event, from: Source) -> bool {
    matches!(event, Event::Start { source, .. } if *source == from)
}

#[test]
fn local_order_lifo_lets_no_g_wait_for_ever() {
    let policy = "local_order=lifo,runnext=off,time_slice=10s";
    let lifo = History::of("order::spawn_200", policy);
    let starts = lifo.events().filter(|e| matches!(e, Event::Start { .. }));
    let oldest: Vec<usize> = starts
        .enumerate()
        .filter(|(_, e)| is_start_from(e, Source::Local))
        .map(|(slice, _)| slice)
        .collect();
    assert_eq!(oldest, [30, 91, 152]);
    // The main G has slice 0.
    assert_eq!(started(&lifo)[29], 0, "the first that was spawned");
}

#[test]
fn local_order_and_yield_to_hide_no_g_behind_one_that_yields() {
    for policy in [
        "local_order=lifo",
        "local_order=lifo,yield_to=local",
        "yield_to=local",
    ] {
        let history = History::of("order::yield_until_another_ran", policy);
        assert!(history.count(|e| matches!(e, Event::Yield { .. })) > 0);
    }
}

#[test]
fn yield_to_is_the_queue_of_a_g_that_yields() {
    let yields = |policy: &str| {
        let history = History::of("order::ten_that_yield", policy);
        let placed = history.events().filter_map(|e| match e {
            Event::Yield { placed, .. } => Some(*placed),
            _ => None,
        });
        placed.collect::<Vec<_>>()
    };
    assert_eq!(yields("default"), [Placed::Global; 10]);
    assert_eq!(yields("yield_to=local"), [Placed::Local; 10]);
    assert_eq!(
        yields("yield_to=local,local_order=lifo"),
        [Placed::Global; 10]
    );
}
