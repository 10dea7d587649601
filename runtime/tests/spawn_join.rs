//! Spawning, joining, yielding and panicking, through the public API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gmp_runtime::{Builder, Tally, go, stats, yield_now};

fn run<T: Send + 'static>(procs: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(f)
}

#[test]
fn results_come_back_from_every_number_of_ps() {
    for procs in [1, 2, 4, 16] {
        let sum = run(procs, || {
            let handles: Vec<_> = (0..1_000u64).map(|i| go(move || i * 2)).collect();
            handles
                .into_iter()
                .map(|h| h.join().expect("no panic"))
                .sum::<u64>()
        });
        assert_eq!(sum, 999_000);
    }
}

#[test]
fn a_thousand_runtimes_start_and_end() {
    for i in 0..1_000 {
        assert_eq!(
            run(1 + i % 4, move || go(move || i).join().expect("no panic")),
            i
        );
    }
}

#[test]
fn on_one_p_the_last_spawned_runs_first_and_the_others_in_order() {
    let order = run(1, || {
        let order = Arc::new(std::sync::Mutex::new(Vec::new()));
        let handles: Vec<_> = (0..10)
            .map(|i| {
                let order = Arc::clone(&order);
                go(move || order.lock().expect("no panic").push(i))
            })
            .collect();
        handles
            .into_iter()
            .for_each(|h| h.join().expect("no panic"));
        Arc::into_inner(order)
            .expect("all ended")
            .into_inner()
            .expect("no panic")
    });
    assert_eq!(order, [9, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn a_panic_reaches_who_joins_and_nobody_else() {
    run(2, || {
        let bad = go(|| -> u32 { panic!("on purpose") });
        let good = go(|| 7);
        let payload = bad.join().expect_err("it panicked");
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
        assert_eq!(good.join().expect("no panic"), 7);
    });
}

#[test]
fn a_g_may_yield_while_it_unwinds() {
    struct Yields(Arc<AtomicUsize>);
    impl Drop for Yields {
        fn drop(&mut self) {
            for _ in 0..10 {
                yield_now();
            }
            self.0
                .fetch_add(usize::from(std::thread::panicking()), Ordering::Relaxed);
        }
    }
    let unwound = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&unwound);
    run(4, move || {
        let handles: Vec<_> = (0..50)
            .map(|_| {
                let guard = Yields(Arc::clone(&count));
                go(move || {
                    let _guard = guard;
                    panic!("on purpose");
                })
            })
            .collect();
        for h in handles {
            let joined: std::thread::Result<()> = h.join();
            assert!(joined.is_err());
            assert!(!std::thread::panicking());
        }
    });
    assert_eq!(unwound.load(Ordering::Relaxed), 50);
}

#[test]
fn a_g_that_spins_on_yield_lets_others_go_on() {
    run(1, || {
        let flag = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&flag);
        go(move || theirs.store(1, Ordering::Release));
        while flag.load(Ordering::Acquire) == 0 {
            yield_now();
        }
    });
}

#[test]
fn the_counters_count() {
    let stats = run(1, || {
        let handles: Vec<_> = (0..600).map(|_| go(|| ())).collect();
        handles
            .into_iter()
            .for_each(|h| h.join().expect("no panic"));
        stats()
    });
    assert_eq!(stats.get(Tally::Spawns), 601);
    assert_eq!(stats.get(Tally::Exits), 600);
    // 256 in the ring, one in runnext: the next spawn pushes a G out of runnext onto a full ring.
    assert!(stats.get(Tally::Overflows) >= 2, "{stats:?}");
    assert_eq!(
        stats.get(Tally::OverflowedGs),
        128 * stats.get(Tally::Overflows)
    );
}

#[test]
fn handles_can_be_joined_by_threads() {
    let (tx, rx) = std::sync::mpsc::channel();
    let joiner = std::thread::spawn(move || {
        let handle: gmp_runtime::JoinHandle<u32> = rx.recv().expect("sent");
        handle.join().expect("no panic")
    });
    run(2, move || {
        let gate = gmp_runtime::channel::<()>(0);
        let (open, wait) = gate;
        tx.send(go(move || {
            wait.recv().expect("opened");
            5
        }))
        .expect("the thread waits");
        open.send(()).expect("the G waits");
        // The thread's wake-up is the G's last act before it ends.
        while gmp_runtime::num_goroutines() > 1 {
            yield_now();
        }
    });
    assert_eq!(joiner.join().expect("no panic"), 5);
}
