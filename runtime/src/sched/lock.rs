//! Gs locked to an M: the G runs on that M only, and the M runs that G only.
//!
//! When an M whose locked G is not running comes to the scheduler, it hands its P off and sleeps until another M finds that G;
//! the finder gives it the G together with its own P, and parks. So each block and unblock of a locked G costs two
//! switches of threads. A G that suspends while it unwinds is locked until the unwinding is over, because the
//! count of panics belongs to the thread.
//!
//! A G that locked itself and ends as such takes its thread with it: nobody knows what it did to that. The M hands its P off and ends. Its
//! thread goes on for a while, as one that is not the runtime's: what it has of its own is dropped, which may be the user's and ready a G.

use std::sync::atomic::Ordering;

use gmp_trace::event::{Event, PStopReason, Source, WakeReason};
use gmp_trace::tally::Tally;

use crate::sched::find::Pick;
use crate::sched::g::GRef;
use crate::sched::m::{self, M};
use crate::sched::{deadlock, preempt, run, wake};

/// Locks the calling G to the thread that it runs on, until it has called [`unlock_os_thread`] as often. Nobody else runs on that thread
/// meanwhile. Go: `runtime.LockOSThread`.
///
/// It is for what belongs to a thread: its signal mask, its CPUs, its namespaces, libraries that keep something for each thread.
/// It gives no priority: each block and unblock of a locked G costs two switches of threads more than of another.
///
/// If the G ends while it is locked, its thread ends too, and whatever the G did to it. Threads that the runtime makes while the
/// calling thread is locked are not made by that, so they inherit nothing of it. Outside a runtime it does nothing.
///
/// ```
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     gmp_runtime::lock_os_thread();
///     let before = std::thread::current().id();
///     gmp_runtime::yield_now();
///     assert_eq!(std::thread::current().id(), before);
///     gmp_runtime::unlock_os_thread();
/// });
/// ```
///
/// # Panics
/// After 2^32 - 1 calls without an [`unlock_os_thread`].
pub fn lock_os_thread() {
    preempt::checkpoint();
    let Some((m, g)) = m::running() else { return };
    let Some(count) = g.lock_count.get().checked_add(1) else {
        panic!("lock_os_thread is nested too deep");
    };
    if count == 1 {
        // Before the G can do anything to the thread.
        m.sched.template.start(m.sched);
    }
    g.lock_count.set(count);
    lock(m, g);
}

/// Undoes one [`lock_os_thread`]; the last one lets the calling G go on on any thread again. Does nothing if there is none to undo, and
/// outside a runtime. Go: `runtime.UnlockOSThread`.
///
/// Whoever changed the thread's state changes it back before, or does not call this.
pub fn unlock_os_thread() {
    preempt::checkpoint();
    let Some((m, g)) = m::running() else { return };
    match g.lock_count.get() {
        0 => {}
        1 => {
            g.lock_count.set(0);
            // A G that unwinds stays until that is over.
            if !g.pinned_by_panic.get() {
                unlock(m, g);
            }
        }
        n => g.lock_count.set(n - 1),
    }
}

/// Whether a G that locked itself runs on this M, or ended there: its thread's state may be anything.
pub(crate) fn is_tainted(m: &M) -> bool {
    m.ends.get() || m.locked_g.get().is_some_and(|g| g.lock_count.get() > 0)
}

fn lock(m: &'static M, g: GRef) {
    m.locked_g.set(Some(g));
    // Release pairs with the acquire in `run::schedule` and `wake_locked`, though the queue orders them already.
    g.locked_m
        .store(std::ptr::from_ref(m).cast_mut(), Ordering::Release);
}

/// Locks the running G to its M for as long as it unwinds. It is about to suspend itself.
pub(crate) fn pin_while_unwinding(m: &'static M, g: GRef) {
    if m.locked_g.get().is_none() {
        g.pinned_by_panic.set(true);
        lock(m, g);
    }
}

/// Undoes [`pin_while_unwinding`] when the unwinding of the running G has reached its root.
pub(crate) fn unwound() {
    if let Some((m, g)) = m::running()
        && g.pinned_by_panic.replace(false)
        && g.lock_count.get() == 0
    {
        unlock(m, g);
    }
}

/// The running or just ended G is locked to its M no more.
fn unlock(m: &'static M, g: GRef) {
    m.locked_g.set(None);
    g.locked_m.store(std::ptr::null_mut(), Ordering::Release);
}

/// The G of this M ended: if it is still locked, the M is to end too, unless unwinding alone had locked it.
pub(crate) fn g_ended(m: &'static M, g: GRef) {
    if m.locked_g.get() == Some(g) {
        m.ends.set(g.lock_count.replace(0) > 0);
        g.pinned_by_panic.set(false);
        unlock(m, g);
    }
}

/// This M, whose G ended while it was locked, gives its P away; its thread is to end. Go: `mexit`.
pub(crate) fn leave(m: &'static M) {
    let p = wake::release_p(m, PStopReason::Locked);
    wake::handoff_p(m.sched, m.tracer(), p);
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
            deadlock::check(m.sched, &locked);
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
