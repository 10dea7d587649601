//! `timers`: in which P's heap a timer is put.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gmp_runtime::{go, time};
use gmp_testing::Recording;
use gmp_testing::program::{command, part};
use gmp_trace::event::Event;
use gmp_trace::order::Ordered;

use crate::run;

const PS: u32 = 3;
/// Timers that each of the Gs starts, one after the other.
const EACH: u32 = 60;

/// As many Gs as Ps, each on a P of its own when it starts its first timer.
fn sleepers(policy: &str) {
    run(PS as usize, policy, || {
        let there = Arc::new(AtomicU32::new(0));
        let sleeper = |there: Arc<AtomicU32>| {
            move || {
                // No call into the runtime, so that no two of them share a P.
                there.fetch_add(1, Ordering::SeqCst);
                while there.load(Ordering::SeqCst) < PS {
                    std::thread::yield_now();
                }
                (0..EACH).for_each(|_| time::sleep(Duration::from_micros(100)));
            }
        };
        let others: Vec<_> = (1..PS).map(|_| go(sleeper(Arc::clone(&there)))).collect();
        sleeper(there)();
        others.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// How many timers fired from each heap.
fn heaps(history: &[Ordered]) -> BTreeMap<u32, u32> {
    let mut heaps = BTreeMap::new();
    for o in history {
        if let Event::Timer { heap, .. } = o.event {
            *heaps.entry(heap.0).or_default() += 1;
        }
    }
    assert_eq!(heaps.values().sum::<u32>(), PS * EACH);
    heaps
}

#[test]
fn a_timer_is_put_where_the_policy_says() {
    if let Some(policy) = part() {
        return sleepers(&policy);
    }
    let record = |policy| {
        const TEST: &str = "timers::a_timer_is_put_where_the_policy_says";
        heaps(&Recording::whole(&mut command(TEST, policy)).history())
    };
    // Each of the Gs starts its first timer on another P.
    assert_eq!(record("default").len(), PS as usize);
    assert_eq!(record("timers=one"), BTreeMap::from([(0, PS * EACH)]));
    // Round robin on each P: the heaps differ by at most one timer for each P.
    let spread = record("timers=spread");
    assert!(
        spread.values().all(|n| n.abs_diff(EACH) <= PS),
        "{spread:?}"
    );
}

#[test]
fn timers_in_the_heap_of_a_p_that_goes_away_fire() {
    run(3, "timers=spread", || {
        let sleepers: Vec<_> = (0..30)
            .map(|i| go(move || time::sleep(Duration::from_millis(5 + i % 3))))
            .collect();
        gmp_runtime::set_procs(1);
        sleepers
            .into_iter()
            .for_each(|g| g.join().expect("no panic"));
    });
}
