//! Stealing: steal, steal_rounds, victims. (`victims=nearest` is tested beside the thief, which alone knows the CPUs.)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gmp_runtime::{Tally, go, set_procs};
use gmp_trace::event::{Event, StealFrom};

use crate::{History, hold_until, hold_until_counted, run};

/// What thieves took from rings: how many of how many, from which P.
fn steals(history: &History) -> Vec<(u32, u32, u32)> {
    let steals = history.events().filter_map(|e| match *e {
        Event::Steal {
            n,
            victim_len,
            victim,
            from: StealFrom::Ring,
            ..
        } => Some((n, victim_len, victim.0)),
        _ => None,
    });
    steals.collect()
}

/// A thief begins when there are 40 Gs in the ring of the only other P, and its G does not give way until one has run.
pub fn forty_gs_for_a_thief() {
    run(1, || {
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..40 {
            let ran = Arc::clone(&ran);
            go(move || ran.fetch_add(1, Ordering::Relaxed));
        }
        set_procs(2);
        hold_until(|| ran.load(Ordering::Relaxed) == 40);
    });
}

#[test]
fn steal_is_how_many_gs_a_thief_takes() {
    for (steal, expected) in [
        ("half", vec![20, 10, 5, 3, 1, 1]),
        ("7", vec![7, 7, 7, 7, 7, 5]),
    ] {
        let policy = format!("steal={steal},runnext=off,time_slice=10s");
        let history = History::of("steal::forty_gs_for_a_thief", &policy);
        let taken: Vec<u32> = steals(&history).iter().map(|(n, ..)| *n).collect();
        assert_eq!(taken, expected, "{steal}");
    }
    let one = History::of(
        "steal::forty_gs_for_a_thief",
        "steal=one,runnext=off,time_slice=10s",
    );
    let lens = (1..=40).rev().map(|len| (1, len, 0));
    assert!(steals(&one).into_iter().eq(lens));
}

/// One M looks for work and finds none, while the main G keeps its P.
pub fn look_in_vain() {
    run(2, || {
        let ran = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&ran);
        go(move || set.store(true, Ordering::Relaxed));
        hold_until(|| ran.load(Ordering::Relaxed));
        // The one that ran it has looked for more, and has gone to sleep.
        hold_until_counted(|s| s.get(Tally::MParks) > 0 && s.get(Tally::SpinStops) >= 2);
    });
}

#[test]
fn steal_rounds_is_how_often_a_thief_passes_over_all_ps() {
    for rounds in [1, 4, 9] {
        let policy = format!("steal_rounds={rounds},time_slice=10s");
        let history = History::of("steal::look_in_vain", &policy);
        let vain: Vec<u32> = history
            .until_the_end()
            .iter()
            .filter_map(|o| match o.event {
                Event::SpinStop {
                    found: false,
                    passes,
                    ..
                } => Some(passes),
                _ => None,
            })
            .collect();
        assert!(
            !vain.is_empty() && vain.iter().all(|p| *p == rounds),
            "{rounds}: {vain:?}"
        );
    }
}

/// Two Ps whose running Gs do not give way have 30 Gs each when the G of a third one ends, which then runs them all.
pub fn two_victims() {
    /// Makes 30 Gs that count.
    fn spawn_30(ran: &Arc<AtomicUsize>) {
        for _ in 0..30 {
            let ran = Arc::clone(ran);
            go(move || ran.fetch_add(1, Ordering::Relaxed));
        }
    }
    run(3, || {
        // Steps: the second and the third P are in use; the second has its Gs; the first has, and the third is let go.
        let (ran, step) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let at = |n: usize| {
            let step = Arc::clone(&step);
            move || step.load(Ordering::Acquire) >= n
        };
        let reach = |n: usize| {
            let step = Arc::clone(&step);
            move || step.store(n, Ordering::Release)
        };
        let (theirs, in_use, filled, third_in_use) = (Arc::clone(&ran), reach(1), reach(3), at(2));
        go(move || {
            in_use();
            hold_until(third_in_use);
            spawn_30(&theirs);
            filled();
            hold_until(|| theirs.load(Ordering::Relaxed) == 60);
        });
        hold_until(at(1));
        let (in_use, let_go) = (reach(2), at(4));
        go(move || {
            in_use();
            hold_until(let_go);
        });
        hold_until(at(3));
        spawn_30(&ran);
        reach(4)();
        hold_until(|| ran.load(Ordering::Relaxed) == 60);
    });
}

#[test]
fn victims_is_the_order_in_which_a_thief_looks() {
    /// The thief's P, and from which Ps it took the 60 Gs.
    fn victims(order: &str) -> (u32, Vec<u32>) {
        let policy = format!("victims={order},steal=one,runnext=off,time_slice=10s");
        let history = History::of("steal::two_victims", &policy);
        let all: Vec<_> = history
            .0
            .iter()
            .filter_map(|o| match o.event {
                Event::Steal { victim, .. } => Some((o.p.map_or(u32::MAX, |p| p.0), victim.0)),
                _ => None,
            })
            .collect();
        // Before them, the Gs of the other two Ps were stolen.
        let sixty = &all[all.len() - 60..];
        let thief = sixty[0].0;
        assert!(sixty.iter().all(|(p, _)| *p == thief));
        (thief, sixty.iter().map(|(_, victim)| *victim).collect())
    }
    let changes = |victims: &[u32]| victims.windows(2).filter(|w| w[0] != w[1]).count();
    // The next P first, as long as there is something.
    let (thief, sequential) = victims("sequential");
    let (first, second) = ((thief + 1) % 3, (thief + 2) % 3);
    assert_eq!(sequential, [vec![first; 30], vec![second; 30]].concat());
    // Whichever it began with, it stays with it.
    assert_eq!(changes(&victims("last").1), 1);
    assert!(changes(&victims("random").1) > 1);
}
