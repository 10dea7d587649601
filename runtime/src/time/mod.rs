//! Time that parks the G: sleeping, deadlines, timers, tickers.
//!
//! All of it is run by the heaps of the Ps (`sched/timers.rs`). A [`Timer`] and a [`Ticker`] have a channel, for `select!`; [`after`] and
//! [`tick`] are the channels alone. They have Go's meaning since 1.23: after a stop or a reset nothing old is received any more, and a timer
//! that nobody holds or waits for costs nothing.

mod ticker;
mod timer;

use std::time::{Duration, Instant};

pub use ticker::{Ticker, tick};
pub use timer::{Timer, after, after_func};

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Object, Unparker};
use crate::sched::timer_set::MAX_WHEN;
use crate::sched::{m, preempt, timers};

/// `CLOCK_MONOTONIC` in nanoseconds: the clock of timers and deadlines.
pub(crate) fn now_ns() -> u64 {
    gmp_trace::clock::kernel_ns(libc::CLOCK_MONOTONIC)
}

/// When a wait of this length that begins now is over; the latest time there is, if that is later. Go: `when`.
pub(crate) fn after_ns(d: Duration) -> u64 {
    now_ns().saturating_add(ns(d)).min(MAX_WHEN)
}

/// A length of time in ns, or the longest there is.
fn ns(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).map_or(MAX_WHEN, |ns| ns.min(MAX_WHEN))
}

/// A time of the clock of timers as programs see it: exact to the time between two readings of the clock, and never too early.
fn instant_of(when: u64) -> Instant {
    use std::sync::OnceLock;
    // The same moment on both clocks. They tick alike, so one comparison serves for ever, and times differ by exactly what they should.
    static SAME: OnceLock<(u64, Instant)> = OnceLock::new();
    let (ns, instant) = *SAME.get_or_init(|| {
        // The closest of a few: the thread may lose its CPU between two readings.
        let pairs = (0..16).map(|_| {
            let (before, instant) = (now_ns(), Instant::now());
            (now_ns() - before, (before, instant))
        });
        match pairs.min_by_key(|(apart, _)| *apart) {
            Some((_, pair)) => pair,
            None => unreachable!("there are 16"),
        }
    });
    match when.checked_sub(ns) {
        Some(later) => instant + Duration::from_nanos(later),
        None => instant - Duration::from_nanos(ns - when),
    }
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
    let (when, me) = (after_ns(d), Unparker::current());
    // The timer starts once the G waits; nothing else can wake it.
    park::park(ParkReason::Sleep, &object, &mut || {
        timers::start_wake(when, me);
        true
    });
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
