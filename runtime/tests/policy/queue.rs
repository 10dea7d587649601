//! The local queue and its way into the global one: local_queue, overflow, runnext, runnext_inherits, global_tick.

use gmp_runtime::{channel, go, yield_now};
use gmp_trace::event::{Event, Placed, Rule, Source};

use crate::{History, run};

/// One P, whose running G spawns 20 others before any of them can run.
pub fn spawn_20() {
    run(1, || {
        let gs: Vec<_> = (0..20).map(|_| go(|| ())).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn local_queue_is_how_many_gs_a_ring_holds() {
    let small = History::of(
        "queue::spawn_20",
        "local_queue=4,runnext=off,time_slice=10s",
    );
    assert_eq!(small.longest_local_queue(), 4);
    assert!(small.count(|e| matches!(e, Event::Overflow { .. })) > 0);
    let go = History::of("queue::spawn_20", "runnext=off,time_slice=10s");
    assert_eq!(go.longest_local_queue(), 20);
    assert_eq!(go.count(|e| matches!(e, Event::Overflow { .. })), 0);
}

#[test]
fn overflow_is_the_part_of_a_full_ring_that_leaves_it() {
    for (percent, n) in [(1, 1), (25, 2), (50, 4), (100, 8)] {
        let policy = format!("overflow={percent},local_queue=8,runnext=off,time_slice=10s");
        let history = History::of("queue::spawn_20", &policy);
        let left: Vec<u32> = history
            .events()
            .filter_map(|e| match e {
                Event::Overflow { n, .. } => Some(*n),
                _ => None,
            })
            .collect();
        assert!(
            !left.is_empty() && left.iter().all(|l| *l == n),
            "{percent}: {left:?}"
        );
    }
}

#[test]
fn runnext_is_where_a_new_g_goes_or_is_never_used() {
    let placed = |history: &History| -> Vec<Placed> {
        let spawns = history.events().filter_map(|e| match e {
            Event::Spawn { placed, .. } => Some(*placed),
            _ => None,
        });
        spawns.skip(1).collect()
    };
    let on = History::of("queue::spawn_20", "time_slice=10s");
    assert_eq!(placed(&on), [Placed::Runnext; 20]);
    let off = History::of("queue::spawn_20", "runnext=off,time_slice=10s");
    assert_eq!(placed(&off), [Placed::Local; 20]);
    let by_runnext = |h: &History| {
        h.count(|e| {
            matches!(
                e,
                Event::Start {
                    source: Source::Runnext,
                    ..
                }
            )
        })
    };
    assert!(by_runnext(&on) > 0);
    assert_eq!(by_runnext(&off), 0);
}

/// Two Gs ready each other 200 times while the main G waits in the global queue.
pub fn ping_pong_beside_a_waiting_g() {
    run(1, || {
        let ((ping, pinged), (pong, ponged)) = (channel::<u32>(1), channel::<u32>(1));
        go(move || {
            for i in 0..200 {
                ping.send(i).expect("open");
                ponged.recv().expect("open");
            }
        });
        go(move || pinged.iter().for_each(|i| pong.send(i).expect("open")));
        yield_now();
    });
}

#[test]
fn runnext_inherits_keeps_two_gs_that_ready_each_other_in_one_time_slice() {
    // How many Gs started between the yield of the main G and its next start: the global queue's turn comes by time slices.
    let starts_before_main = |policy: &str| {
        let history = History::of("queue::ping_pong_beside_a_waiting_g", policy);
        let mut after = history
            .0
            .iter()
            .skip_while(|o| !matches!(o.event, Event::Yield { .. }));
        let main = after.next().expect("main yields").g;
        let starts = after.filter(|o| matches!(o.event, Event::Start { .. }));
        starts.take_while(|o| o.g != main).count()
    };
    let inherits = starts_before_main("time_slice=10s");
    assert!(
        inherits > 200,
        "the two had the P to themselves: {inherits}"
    );
    let not = starts_before_main("runnext_inherits=off,time_slice=10s");
    assert!(not <= 62, "the global queue had its turn: {not}");
}

/// Gs that yield go to the global queue, while others are in the ring.
pub fn a_hundred_that_yield() {
    run(1, || {
        let gs: Vec<_> = (0..100).map(|_| go(yield_now)).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn global_tick_is_how_often_the_global_queue_comes_first() {
    for tick in [0, 1, 7, 61] {
        let policy = format!("global_tick={tick},runnext=off,time_slice=10s");
        let history = History::of("queue::a_hundred_that_yield", &policy);
        let mut by_tick = 0;
        let starts = history.events().filter_map(|e| match e {
            Event::Start { source, rule, .. } => Some((*source, *rule)),
            _ => None,
        });
        for (slice, (source, rule)) in starts.enumerate() {
            let turn = tick != 0 && slice % tick == 0;
            assert!(rule != Rule::Tick || turn, "{tick}: slice {slice}");
            assert!(
                source != Source::Global || rule == Rule::Tick || !turn,
                "{tick}: slice {slice}"
            );
            by_tick += usize::from(rule == Rule::Tick);
        }
        assert_eq!(by_tick > 0, tick != 0, "{tick}");
    }
}
