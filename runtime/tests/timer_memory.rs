//! Timers that nobody holds are freed, whether they were stopped or not. Go: `TestTimerGC`. Alone in its process: it counts allocations.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use gmp_runtime::time::{Ticker, Timer, after, after_func, sleep};
use gmp_runtime::{Builder, channel, select, yield_now};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const HOUR: Duration = Duration::from_secs(3_600);
const TIMERS: isize = 10_000;

/// Allocations that `f` leaves behind, per timer.
fn left_by(f: impl Fn()) -> f64 {
    // Once for what is made at the first use.
    f();
    let before = LIVE.load(Ordering::Relaxed);
    (0..TIMERS).for_each(|_| f());
    // The P looks at its heap.
    sleep(Duration::from_micros(1));
    yield_now();
    (LIVE.load(Ordering::Relaxed) - before) as f64 / TIMERS as f64
}

#[test]
fn timers_that_nobody_holds_are_freed() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(1).run(|| {
        let (tx, rx) = channel::<u32>(1);
        let left = [
            ("never waited for", left_by(|| drop(after(HOUR)))),
            (
                "a ticker never waited for",
                left_by(|| drop(Ticker::new(HOUR))),
            ),
            ("stopped", left_by(|| assert!(Timer::new(HOUR).stop()))),
            (
                "a function, stopped",
                left_by(|| assert!(after_func(HOUR, || ()).stop())),
            ),
            (
                "passed over by a select that did not wait",
                left_by(|| {
                    tx.send(1).expect("open");
                    select! {
                        recv(rx) -> _ => {}
                        recv(after(HOUR)) -> _ => panic!("an hour passed"),
                    }
                }),
            ),
            (
                "waited for in vain",
                left_by(|| {
                    select! {
                        recv(after(HOUR)) -> _ => panic!("an hour passed"),
                        recv(after(Duration::from_nanos(1))) -> _ => {}
                    }
                }),
            ),
        ];
        for (what, left) in left {
            assert!(left < 0.05, "{what}: {left} allocations for each");
        }
    });
}
