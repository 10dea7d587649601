//! Gs that are locked to their threads. Go: `proc_test.go`, `crash_cgo_test.go`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use gmp_runtime::{
    blocking, channel, go, inspect, lock_os_thread, num_threads, set_procs, time, unlock_os_thread,
    yield_now,
};
use gmp_testing::program::{command, is_part, succeed};

use crate::run;

fn thread() -> ThreadId {
    std::thread::current().id()
}

fn tid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

#[test]
fn a_locked_g_that_yields_sees_what_is_sent() {
    for locked in [false, true] {
        run(1, move || {
            let (tx, rx) = channel::<()>(1);
            let (done, is_done) = channel::<()>(0);
            go(move || {
                if locked {
                    lock_os_thread();
                }
                while rx.try_recv().is_err() {
                    yield_now();
                }
                done.send(()).expect("open");
            });
            (0..10).for_each(|_| yield_now());
            tx.send(()).expect("room");
            is_done.recv().expect("it saw it");
        });
    }
}

#[test]
fn a_locked_g_may_yield_and_sleep_and_end_as_such() {
    run(2, || {
        let g = go(|| {
            lock_os_thread();
            let mine = thread();
            for _ in 0..10 {
                yield_now();
                assert_eq!(thread(), mine);
                time::sleep(Duration::from_millis(1));
                assert_eq!(thread(), mine);
            }
        });
        g.join().expect("no panic");
    });
}

#[test]
fn a_locked_g_blocks_on_a_channel_again_and_again() {
    run(2, || {
        let (tx, rx) = channel::<u32>(0);
        let g = go(move || {
            lock_os_thread();
            let mine = thread();
            for i in 0..10 {
                assert_eq!(rx.recv(), Ok(i));
                assert_eq!(thread(), mine);
            }
            unlock_os_thread();
        });
        for i in 0..10 {
            tx.send(i).expect("open");
        }
        g.join().expect("no panic");
    });
}

#[test]
fn locks_nest_and_the_last_unlock_undoes_them() {
    // One P: who joins makes room for the joined G, on the same thread unless that is locked.
    run(1, || {
        let child = || go(thread).join().expect("no panic");
        let mine = thread();
        assert_eq!(child(), mine);
        lock_os_thread();
        lock_os_thread();
        assert_ne!(child(), mine);
        unlock_os_thread();
        assert_ne!(child(), mine);
        assert_eq!(thread(), mine);
        unlock_os_thread();
        assert_eq!(child(), thread());
        // One more undoes nothing.
        unlock_os_thread();
        assert_eq!(child(), thread());
    });
}

#[test]
fn outside_a_runtime_there_is_nothing_to_lock() {
    lock_os_thread();
    unlock_os_thread();
}

/// Waits until the kernel knows no such thread of this process any more.
fn until_gone(tid: i32) {
    let task = format!("/proc/self/task/{tid}");
    while Path::new(&task).exists() {
        yield_now();
    }
}

#[test]
fn the_thread_of_a_g_that_ends_locked_ends() {
    run(2, || {
        for _ in 0..50 {
            let g = go(|| {
                lock_os_thread();
                tid()
            });
            until_gone(g.join().expect("no panic"));
        }
        // And the others go on.
        assert!((1..=4).contains(&num_threads()), "{}", num_threads());
    });
}

#[test]
fn the_thread_of_a_g_that_unlocks_in_time_stays() {
    run(1, || {
        let mine = tid();
        let g = go(|| {
            lock_os_thread();
            lock_os_thread();
            unlock_os_thread();
            unlock_os_thread();
            tid()
        });
        assert_eq!(g.join().expect("no panic"), mine);
        assert_eq!(tid(), mine);
    });
}

#[test]
fn the_thread_of_a_locked_g_that_panics_ends() {
    run(2, || {
        let (tx, rx) = channel::<i32>(1);
        let g = go(move || {
            lock_os_thread();
            tx.send(tid()).expect("room");
            std::panic::resume_unwind(Box::new("as asked"));
        });
        g.join().expect_err("it panics");
        until_gone(rx.recv().expect("sent"));
    });
}

/// Suspends while it unwinds, and undoes its lock there.
#[test]
fn a_locked_g_that_unwinds_stays_on_its_thread() {
    struct Suspends(ThreadId, Arc<AtomicU32>);
    impl Drop for Suspends {
        fn drop(&mut self) {
            for _ in 0..3 {
                yield_now();
                self.1
                    .fetch_add(u32::from(thread() == self.0), Ordering::Relaxed);
                unlock_os_thread();
            }
        }
    }
    run(2, || {
        let same = Arc::new(AtomicU32::new(0));
        for _ in 0..20 {
            let same = Arc::clone(&same);
            let g = go(move || {
                lock_os_thread();
                let _suspends = Suspends(thread(), same);
                std::panic::resume_unwind(Box::new("as asked"));
            });
            assert_eq!(
                *g.join()
                    .expect_err("it panics")
                    .downcast::<&str>()
                    .expect("a text"),
                "as asked"
            );
        }
        assert_eq!(same.load(Ordering::Relaxed), 60);
    });
}

/// Whether the calling thread blocks a signal that nobody else here does.
fn is_marked() -> bool {
    // SAFETY: an all-zero set is valid, the kernel writes at most its size, and changing nothing is always allowed.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        assert_eq!(
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut set),
            0
        );
        libc::sigismember(&raw const set, libc::SIGRTMAX()) == 1
    }
}

/// Changes the state of the calling thread: a new thread would inherit it.
fn mark() {
    // SAFETY: as above.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGRTMAX());
        assert_eq!(
            libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()),
            0
        );
    }
}

#[test]
fn new_threads_inherit_nothing_of_a_locked_one() {
    for ends_marked in [false, true] {
        run(1, move || {
            let marked = go(move || {
                lock_os_thread();
                mark();
                let inherited = std::thread::spawn(is_marked).join().expect("no panic");
                assert!(inherited && is_marked(), "a thread inherits its mask");
                if ends_marked {
                    // The P is handed off by the thread that ends, which makes the M for this one.
                    return Vec::from([go(is_marked)]);
                }
                // Each blocks its thread until all do, so each needs one of its own; the marked thread starts the first.
                let all = Arc::new(Barrier::new(8));
                let gs = (0..8).map(|_| {
                    let all = Arc::clone(&all);
                    go(move || {
                        blocking(|| all.wait());
                        is_marked()
                    })
                });
                let seen: Vec<_> = gs.collect::<Vec<_>>();
                let seen = seen.into_iter().map(|g| g.join().expect("no panic"));
                assert_eq!(seen.filter(|marked| *marked).count(), 0);
                Vec::new()
            });
            for g in marked.join().expect("no panic") {
                assert!(!g.join().expect("no panic"));
            }
        });
    }
}

#[test]
fn many_lock_for_the_first_time_at_once() {
    for _ in 0..50 {
        run(4, || {
            let gs: Vec<_> = (0..8)
                .map(|_| {
                    go(|| {
                        lock_os_thread();
                        go(thread).join().expect("no panic") != thread()
                    })
                })
                .collect();
            for g in gs {
                assert!(g.join().expect("no panic"));
            }
        });
    }
}

#[test]
fn threads_end_while_the_world_stops() {
    run(4, || {
        let stop = Arc::new(AtomicBool::new(false));
        let stoppers: Vec<_> = (0..2)
            .map(|i| {
                let stop = Arc::clone(&stop);
                go(move || {
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        if i == 0 {
                            set_procs(2 + n % 3);
                        } else {
                            inspect::run_queues();
                        }
                        n += 1;
                    }
                })
            })
            .collect();
        for _ in 0..100 {
            let gs: Vec<_> = (0..4).map(|_| go(lock_os_thread)).collect();
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
        }
        stop.store(true, Ordering::Relaxed);
        stoppers
            .into_iter()
            .for_each(|g| g.join().expect("no panic"));
    });
}

/// Locked and other Gs hand values on, while the number of Ps changes: nothing is lost, and who is locked stays.
#[test]
fn locked_gs_work_under_load() {
    run(3, || {
        let moved = Arc::new(Mutex::new(0));
        let (first, mut input) = channel::<u64>(0);
        let mut gs = Vec::new();
        for i in 0..8 {
            let (output, next) = channel::<u64>(i % 3);
            let moved = Arc::clone(&moved);
            let from = std::mem::replace(&mut input, next);
            gs.push(go(move || {
                if i % 2 == 0 {
                    lock_os_thread();
                }
                let mine = thread();
                for value in from.iter() {
                    if i % 2 == 0 && thread() != mine {
                        *moved.lock().expect("no panic") += 1;
                    }
                    output.send(value + 1).expect("open");
                }
            }));
        }
        go(move || {
            for n in 0..500 {
                first.send(n).expect("open");
                if n % 50 == 0 {
                    set_procs(1 + n as usize / 50 % 4);
                }
            }
        });
        let got: Vec<u64> = input.iter().collect();
        assert!(got.iter().copied().eq((0..500).map(|n| n + 8)));
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        assert_eq!(*moved.lock().expect("no panic"), 0);
    });
}

#[test]
fn the_process_ends_though_locked_gs_wait() {
    if is_part("abandons") {
        return run(2, || {
            let (_tx, rx) = channel::<u32>(0);
            let (ready, is_ready) = channel::<()>(1);
            go(move || {
                lock_os_thread();
                ready.send(()).expect("room");
                let _ = rx.recv();
            });
            is_ready.recv().expect("sent");
        });
    }
    let test = "threads::the_process_ends_though_locked_gs_wait";
    succeed(&mut command(test, "abandons"));
}
