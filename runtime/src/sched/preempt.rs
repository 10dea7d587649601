//! Preemption: a running G gives way when sysmon or the stopper of the world asks its M to.
//!
//! The request is a flag on the M, looked at by every call into the runtime and by [`checkpoint`]. It is a hint: it may hit
//! the G that runs there next, or come too late; whoever needs it asks again.

use std::sync::atomic::Ordering;

use crate::sched::g::Request;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::park;

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

/// Asks the G that runs on a P to give way.
pub(crate) fn request(p: &P) {
    // Relaxed: hints, see the module header.
    let m = p.m.load(Ordering::Relaxed);
    // SAFETY: null, or an M, which is never freed.
    if let Some(m) = unsafe { m.as_ref() } {
        m.preempt.store(true, Ordering::Relaxed);
    }
}
