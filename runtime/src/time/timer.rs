//! Timers that fire once.

use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{after_ns, instant_of};
use crate::sched::preempt;
use crate::sched::retire::Retired;
use crate::sched::timers::{self, Fill, TimerAction, TimerHandle};
use crate::spawn;
use crate::sync::chan::core::{Sent, Source};
use crate::sync::chan::{self, Receiver, Shared};

/// Fires once: its channel gets the time at which it was to fire, or a function is called in a G of its own. Go: `time.Timer`.
///
/// ```
/// use std::time::Duration;
/// use gmp_runtime::{channel, select, time::Timer};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let (_tx, rx) = channel::<u32>(0);
///     let idle = Timer::new(Duration::from_millis(2));
///     let timed_out = select! {
///         recv(rx) -> _ => false,
///         recv(idle.chan()) -> _ => true,
///     };
///     assert!(timed_out);
///     // It has fired, so it was not pending; set anew, it is.
///     assert!(!idle.reset(Duration::from_secs(60)));
///     assert!(idle.stop());
/// });
/// ```
///
/// A timer that is dropped still calls its function; one with a channel is stopped, unless a clone of the channel is left.
pub struct Timer {
    timer: TimerHandle,
    chan: Receiver<Instant>,
}

/// What a timer's channel knows of its timer.
struct Clockwork(TimerHandle);

impl Source for Clockwork {
    fn look(&self) {
        self.0.look();
    }

    fn prepare(&self) {
        timers::assert_running();
    }

    fn block(&self) {
        self.0.block();
    }

    fn unblock(&self) {
        self.0.unblock();
    }
}

impl Fill for Shared<Instant> {
    fn fill(&self, when: u64, counts: &dyn Fn() -> bool) {
        let mut state = self.chan.lock();
        if !counts() {
            return;
        }
        // A tick that nobody has taken is still there: this one is dropped. So is one for a closed channel.
        if let Sent::Done(Some(receiver)) = state.send(instant_of(when)) {
            drop(state);
            receiver.wake();
        }
    }
}

/// A timer that is not set, and the channel it fills.
#[track_caller]
pub(super) fn with_channel() -> (TimerHandle, Receiver<Instant>) {
    let mut handle = None;
    let chan = Receiver::filled_by(|chan: Weak<Shared<Instant>>| {
        let timer = TimerHandle::new(TimerAction::Fill(chan));
        handle = Some(timer.share());
        Arc::new(Clockwork(timer))
    });
    match handle {
        Some(timer) => (timer, chan),
        None => unreachable!("the channel was made with its timer"),
    }
}

/// Sets a timer with a channel anew and empties that; whether it had still to fire, or what it fired was not received yet.
pub(super) fn reset(timer: &TimerHandle, chan: &Receiver<Instant>, when: u64, period: u64) -> bool {
    let (change, drained) = {
        let mut state = chan.chan().lock();
        (timer.set(when, period), state.buffer.pop_front().is_some())
    };
    timer.settle(change);
    change.pending || drained
}

/// Stops a timer with a channel and empties that; the result is that of [`reset`].
pub(super) fn stop(timer: &TimerHandle, chan: &Receiver<Instant>) -> bool {
    let mut state = chan.chan().lock();
    let pending = timer.stop();
    state.buffer.pop_front().is_some() || pending
}

impl Timer {
    /// A timer that fires once, `d` from now. Go: `time.NewTimer`.
    #[track_caller]
    pub fn new(d: Duration) -> Timer {
        preempt::checkpoint();
        let (timer, chan) = with_channel();
        reset(&timer, &chan, after_ns(d), 0);
        Timer { timer, chan }
    }

    /// Its channel, which gets the time at which it was to fire. Of a timer that calls a function: a nil channel. Go: `Timer.C`.
    pub fn chan(&self) -> &Receiver<Instant> {
        &self.chan
    }

    /// Makes it not fire. `true` if that succeeded: it had still to fire, or nobody has received what it fired. After this nothing is
    /// received from its channel. With `false`, its function has been started, and may be running.
    pub fn stop(&self) -> bool {
        preempt::checkpoint();
        stop(&self.timer, &self.chan)
    }

    /// Sets it to fire once, `d` from now. The result is that of [`Timer::stop`]; nothing that was fired before is received after this.
    pub fn reset(&self, d: Duration) -> bool {
        preempt::checkpoint();
        reset(&self.timer, &self.chan, after_ns(d), 0)
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

/// A channel that gets the time, once, `d` from now. If it is dropped before, nothing is left of it. Go: `time.After`.
///
/// ```
/// use std::time::{Duration, Instant};
/// use gmp_runtime::time::after;
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let began = Instant::now();
///     let at = after(Duration::from_millis(3)).recv().expect("it is never closed");
///     assert!(at >= began + Duration::from_millis(3) && at <= Instant::now());
/// });
/// ```
#[track_caller]
pub fn after(d: Duration) -> Receiver<Instant> {
    Timer::new(d).chan
}

/// Calls `f` in a G of its own, `d` from now, and again after each [`Timer::reset`]. Go: `time.AfterFunc`.
///
/// ```
/// use std::time::Duration;
/// use gmp_runtime::{channel, time::after_func};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let (tx, rx) = channel::<&str>(1);
///     let late = after_func(Duration::from_secs(60), || unreachable!("it is stopped"));
///     after_func(Duration::from_millis(1), move || tx.send("called").expect("open"));
///     assert_eq!(rx.recv(), Ok("called"));
///     assert!(late.stop());
/// });
/// ```
///
/// # Panics
/// When no runtime runs in this process.
#[track_caller]
pub fn after_func(d: Duration, f: impl Fn() + Send + Sync + 'static) -> Timer {
    preempt::checkpoint();
    let location = Location::caller();
    let f = Arc::new(Retired::new(f, location));
    let start = move |_| {
        let f = Arc::clone(&f);
        let call = move || {
            f();
            false
        };
        spawn::spawn(call, location);
    };
    let timer = TimerHandle::new(TimerAction::Call(Arc::new(start)));
    let (_, chan) = chan::nil();
    reset(&timer, &chan, after_ns(d), 0);
    Timer { timer, chan }
}
