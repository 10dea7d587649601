//! What threads ask for of a runtime that has ended: nothing of it runs any more, and who asked would wait for ever.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use gmp_runtime::{
    Builder, blocking, channel, go, net, num_goroutines, procs, set_procs, stats, time, yield_now,
};

/// One at a time: whether a runtime runs is the process's.
static ALONE: Mutex<()> = Mutex::new(());

fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(f).expect_err("nothing would do it");
    *payload.downcast::<String>().unwrap_or_else(|other| {
        Box::new((*other.downcast::<&str>().expect("a message")).to_owned())
    })
}

#[test]
fn nothing_is_spawned_or_timed_after_the_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.run(|| go(|| ()).join().expect("no panic"));
    let spawned = message(|| drop(go(|| ())));
    assert!(spawned.contains("no gmp runtime runs"), "{spawned}");
    let timed = message(|| drop(time::after_func(Duration::ZERO, || ())));
    assert!(timed.contains("no gmp runtime runs"), "{timed}");
    // What it did can still be asked.
    assert_eq!(stats().get(gmp_runtime::Tally::Spawns), 2);
    assert_eq!(num_goroutines(), 0);
    // Another one is there for all of it. Its main G keeps its P while it waits for the thread.
    // SAFETY: as above.
    unsafe { Builder::new() }.procs(2).run(|| {
        std::thread::spawn(|| go(|| 7).join().expect("no panic"))
            .join()
            .expect("no panic")
    });
}

#[test]
fn a_timer_of_a_runtime_that_has_ended_can_be_set_in_the_next() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (tx, rx) = channel(1);
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    let timer = unsafe { Builder::new() }.run(move || {
        time::after_func(Duration::from_secs(3600), move || {
            tx.try_send(7).expect("room");
        })
    });
    assert!(!timer.stop(), "it fires no more");
    // SAFETY: as above.
    unsafe { Builder::new() }.run(move || {
        assert!(!timer.reset(Duration::ZERO));
        assert_eq!(rx.recv(), Ok(7));
    });
}

#[test]
fn a_ticker_that_gs_of_an_ended_runtime_wait_for_ticks_in_the_next() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    let ticker = unsafe { Builder::new() }.run(|| {
        let ticker = Arc::new(time::Ticker::new(Duration::from_millis(20)));
        let theirs = Arc::clone(&ticker);
        go(move || while theirs.chan().recv().is_ok() {});
        ticker.chan().recv().expect("it ticks");
        ticker
    });
    // SAFETY: as above.
    unsafe { Builder::new() }.run(move || {
        for _ in 0..3 {
            ticker.chan().recv().expect("it ticks");
        }
    });
}

#[test]
fn waiting_for_a_socket_of_a_runtime_that_has_ended_is_an_error() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = || net::TcpListener::bind("127.0.0.1:0").expect("a port");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    let listener = unsafe { Builder::new() }.run(listener);
    let to = listener.local_addr().expect("bound");
    // SAFETY: as above.
    unsafe { Builder::new() }.run(move || {
        let waited = listener.accept().map(drop).expect_err("nobody would say");
        assert!(waited.to_string().contains("has ended"), "{waited}");
        // What needs no waiting goes on.
        let _client = std::net::TcpStream::connect(to).expect("it listens");
        listener.accept().expect("a connection");
    });
}

/// A G is in a call when its runtime ends, and goes on: what it does to timers then is done in the next runtime, or not at all.
#[test]
fn what_still_runs_of_an_ended_runtime_touches_no_timer_of_the_next() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (fired, fires) = mpsc::channel();
    let (goes_on, go_on) = mpsc::channel::<()>();
    let (done, is_done) = mpsc::channel();
    // The G is in its call before the main G goes on: there is one P, and nobody has to give it up.
    let policy = "time_slice=10s".parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    let runtime = unsafe { Builder::new() }.procs(1).policy(policy);
    let timer = runtime.run(move || {
        let name = |name| {
            let fired = fired.clone();
            move || fired.send(name).expect("wanted")
        };
        let timer = time::after_func(Duration::from_secs(3600), name("stopped"));
        let marker = name("marker");
        let (begins, began) = channel(1);
        go(move || {
            begins.send(()).expect("open");
            blocking(move || {
                go_on.recv().expect("told to");
                // So many stopped ones that a heap is tidied.
                let stopped = (0..200).map(|_| {
                    let timer = time::after_func(Duration::from_secs(3600), || ());
                    timer.stop();
                    timer
                });
                drop(stopped.collect::<Vec<_>>());
                time::after_func(Duration::from_millis(2), marker);
                done.send(()).expect("wanted");
            });
        });
        began.recv().expect("it begins");
        timer
    });
    // SAFETY: as above.
    unsafe { Builder::new() }.procs(1).run(move || {
        assert!(!timer.reset(Duration::from_millis(1)));
        assert!(timer.stop());
        goes_on.send(()).expect("it waits");
        blocking(|| is_done.recv()).expect("it goes on");
        // Its runtime has ended, so its timer is one of this.
        assert_eq!(blocking(|| fires.recv()), Ok("marker"));
    });
}

/// What a thread takes out of the heaps of Ps that go may be the last of it, and the runtime may end before it is dropped.
#[test]
fn a_thread_that_resizes_while_the_runtime_ends_does_not_panic() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..5 {
        let policy = "timers=spread".parse().expect("a policy");
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        let runtime = unsafe { Builder::new() }.procs(4).policy(policy);
        let thread = runtime.run(|| {
            let held = Arc::new(());
            let timers: Vec<_> = (0..4_000)
                .map(|_| {
                    let held = Arc::clone(&held);
                    time::after_func(Duration::from_secs(3600), move || _ = &held)
                })
                .collect();
            timers.iter().for_each(|timer| _ = timer.stop());
            let thread = std::thread::spawn(|| _ = set_procs(1));
            drop(timers);
            while procs() != 1 {
                yield_now();
            }
            thread
        });
        thread.join().expect("no panic");
    }
}
