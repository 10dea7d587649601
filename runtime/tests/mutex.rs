//! The two modes of the mutex, and that nobody sleeps beside a free one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::sync::Mutex;
use gmp_runtime::{Builder, go, time, yield_now};

fn run(procs: usize, main: impl FnOnce() + Send + 'static) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(main);
}

/// Longer than a waiter puts up with.
const STARVES: Duration = Duration::from_millis(2);

fn spin_for(d: Duration) {
    let began = Instant::now();
    while began.elapsed() < d {
        std::hint::spin_loop();
    }
}

#[test]
fn a_holder_may_take_it_again_before_a_waiter_that_was_woken() {
    // One P, so that nobody runs but by our leave.
    run(1, || {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let theirs = Arc::clone(&mutex);
        let waiter = go(move || *theirs.lock() += 1);
        yield_now();
        drop(held);
        // The waiter is runnable, and the mutex free: a newcomer that runs is faster.
        let again = mutex.try_lock().expect("free");
        assert_eq!(*again, 0);
        drop(again);
        waiter.join().expect("no panic");
        assert_eq!(*mutex.lock(), 1);
    });
}

#[test]
fn a_waiter_that_starves_is_handed_the_mutex() {
    run(1, || {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let held = mutex.lock();
        let theirs = Arc::clone(&mutex);
        let waiter = go(move || theirs.lock().push("waiter"));
        yield_now();
        spin_for(STARVES);
        drop(held);
        // It was woken, and loses: it has waited for long now.
        let mut again = mutex.try_lock().expect("free");
        again.push("holder");
        yield_now();
        // The unlock hands it over and gives way.
        drop(again);
        assert_eq!(*mutex.lock(), ["holder", "waiter"]);
        waiter.join().expect("no panic");
        // The last waiter ended the mode.
        drop(mutex.lock());
        assert!(mutex.try_lock().is_some());
    });
}

#[test]
fn in_starving_mode_newcomers_queue_behind() {
    run(1, || {
        let mutex = Arc::new(Mutex::new(Vec::new()));
        let held = mutex.lock();
        let waiters: Vec<_> = (0..3)
            .map(|i| {
                let theirs = Arc::clone(&mutex);
                let g = go(move || theirs.lock().push(i));
                // One after the other into the queue.
                yield_now();
                g
            })
            .collect();
        spin_for(STARVES);
        drop(held);
        let again = mutex.try_lock().expect("free");
        yield_now();
        assert!(mutex.try_lock().is_none());
        drop(again);
        for g in waiters {
            g.join().expect("no panic");
        }
        assert_eq!(*mutex.lock(), [0, 1, 2]);
    });
}

/// Go's `TestMutexFairness`.
#[test]
fn a_g_gets_its_turn_beside_one_that_holds_the_mutex_nearly_always() {
    run(2, || {
        let mutex = Arc::new(Mutex::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let (theirs, stopped) = (Arc::clone(&mutex), Arc::clone(&stop));
        let hog = go(move || {
            while !stopped.load(Ordering::Relaxed) {
                let held = theirs.lock();
                time::sleep(Duration::from_micros(100));
                drop(held);
            }
        });
        let theirs = Arc::clone(&mutex);
        let meek = go(move || {
            for _ in 0..10 {
                time::sleep(Duration::from_micros(100));
                drop(theirs.lock());
            }
        });
        // Without fairness this would not end.
        meek.join().expect("no panic");
        stop.store(true, Ordering::Relaxed);
        hog.join().expect("no panic");
    });
}

#[test]
fn under_contention_it_is_held_by_one_at_a_time_and_everybody_gets_it() {
    for procs in [1, 2, 4] {
        run(procs, || {
            const GS: u64 = 32;
            const ROUNDS: u64 = 300;
            let mutex = Arc::new(Mutex::new(0u64));
            let inside = Arc::new(AtomicU32::new(0));
            let gs: Vec<_> = (0..GS)
                .map(|i| {
                    let (mutex, inside) = (Arc::clone(&mutex), Arc::clone(&inside));
                    go(move || {
                        for round in 0..ROUNDS {
                            let mut value = mutex.lock();
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            *value += 1;
                            match (i + round) % 16 {
                                0 => yield_now(),
                                1 => spin_for(Duration::from_micros(50)),
                                _ => {}
                            }
                            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                        }
                    })
                })
                .collect();
            // Threads that are no Gs compete too.
            let (theirs, both) = (Arc::clone(&mutex), Arc::clone(&inside));
            let thread = std::thread::spawn(move || {
                for _ in 0..ROUNDS {
                    let mut value = theirs.lock();
                    assert_eq!(both.fetch_add(1, Ordering::Relaxed), 0);
                    *value += 1;
                    assert_eq!(both.fetch_sub(1, Ordering::Relaxed), 1);
                }
            });
            for g in gs {
                g.join().expect("no panic");
            }
            gmp_runtime::blocking(|| thread.join()).expect("no panic");
            assert_eq!(*mutex.lock(), (GS + 1) * ROUNDS);
        });
    }
}
