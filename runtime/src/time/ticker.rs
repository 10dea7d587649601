//! Timers that fire again and again.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gmp_trace::event::ParkReason;

use super::timer::{reset, stop, with_channel};
use super::{after_ns, instant_of, ns};
use crate::sched::preempt;
use crate::sched::timers::TimerHandle;
use crate::sync::chan::{self, Receiver};

/// Ticks at a fixed rate: its channel gets the time at which each tick was to be. Ticks that nobody takes in time are dropped; the phase
/// is kept. Go: `time.Ticker`.
///
/// ```
/// use std::time::Duration;
/// use gmp_runtime::{select, time::{Ticker, after}};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let ticker = Ticker::new(Duration::from_millis(2));
///     let end = after(Duration::from_millis(9));
///     let mut ticks = 0;
///     loop {
///         select! {
///             recv(ticker.chan()) -> _ => ticks += 1,
///             recv(end) -> _ => break,
///         }
///     }
///     assert!((1..=4).contains(&ticks), "{ticks}");
/// });
/// ```
pub struct Ticker {
    timer: TimerHandle,
    chan: Receiver<Instant>,
    pace: Mutex<Pace>,
}

#[derive(Clone, Copy)]
struct Pace {
    period: Duration,
    /// The time of the tick that [`Ticker::tick`] saw last, or of the start.
    last: Instant,
}

impl Ticker {
    /// A ticker whose first tick is one period from now. Go: `time.NewTicker`.
    ///
    /// # Panics
    /// When the period is zero.
    #[track_caller]
    pub fn new(period: Duration) -> Ticker {
        preempt::checkpoint();
        assert!(!period.is_zero(), "a ticker needs a period");
        let (timer, chan) = with_channel();
        let last = Instant::now();
        let ticker = Ticker {
            timer,
            chan,
            pace: Mutex::new(Pace { period, last }),
        };
        ticker.reset(period);
        ticker
    }

    /// Its channel, which gets the time at which each tick was to be. Go: `Ticker.C`.
    pub fn chan(&self) -> &Receiver<Instant> {
        &self.chan
    }

    /// Waits for the next tick; returns how many were dropped since the last that this function saw.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none. For ever, if it is stopped.
    pub fn tick(&mut self) -> u64 {
        let at = match self.chan.recv() {
            Ok(at) => at,
            Err(_) => self.never(),
        };
        let mut pace = self.pace();
        let periods = at.saturating_duration_since(pace.last).as_nanos() / pace.period.as_nanos();
        pace.last = at;
        u64::try_from(periods).unwrap_or(u64::MAX).saturating_sub(1)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for ever: the wait of a ticker whose channel somebody has closed.
    fn never(&self) -> ! {
        loop {
            crate::sched::park::park(ParkReason::Forever, &self.chan.chan().object, &mut || true);
        }
    }

    /// Ticks no more. Nothing is received from its channel after this.
    pub fn stop(&self) {
        preempt::checkpoint();
        stop(&self.timer, &self.chan);
    }

    /// Ticks with another period; the next tick is one period from now. Nothing old is received after this.
    ///
    /// # Panics
    /// When the period is zero.
    pub fn reset(&self, period: Duration) {
        assert!(!period.is_zero(), "a ticker needs a period");
        preempt::checkpoint();
        let first = after_ns(period);
        *self.pace() = Pace {
            period,
            last: instant_of(first.saturating_sub(ns(period))),
        };
        reset(&self.timer, &self.chan, first, ns(period));
    }
}

impl fmt::Debug for Ticker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticker")
            .field("period", &self.pace().period)
            .finish_non_exhaustive()
    }
}

/// The channel of a [`Ticker`] alone; a nil channel if the period is zero. Go: `time.Tick`.
#[track_caller]
pub fn tick(period: Duration) -> Receiver<Instant> {
    if period.is_zero() {
        return chan::nil().1;
    }
    Ticker::new(period).chan
}
