//! What Go's own scheduler tests assert, asserted here. `README.md` is the table of its rows and our tests.

mod channels;
mod deadlock;
mod locks;
mod metrics;
mod net;
mod preemption;
mod procs;
mod program;
mod schedtrace;
mod scheduler;
mod table;
mod threads;
mod timers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmp_runtime::{Builder, JoinHandle, Tally, checkpoint, go, stats, yield_now};

/// Runs `main` as the first G of a runtime with so many Ps.
fn run<T: Send + 'static>(procs: usize, main: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(main)
}

/// Gs that run until they are told to end, and give way when they are asked to.
struct Busy {
    stop: Arc<AtomicBool>,
    gs: Vec<JoinHandle<()>>,
}

impl Busy {
    fn start(n: usize) -> Busy {
        let stop = Arc::new(AtomicBool::new(false));
        let spin = |stop: Arc<AtomicBool>| {
            go(move || {
                while !stop.load(Ordering::Relaxed) {
                    checkpoint();
                }
            })
        };
        let gs = (0..n).map(|_| spin(Arc::clone(&stop))).collect();
        Busy { stop, gs }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.gs
            .into_iter()
            .for_each(|g| g.join().expect("no panic"));
    }
}

/// Does something that makes `n` Gs park for a reason that `tally` counts, and returns when they have. The caller must not park in it.
fn until_parked<T>(n: u64, tally: Tally, f: impl FnOnce() -> T) -> T {
    let before = stats().get(tally);
    let result = f();
    while stats().get(tally) < before + n {
        yield_now();
    }
    result
}
