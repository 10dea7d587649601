//! Two runtimes at once: what belongs to the one works for the Gs of the other.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use gmp_runtime::net::TcpListener;
use gmp_runtime::{Builder, blocking, go, inspect, lock_os_thread, set_procs, unlock_os_thread};

fn run<T: Send + 'static>(procs: usize, main: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(main)
}

/// One at a time: a runtime that was started last is the one that is dumped.
static ALONE: Mutex<()> = Mutex::new(());

/// The Ps of the first are idle or in a call all the time: only its poller can tell.
#[test]
fn a_socket_wakes_threads_and_gs_of_another_runtime() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (made, listener) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let first = thread::spawn(move || {
        run(2, move || {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
            made.send(listener).expect("wanted");
            blocking(move || _ = ends.recv());
        });
    });
    let listener = listener.recv().expect("it begins");
    let to = listener.local_addr().expect("bound");
    run(2, move || {
        let theirs = Arc::clone(&listener);
        let g = go(move || theirs.accept().map(drop));
        let client = thread::spawn(move || TcpStream::connect(to));
        g.join().expect("no panic").expect("a connection");
        drop(client.join());
        let thread = thread::spawn(move || listener.accept().map(drop));
        drop(TcpStream::connect(to).expect("it listens"));
        let served = blocking(|| thread.join());
        served.expect("no panic").expect("a connection");
    });
    drop(end);
    first.join().expect("no panic");
}

/// The first has one P and no M that is parked: a thread is made for it on behalf of a G of the other that is locked to its own.
#[test]
fn a_locked_g_gets_another_runtime_a_thread() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (made, listeners) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let first = thread::spawn(move || {
        run(1, move || {
            let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
            made.send([bind(), bind()]).expect("wanted");
            blocking(move || _ = ends.recv());
        });
    });
    let [never, listener] = listeners.recv().expect("it begins");
    // Its second M, the first one after that in the call, polls.
    thread::spawn(move || never.accept().map(drop));
    while !inspect::dump().contains("last_poll=0 ") {
        thread::yield_now();
    }
    let to = listener.local_addr().expect("bound");
    run(2, move || {
        let g = go(move || {
            lock_os_thread();
            let accepted = listener.accept().map(drop);
            unlock_os_thread();
            accepted
        });
        let client = thread::spawn(move || {
            while !inspect::dump().contains("waiting net accept") {
                thread::yield_now();
            }
            TcpStream::connect(to)
        });
        g.join().expect("no panic").expect("a connection");
        drop(client.join());
    });
    drop(end);
    first.join().expect("no panic");
}

/// A thread resizes whatever runtime was started last, also one that has hardly begun or that ends.
#[test]
fn a_runtime_can_be_resized_from_its_first_moment_to_its_last() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run(2, || {
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let resizes = thread::spawn(move || {
            let mut sizes = (1..=4).cycle();
            while !is_over.load(Ordering::Relaxed) {
                sizes.next().map(set_procs);
            }
        });
        let runs = thread::spawn(|| {
            for _ in 0..300 {
                run(2, || go(|| ()).join().expect("no panic"));
            }
        });
        blocking(|| runs.join()).expect("no panic");
        over.store(true, Ordering::Relaxed);
        blocking(|| resizes.join()).expect("no panic");
    });
}
