//! `global_batch` and `preempt_to`: how Gs come to the global queue and from there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmp_runtime::{Tally, checkpoint, go};
use gmp_testing::Recording;
use gmp_testing::program::{command, part};
use gmp_trace::event::{Event, Placed, PreemptCause};

use crate::{count, run};

#[test]
fn no_more_gs_come_from_the_global_queue_at_once_than_the_policy_says() {
    let taken = |policy: &str| {
        // No time slice ends, so that the ring overflows for certain.
        run(1, &format!("time_slice=10s,{policy}"), || {
            let gs: Vec<_> = (0..700).map(|_| go(|| ())).collect();
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
            (count(Tally::GlobalGrabs), count(Tally::GlobalGrabbedGs))
        })
    };
    let (grabs, gs) = taken("default");
    assert!(gs > 2 * grabs, "{gs} Gs in {grabs} batches");
    let (grabs, gs) = taken("global_batch=1");
    assert_eq!(grabs, gs);
}

/// Two Gs that share a P only because their time slices end.
fn hogs(policy: &str) {
    run(1, &format!("time_slice=1ms,{policy}"), || {
        let done = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&done);
        let other = go(move || {
            while !theirs.load(Ordering::Relaxed) {
                checkpoint();
            }
        });
        while count(Tally::Preempts) < 6 {
            checkpoint();
        }
        done.store(true, Ordering::Relaxed);
        other.join().expect("no panic");
    });
}

#[test]
fn a_g_whose_time_slice_is_over_goes_where_the_policy_says() {
    if let Some(policy) = part() {
        return hogs(&policy);
    }
    let placed = |policy| {
        const TEST: &str = "queues::a_g_whose_time_slice_is_over_goes_where_the_policy_says";
        let history = Recording::whole(&mut command(TEST, policy)).history();
        let places: Vec<_> = history
            .iter()
            .filter_map(|o| match o.event {
                Event::Preempt {
                    cause: PreemptCause::Slice,
                    placed,
                    ..
                } => Some(placed),
                _ => None,
            })
            .collect();
        assert!(places.len() >= 6);
        places
    };
    assert!(placed("default").iter().all(|p| *p == Placed::Global));
    assert!(
        placed("preempt_to=local")
            .iter()
            .all(|p| *p == Placed::Local)
    );
}
