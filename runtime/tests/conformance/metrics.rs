//! The runtime's metrics agree with what a program does. Go: `metrics_test.go`, `proc_test.go`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use gmp_runtime::metrics::{self, Metrics};
use gmp_runtime::sync::Mutex;
use gmp_runtime::{
    Builder, blocking, channel, checkpoint, go, inspect, num_goroutines, set_procs, stats, time,
    yield_now,
};

use crate::run;

fn number(metrics: &Metrics, name: &str) -> u64 {
    metrics
        .number(name)
        .expect("a metric that is a whole number")
}

/// Reads until the metric is in the range: states are approximate while they change.
fn until(name: &str, range: std::ops::RangeInclusive<u64>) {
    let began = Instant::now();
    loop {
        let now = number(&metrics::read(), name);
        if range.contains(&now) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{name} is {now}");
        checkpoint();
    }
}

#[test]
fn the_number_of_gs_is_1_at_the_start_and_counts_each() {
    run(2, || {
        assert_eq!(num_goroutines(), 1);
        let (tx, rx) = channel::<u32>(0);
        let gs: Vec<_> = (0..100)
            .map(|_| {
                let rx = rx.clone();
                go(move || rx.recv())
            })
            .collect();
        assert_eq!(num_goroutines(), 101);
        assert_eq!(
            number(&metrics::read(), "/sched/goroutines:goroutines"),
            101
        );
        (0..100).for_each(|i| tx.send(i).expect("open"));
        gs.into_iter()
            .for_each(|g| assert!(g.join().expect("no panic").is_ok()));
        // Who is joined has left its result, and ends right after.
        while num_goroutines() != 1 {
            yield_now();
        }
    });
}

const STATES: &str = "/sched/goroutines/";

#[test]
fn waiting_gs_are_counted() {
    run(2, || {
        let before = number(&metrics::read(), "/sched/goroutines-created:goroutines");
        let (tx, rx) = channel::<u32>(0);
        let gs: Vec<_> = (0..1_000)
            .map(|_| {
                let rx = rx.clone();
                go(move || rx.recv().is_err())
            })
            .collect();
        until(&format!("{STATES}waiting:goroutines"), 1_000..=1_000);
        until(&format!("{STATES}running:goroutines"), 1..=1);
        until(&format!("{STATES}runnable:goroutines"), 0..=0);
        let after = number(&metrics::read(), "/sched/goroutines-created:goroutines");
        assert_eq!(after - before, 1_000);
        drop(tx);
        gs.into_iter()
            .for_each(|g| assert!(g.join().expect("no panic")));
    });
}

#[test]
fn runnable_gs_are_counted() {
    // Those that the running G has spawned wait for the one P; some have gone to the global queue.
    let policy = "time_slice=10s".parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(1).policy(policy).run(|| {
        let gs: Vec<_> = (0..700).map(|_| go(|| ())).collect();
        let now = metrics::read();
        assert_eq!(number(&now, &format!("{STATES}runnable:goroutines")), 700);
        assert_eq!(number(&now, &format!("{STATES}running:goroutines")), 1);
        assert_eq!(number(&now, &format!("{STATES}waiting:goroutines")), 0);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn running_gs_are_counted() {
    run(4, || {
        let busy = crate::Busy::start(3);
        until(&format!("{STATES}running:goroutines"), 4..=4);
        busy.end();
    });
}

#[test]
fn gs_in_system_calls_and_their_threads_are_counted() {
    run(2, || {
        let barrier = Arc::new(Barrier::new(21));
        let gs: Vec<_> = (0..20)
            .map(|i| {
                let barrier = Arc::clone(&barrier);
                let wait = move || barrier.wait();
                // Both kinds: those whose P is taken, and those that give it away.
                go(move || {
                    if i % 2 == 0 {
                        blocking(wait);
                    } else {
                        gmp_runtime::syscall(wait);
                    }
                })
            })
            .collect();
        until(&format!("{STATES}not-in-go:goroutines"), 20..=20);
        let now = metrics::read();
        // One for each, one for this, sysmon.
        assert!(number(&now, "/sched/threads/total:threads") >= 22);
        assert_eq!(number(&now, "/sched/gomaxprocs:threads"), 2);
        blocking(|| barrier.wait());
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        until(&format!("{STATES}not-in-go:goroutines"), 0..=0);
    });
}

#[test]
fn one_of_eight_ways_to_run_is_timed() {
    run(1, || {
        let total = || {
            let now = metrics::read();
            now.histogram("/sched/latencies:seconds")
                .expect("a histogram")
                .total()
        };
        let before = total();
        (0..8_000).for_each(|_| yield_now());
        let timed = total() - before;
        assert!((990..=1_010).contains(&timed), "{timed}");
    });
}

#[test]
fn how_long_gs_wait_to_run_is_seen() {
    run(1, || {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        // Each yield of this one waits for a turn of that one, of a millisecond.
        let busy = go(move || {
            while !theirs.load(Ordering::Relaxed) {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(1) {
                    std::hint::spin_loop();
                }
                yield_now();
            }
        });
        (0..40).for_each(|_| yield_now());
        let now = metrics::read();
        stop.store(true, Ordering::Relaxed);
        busy.join().expect("no panic");
        let latencies = now
            .histogram("/sched/latencies:seconds")
            .expect("a histogram");
        let long: u64 = latencies
            .counts
            .iter()
            .zip(&latencies.buckets)
            .filter(|(_, from)| **from >= 0.000_8)
            .map(|(n, _)| n)
            .sum();
        assert!(long >= 4, "{long}");
    });
}

#[test]
fn each_stop_of_the_world_is_counted() {
    run(2, || {
        let totals = || {
            let now = metrics::read();
            ["stopping", "total"].map(|what| {
                let name = format!("/sched/pauses/{what}/other:seconds");
                now.histogram(&name).expect("a histogram").total()
            })
        };
        let [stopping, total] = totals();
        inspect::run_queues();
        assert_eq!(totals(), [stopping + 1, total + 1]);
        set_procs(3);
        assert_eq!(totals(), [stopping + 2, total + 2]);
        // That is the number already.
        set_procs(3);
        assert_eq!(totals(), [stopping + 2, total + 2]);
    });
}

#[test]
fn sleeping_is_idle_time() {
    run(2, || {
        let read = || {
            let now = metrics::read();
            ["idle", "user", "total"].map(|class| {
                let name = format!("/cpu/classes/{class}:cpu-seconds");
                now.float(&name).expect("a number")
            })
        };
        // A machine that is busy with other things may keep a P from being given back: as in Go's test, some tries.
        let mut shares = Vec::new();
        for _ in 0..20 {
            let [idle_before, user_before, total_before] = read();
            time::sleep(Duration::from_millis(100));
            let [idle, user, total] = read();
            let (idle, user, total) =
                (idle - idle_before, user - user_before, total - total_before);
            assert!(total >= 0.2, "two Ps for 100 ms: {total}");
            assert!((idle + user - total).abs() < 1e-6);
            shares.push(user / total);
            if user / total < 0.1 {
                return;
            }
        }
        panic!("not idle: {shares:?}");
    });
}

#[test]
fn waiting_for_a_mutex_adds_to_its_metric() {
    run(2, || {
        let waited = || {
            metrics::read()
                .float("/sync/mutex/wait/total:seconds")
                .expect("a number")
        };
        let before = waited();
        let began = Instant::now();
        let mutex = Arc::new(Mutex::new(()));
        // One of eight waits is timed.
        while waited() == before {
            assert!(began.elapsed() < Duration::from_secs(60));
            let held = mutex.lock();
            let waits = Arc::new(AtomicU64::new(0));
            let (theirs, begins) = (Arc::clone(&mutex), Arc::clone(&waits));
            let g = go(move || {
                begins.store(1, Ordering::Relaxed);
                drop(theirs.lock());
            });
            while waits.load(Ordering::Relaxed) == 0 {
                yield_now();
            }
            time::sleep(Duration::from_millis(2));
            drop(held);
            g.join().expect("no panic");
        }
        // Eight times what was timed, and no other wait was longer than all of this.
        assert!(waited() - before <= 8.0 * began.elapsed().as_secs_f64());
    });
}

#[test]
fn the_runtimes_own_counters_have_names_too() {
    run(1, || {
        (0..10).for_each(|_| yield_now());
        let now = metrics::read();
        for (tally, _) in stats().iter() {
            let path = format!("/gmp/{}:", tally.name().replace('_', "-"));
            assert!(now.iter().any(|(d, _)| d.name.starts_with(&path)), "{path}");
        }
        assert!(number(&now, "/gmp/yields:yields") >= 10);
    });
}
