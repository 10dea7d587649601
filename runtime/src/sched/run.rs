//! The loop of an M: find a G, run it until it suspends, do what it asked for, again.
//!
//! All of this runs on the thread's own stack, Go's g0. A G's code runs inside [`execute`], on its own stack.

use std::sync::atomic::Ordering;

use gmp_policy::view::{PreemptView, Queue, YieldView};
use gmp_trace::event::{Event, GState, Placed, PreemptCause, Rule, Source, Via};
use gmp_trace::tally::Tally;

use crate::context::Resumed;
use crate::limits::FREE_GS_PER_P;
use crate::sched::find::{self, Pick};
use crate::sched::g::{GRef, Request};
use crate::sched::m::M;
use crate::sched::states::MState;
use crate::sched::wake;
use crate::sched::{Sched, deadlock, lock, steal, syscall};

/// The life of an M that has just been given its first P.
pub(crate) fn schedule(m: &'static M) {
    m.goes_to(MState::Searching);
    take_next_p(m);
    loop {
        if m.ends.get() {
            return lock::leave(m);
        }
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
        m.goes_to(MState::Searching);
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
    m.goes_to(MState::Running);
    m.preempt.store(false, Ordering::Relaxed);
    if !pick.inherits {
        p.tick();
        if m.sched.notes_cpus() {
            p.note_cpu();
        }
    }
    let tracer = m.tracer();
    tracer.count(Tally::Starts);
    // One reading of the clock serves the whole switch, unless something was waited for in between.
    let ticks = match m.switch_ticks.replace(0) {
        0 => tracer.begin_interval(tracer.now()),
        ticks => tracer.begin_interval(ticks),
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
            let view = YieldView {
                queue_len: m.held_p().runq.len(),
                global_len: m.sched.global_len.get() as u32,
                tick: m.held_p().ticks(),
            };
            yielded(m, g, ticks, m.sched.policy.yields_to(&view));
            None
        }
        Request::YieldLocal => {
            yielded(m, g, ticks, Queue::Local);
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

/// Puts the G that this M just ran at the tail of a queue.
fn put_back(m: &'static M, g: GRef, to: Queue, ticks: u64) -> wake::Put {
    match to {
        Queue::Global => wake::global_put(m.sched, g),
        Queue::Local => wake::runq_put(m, m.held_p(), g, false, ticks),
    }
}

/// Go: `goschedImpl`, `goyield_m`.
fn yielded(m: &'static M, g: GRef, ticks: u64, to: Queue) {
    let tracer = m.tracer();
    m.switch_ticks.set(ticks);
    g.transition(GState::Running, GState::Runnable);
    m.g.set(None);
    let put = put_back(m, g, to, ticks);
    tracer.count(Tally::Yields);
    tracer.emit(
        ticks,
        Event::Yield {
            placed: put.placed,
            gq: put.gq,
        },
    );
    // What stays with this P is run by it; a G in the global queue is anybody's.
    if put.placed == Placed::Global {
        wake::wake_for_work(m.sched, tracer, true);
    }
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
        let to = m.sched.policy.preempts_to(&PreemptView {
            queue_len: m.held_p().runq.len(),
            global_len: m.sched.global_len.get() as u32,
            tick: m.held_p().ticks(),
        });
        put_back(m, g, to, ticks)
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
    if !stw {
        wake::wake_for_work(m.sched, tracer, true);
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
    lock::g_ended(m, g);
    // SAFETY: the G is dead and this M owns it.
    if let Some(coroutine) = unsafe { (*g.coroutine.get()).take() } {
        g.stack.set(Some(coroutine.into_stack()));
    }
    if !g.system.replace(false) {
        m.sched.live_gs.fetch_sub(1, Ordering::Relaxed);
    }
    put_free(m, g);
}

/// Keeps a dead G for reuse: at the P, or beyond a number at the scheduler, less than half of them staying. Go: `gfput`.
fn put_free(m: &'static M, g: GRef) {
    let p = m.held_p();
    let mut free = p.free.borrow_mut();
    free.push(g);
    if free.len() >= FREE_GS_PER_P {
        let keep = FREE_GS_PER_P / 2 - 1;
        m.sched.lock().free.extend(free.drain(keep..));
    }
    p.free_len.store(free.len() as u32, Ordering::Relaxed);
}

/// A dead G for reuse, or a new one. Go: `gfget`.
pub(crate) fn get_free(m: &'static M) -> GRef {
    let p = m.held_p();
    let mut free = p.free.borrow_mut();
    if free.is_empty() {
        let mut locked = m.sched.lock();
        let from = locked.free.len().saturating_sub(FREE_GS_PER_P / 2);
        free.extend(locked.free.drain(from..));
    }
    let g = free.pop();
    // Relaxed: for reports.
    p.free_len.store(free.len() as u32, Ordering::Relaxed);
    g.unwrap_or_else(|| new_g(m.sched))
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
        deadlock::check(m.sched, &locked);
    }
    sleep_until_given_a_p(m)
}

/// Sleeps as an M that is on the list of parked ones and has said so in the trace. `None` when the runtime ends.
pub(crate) fn sleep_until_given_a_p(m: &'static M) -> Option<()> {
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
    m.goes_to(MState::Parked);
}

/// This M is awake again.
pub(crate) fn note_unpark(m: &'static M) {
    m.goes_to(MState::Searching);
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
