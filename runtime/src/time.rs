//! Time that parks the G: sleeping, deadlines, tickers.

use std::time::Duration;

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object, Unparker};
use crate::sched::{m, preempt, timers};

/// `CLOCK_MONOTONIC` in nanoseconds: the clock of timers and deadlines.
pub(crate) fn now_ns() -> u64 {
    gmp_trace::clock::kernel_ns(libc::CLOCK_MONOTONIC)
}

/// When a wait of this length that begins now is over.
pub(crate) fn after(d: Duration) -> u64 {
    now_ns().saturating_add(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// Sleeps for at least `d`; returns at once if it is zero.
///
/// # Blocking
/// Parks the G, or blocks the thread if it runs none.
#[track_caller]
pub fn sleep(d: Duration) {
    preempt::checkpoint();
    if d.is_zero() {
        return;
    }
    if m::running().is_none() {
        return std::thread::sleep(d);
    }
    let object = Object::new(ObjectKind::Timer);
    let (when, me) = (after(d), Unparker::current());
    // The timer starts once the G waits; nothing else can wake it.
    park::park(ParkReason::Sleep, &object, &mut || {
        timers::start_wake(when, me);
        true
    });
}

/// Ticks at a fixed rate. Ticks that nobody waited for are dropped; the phase is kept, as in Go.
#[derive(Debug)]
pub struct Ticker {
    next: u64,
    period: u64,
}

impl Ticker {
    /// A ticker whose first tick is one period from now.
    ///
    /// # Panics
    /// When the period is zero.
    pub fn new(period: Duration) -> Ticker {
        assert!(!period.is_zero(), "a ticker needs a period");
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Ticker {
            next: now_ns().saturating_add(period),
            period,
        }
    }

    /// Waits for the next tick; returns how many were dropped since the last.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    #[track_caller]
    pub fn tick(&mut self) -> u64 {
        preempt::checkpoint();
        let now = now_ns();
        if let Some(left) = self.next.checked_sub(now) {
            sleep(Duration::from_nanos(left));
        }
        let late = now_ns().saturating_sub(self.next) / self.period;
        self.next = self
            .next
            .saturating_add((late + 1).saturating_mul(self.period));
        late
    }
}

/// Runs `f` in a G of its own and waits for its result no longer than `d`. `None` on a time-out; `f` goes on alone then.
///
/// # Panics
/// With `f`'s panic.
///
/// # Blocking
/// Parks the G, or blocks the thread if it runs none.
#[track_caller]
pub fn timeout<T: Send + 'static>(
    d: Duration,
    f: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tx, rx) = crate::channel(1);
    crate::go(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
        // Nobody receives after a time-out.
        let _ = tx.send(result);
    });
    match rx.recv_timeout(d).ok()? {
        Ok(value) => Some(value),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
