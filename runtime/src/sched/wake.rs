//! Making Gs runnable, and waking Ms for them.
//!
//! # No wake-up is lost
//! Submitter: (1) publish the G in a queue, (2) full barrier, (3) look for spinners; if there is none and a P is idle, start one.
//! Last spinner: (1) stop counting as one, (2) full barrier, (3) look at every queue and heap again (`find`).
//! Whichever barrier comes first in the single order of SeqCst fences, either the submitter sees no spinner and starts
//! one, or the spinner sees the G. [`super::idle`] holds the counters and their model.

use gmp_policy::view::{InjectView, Place, PlaceView, WakeView};
use gmp_trace::event::{Event, GState, HandoffTo, PState, PStopReason, Placed, Via, WakeReason};
use gmp_trace::ids::{GId, MId, PId};
use gmp_trace::tally::Tally;

use crate::sched::g::GRef;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::{Locked, Sched, boot, pin, sysmon};
use crate::time::now_ns;
use crate::tracer::{Tracer, foreign};

/// Where a G went, as its event says it.
#[derive(Clone, Copy)]
pub(crate) struct Put {
    /// Which queue.
    pub(crate) placed: Placed,
    /// The G it pushed out of runnext.
    pub(crate) kicked: GId,
    /// The global queue's operation number, if something went there.
    pub(crate) gq: u64,
}

impl Put {
    /// No queue at all.
    pub(crate) const DIRECT: Put = Put {
        placed: Placed::Direct,
        kicked: GId::NONE,
        gq: 0,
    };
}

/// Puts a runnable G into the queue of the P that this M holds. Go: `runqput`.
pub(crate) fn runq_put(m: &'static M, p: &'static P, g: GRef, next: bool, ticks: u64) -> Put {
    if next && m.sched.policy.runnext {
        // SAFETY: this M holds the P.
        return match unsafe { p.runq.set_runnext(g) } {
            None => Put {
                placed: Placed::Runnext,
                kicked: GId::NONE,
                gq: 0,
            },
            // The number is read before the kicked G is published again.
            Some(kicked) => {
                let id = kicked.id();
                let (_, gq) = ring_put(m, p, kicked, ticks);
                Put {
                    placed: Placed::Runnext,
                    kicked: id,
                    gq,
                }
            }
        };
    }
    let (placed, gq) = ring_put(m, p, g, ticks);
    Put {
        placed,
        kicked: GId::NONE,
        gq,
    }
}

/// Puts a new G where the policy says. Go: the `runqput` in `newproc`.
pub(crate) fn place(m: &'static M, p: &'static P, g: GRef, id: GId, ticks: u64) -> Put {
    let sched = m.sched;
    let spawned = p.spawned.get();
    p.spawned.set(spawned.wrapping_add(1));
    let place = sched.policy.places(&PlaceView {
        p: p.id.0,
        procs: sched.procs(),
        spawned,
        queue_len: p.runq.len(),
        idle_ps: sched.idle.idle_ps(),
    });
    match place {
        Place::For(other) if other != p.id.0 && other < sched.procs() => {
            let tracer = m.tracer();
            tracer.count(Tally::Assigns);
            // Before the G is published: whoever takes it records that later.
            tracer.emit(
                ticks,
                Event::Assign {
                    p: PId(other),
                    g: id,
                },
            );
            let mut locked = sched.lock();
            Put {
                placed: Placed::Global,
                kicked: GId::NONE,
                gq: locked.global.push_for(PId(other), g, &sched.global_len),
            }
        }
        Place::Global => global_put(sched, g),
        Place::Local | Place::For(_) => runq_put(m, p, g, true, ticks),
    }
}

/// Puts a G at the tail of the ring; if that is full, half of it and the G go to the global queue. Go: `runqputslow`.
fn ring_put(m: &'static M, p: &'static P, g: GRef, ticks: u64) -> (Placed, u64) {
    let mut g = g;
    loop {
        // SAFETY: this M holds the P.
        match unsafe { p.runq.push_back(g) } {
            Ok(()) => return (Placed::Local, 0),
            Err(full) => g = full,
        }
        let n = m.sched.policy.overflow_amount(p.runq.len());
        let mut batch = Vec::with_capacity(n as usize + 1);
        let (pos, gq_batch, gq) = {
            // Before the ring is touched. Else a thief could steal what is left, and go on to the global queue, before the batch gets there: by
            // the ring the overflow would come before what the thief did, by the numbers of the global queue after it.
            let mut locked = m.sched.lock();
            // SAFETY: this M holds the P.
            let Some(pos) = (unsafe { p.runq.take_oldest(n, &mut batch) }) else {
                continue;
            };
            let gq_batch = locked.global.push_all(&batch, &m.sched.global_len);
            let gq = locked.global.push(g, &m.sched.global_len);
            (pos, gq_batch, gq)
        };
        let first = batch.first().map_or(GId::NONE, |g| g.id());
        let taken = batch.len();
        let tracer = m.tracer();
        tracer.count(Tally::Overflows);
        tracer.count_n(Tally::OverflowedGs, taken as u64);
        tracer.emit(
            ticks,
            Event::Overflow {
                g: first,
                n: taken as u32,
                pos,
                gq: gq_batch,
            },
        );
        return (Placed::Global, gq);
    }
}

/// Puts a runnable G at the tail of the global queue.
pub(crate) fn global_put(sched: &Sched, g: GRef) -> Put {
    let gq = sched.lock().global.push(g, &sched.global_len);
    Put {
        placed: Placed::Global,
        kicked: GId::NONE,
        gq,
    }
}

/// Makes a waiting G runnable on the P that this M holds. The caller has the sole right to. Go: `ready`.
pub(crate) fn ready(m: &'static M, g: GRef, via: Via) {
    let p = m.held_p();
    let id = g.id();
    let seq = g.next_seq();
    g.transition(GState::Waiting, GState::Runnable);
    let ticks = m.tracer().now();
    let put = runq_put(m, p, g, true, ticks);
    note_ready(m.tracer(), ticks, id, seq, via, put);
    wake_for_work(m.sched, m.tracer(), true);
}

/// Makes a waiting G runnable from any thread: an M with or without a P, or a thread that is no M.
pub(crate) fn ready_from_anywhere(g: GRef, via: Via) {
    match m::current() {
        Some(m) if std::ptr::eq(m.sched, g.sched) && m.p.get().is_some() => {
            // Scheduler code readies without a running G: a timer's function.
            let via = if m.g.get().is_some() { via } else { Via::Timer };
            ready(m, g, via);
        }
        Some(m) if std::ptr::eq(m.sched, g.sched) => ready_global(m.tracer(), g, Via::Foreign),
        _ => foreign::with(g.sched, |tracer| ready_global(tracer, g, Via::Foreign)),
    }
}

/// Makes a waiting G runnable without a P: it goes to the global queue.
pub(crate) fn ready_global(tracer: &mut Tracer, g: GRef, via: Via) {
    let sched = g.sched;
    let id = g.id();
    let seq = g.next_seq();
    g.transition(GState::Waiting, GState::Runnable);
    let ticks = tracer.now();
    let put = global_put(sched, g);
    note_ready(tracer, ticks, id, seq, via, put);
    wake_for_work(sched, tracer, false);
}

/// Makes a waiting G runnable for the calling M to run at once.
pub(crate) fn ready_direct(m: &'static M, g: GRef, via: Via) {
    let seq = g.next_seq();
    g.transition(GState::Waiting, GState::Runnable);
    let ticks = m.tracer().now();
    note_ready(m.tracer(), ticks, g.id(), seq, via, Put::DIRECT);
}

fn note_ready(tracer: &mut Tracer, ticks: u64, g: GId, seq: u64, via: Via, put: Put) {
    tracer.count(Tally::Readies);
    tracer.emit(
        ticks,
        Event::Ready {
            g,
            seq,
            via,
            placed: put.placed,
            kicked: put.kicked,
            gq: put.gq,
        },
    );
}

/// Readies what an M polled from the network. Go: `injectglist`.
///
/// With a P: one G for each idle P goes to the global queue and that many Ms are started, unless the policy wakes nobody; the rest go to
/// the local ring (the policy `netpoll_to` changes that). Without one: all go to the global queue.
pub(crate) fn inject(m: &'static M, gs: &[GRef]) {
    let Some(p) = m.p.get() else {
        return inject_without_p(m.sched, m.tracer(), gs);
    };
    if gs.is_empty() {
        return;
    }
    let idle = ps_to_start(m.sched, true);
    let to_global = m.sched.policy.inject_global(&InjectView {
        gs: gs.len() as u32,
        idle_ps: idle,
    });
    let (global, local) = gs.split_at(to_global as usize);
    for g in global {
        ready_polled(m.sched, m.tracer(), *g);
    }
    for g in local {
        let (id, seq) = (g.id(), g.next_seq());
        g.transition(GState::Waiting, GState::Runnable);
        let ticks = m.tracer().now();
        let put = runq_put(m, p, *g, false, ticks);
        note_ready(m.tracer(), ticks, id, seq, Via::Netpoll, put);
    }
    start_idle_ps(m.sched, m.tracer(), to_global.min(idle));
    wake_for_work(m.sched, m.tracer(), true);
}

/// Readies what a thread without a P polled from the network: all go to the global queue, and for each an idle P is started.
pub(crate) fn inject_without_p(sched: &'static Sched, tracer: &mut Tracer, gs: &[GRef]) {
    if gs.is_empty() {
        return;
    }
    for g in gs {
        ready_polled(sched, tracer, *g);
    }
    let idle = ps_to_start(sched, false);
    start_idle_ps(sched, tracer, idle.min(gs.len() as u32));
    wake_for_work(sched, tracer, false);
}

/// How many idle Ps are started for Gs that became ready together, if there are as many.
fn ps_to_start(sched: &Sched, holds_p: bool) -> u32 {
    let view = WakeView {
        holds_p,
        // An M is started for each, whoever spins.
        spinning: 0,
        idle_ps: sched.idle.idle_ps(),
    };
    // The policy is asked only where there is one to start.
    if view.idle_ps > 0 && sched.policy.wakes(&view) {
        view.idle_ps
    } else {
        0
    }
}

/// Makes a G that the network poller reported runnable, at the tail of the global queue.
pub(crate) fn ready_polled(sched: &Sched, tracer: &mut Tracer, g: GRef) {
    let (id, seq) = (g.id(), g.next_seq());
    g.transition(GState::Waiting, GState::Runnable);
    let ticks = tracer.now();
    let put = global_put(sched, g);
    note_ready(tracer, ticks, id, seq, Via::Netpoll, put);
}

/// Starts Ms for idle Ps, at most this many.
fn start_idle_ps(sched: &'static Sched, tracer: &mut Tracer, most: u32) {
    for _ in 0..most {
        let Some(p) = take_idle_p(sched) else { break };
        start_m(sched, tracer, p, false, WakeReason::Work);
    }
}

/// Takes an idle P off its list, if there is one. The caller owns it.
pub(crate) fn take_idle_p(sched: &Sched) -> Option<&'static P> {
    take_idle_p_locked(sched, &mut sched.lock())
}

/// As [`take_idle_p`], under the lock.
pub(crate) fn take_idle_p_locked(sched: &Sched, locked: &mut Locked) -> Option<&'static P> {
    if sched.is_stopping() {
        return None;
    }
    pop_idle_p(sched, locked)
}

/// As [`take_idle_p_locked`], also while the world is to stop: for its stopper.
pub(crate) fn pop_idle_p(sched: &Sched, locked: &mut Locked) -> Option<&'static P> {
    let all_were_idle = sched.is_idle();
    let p = locked.idle_ps.pop()?;
    sched.idle.idle_p_removed();
    locked.cpu.idle_ended(p.idle_since.get(), now_ns());
    if all_were_idle {
        // A timer, the network, a foreign thread or the end of a system call: sysmon sleeps deeply and would not see how long its G runs.
        sysmon::wake(sched);
    }
    Some(p)
}

/// Puts a P that the caller owns on the list of idle ones.
pub(crate) fn put_idle_p(sched: &Sched, locked: &mut Locked, p: &'static P) {
    if !p.runq.is_empty() {
        crate::fatal::fatal(format_args!("{} becomes idle with Gs in its queue", p.id));
    }
    p.set_state(PState::Idle);
    p.idle_since.set(now_ns());
    locked.idle_ps.push(p);
    sched.idle.idle_p_added();
}

/// Starts a spinning M, if the policy says so, after Gs became runnable. `holds_p`: whether the caller holds a P. Go: `wakep`.
pub(crate) fn wake_for_work(sched: &'static Sched, tracer: &mut Tracer, holds_p: bool) {
    let wakes = |spinning, idle_ps| {
        sched.policy.wakes(&WakeView {
            holds_p,
            spinning,
            idle_ps,
        })
    };
    if sched.idle.begin_wake_if(wakes) {
        start_spinner(sched, tracer);
    }
}

/// Starts a spinning M if nobody spins and a P is idle: for what is no runnable G, and so not for the policy to decide. Go: `wakep`.
pub(crate) fn wake_p(sched: &'static Sched) {
    if !sched.idle.begin_wake() {
        return;
    }
    match m::current() {
        Some(m) if std::ptr::eq(m.sched, sched) => start_spinner(sched, m.tracer()),
        _ => foreign::with(sched, |tracer| start_spinner(sched, tracer)),
    }
}

/// As [`wake_p`], for a thread whose tracer is at hand.
pub(crate) fn wake_p_with(sched: &'static Sched, tracer: &mut Tracer) {
    if sched.idle.begin_wake() {
        start_spinner(sched, tracer);
    }
}

/// Goes on after the count of spinners went from 0 to 1 for an M that is still to be woken.
fn start_spinner(sched: &'static Sched, tracer: &mut Tracer) {
    let p = {
        let mut locked = sched.lock();
        let p = take_idle_p_locked(sched, &mut locked);
        if p.is_none() {
            // Under the lock, so that an M about to release its P sees it: it then becomes the spinner instead.
            sched.idle.abandon_wake();
        }
        p
    };
    if let Some(p) = p {
        start_m(sched, tracer, p, true, WakeReason::Work);
    }
}

/// Gives a P that the caller owns to a parked M, or to a new one. Go: `startm`.
pub(crate) fn start_m(
    sched: &'static Sched,
    tracer: &mut Tracer,
    p: &'static P,
    spinning: bool,
    reason: WakeReason,
) -> MId {
    let parked = sched.pins.take_parked(&mut sched.lock().idle_ms, p.id);
    match parked {
        Some(m) => wake_m(tracer, m, p, spinning, reason),
        None => {
            let ticks = tracer.now();
            let m = boot::new_m(sched);
            tracer.count(Tally::MWakes);
            tracer.count(Tally::MCreated);
            tracer.emit(
                ticks,
                Event::MWake {
                    woken: m.id,
                    with_p: Some(p.id),
                    reason,
                    spinning,
                    created: true,
                },
            );
            give(m, p, spinning);
            boot::start_thread(m);
            m.id
        }
    }
}

/// Gives a P that the caller owns to a parked M that the caller took off the list.
pub(crate) fn wake_m(
    tracer: &mut Tracer,
    m: &'static M,
    p: &'static P,
    spinning: bool,
    reason: WakeReason,
) -> MId {
    tracer.count(Tally::MWakes);
    let event = Event::MWake {
        woken: m.id,
        with_p: Some(p.id),
        reason,
        spinning,
        created: false,
    };
    tracer.emit(tracer.now(), event);
    wake_with(m, p, spinning);
    m.id
}

fn give(m: &'static M, p: &'static P, spinning: bool) {
    use std::sync::atomic::Ordering::Relaxed;
    // Relaxed: published by the release in `unpark`, or by the start of the thread.
    m.next_p.store(std::ptr::from_ref(p).cast_mut(), Relaxed);
    m.next_spinning.store(spinning, Relaxed);
}

/// Wakes a parked M with a P that the caller owns.
pub(crate) fn wake_with(m: &'static M, p: &'static P, spinning: bool) {
    give(m, p, spinning);
    m.unpark();
}

/// Finds a use for a P that the caller owns and that its M can't use now: an M if there is work or should be a
/// spinner, else the list of idle Ps. Go: `handoffp`.
pub(crate) fn handoff_p(sched: &'static Sched, tracer: &mut Tracer, p: &'static P) {
    tracer.count(Tally::Handoffs);
    let id = p.id;
    let mut start = None;
    if sched.is_stopping() {
        // Falls through to the lock, where the flag is certain.
    } else if !p.runq.is_empty() || sched.global_len.get() > 0 {
        start = Some(false);
    } else if sched.idle.idle_ps() == 0 && sched.idle.begin_handoff_spin() {
        start = Some(true);
    }
    if start.is_none() {
        let mut locked = sched.lock();
        if sched.is_stopping() {
            sched.p_stopped(p);
            drop(locked);
            tracer.emit(
                tracer.now(),
                Event::Handoff {
                    p: id,
                    to: HandoffTo::Stw,
                    to_m: None,
                },
            );
            return;
        }
        // The last P that is not idle keeps an M on the network if nobody polls.
        let last = sched.idle.idle_ps() + 1 == sched.procs();
        let nobody_polls = !sched.poll_turn.is_taken();
        if locked.global.len() > 0 || (last && nobody_polls) {
            start = Some(false);
        } else {
            put_idle_p(sched, &mut locked, p);
            // After it is idle: who adds a timer to its heap, and finds no idle P, is seen here (see `find::search`).
            let when = p.timers.next_when();
            drop(locked);
            tracer.emit(
                tracer.now(),
                Event::Handoff {
                    p: id,
                    to: HandoffTo::Idle,
                    to_m: None,
                },
            );
            if when != u64::MAX {
                super::timers::wake_net_poller(sched, when);
            }
            return;
        }
    }
    if let Some(spinning) = start {
        let ticks = tracer.now();
        let to_m = start_m(sched, tracer, p, spinning, WakeReason::Handoff);
        tracer.emit(
            ticks,
            Event::Handoff {
                p: id,
                to: HandoffTo::M,
                to_m: Some(to_m),
            },
        );
    }
}

/// This M takes a P that nobody holds and that the caller owns. Go: `acquirep`.
pub(crate) fn acquire_p(m: &'static M, p: &'static P) {
    let seq = p.next_seq();
    // Relaxed: sysmon reads it as a hint and validates by state.
    p.m.store(
        std::ptr::from_ref(m).cast_mut(),
        std::sync::atomic::Ordering::Relaxed,
    );
    p.last_m.set(Some(m));
    p.set_state(PState::Running);
    m.p.set(Some(p));
    if m.sched.notes_cpus() {
        p.note_cpu();
    }
    let tracer = m.tracer();
    tracer.count(Tally::PStarts);
    tracer.emit(tracer.now(), Event::PStart { p: p.id, seq });
    // After the event: the time that it takes is the P's.
    pin::follow(m, p);
}

/// This M lets its P go; the caller owns it and says where it goes. Go: `releasep`.
pub(crate) fn release_p(m: &'static M, reason: PStopReason) -> &'static P {
    let p = m.held_p();
    let tracer = m.tracer();
    tracer.count(Tally::PStops);
    tracer.emit(tracer.now(), Event::PStop { reason });
    m.p.set(None);
    p.m.store(std::ptr::null_mut(), std::sync::atomic::Ordering::Relaxed);
    p
}
