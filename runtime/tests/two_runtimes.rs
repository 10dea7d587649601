//! Two runtimes at once: what belongs to the one works for the Gs of the other.

use std::net::TcpStream;
use std::sync::{Arc, mpsc};
use std::thread;

use gmp_runtime::net::TcpListener;
use gmp_runtime::{Builder, blocking, go};

fn run<T: Send + 'static>(main: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(main)
}

/// The Ps of the first are idle or in a call all the time: only its poller can tell.
#[test]
fn a_socket_wakes_threads_and_gs_of_another_runtime() {
    let (made, listener) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let first = thread::spawn(move || {
        run(move || {
            let listener = Arc::new(TcpListener::bind("127.0.0.1:0").expect("a port"));
            made.send(listener).expect("wanted");
            blocking(move || _ = ends.recv());
        });
    });
    let listener = listener.recv().expect("it begins");
    let to = listener.local_addr().expect("bound");
    run(move || {
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
