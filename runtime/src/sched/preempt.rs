//! Preemption: a running G gives way when sysmon or the stopper of the world asks its M to.
//!
//! The request is a flag on the M, looked at by every call into the runtime and by [`checkpoint`]. It is a hint: it may hit
//! the G that runs there next, or come too late; whoever needs it asks again. An M in a preemptible section (`async_preempt.rs`) also gets
//! a signal. A request that stays unanswered is recorded, so that the trace shows who was asked and went on.

use std::sync::atomic::Ordering;

use gmp_trace::event::{Event, PreemptCause};
use gmp_trace::ids::MId;
use gmp_trace::tally::Tally;

use crate::sched::g::Request;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::{async_preempt, park};
use crate::tracer::Tracer;

/// Gives way if the running G has used up its time slice or the world is to stop. Every call into the runtime does this; a
/// loop that makes none should call it now and then (it costs about a nanosecond). Outside a runtime it does nothing.
///
/// # Blocking
/// May suspend the G, which stays runnable.
#[inline]
pub fn checkpoint() {
    if let Some(m) = m::current() {
        checkpoint_on(m);
    }
}

/// As [`checkpoint`], with the M at hand; that may be another one when this returns.
#[inline]
pub(crate) fn checkpoint_on(m: &'static M) {
    // Relaxed: a hint, see the module header.
    if m.preempt.load(Ordering::Relaxed) {
        give_way(m);
    }
}

#[cold]
fn give_way(m: &'static M) {
    if let Some((m, g)) = m::running().filter(|(now, _)| std::ptr::eq(*now, m)) {
        park::suspend(m, g, Request::Preempt);
    }
}

/// Whom a request reached.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    /// The M that holds the P.
    m: MId,
    /// Whether it was in a preemptible section and got a signal.
    signal: bool,
}

/// Asks the G that runs on a P to give way: at its next call into the runtime, or at once if it is in a preemptible section. `None` if
/// the P is held by nobody.
pub(crate) fn request(p: &P) -> Option<Asked> {
    // Relaxed: hints, see the module header.
    let m = p.m.load(Ordering::Relaxed);
    // SAFETY: null, or an M, which is never freed.
    let m = unsafe { m.as_ref() }?;
    m.preempt.store(true, Ordering::Relaxed);
    Some(Asked {
        m: m.id,
        signal: async_preempt::signal(m),
    })
}

/// Counts and records a request, made because of `cause` after the G had run, or the world had been stopping, for `ns`. A request that is
/// made again and again is recorded now and then only; each signal is counted.
pub(crate) fn note_request(tracer: &mut Tracer, p: &P, asked: Asked, cause: PreemptCause, ns: u64) {
    tracer.count(Tally::PreemptRequests);
    let event = Event::PreemptRequest {
        p: p.id,
        of_m: asked.m,
        cause,
        ns,
        signal: asked.signal,
    };
    tracer.emit(tracer.now(), event);
}

impl Asked {
    /// Counts the signal, if there was one.
    pub(crate) fn count(self, tracer: &Tracer) -> Asked {
        tracer.count_n(Tally::PreemptSignals, u64::from(self.signal));
        self
    }
}
