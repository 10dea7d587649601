//! The loop of an M: find a G, run it until it suspends, do what it asked for, again.
//!
//! All of this runs on the thread's own stack, Go's g0. A G's code runs inside [`execute`], on its own stack.

use std::sync::atomic::Ordering;

use gmp_trace::event::{Event, GState, Placed, PreemptCause, Rule, Source, Via};
use gmp_trace::tally::Tally;

use crate::context::Resumed;
use crate::limits::FREE_GS_PER_P;
use crate::sched::find::{self, Pick};
use crate::sched::g::{GRef, Request};
use crate::sched::m::M;
use crate::sched::wake;
use crate::sched::{Sched, deadlock, lock, steal, syscall};

/// The life of an M that has just been given its first P.
pub(crate) fn schedule(m: &'static M) {
    take_next_p(m);
    loop {
        if m.locked_g.get().is_some() {
            match lock::wait_for_locked_g(m) {
                Some(pick) => execute(m, pick),
                None => return,
            }
            continue;
        }
        let Some(pick) = find::find_runnable(m) else {
            return;
        };
        if m.spinning.get() {
            steal::found_while_spinning(m);
        }
        let locked_m = pick.g.locked_m.load(Ordering::Acquire);
        if !locked_m.is_null() && !std::ptr::eq(locked_m, m) {
            // SAFETY: an M that a G is locked to is never freed.
            lock::start_locked_m(m, unsafe { &*locked_m }, pick);
            continue;
        }
        execute(m, pick);
    }
}

/// Runs a G until it suspends or ends, then does what it asked for.
pub(crate) fn execute(m: &'static M, pick: Pick) {
    let mut pick = pick;
    loop {
        let g = pick.g;
        begin(m, pick);
        // SAFETY: this M owns the G, which is running; nobody else touches its coroutine.
        let coroutine = unsafe { (*g.coroutine.get()).as_mut() };
        let resumed = match coroutine {
            Some(c) => c.resume(),
            None => crate::fatal::fatal(format_args!("{} has no stack to run on", g.id())),
        };
        let ticks = m.tracer().end_interval();
        match resumed {
            Resumed::Done => return end(m, g, ticks),
            Resumed::Suspended => match after(m, g, ticks) {
                Some(again) => pick = again,
                None => return,
            },
        }
    }
}

fn begin(m: &'static M, pick: Pick) {
    let g = pick.g;
    let p = m.held_p();
    let seq = g.next_seq();
    g.transition(GState::Runnable, GState::Running);
    // Relaxed: read by reports and by the G itself.
    g.m.store(std::ptr::from_ref(m).cast_mut(), Ordering::Relaxed);
    m.g.set(Some(g));
    m.preempt.store(false, Ordering::Relaxed);
    if !pick.inherits {
        p.tick();
    }
    let tracer = m.tracer();
    tracer.count(Tally::Starts);
    // One reading of the clock serves the whole switch, unless something was waited for in between.
    let ticks = match m.switch_ticks.replace(0) {
        0 => tracer.begin_interval(tracer.now(), false),
        ticks => tracer.begin_interval(ticks, true),
    };
    tracer.emit(
        ticks,
        Event::Start {
            g: g.id(),
            seq,
            source: pick.source,
            rule: pick.rule,
            pos: pick.pos,
        },
    );
}

/// The running G suspended: does what it asked for. A G that is to go on at once is returned.
fn after(m: &'static M, g: GRef, ticks: u64) -> Option<Pick> {
    match g.request.replace(Request::None) {
        Request::None => {
            crate::fatal::fatal(format_args!("{} suspended without a request", g.id()))
        }
        Request::Yield => {
            yielded(m, g, ticks, m.sched.policy.yield_to_global());
            None
        }
        Request::YieldLocal => {
            yielded(m, g, ticks, false);
            None
        }
        Request::Preempt => {
            preempted(m, g, ticks, false);
            None
        }
        Request::PreemptAsync => {
            preempted(m, g, ticks, true);
            None
        }
        Request::Park(reason, commit) => {
            let tracer = m.tracer();
            m.switch_ticks.set(ticks);
            g.wait(reason);
            tracer.count_park(reason);
            let object = gmp_trace::ids::ObjectId(g.object.load(Ordering::Relaxed));
            tracer.emit(ticks, Event::Park { reason, object });
            m.g.set(None);
            // From here on the G may run elsewhere, unless the commit returns false.
            // SAFETY: called once, by the M that ran the G, after it suspended.
            if unsafe { commit.call() } {
                return None;
            }
            wake::ready_direct(m, g, Via::Scheduler);
            Some(Pick {
                g,
                inherits: true,
                source: Source::Direct,
                rule: Rule::Order,
                pos: 0,
            })
        }
        Request::SyscallExit => {
            syscall::exit_without_p(m, g, ticks);
            None
        }
    }
}

/// Go: `goschedImpl`, `goyield_m`.
fn yielded(m: &'static M, g: GRef, ticks: u64, to_global: bool) {
    let tracer = m.tracer();
    m.switch_ticks.set(ticks);
    g.transition(GState::Running, GState::Runnable);
    m.g.set(None);
    let put = if to_global {
        wake::global_put(m.sched, g)
    } else {
        wake::runq_put(m, m.held_p(), g, false, ticks)
    };
    tracer.count(Tally::Yields);
    tracer.emit(
        ticks,
        Event::Yield {
            placed: put.placed,
            gq: put.gq,
        },
    );
    wake::wake_p_with(m.sched, tracer);
}

/// Go: `gopreempt_m`. A G preempted for a stop of the world goes to `runnext`, so that it is the first to go on.
fn preempted(m: &'static M, g: GRef, ticks: u64, by_signal: bool) {
    let stw = m.sched.is_stopping();
    let tracer = m.tracer();
    m.switch_ticks.set(ticks);
    g.transition(GState::Running, GState::Runnable);
    m.g.set(None);
    let cause = match (stw, by_signal) {
        (true, false) => PreemptCause::Stw,
        (true, true) => PreemptCause::AsyncStw,
        (false, false) => PreemptCause::Slice,
        (false, true) => PreemptCause::AsyncSlice,
    };
    let put = if stw {
        wake::runq_put(m, m.held_p(), g, true, ticks)
    } else {
        wake::global_put(m.sched, g)
    };
    tracer.count(Tally::Preempts);
    if by_signal {
        tracer.count(Tally::AsyncPreempts);
    }
    tracer.emit(
        ticks,
        Event::Preempt {
            cause,
            placed: put.placed,
            kicked: put.kicked,
            gq: put.gq,
        },
    );
    if put.placed == Placed::Global {
        wake::wake_p_with(m.sched, tracer);
    }
}

/// The running G ended: its stack and itself go to the free list.
fn end(m: &'static M, g: GRef, ticks: u64) {
    let tracer = m.tracer();
    m.switch_ticks.set(ticks);
    let panicked = g.panicked.load(Ordering::Relaxed);
    g.transition(GState::Running, GState::Dead);
    tracer.count(Tally::Exits);
    tracer.emit(ticks, Event::Exit { panicked });
    m.g.set(None);
    if m.locked_g.get() == Some(g) {
        lock::unlock(m, g);
    }
    // SAFETY: the G is dead and this M owns it.
    if let Some(coroutine) = unsafe { (*g.coroutine.get()).take() } {
        g.stack.set(Some(coroutine.into_stack()));
    }
    m.sched.live_gs.fetch_sub(1, Ordering::Relaxed);
    put_free(m, g);
}

/// Keeps a dead G for reuse: at the P, or beyond a number half of the P's at the scheduler. Go: `gfput`.
fn put_free(m: &'static M, g: GRef) {
    let mut free = m.held_p().free.borrow_mut();
    free.push(g);
    if free.len() >= FREE_GS_PER_P {
        let keep = free.len() / 2;
        m.sched.lock().free.extend(free.drain(keep..));
    }
}

/// A dead G for reuse, or a new one. Go: `gfget`.
pub(crate) fn get_free(m: &'static M) -> GRef {
    let mut free = m.held_p().free.borrow_mut();
    if let Some(g) = free.pop() {
        return g;
    }
    {
        let mut locked = m.sched.lock();
        let from = locked.free.len().saturating_sub(FREE_GS_PER_P / 2);
        free.extend(locked.free.drain(from..));
    }
    match free.pop() {
        Some(g) => g,
        None => new_g(m.sched),
    }
}

/// A dead G that never lived.
pub(crate) fn new_g(sched: &'static Sched) -> GRef {
    let g = GRef::alloc(sched);
    sched
        .all_gs
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .push(g);
    g
}

/// Parks this M, which holds no P, until it is given one. `None` when the runtime ends. Go: `stopm`.
pub(crate) fn stop_m(m: &'static M) -> Option<()> {
    if m.p.get().is_some() {
        crate::fatal::fatal(format_args!("{} parks with a P", m.id));
    }
    m.switch_ticks.set(0);
    // Before it can be found on the list: whoever wakes it may do so at once.
    note_park(m);
    {
        let mut locked = m.sched.lock();
        if m.sched.is_shutdown() {
            drop(locked);
            note_unpark(m);
            return None;
        }
        locked.idle_ms.push(m);
        deadlock::check(m.sched, &mut locked);
    }
    m.sleep();
    note_unpark(m);
    if m.sched.is_shutdown() {
        return None;
    }
    take_next_p(m);
    Some(())
}

/// This M will be silent until it is woken.
pub(crate) fn note_park(m: &'static M) {
    let tracer = m.tracer();
    tracer.count(Tally::MParks);
    let ticks = tracer.now();
    tracer.emit(ticks, Event::MPark {});
    tracer.quiet(ticks);
}

/// This M is awake again.
pub(crate) fn note_unpark(m: &'static M) {
    let tracer = m.tracer();
    tracer.awake();
    tracer.emit(tracer.now(), Event::MUnpark {});
}

/// Takes the P that the waker left for this M.
pub(crate) fn take_next_p(m: &'static M) {
    // Relaxed: the acquire in `sleep`, or the start of the thread, made it visible.
    let p = m.next_p.swap(std::ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: null, or a leaked P that the waker owned and gave to this M.
    let Some(p) = (unsafe { p.as_ref() }) else {
        crate::fatal::fatal(format_args!("{} was woken without a P", m.id));
    };
    wake::acquire_p(m, p);
    if m.next_spinning.swap(false, Ordering::Relaxed) {
        find::note_spinning(m);
    }
}
