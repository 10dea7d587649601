//! Where a new G goes: place.

use gmp_runtime::{Tally, go};
use gmp_trace::event::{Event, Placed, Source};
use gmp_trace::ids::{GId, PId};

use crate::{History, hold_until_counted, run};

/// The main G spawns 9 others.
pub fn spawn_9() {
    run(3, || {
        let gs: Vec<_> = (0..9).map(|_| go(|| ())).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Where each G but the first was put, with the P that spawned it.
fn placed(history: &History) -> Vec<(GId, PId, Placed)> {
    let spawns = history.0.iter().filter_map(|o| match o.event {
        Event::Spawn { g, placed, .. } => o.p.map(|p| (g, p, placed)),
        _ => None,
    });
    spawns.collect()
}

#[test]
fn place_local_and_global_are_where_new_gs_go() {
    let local = History::of("place::spawn_9", "place=local");
    let global = History::of("place::spawn_9", "place=global");
    let all = |h: &History, at| placed(h).iter().filter(|(_, _, p)| *p == at).count();
    assert_eq!(
        (all(&local, Placed::Runnext), all(&local, Placed::Global)),
        (9, 0)
    );
    assert_eq!(
        (all(&global, Placed::Runnext), all(&global, Placed::Global)),
        (0, 9)
    );
}

#[test]
fn place_round_robin_means_new_gs_for_the_ps_in_turn() {
    let history = History::of("place::spawn_9", "place=round_robin");
    let meant: Vec<(GId, PId)> = history
        .events()
        .filter_map(|e| match e {
            Event::Assign { g, p } => Some((*g, *p)),
            _ => None,
        })
        .collect();
    let mut spawned = [0; 3];
    for (g, by, placed) in placed(&history) {
        let spawned = &mut spawned[by.0 as usize];
        let turn = PId((by.0 + 1 + *spawned) % 3);
        *spawned += 1;
        let expected = (turn != by).then_some((g, turn));
        assert_eq!(meant.iter().find(|(m, _)| *m == g).copied(), expected);
        assert_eq!(placed == Placed::Global, expected.is_some());
    }
    assert_eq!(spawned.iter().sum::<u32>(), 9);
    assert_eq!(meant.len(), 6);
}

pub fn for_two_ps_one_of_them_busy() {
    run(2, || {
        // Every second one is for the other P, the rest for this one, which goes on: the other P runs them all.
        (0..8).for_each(|_| drop(go(|| ())));
        hold_until_counted(|s| s.get(Tally::Exits) == 8);
    });
}

/// While the P that a G is meant for is busy, another one that has nothing else runs it.
#[test]
fn place_round_robin_lets_no_p_idle_beside_work_for_another() {
    let policy = "place=round_robin,time_slice=10s";
    let history = History::of("place::for_two_ps_one_of_them_busy", policy);
    let from = |source: Source| {
        history.count(|e| matches!(e, Event::Start { source: s, seq: 1, .. } if *s == source))
    };
    assert_eq!(history.count(|e| matches!(e, Event::Assign { .. })), 4);
    assert!(from(Source::Stolen) > 0, "those that were local");
}
