//! What threads ask for of a runtime that has ended: nothing of it runs any more, and who asked would wait for ever.

use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gmp_runtime::{Builder, channel, go, net, num_goroutines, stats, time};

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
    // Another one is there for all of it.
    // SAFETY: as above.
    unsafe { Builder::new() }.run(|| {
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
