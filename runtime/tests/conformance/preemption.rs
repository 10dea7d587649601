//! A running G gives way when it has had its time, and when the world is to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpListener;
use gmp_runtime::sync::{Cond, Mutex, Once, RwLock, Semaphore, WaitGroup};
use gmp_runtime::{Builder, Tally, channel, checkpoint, go, preemptible, stats, yield_now};

/// How long a test waits for what must come before it says that it does not.
///
/// Less than the longest sleep of sysmon, which is no excuse.
const HANG: Duration = Duration::from_secs(45);

fn run<T: Send + 'static>(
    procs: usize,
    policy: &str,
    main: impl FnOnce() -> T + Send + 'static,
) -> T {
    let policy = policy.parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }
        .procs(procs)
        .policy(policy)
        .run(main)
}

/// Panics if what it belongs to takes too long.
struct Patience(Instant);

impl Patience {
    fn new() -> Patience {
        Patience(Instant::now())
    }

    fn check(&self, what: &str) {
        assert!(self.0.elapsed() < HANG, "{what}: {:?}", stats());
    }
}

/// Go: `TestPreemption`.
#[test]
fn two_gs_that_wait_busily_for_each_other_make_progress_on_one_p() {
    run(1, "", || {
        let turn = Arc::new(AtomicU32::new(0));
        let gs: Vec<_> = (0..2)
            .map(|me| {
                let turn = Arc::clone(&turn);
                go(move || {
                    for _ in 0..5 {
                        let patience = Patience::new();
                        while turn.load(Ordering::Relaxed) != me {
                            checkpoint();
                            patience.check("the other's turn");
                        }
                        turn.store(1 - me, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// A call, with its name. None of them waits for anything.
type Call = (&'static str, Box<dyn FnMut() + Send>);

/// Calls into the runtime that a loop may make without ever suspending by itself.
fn calls() -> Vec<Call> {
    let (tx, rx) = channel::<u32>(1);
    let (closed, _) = channel::<u32>(1);
    let (full, full_rx) = channel::<u32>(1);
    full.send(0).expect("open");
    let (mutex, held) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    std::mem::forget(held.lock());
    let (added, done, zero) = (WaitGroup::new(), WaitGroup::new(), WaitGroup::new());
    // As many as there can be.
    done.add(i32::MAX as usize);
    let ended = go(|| ());
    while !ended.is_finished() {
        yield_now();
    }
    let mut ticker = gmp_runtime::time::Ticker::new(Duration::from_nanos(1));
    let (tx2, rx2) = (tx.clone(), rx.clone());
    vec![
        ("checkpoint", Box::new(checkpoint)),
        ("current_g", Box::new(|| _ = gmp_runtime::current_g())),
        ("go", Box::new(|| _ = go(|| ()))),
        ("is_finished", Box::new(move || _ = ended.is_finished())),
        (
            "join",
            Box::new({
                // Each is over when it is joined; the one that spawned it went on.
                let mut over = None;
                move || {
                    if let Some(g) =
                        over.take_if(|g: &mut gmp_runtime::JoinHandle<()>| g.is_finished())
                    {
                        g.join().expect("no panic");
                    }
                    over.get_or_insert_with(|| go(|| ()));
                }
            }),
        ),
        ("procs", Box::new(|| _ = gmp_runtime::procs())),
        ("set_procs", Box::new(|| _ = gmp_runtime::set_procs(1))),
        ("stats", Box::new(|| _ = stats())),
        (
            "num_goroutines",
            Box::new(|| _ = gmp_runtime::num_goroutines()),
        ),
        ("num_threads", Box::new(|| _ = gmp_runtime::num_threads())),
        (
            "run_queues",
            Box::new(|| _ = gmp_runtime::inspect::run_queues()),
        ),
        ("syscall", Box::new(|| gmp_runtime::syscall(|| ()))),
        ("blocking", Box::new(|| gmp_runtime::blocking(|| ()))),
        (
            "preemptible",
            Box::new(|| {
                // SAFETY: it does nothing.
                unsafe { preemptible(|| ()) }
            }),
        ),
        (
            "sleep(0)",
            Box::new(|| gmp_runtime::time::sleep(Duration::ZERO)),
        ),
        ("tick", Box::new(move || _ = ticker.tick())),
        (
            "send and recv",
            Box::new(move || {
                tx.send(1).expect("open");
                rx.recv().expect("a value");
            }),
        ),
        ("try_send", Box::new(move || _ = full.try_send(1))),
        ("len", Box::new(move || _ = (tx2.len(), rx2.len()))),
        (
            "try_recv",
            Box::new({
                let (tx, rx) = channel::<u32>(1);
                move || _ = (&tx, rx.try_recv())
            }),
        ),
        ("close", Box::new(move || closed.close())),
        (
            "recv of a closed channel",
            Box::new({
                let (tx, rx) = channel::<u32>(0);
                tx.close();
                move || _ = (&full_rx, rx.recv())
            }),
        ),
        ("lock", Box::new(move || *mutex.lock() += 1)),
        (
            "try_lock",
            Box::new(move || assert!(held.try_lock().is_none())),
        ),
        ("channel", Box::new(|| _ = channel::<u32>(1))),
        (
            "capacity",
            Box::new({
                let (tx, rx) = channel::<u32>(1);
                move || _ = (tx.capacity(), rx.capacity())
            }),
        ),
        (
            "clone",
            Box::new({
                let (tx, rx) = channel::<u32>(1);
                move || _ = (tx.clone(), rx.clone())
            }),
        ),
        (
            "is_empty",
            Box::new({
                let (tx, rx) = channel::<u32>(1);
                move || _ = (tx.is_empty(), rx.is_empty())
            }),
        ),
        (
            "Semaphore::try_acquire",
            Box::new({
                let none = Semaphore::new(0);
                move || assert!(!none.try_acquire())
            }),
        ),
        (
            "Semaphore::available",
            Box::new({
                let none = Semaphore::new(0);
                move || assert_eq!(none.available(), 0)
            }),
        ),
        (
            "try_read",
            Box::new({
                let lock = RwLock::new(());
                move || _ = lock.try_read()
            }),
        ),
        (
            "try_write",
            Box::new({
                let lock = RwLock::new(());
                move || _ = lock.try_write()
            }),
        ),
        (
            "call_once",
            Box::new({
                let once = Once::new();
                move || once.call_once(|| ())
            }),
        ),
        (
            "is_done",
            Box::new({
                let once = Once::new();
                move || assert!(!once.is_done())
            }),
        ),
        (
            "lock_os_thread",
            Box::new(|| {
                gmp_runtime::lock_os_thread();
                gmp_runtime::unlock_os_thread();
            }),
        ),
        (
            "after",
            Box::new(|| _ = gmp_runtime::time::after(Duration::from_secs(60))),
        ),
        (
            "after_func",
            Box::new(|| {
                gmp_runtime::time::after_func(Duration::from_secs(60), || ()).stop();
            }),
        ),
        (
            "Timer::new",
            Box::new(|| _ = gmp_runtime::time::Timer::new(Duration::from_secs(60))),
        ),
        (
            "Ticker::new",
            Box::new(|| _ = gmp_runtime::time::Ticker::new(Duration::from_secs(60))),
        ),
        (
            "set_deadline",
            Box::new({
                let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
                move || listener.set_deadline(None)
            }),
        ),
        (
            "local_addr",
            Box::new({
                let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
                move || _ = listener.local_addr()
            }),
        ),
        ("metrics::all", Box::new(|| _ = gmp_runtime::metrics::all())),
        (
            "metrics::read",
            Box::new(|| _ = gmp_runtime::metrics::read()),
        ),
        ("dump", Box::new(|| _ = gmp_runtime::inspect::dump())),
        (
            "set_max_threads",
            Box::new(|| _ = gmp_runtime::set_max_threads(10_000)),
        ),
        ("current_g", Box::new(|| _ = gmp_runtime::current_g())),
        (
            "signal",
            Box::new({
                let cond = Cond::new();
                move || cond.signal()
            }),
        ),
        (
            "broadcast",
            Box::new({
                let cond = Cond::new();
                move || cond.broadcast()
            }),
        ),
        (
            "select",
            Box::new({
                let (tx, rx) = channel::<u32>(1);
                move || {
                    gmp_runtime::select! {
                        recv(rx) -> _ => drop(tx.clone()),
                        default => (),
                    }
                }
            }),
        ),
        ("WaitGroup::add", Box::new(move || added.add(1))),
        ("WaitGroup::done", Box::new(move || done.done())),
        ("WaitGroup::wait", Box::new(move || zero.wait())),
    ]
}

/// On one P, a G that makes one call over and over gives way to a G that it spawned before, for each call that there is.
#[test]
fn every_call_into_the_runtime_is_a_safe_point() {
    run(1, "time_slice=500us,sysmon_max=500us", || {
        for (name, mut call) in calls() {
            let ran = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&ran);
            let other = go(move || theirs.store(true, Ordering::Relaxed));
            let patience = Patience::new();
            while !ran.load(Ordering::Relaxed) {
                call();
                assert!(patience.0.elapsed() < HANG, "{name} is no safe point");
            }
            other.join().expect("no panic");
        }
    });
}

/// Nothing runs for a while, so sysmon sleeps; what runs then is preempted all the same.
#[test]
fn a_g_that_wakes_an_idle_runtime_is_preempted() {
    // By a timer, and by the end of a call that gave its P up.
    let wake_ups: [fn(); 2] = [
        || gmp_runtime::time::sleep(Duration::from_millis(50)),
        || {
            gmp_runtime::blocking(|| {
                while !gmp_runtime::inspect::dump().contains("sysmon_sleeps=1") {
                    std::thread::yield_now();
                }
            })
        },
    ];
    for wait in wake_ups {
        run(1, "time_slice=1ms", move || {
            wait();
            let ran = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&ran);
            let other = go(move || theirs.store(true, Ordering::Relaxed));
            let patience = Patience::new();
            while !ran.load(Ordering::Relaxed) {
                checkpoint();
                patience.check("sysmon sleeps on");
            }
            other.join().expect("no panic");
        });
    }
}

/// Go: `TestPreemptionGC`.
#[test]
fn a_stop_of_the_world_stops_busy_gs() {
    run(6, "", || {
        let busy = crate::Busy::start(5);
        let patience = Patience::new();
        for i in 0..10 {
            yield_now();
            // For the one reason and the other; it returns when all have stopped.
            gmp_runtime::inspect::run_queues();
            gmp_runtime::set_procs(5 + i % 2);
            patience.check("the world does not stop");
        }
        assert!(stats().get(Tally::Stws) >= 20);
        busy.end();
    });
}

/// Half of a stack.
#[inline(never)]
fn large_frame(stop: &AtomicBool, began: &AtomicBool) -> u8 {
    let mut frame = [0u8; 32 << 10];
    std::hint::black_box(&mut frame);
    began.store(true, Ordering::Relaxed);
    let mut i = 0;
    while !stop.load(Ordering::Relaxed) {
        i = (i + 4097) % frame.len();
        frame[i] = frame[i].wrapping_add(1);
    }
    std::hint::black_box(&frame)[0]
}

/// Go: `TestPreemptSplitBig`.
#[test]
fn a_function_with_a_large_frame_is_stopped() {
    run(2, "time_slice=10s", || {
        let (stop, began) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let theirs = (Arc::clone(&stop), Arc::clone(&began));
        // SAFETY: it works on its own frame, within its bounds.
        let g = go(move || unsafe { preemptible(|| large_frame(&theirs.0, &theirs.1)) });
        let patience = Patience::new();
        while !began.load(Ordering::Relaxed) {
            yield_now();
            patience.check("it does not start");
        }
        gmp_runtime::inspect::run_queues();
        assert_eq!(stats().get(Tally::AsyncPreempts), 1);
        stop.store(true, Ordering::Relaxed);
        g.join().expect("no panic");
    });
}

/// Go: `TestAsyncPreempt`.
#[test]
fn loops_without_calls_on_one_p_are_stopped_and_others_run() {
    run(1, "", || {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Arc::new(AtomicU32::new(0));
        let begin = || {
            let (stop, began) = (Arc::clone(&stop), Arc::clone(&began));
            move || {
                began.fetch_add(1, Ordering::Relaxed);
                stop
            }
        };
        // With a frame and something to compute, with nothing but a flag, and with nothing at all: that one never ends.
        let (computes, frameless, empty) = (begin(), begin(), begin());
        let computes = go(move || {
            let stop = computes();
            let mut x = 1u64;
            // SAFETY: its own variable and an atomic.
            unsafe {
                preemptible(|| {
                    while !stop.load(Ordering::Relaxed) {
                        x = std::hint::black_box(x.wrapping_mul(3));
                    }
                });
            }
            x
        });
        let frameless = go(move || {
            let stop = frameless();
            // SAFETY: an atomic.
            unsafe { preemptible(|| while !stop.load(Ordering::Relaxed) {}) }
        });
        go(move || {
            empty();
            // SAFETY: it does nothing.
            unsafe {
                preemptible(|| {
                    #[allow(clippy::empty_loop, reason = "that is the point")]
                    loop {}
                })
            }
        });
        let patience = Patience::new();
        while began.load(Ordering::Relaxed) < 3 {
            yield_now();
            patience.check("a loop starves another");
        }
        for n in [2, 1, 2, 1] {
            gmp_runtime::set_procs(n);
            patience.check("a loop holds up a stop of the world");
        }
        assert!(stats().get(Tally::AsyncPreempts) >= 3);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(computes.join().expect("no panic") % 2, 1);
        frameless.join().expect("no panic");
    });
}

/// Go: `TestGCFairness`, `TestGCFairness2`.
#[test]
fn gs_that_only_do_system_calls_do_not_starve_each_other() {
    run(1, "", || {
        let stop = Arc::new(AtomicBool::new(false));
        let counts: Vec<_> = (0..3).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let gs: Vec<_> = counts
            .iter()
            .map(|count| {
                let (count, stop) = (Arc::clone(count), Arc::clone(&stop));
                go(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // SAFETY: no memory is passed.
                        gmp_runtime::syscall(|| unsafe { libc::syscall(libc::SYS_getppid) });
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let patience = Patience::new();
        // All get on, three times after all have got on.
        for _ in 0..3 {
            let before: Vec<_> = counts.iter().map(|c| c.load(Ordering::Relaxed)).collect();
            let got_on = || {
                let now = counts.iter().map(|c| c.load(Ordering::Relaxed));
                now.zip(&before).all(|(now, before)| now > *before)
            };
            while !got_on() {
                yield_now();
                patience.check("one starves");
            }
        }
        stop.store(true, Ordering::Relaxed);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Go: `TestPingPongHog`.
#[test]
fn a_pair_that_hands_over_quickly_shares_its_time_slice() {
    let (heavy, light) = run(1, "", || {
        let pair = |work: u64| {
            let (tx, rx) = channel::<()>(0);
            let count = Arc::new(AtomicU64::new(0));
            for _ in 0..2 {
                let (tx, rx, count) = (tx.clone(), rx.clone(), Arc::clone(&count));
                go(move || {
                    while rx.recv().is_ok() {
                        for _ in 0..work {
                            count.fetch_add(1, Ordering::Relaxed);
                        }
                        if tx.send(()).is_err() {
                            return;
                        }
                    }
                });
            }
            (tx, count)
        };
        let (heavy, heavy_count) = pair(1_000_000);
        let (light, light_count) = pair(1_000);
        heavy.send(()).expect("open");
        light.send(()).expect("open");
        // Each pair has had its time slice ten times or so.
        let patience = Patience::new();
        // Seldom: who is woken takes the place of a G that would have gone on with its time slice, and that begins a new one.
        while stats().get(Tally::Preempts) < 20 {
            gmp_runtime::time::sleep(Duration::from_millis(100));
            patience.check("nobody is preempted");
        }
        heavy.close();
        light.close();
        (
            heavy_count.load(Ordering::Relaxed),
            light_count.load(Ordering::Relaxed),
        )
    });
    assert!(
        heavy > 0 && light > 0 && heavy / light.max(1) < 20 && light / heavy.max(1) < 20,
        "heavy {heavy}, light {light}"
    );
}

/// Go: `TestPreemptionAfterSyscall`.
#[test]
fn gs_in_short_system_calls_let_others_start_and_end() {
    for call in [10, 100, 1000].map(Duration::from_micros) {
        run(2, "", move || {
            for _ in 0..10 {
                let began = Instant::now();
                let (tx, rx) = channel::<()>(8);
                let stop = Arc::new(AtomicBool::new(false));
                for _ in 0..8 {
                    let (tx, stop) = (tx.clone(), Arc::clone(&stop));
                    go(move || {
                        tx.send(()).expect("open");
                        while !stop.load(Ordering::Relaxed) {
                            gmp_runtime::syscall(|| std::thread::sleep(call));
                        }
                        tx.send(()).expect("open");
                    });
                }
                (0..8).for_each(|_| rx.recv().expect("it starts"));
                stop.store(true, Ordering::Relaxed);
                (0..8).for_each(|_| rx.recv().expect("it ends"));
                assert!(began.elapsed() < Duration::from_secs(5), "{call:?}");
            }
        });
    }
}
