//! Locks, semaphores, condition variables, wait groups: the tests of Go's package `sync` and of the semaphores in its runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use gmp_runtime::sync::chan::TryRecvError;
use gmp_runtime::sync::{Cond, Mutex, Once, RwLock, Semaphore, WaitGroup};
use gmp_runtime::time::sleep;
use gmp_runtime::{Tally, channel, go, yield_now};

use crate::{run, until_parked};

/// Go's `TestMutex`, `HammerMutex`.
#[test]
fn a_mutex_locked_and_tried_by_many_is_free_in_the_end() {
    for procs in [1, 4] {
        run(procs, || {
            let mutex = Arc::new(Mutex::new(0));
            let held = mutex.lock();
            assert!(mutex.try_lock().is_none(), "it is held");
            drop(held);
            drop(mutex.try_lock().expect("it is free"));
            let gs = [(); 10].map(|()| {
                let mutex = Arc::clone(&mutex);
                go(move || {
                    let mut done = 0;
                    for i in 0..1_000 {
                        if i % 3 == 0 {
                            done += mutex.try_lock().map_or(0, |mut n| {
                                *n += 1;
                                1
                            });
                        } else {
                            *mutex.lock() += 1;
                            done += 1;
                        }
                    }
                    done
                })
            });
            let done: u32 = gs.into_iter().map(|g| g.join().expect("no panic")).sum();
            assert_eq!(*mutex.try_lock().expect("it is free"), done);
        });
    }
}

/// Go's `TestMutexFairness`: without it this would not end.
#[test]
fn a_g_gets_the_mutex_ten_times_beside_one_that_hogs_it() {
    run(2, || {
        let (mutex, stop) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let (theirs, stopped) = (Arc::clone(&mutex), Arc::clone(&stop));
        let hog = go(move || {
            while !stopped.load(Ordering::Relaxed) {
                let held = theirs.lock();
                sleep(Duration::from_micros(100));
                drop(held);
            }
        });
        for _ in 0..10 {
            sleep(Duration::from_micros(100));
            drop(mutex.lock());
        }
        stop.store(true, Ordering::Relaxed);
        hog.join().expect("no panic");
    });
}

/// A mutex is unlocked by its guard, wherever that went.
#[test]
fn unlocking_need_not_be_by_the_locker() {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    run(2, || {
        let held = MUTEX.lock();
        go(move || drop(held)).join().expect("no panic");
        assert!(MUTEX.try_lock().is_some());
    });
}

/// Go's `TestSemaphore`.
#[test]
fn a_semaphore_of_one_lets_one_in_at_a_time() {
    for procs in [1, 4] {
        run(procs, || {
            let (sema, inside) = (Arc::new(Semaphore::new(1)), Arc::new(AtomicU32::new(0)));
            let gs = [(); 10].map(|()| {
                let (sema, inside) = (Arc::clone(&sema), Arc::clone(&inside));
                go(move || {
                    for i in 0..1_000 {
                        sema.acquire();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        if i % 50 == 0 {
                            yield_now();
                        }
                        inside.fetch_sub(1, Ordering::Relaxed);
                        if i % 2 == 0 {
                            sema.release();
                        } else {
                            sema.release_handoff();
                        }
                    }
                })
            });
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
            assert_eq!(sema.available(), 1);
        });
    }
}

#[test]
fn semaphores_wake_first_in_first_out() {
    run(1, || {
        let sema = Arc::new(Semaphore::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let gs: Vec<_> = (0..5)
            .map(|i| {
                let (sema, order) = (Arc::clone(&sema), Arc::clone(&order));
                until_parked(1, Tally::ParksSync, || {
                    go(move || {
                        sema.acquire();
                        order.lock().push(i);
                    })
                })
            })
            .collect();
        (0..5).for_each(|_| sema.release_handoff());
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4]);
    });
}

/// Go's `TestSemaHandoff`, `TestSemaHandoff1`, `TestSemaHandoff2`: how often the waiter runs before its releaser goes on.
#[test]
fn a_release_with_handoff_lets_the_waiter_run_first() {
    for procs in [1, 2] {
        const ROUNDS: u32 = 2_000;
        let first = run(procs, move || {
            // The other Ps are kept a little busy, so that they do not take the releaser, which then seems not to have given way.
            let done = Arc::new(AtomicBool::new(false));
            let busy: Vec<_> = (0..procs)
                .map(|_| {
                    let done = Arc::clone(&done);
                    go(move || {
                        while !done.load(Ordering::Relaxed) {
                            yield_now();
                        }
                    })
                })
                .collect();
            let mut first = 0;
            for _ in 0..ROUNDS {
                let (sema, winner) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
                let (theirs, result) = (Arc::clone(&sema), Arc::clone(&winner));
                let waiter = until_parked(1, Tally::ParksSync, || {
                    go(move || {
                        theirs.acquire();
                        let _ = result.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
                    })
                });
                sema.release_handoff();
                let _ = winner.compare_exchange(0, 2, Ordering::Relaxed, Ordering::Relaxed);
                waiter.join().expect("no panic");
                first += u32::from(winner.load(Ordering::Relaxed) == 1);
            }
            done.store(true, Ordering::Relaxed);
            busy.into_iter().for_each(|g| g.join().expect("no panic"));
            first
        });
        assert!(first >= ROUNDS * 2 / 3, "{first} of {ROUNDS} on {procs} Ps");
    }
}

/// Go's `TestWaitGroup`: the same groups again and again.
#[test]
fn a_wait_group_can_be_used_again() {
    run(2, || {
        let (one, two) = (WaitGroup::new(), WaitGroup::new());
        for _ in 0..8 {
            one.add(16);
            two.add(16);
            let exited = Arc::new(AtomicU32::new(0));
            let gs = [(); 16].map(|()| {
                let (one, two, exited) = (one.clone(), two.clone(), Arc::clone(&exited));
                go(move || {
                    one.done();
                    two.wait();
                    exited.fetch_add(1, Ordering::Relaxed);
                })
            });
            one.wait();
            assert_eq!(exited.load(Ordering::Relaxed), 0, "released too soon");
            (0..16).for_each(|_| two.done());
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
        }
    });
}

/// Go's `TestWaitGroupMisuse`.
#[test]
fn more_done_than_added_panics() {
    run(1, || {
        let group = WaitGroup::new();
        group.add(1);
        group.done();
        let theirs = group.clone();
        assert!(go(move || theirs.done()).join().is_err());
        let theirs = group.clone();
        group.add(1);
        assert!(go(move || theirs.add(usize::MAX)).join().is_err());
    });
}

/// Go's "WaitGroup is reused before previous Wait has returned".
#[test]
fn a_wait_group_used_anew_before_all_have_returned_panics() {
    run(1, || {
        let group = WaitGroup::new();
        group.add(1);
        let theirs = group.clone();
        let waiter = until_parked(1, Tally::ParksSync, || go(move || theirs.wait()));
        // One P: the waiter is runnable, but has not run when something is added.
        group.done();
        group.add(1);
        assert!(waiter.join().is_err());
    });
}

/// Go's `TestWaitGroupRace`.
#[test]
fn waiting_sees_all_that_was_done() {
    run(4, || {
        for _ in 0..1_000 {
            let (group, n) = (WaitGroup::new(), Arc::new(AtomicU32::new(0)));
            for _ in 0..2 {
                group.add(1);
                let (group, n) = (group.clone(), Arc::clone(&n));
                go(move || {
                    n.fetch_add(1, Ordering::Relaxed);
                    group.done();
                });
            }
            group.wait();
            assert_eq!(n.load(Ordering::Relaxed), 2);
        }
    });
}

/// Go's `TestWaitGroupGo`; also when a function panics.
#[test]
fn a_wait_group_waits_for_what_it_started() {
    run(2, || {
        let group = WaitGroup::new();
        let g = group.go(|| 7);
        let panics = group.go(|| panic!("expected"));
        group.wait();
        assert_eq!(g.join().expect("no panic"), 7);
        assert!(panics.join().is_err());
    });
}

/// Go's `TestCondSignal`.
#[test]
fn a_signal_wakes_exactly_one() {
    run(2, || {
        let shared = Arc::new((Mutex::new(()), Cond::new()));
        let (running, ready) = channel::<()>(2);
        let (awake, woken) = channel::<()>(2);
        let gs = [(); 2].map(|()| {
            let (shared, running, awake) = (Arc::clone(&shared), running.clone(), awake.clone());
            go(move || {
                let (mutex, cond) = &*shared;
                let held = mutex.lock();
                running.send(()).expect("open");
                let held = cond.wait(held);
                awake.send(()).expect("open");
                drop(held);
            })
        });
        (0..2).for_each(|_| ready.recv().expect("open"));
        let (mutex, cond) = &*shared;
        for _ in 0..2 {
            assert_eq!(
                woken.try_recv(),
                Err(TryRecvError::Empty),
                "nobody was to be awake"
            );
            let held = mutex.lock();
            cond.signal();
            drop(held);
            woken.recv().expect("open");
            assert_eq!(woken.try_recv(), Err(TryRecvError::Empty), "two are awake");
        }
        // Nobody waits: nothing happens, now or later.
        cond.signal();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Go's `TestCondSignalGenerations`.
#[test]
fn signals_wake_in_the_order_of_the_waits() {
    run(2, || {
        let shared = Arc::new((Mutex::new(()), Cond::new()));
        let (running, ready) = channel::<()>(100);
        let (awake, woken) = channel::<u32>(100);
        let (mutex, cond) = &*shared;
        for i in 0..100 {
            let (shared, running, awake) = (Arc::clone(&shared), running.clone(), awake.clone());
            go(move || {
                let (mutex, cond) = &*shared;
                let held = mutex.lock();
                running.send(()).expect("open");
                let held = cond.wait(held);
                awake.send(i).expect("open");
                drop(held);
            });
            if i > 0 {
                assert_eq!(woken.recv(), Ok(i - 1));
            }
            ready.recv().expect("open");
            let held = mutex.lock();
            cond.signal();
            drop(held);
        }
        assert_eq!(woken.recv(), Ok(99));
    });
}

/// Go's `TestCondBroadcast`.
#[test]
fn a_broadcast_wakes_all() {
    run(4, || {
        const N: usize = 200;
        const ROUNDS: usize = 5;
        let shared = Arc::new((Mutex::new(0), Cond::new()));
        let (running, ready) = channel::<()>(N);
        let (awake, woken) = channel::<()>(N);
        let group = WaitGroup::new();
        for _ in 0..N {
            let (shared, running, awake) = (Arc::clone(&shared), running.clone(), awake.clone());
            group.go(move || {
                let (mutex, cond) = &*shared;
                for round in 0..ROUNDS {
                    let mut held = mutex.lock();
                    running.send(()).expect("open");
                    while *held == round {
                        held = cond.wait(held);
                    }
                    awake.send(()).expect("open");
                }
            });
        }
        let (mutex, cond) = &*shared;
        for round in 0..ROUNDS {
            (0..N).for_each(|_| ready.recv().expect("open"));
            assert_eq!(woken.try_recv(), Err(TryRecvError::Empty));
            *mutex.lock() = round + 1;
            cond.broadcast();
            (0..N).for_each(|_| woken.recv().expect("open"));
        }
        group.wait();
    });
}

/// Go's `TestCondRace`: three Gs that hand a number from one to the next.
#[test]
fn three_gs_hand_a_number_on_through_one_condition() {
    run(2, || {
        let shared = Arc::new((Mutex::new(0), Cond::new()));
        let group = WaitGroup::new();
        for step in 0..3 {
            let shared = Arc::clone(&shared);
            group.go(move || {
                let (mutex, cond) = &*shared;
                for round in 0..100 {
                    let mut at = mutex.lock();
                    while *at != round * 3 + step {
                        at = cond.wait(at);
                    }
                    *at += 1;
                    cond.broadcast();
                }
            });
        }
        group.wait();
        assert_eq!(*shared.0.lock(), 300);
    });
}

/// Go's `TestCondSignalStealing`.
#[test]
fn a_waiter_that_was_there_is_not_robbed_by_one_that_comes() {
    run(4, || {
        for _ in 0..500 {
            let shared = Arc::new((Mutex::new(false), Cond::new()));
            let (there, seen) = channel::<()>(0);
            let theirs = Arc::clone(&shared);
            go(move || {
                let (mutex, cond) = &*theirs;
                let held = mutex.lock();
                there.send(()).expect("open");
                drop(cond.wait(held));
                there.send(()).expect("open");
            });
            seen.recv().expect("open");
            let (mutex, cond) = &*shared;
            // It held the mutex when it spoke, so it waits once this can be had.
            drop(mutex.lock());
            let theirs = Arc::clone(&shared);
            go(move || theirs.1.broadcast());
            let theirs = Arc::clone(&shared);
            let second = go(move || {
                let mut done = theirs.0.lock();
                while !*done {
                    done = theirs.1.wait(done);
                }
            });
            seen.recv().expect("the first is woken");
            *mutex.lock() = true;
            cond.broadcast();
            second.join().expect("no panic");
        }
    });
}

/// Go's `TestParallelReaders`.
#[test]
fn readers_are_inside_at_the_same_time() {
    for (procs, readers) in [(1, 4), (2, 4), (4, 8)] {
        run(procs, move || {
            let lock = Arc::new(RwLock::new(()));
            let (inside, locked) = channel::<()>(0);
            let (leave, stay) = channel::<()>(0);
            let gs: Vec<_> = (0..readers)
                .map(|_| {
                    let (lock, inside, stay) = (Arc::clone(&lock), inside.clone(), stay.clone());
                    go(move || {
                        let held = lock.read();
                        inside.send(()).expect("open");
                        stay.recv().expect("open");
                        drop(held);
                    })
                })
                .collect();
            (0..readers).for_each(|_| locked.recv().expect("open"));
            (0..readers).for_each(|_| leave.send(()).expect("open"));
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
            assert!(lock.try_write().is_some());
        });
    }
}

/// Go's `TestRWMutex`, `HammerRWMutex`.
#[test]
fn a_writer_is_alone() {
    for (procs, readers) in [(1, 1), (1, 3), (4, 10)] {
        run(procs, move || {
            // Each reader counts 1, a writer 10,000.
            let (lock, inside) = (Arc::new(RwLock::new(0u32)), Arc::new(AtomicI32::new(0)));
            let group = WaitGroup::new();
            for _ in 0..2 {
                let (lock, inside) = (Arc::clone(&lock), Arc::clone(&inside));
                group.go(move || {
                    for _ in 0..500 {
                        let mut held = lock.write();
                        assert_eq!(inside.fetch_add(10_000, Ordering::Relaxed), 0);
                        *held += 1;
                        yield_now();
                        inside.fetch_sub(10_000, Ordering::Relaxed);
                    }
                });
            }
            for _ in 0..readers {
                let (lock, inside) = (Arc::clone(&lock), Arc::clone(&inside));
                group.go(move || {
                    let mut last = 0;
                    for _ in 0..500 {
                        let held = lock.read();
                        let n = inside.fetch_add(1, Ordering::Relaxed);
                        assert!((0..10_000).contains(&n), "{n}");
                        assert!(*held >= last);
                        last = *held;
                        yield_now();
                        inside.fetch_sub(1, Ordering::Relaxed);
                    }
                });
            }
            group.wait();
            assert_eq!(Arc::into_inner(lock).map(RwLock::into_inner), Some(1_000));
        });
    }
}

#[test]
fn a_waiting_writer_keeps_new_readers_out_and_they_come_before_the_next_writer() {
    run(1, || {
        let (lock, order) = (Arc::new(RwLock::new(())), Arc::new(Mutex::new(Vec::new())));
        let reading = lock.read();
        let wait = |what: &'static str, write: bool| {
            let (lock, order) = (Arc::clone(&lock), Arc::clone(&order));
            until_parked(1, Tally::ParksSync, || {
                go(move || {
                    if write {
                        let held = lock.write();
                        order.lock().push(what);
                        drop(held);
                    } else {
                        let held = lock.read();
                        order.lock().push(what);
                        drop(held);
                    }
                })
            })
        };
        let gs = [
            wait("first writer", true),
            wait("second writer", true),
            wait("reader", false),
        ];
        assert!(lock.try_read().is_none(), "a writer waits");
        assert!(lock.try_write().is_none(), "it is read");
        drop(reading);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        assert_eq!(*order.lock(), ["first writer", "reader", "second writer"]);
    });
}

/// Go's `TestOnce` and `TestOncePanic`.
#[test]
fn once_is_once_also_by_a_panic() {
    run(4, || {
        let (once, n) = (Arc::new(Once::new()), Arc::new(AtomicU32::new(0)));
        let gs = [(); 10].map(|()| {
            let (once, n) = (Arc::clone(&once), Arc::clone(&n));
            go(move || {
                once.call_once(|| {
                    yield_now();
                    n.fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(n.load(Ordering::Relaxed), 1);
            })
        });
        gs.into_iter().for_each(|g| g.join().expect("no panic"));

        let once = Arc::new(Once::new());
        let theirs = Arc::clone(&once);
        assert!(
            go(move || theirs.call_once(|| panic!("expected")))
                .join()
                .is_err()
        );
        assert!(once.is_done());
        once.call_once(|| unreachable!("it was done"));
    });
}
