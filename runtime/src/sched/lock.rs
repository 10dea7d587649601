//! Gs locked to an M: the G runs on that M only, and the M runs that G only.
//!
//! When an M whose locked G is not running comes to the scheduler, it hands its P off and sleeps until another M finds that G;
//! the finder gives it the G together with its own P, and parks. So each block and unblock of a locked G costs two
//! switches of threads. A G that suspends while it unwinds is locked until the unwinding is over, because the
//! count of panics belongs to the thread.

use std::sync::atomic::Ordering;

use gmp_trace::event::{Event, PStopReason, Source, WakeReason};
use gmp_trace::tally::Tally;

use crate::sched::find::Pick;
use crate::sched::g::GRef;
use crate::sched::m::{self, M};
use crate::sched::{deadlock, run, wake};

/// Locks the running G to its M for as long as it unwinds. It is about to suspend itself.
pub(crate) fn pin_while_unwinding(m: &'static M, g: GRef) {
    if m.locked_g.get().is_none() {
        m.locked_g.set(Some(g));
        g.pinned_by_panic.set(true);
        // Release pairs with the acquire in `run::schedule` and `wake_locked`, though the queue orders them already.
        g.locked_m
            .store(std::ptr::from_ref(m).cast_mut(), Ordering::Release);
    }
}

/// Undoes [`pin_while_unwinding`] when the unwinding of the running G has reached its root.
pub(crate) fn unwound() {
    if let Some((m, g)) = m::running()
        && g.pinned_by_panic.get()
    {
        unlock(m, g);
    }
}

/// The running or just ended G is locked to its M no more.
pub(crate) fn unlock(m: &'static M, g: GRef) {
    m.locked_g.set(None);
    g.pinned_by_panic.set(false);
    g.locked_m.store(std::ptr::null_mut(), Ordering::Release);
}

/// This M's locked G is not running: lets the P go and sleeps until the G can run. `None` when the runtime ends.
/// Go: `stoplockedm`.
pub(crate) fn wait_for_locked_g(m: &'static M) -> Option<Pick> {
    if m.p.get().is_some() {
        let p = wake::release_p(m, PStopReason::Locked);
        wake::handoff_p(m.sched, m.tracer(), p);
    }
    m.switch_ticks.set(0);
    run::note_park(m);
    {
        let mut locked = m.sched.lock();
        if m.sched.is_shutdown() {
            drop(locked);
            run::note_unpark(m);
            return None;
        }
        // *Found before it slept*: the G was put into a queue by this very M, and another may have found it already. Then the wake
        // is on its way, and whoever is on the list of sleepers would be woken a second time when the runtime ends.
        if !m.next_pick_is_there() {
            locked.idle_locked.push(m);
            deadlock::check(m.sched, &mut locked);
        }
    }
    m.sleep();
    run::note_unpark(m);
    if m.sched.is_shutdown() {
        return None;
    }
    run::take_next_p(m);
    m.next_pick.take()
}

/// Gives a found G, with this M's P, to the M it is locked to. Go: `startlockedm`.
pub(crate) fn start_locked_m(m: &'static M, to: &'static M, pick: Pick) {
    let p = wake::release_p(m, PStopReason::Locked);
    // Where it was taken from is still said by `pick`, except that what came from no queue was handed over.
    let source = if pick.source == Source::Direct {
        Source::Locked
    } else {
        pick.source
    };
    {
        let mut locked = m.sched.lock();
        locked.idle_locked.retain(|idle| !std::ptr::eq(*idle, to));
        to.next_pick.set(Some(Pick { source, ..pick }));
    }
    let tracer = m.tracer();
    tracer.count(Tally::MWakes);
    let event = Event::MWake {
        woken: to.id,
        with_p: Some(p.id),
        reason: WakeReason::Locked,
        spinning: false,
        created: false,
    };
    tracer.emit(tracer.now(), event);
    wake::wake_with(to, p, false);
}
