//! `Drop`s of users that panic or call into the runtime, where it is the runtime that drops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gmp_runtime::{Builder, blocking, go, set_procs, time, yield_now};
use gmp_testing::program::{command, is_part, succeed};

/// More than the entries from which a heap is tidied up when one is added.
const TIMERS: usize = 200;

fn run(procs: usize, main: impl FnOnce() + Send + 'static) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(main);
}

/// Counts its drop after it did what it is to do in it.
struct Guard {
    in_drop: fn(),
    dropped: Arc<AtomicUsize>,
}

impl Guard {
    fn new(in_drop: fn(), dropped: &Arc<AtomicUsize>) -> Guard {
        Guard {
            in_drop,
            dropped: Arc::clone(dropped),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        (self.in_drop)();
    }
}

fn panics() {
    panic!("a Drop that panics");
}

/// All that somebody's `Drop` may do.
const DROPS: [fn(); 5] = [
    || (),
    || time::sleep(Duration::from_micros(10)),
    || drop(time::after(Duration::from_secs(60))),
    || go(yield_now).join().expect("no panic"),
    panics,
];

fn wait_for(dropped: &AtomicUsize, n: usize) {
    while dropped.load(Ordering::Relaxed) < n {
        yield_now();
    }
    assert_eq!(dropped.load(Ordering::Relaxed), n);
}

/// Everything still works: each P runs Gs, and the world can be stopped.
fn is_well() {
    let gs: Vec<_> = (0..100).map(|_| go(yield_now)).collect();
    gs.into_iter().for_each(|g| g.join().expect("no panic"));
    set_procs(3);
    set_procs(1);
}

#[test]
fn a_result_that_nobody_wants_may_panic_when_it_is_dropped() {
    for procs in [1, 3] {
        run(procs, || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let theirs = Arc::clone(&dropped);
            drop(go(move || Guard::new(panics, &theirs)));
            wait_for(&dropped, 1);
            is_well();
        });
    }
}

#[test]
fn what_a_g_panicked_with_may_panic_when_it_is_dropped() {
    run(1, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&dropped);
        drop(go(move || {
            std::panic::panic_any(Guard::new(panics, &theirs))
        }));
        wait_for(&dropped, 1);
        let theirs = Arc::clone(&dropped);
        time::after_func(Duration::ZERO, move || {
            std::panic::panic_any(Guard::new(panics, &theirs))
        });
        wait_for(&dropped, 2);
        is_well();
    });
}

#[test]
fn the_functions_of_stopped_timers_may_do_anything_when_they_are_dropped() {
    for in_drop in DROPS {
        for procs in [1, 2] {
            run(procs, move || {
                let dropped = Arc::new(AtomicUsize::new(0));
                for _ in 0..TIMERS {
                    let guard = Guard::new(in_drop, &dropped);
                    let timer = time::after_func(Duration::from_secs(60), move || {
                        let _holds = &guard;
                    });
                    assert!(timer.stop());
                }
                // The heaps are tidied up when there are more, by whoever adds one and by the Ps themselves.
                while dropped.load(Ordering::Relaxed) < TIMERS / 2 {
                    time::sleep(Duration::from_micros(10));
                }
                is_well();
            });
        }
    }
}

/// A stop of the world by a thread, too, finds stopped timers in the heaps of Ps that go away.
#[test]
fn threads_that_change_the_number_of_ps_run_no_drop_in_the_stopped_world() {
    const TEST: &str = "threads_that_change_the_number_of_ps_run_no_drop_in_the_stopped_world";
    // A program of its own: the threads mean the runtime that was started last.
    if !is_part(TEST) {
        succeed(&mut command(TEST, TEST));
        return;
    }
    for in_drop in DROPS {
        run(4, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            let gs: Vec<_> = (0..4)
                .map(|_| {
                    let dropped = Arc::clone(&dropped);
                    go(move || {
                        for _ in 0..TIMERS {
                            let guard = Guard::new(in_drop, &dropped);
                            time::after_func(Duration::from_secs(60), move || {
                                let _holds = &guard;
                            })
                            .stop();
                            yield_now();
                        }
                    })
                })
                .collect();
            blocking(|| {
                let resizer = std::thread::spawn(|| {
                    for n in (1..=4).cycle().take(40) {
                        set_procs(n);
                    }
                });
                resizer.join().expect("no panic");
            });
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
            is_well();
        });
    }
}

#[test]
fn the_function_of_a_timer_that_fired_may_do_anything_when_it_is_dropped() {
    for in_drop in DROPS {
        run(2, move || {
            let dropped = Arc::new(AtomicUsize::new(0));
            for _ in 0..TIMERS {
                let guard = Guard::new(in_drop, &dropped);
                time::after_func(Duration::from_micros(50), move || {
                    let _holds = &guard;
                });
            }
            wait_for(&dropped, TIMERS);
            is_well();
        });
    }
}

/// Ms look for work at all Ps, run the timers there, and find stopped ones on the way.
#[test]
fn what_is_dropped_by_an_m_that_looks_for_work_is_not_left_behind() {
    run(4, || {
        let dropped = Arc::new(AtomicUsize::new(0));
        let gs: Vec<_> = (0..2)
            .map(|_| {
                let dropped = Arc::clone(&dropped);
                go(move || {
                    for _ in 0..TIMERS {
                        let guard = Guard::new(|| (), &dropped);
                        let timer = time::after_func(Duration::from_micros(5), move || {
                            let _holds = &guard;
                        });
                        timer.stop();
                        drop(timer);
                        // Wakes one that looks, and leaves it the time to find the heap of this P.
                        drop(go(|| ()));
                        let began = std::time::Instant::now();
                        while began.elapsed() < Duration::from_micros(30) {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        while dropped.load(Ordering::Relaxed) < 2 * TIMERS {
            // What stays in a heap goes with the next timers.
            time::after_func(Duration::from_micros(1), || ());
            time::sleep(Duration::from_micros(10));
        }
        is_well();
    });
}
