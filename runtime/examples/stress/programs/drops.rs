//! Scenes of values whose `Drop` sleeps, spawns, starts a timer or panics, where it is the runtime that drops them: each is dropped once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Random, Setup, join, join_all, message, noise};
use gmp_runtime::{channel, go, time, yield_now};

/// What a `Drop` panics with on purpose.
struct OnPurpose;

/// Counts its drop, and then does something in it.
struct Guard {
    dropped: Arc<AtomicU64>,
    random: Random,
}

impl Guard {
    fn new(random: &mut Random, dropped: &Arc<AtomicU64>) -> Guard {
        Guard {
            dropped: Arc::clone(dropped),
            random: random.fork(),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
        let d = self.random.micros(100);
        match self.random.below(5) {
            0 => time::sleep(d),
            1 => drop(time::after_func(d, || ())),
            2 => join(go(yield_now)),
            3 => resume_unwind(Box::new(OnPurpose)),
            _ => noise(&mut self.random),
        }
    }
}

fn assert_on_purpose(result: std::thread::Result<()>) {
    if let Err(payload) = result {
        assert!(payload.is::<OnPurpose>(), "{}", message(&*payload));
    }
}

/// Drops a value in this G, where it may be the last to hold a guard.
fn let_go<T>(value: T) {
    assert_on_purpose(catch_unwind(AssertUnwindSafe(|| drop(value))));
}

/// The value, a little later.
fn late<T>(random: &mut Random, value: T) -> T {
    noise(random);
    value
}

/// Waits until all are dropped; that none is dropped twice is seen at once, or not at all.
fn wait_for(dropped: &AtomicU64, n: u64) {
    while dropped.load(Ordering::SeqCst) < n {
        // Its timer has the heaps looked at, in which stopped timers wait for their time.
        time::sleep(Duration::from_micros(100));
    }
    assert_eq!(dropped.load(Ordering::SeqCst), n, "dropped twice");
}

/// What Gs leave behind: results and payloads of panics that nobody wants, what their functions hold, values in channels.
pub(super) fn left_behind(random: &mut Random, _: &Setup) {
    let dropped = Arc::new(AtomicU64::new(0));
    let gs: Vec<_> = (0..random.within(1, 15))
        .map(|_| {
            let (mut random, dropped) = (random.fork(), Arc::clone(&dropped));
            go(move || {
                let guard = Guard::new(&mut random, &dropped);
                let mut theirs = random.fork();
                match random.below(4) {
                    0 => {
                        let g = go(move || late(&mut theirs, guard));
                        noise(&mut random);
                        let_go(g);
                    }
                    1 => {
                        let g =
                            go::<(), _>(move || resume_unwind(Box::new(late(&mut theirs, guard))));
                        noise(&mut random);
                        let_go(g);
                    }
                    2 => {
                        let g = go(move || drop(late(&mut theirs, guard)));
                        assert_on_purpose(g.join());
                    }
                    _ => {
                        let (tx, rx) = channel(1);
                        assert!(tx.try_send(guard).is_ok(), "there is room");
                        let g = go(move || drop(late(&mut theirs, tx)));
                        let_go(rx);
                        assert_on_purpose(g.join());
                    }
                }
            })
        })
        .collect();
    let n = join_all(gs).len() as u64;
    wait_for(&dropped, n);
}

/// The functions of timers, of those that fired and of those that were stopped.
pub(super) fn functions(random: &mut Random, _: &Setup) {
    let dropped = Arc::new(AtomicU64::new(0));
    let gs: Vec<_> = (0..random.within(1, 4))
        .map(|_| {
            let (mut random, dropped) = (random.fork(), Arc::clone(&dropped));
            go(move || {
                let n = random.within(1, 60);
                for _ in 0..n {
                    let guard = Guard::new(&mut random, &dropped);
                    let d = random.micros(2_000);
                    let timer = time::after_func(d, move || {
                        let _holds = &guard;
                    });
                    if random.percent(70) {
                        timer.stop();
                    }
                    if random.percent(20) {
                        noise(&mut random);
                    }
                    let_go(timer);
                }
                n
            })
        })
        .collect();
    let n = join_all(gs).into_iter().sum();
    wait_for(&dropped, n);
}
