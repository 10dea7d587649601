//! Stopping the world: all Ps come to rest, something is changed, they go on.
//!
//! # Protocol
//! Stopper: take `world` (`world.rs`); count the Ps that have to stop; raise `stopping`; ask all running Gs to give way; stop its own P,
//! take those in system calls and those that are idle; wait for the rest, asking again every 100 us, because a request is only a hint.
//! Everybody else, when it sees `stopping` at a safe point (the top of `find_runnable`, a checkpoint, entering a system
//! call, handing off a P): let the P go as stopped, count down, park.
//! Starting again: the network is polled, since nobody has done so meanwhile; `stopping` falls; Ps with work get an M, the others
//! become idle; one spinner more is woken.
//!
//! A P goes on with the M that it was on, if that is parked: it is, because an M that stops puts itself on the list of parked ones in the
//! critical section in which it lets its P go. The G that it ran is in `runnext`, so G, P and M are together again, as before the stop.
//! Ps choose before any M is given to a P without such a wish, or that P could get another's.
//!
//! A P changes to stopped exactly once for each stop, by whoever owns it then; `stop_wait` counts those that have not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use gmp_trace::event::{
    Event, PState, PStopReason, Placed, PreemptCause, RetakeCause, Rule, Source, StwKind,
    WakeReason,
};
use gmp_trace::ids::{GId, MId, PId};
use gmp_trace::tally::Tally;

use crate::limits::{MAX_PROCS, STW_RETRY};
use crate::netpoll::Wait;
use crate::sched::g::GRef;
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::timers::RemovedTimers;
use crate::sched::{Locked, Sched, find, preempt, run, sysmon, wake};
use crate::sys::futex;
use crate::time::now_ns;
use crate::tracer::{Tracer, foreign};

impl Sched {
    /// Whether the world is to stop, or has.
    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        // SeqCst: pairs with the state words of the Ps, see `P::state`.
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether the runtime is ending.
    pub(crate) fn is_shutdown(&self) -> bool {
        // SeqCst: set while the world is stopped; read before parking, after which the ender looks for parked Ms under the lock.
        self.shutdown.load(Ordering::SeqCst)
    }

    /// A P came to rest. Its owner calls it, under the scheduler's lock.
    pub(crate) fn p_stopped(&self, p: &P) {
        p.set_state(PState::Stopped);
        // AcqRel: the stopper, which acquires the last decrement, sees all that the stopped Ps' owners did.
        if self.stop_wait.fetch_sub(1, Ordering::AcqRel) == 1 {
            futex::wake_one(&self.stop_wait);
        }
    }
}

/// At a safe point of an M that may hold a P, while the world is to stop: lets the P go and parks until the M is given one. `None` when
/// the runtime ends. Go: `gcstopm`.
pub(crate) fn stop_here(m: &'static M) -> Option<()> {
    if m.p.get().is_none() {
        return Some(());
    }
    if m.spinning.get() {
        super::find::stop_counting(m, false);
    }
    {
        let mut locked = m.sched.lock();
        if !m.sched.is_stopping() {
            return Some(());
        }
        let p = wake::release_p(m, PStopReason::Stw);
        if m.sched.is_shutdown() {
            // Those on the list were woken to end already.
            m.sched.p_stopped(p);
            return None;
        }
        m.switch_ticks.set(0);
        run::note_park(m);
        locked.idle_ms.push(m);
        m.sched.p_stopped(p);
    }
    run::sleep_until_given_a_p(m)
}

/// A P in a system call was taken for the stop by its own M, which owns it now. The stop waits for it, so it is not over.
pub(crate) fn retaken(sched: &Sched, tracer: &mut Tracer, p: &'static P, from_m: MId) {
    let _locked = sched.lock();
    note_retake(sched, tracer, p, from_m, RetakeCause::Stw);
    if !sched.is_stopping() {
        crate::fatal::fatal(format_args!("{} was to stop, and the world goes on", p.id));
    }
    sched.p_stopped(p);
}

/// Records that a P was taken from a system call; the caller owns it.
pub(crate) fn note_retake(
    sched: &Sched,
    tracer: &mut Tracer,
    p: &'static P,
    from_m: MId,
    cause: RetakeCause,
) {
    p.tick_syscall();
    p.m.store(std::ptr::null_mut(), Ordering::Relaxed);
    sched.measures.syscall_lost_p();
    tracer.count(Tally::Retakes);
    tracer.emit(
        tracer.now(),
        Event::Retake {
            p: p.id,
            seq: p.next_seq(),
            from_m,
            cause,
        },
    );
}

/// The stopped world, as its stopper holds it.
struct Stopped {
    sched: &'static Sched,
    /// Whether all came to rest; only a shutdown goes on without.
    complete: bool,
    /// When it was asked for.
    asked_ns: u64,
}

/// Stops the world. The caller is a running G (which stays on its M with its P), or a thread that is no M.
fn stop(
    sched: &'static Sched,
    tracer: &mut Tracer,
    own: Option<&'static P>,
    kind: StwKind,
    patience: Option<Duration>,
) -> Stopped {
    let asked_ns = now_ns();
    tracer.count(Tally::Stws);
    tracer.emit(tracer.now(), Event::StwBegin { kind });
    {
        let mut locked = sched.lock();
        sched.stop_wait.store(sched.procs(), Ordering::Relaxed);
        sched.stopping.store(true, Ordering::SeqCst);
        if let Some(own) = own {
            sched.p_stopped(own);
        }
        take_syscalls(sched, tracer);
        while let Some(p) = wake::pop_idle_p(sched, &mut locked) {
            sched.p_stopped(p);
        }
    }
    let began = std::time::Instant::now();
    // Without the time in which threads waited for room in the spool: it is the recorder's.
    let mut patient_since = began;
    let mut round = 0u32;
    let complete = loop {
        // Acquire pairs with the releases in `p_stopped`.
        let left = sched.stop_wait.load(Ordering::Acquire);
        if left == 0 {
            break true;
        }
        if patience.is_some() && sched.waits_for_room() {
            patient_since = std::time::Instant::now();
        }
        if patience.is_some_and(|p| patient_since.elapsed() > p) {
            break false;
        }
        for p in sched.ps().filter(|p| p.state() == PState::Running) {
            let Some(asked) = preempt::request(p) else {
                continue;
            };
            asked.count(tracer);
            // The first round is in the trace as the beginning of the stop; those after the second say nothing new.
            if round == 1 {
                let ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                preempt::note_request(tracer, p, asked, PreemptCause::Stw, ns);
            }
        }
        round = round.saturating_add(1);
        futex::wait(&sched.stop_wait, left, Some(STW_RETRY));
        // A G may have entered a system call without seeing the flag in time: its P is taken here.
        let _locked = sched.lock();
        take_syscalls(sched, tracer);
    };
    if complete {
        let waited = now_ns().saturating_sub(asked_ns);
        sched.measures.stw_stopping.record(waited);
    }
    Stopped {
        sched,
        complete,
        asked_ns,
    }
}

/// Under the lock: takes all Ps that are in system calls.
fn take_syscalls(sched: &'static Sched, tracer: &mut Tracer) {
    for p in sched.ps() {
        if let Some(from) = p.take_from_syscall() {
            note_retake(sched, tracer, p, from, RetakeCause::Stw);
            sched.p_stopped(p);
        }
    }
}

impl Stopped {
    /// Lets the world go on with the Ps in use now. `own` goes on with its M.
    fn start(self, tracer: &mut Tracer, own: Option<&'static P>) {
        let sched = self.sched;
        // While nothing moves yet: what a reader sees before it is the stopped world.
        tracer.emit(tracer.now(), Event::StwEnd {});
        if sched.poller.waiters() > 0 {
            // All to the global queue; below, Ms are started for what is there.
            for g in find::poll(sched, tracer, Wait::Now) {
                wake::ready_polled(sched, tracer, g);
                find::polled(sched, 1);
            }
        }
        let mut with_m = Vec::new();
        let mut without_m = Vec::new();
        {
            let mut locked = sched.lock();
            sched.stopping.store(false, Ordering::SeqCst);
            // Downwards, so that the list of idle ones begins with the lowest, as at the start of the runtime.
            for i in (0..sched.procs()).rev() {
                let p = sched.p(PId(i));
                if own.is_some_and(|own| std::ptr::eq(own, p)) {
                    p.set_state(PState::Running);
                } else if p.runq.is_empty() {
                    wake::put_idle_p(sched, &mut locked, p);
                } else {
                    p.set_state(PState::Idle);
                    match take_parked(&mut locked, p.last_m.get()) {
                        Some(m) => with_m.push((m, p)),
                        None => without_m.push(p),
                    }
                }
            }
        }
        for (m, p) in with_m {
            wake::wake_m(tracer, m, p, false, WakeReason::Start);
        }
        for p in without_m {
            wake::start_m(sched, tracer, p, false, WakeReason::Start);
        }
        sysmon::wake(sched);
        wake::wake_p_with(sched, tracer);
        let took = now_ns().saturating_sub(self.asked_ns);
        sched.measures.stw_total.record(took);
    }
}

/// Takes an M off the list of parked ones, if it is there. Go: `mgetSpecific`.
fn take_parked(locked: &mut Locked, m: Option<&'static M>) -> Option<&'static M> {
    let m = m?;
    let at = locked
        .idle_ms
        .iter()
        .rposition(|idle| std::ptr::eq(*idle, m))?;
    Some(locked.idle_ms.remove(at))
}

/// Looks at the stopped world; `None` if the runtime has ended.
pub(crate) fn inspect<T>(sched: &'static Sched, look: impl FnOnce() -> T) -> Option<T> {
    if !sched.world.take() {
        return None;
    }
    let seen = match m::running().filter(|(m, _)| std::ptr::eq(m.sched, sched)) {
        Some((m, _)) => {
            let own = Some(m.held_p());
            let stopped = stop(sched, m.tracer(), own, StwKind::Inspect, None);
            let seen = look();
            stopped.start(m.tracer(), own);
            seen
        }
        None => foreign::with(sched, |tracer| {
            let stopped = stop(sched, tracer, None, StwKind::Inspect, None);
            let seen = look();
            stopped.start(tracer, None);
            seen
        }),
    };
    sched.world.give_back();
    Some(seen)
}

/// Changes the number of Ps to what `want` says once it is this one's turn to stop the world; returns the number before. The calling G
/// goes on, perhaps with another P. Nothing is stopped if the number is right already. Go: `GOMAXPROCS`, `procresize`.
pub(crate) fn set_procs(sched: &'static Sched, want: impl FnOnce() -> Option<u32>) -> u32 {
    if !sched.world.take() {
        return sched.procs();
    }
    // Dropped when the world goes on, outside of everything: it may be the user's to drop.
    let mut removed = RemovedTimers::new();
    let before = sched.procs();
    let n = want().map_or(before, |n| n.clamp(1, MAX_PROCS as u32));
    if n != before {
        match m::running().filter(|(m, _)| std::ptr::eq(m.sched, sched)) {
            Some((m, g)) => resize_from_g(m, g, n, &mut removed),
            None => foreign::with(sched, |tracer| {
                let stopped = stop(sched, tracer, None, StwKind::SetProcs, None);
                resize(sched, tracer, n, PId(0), &mut removed);
                stopped.start(tracer, None);
            }),
        }
    }
    sched.world.give_back();
    before
}

fn resize_from_g(m: &'static M, g: GRef, n: u32, removed: &mut RemovedTimers) {
    let sched = m.sched;
    let own = m.held_p();
    let stopped = stop(sched, m.tracer(), Some(own), StwKind::SetProcs, None);
    let keeps = own.id.0 < n;
    let heir = if keeps { own.id } else { PId(0) };
    resize(sched, m.tracer(), n, heir, removed);
    if !keeps {
        change_p(m, g, sched.p(PId(0)));
    }
    stopped.start(m.tracer(), m.p.get());
}

/// The running G's P is no more: it goes on with another, as the trace shows.
fn change_p(m: &'static M, g: GRef, to: &'static P) {
    let tracer = m.tracer();
    tracer.count(Tally::Preempts);
    let ticks = tracer.now();
    tracer.emit(
        ticks,
        Event::Preempt {
            cause: PreemptCause::Stw,
            placed: Placed::Direct,
            kicked: GId::NONE,
            gq: 0,
        },
    );
    let dead = wake::release_p(m, PStopReason::Resize);
    dead.set_state(PState::Dead);
    wake::acquire_p(m, to);
    let tracer = m.tracer();
    tracer.count(Tally::Starts);
    let seq = g.next_seq();
    tracer.emit(
        tracer.now(),
        Event::Start {
            g: g.id(),
            seq,
            source: Source::Direct,
            rule: Rule::Order,
            pos: 0,
        },
    );
}

/// The world is stopped: makes or retires Ps. Retired ones give their Gs to the global queue, their timers to `heir`, and those that were
/// stopped to `removed`.
fn resize(
    sched: &'static Sched,
    tracer: &mut Tracer,
    n: u32,
    heir: PId,
    removed: &mut RemovedTimers,
) {
    let old = sched.procs();
    (0..n).for_each(|i| sched.make_p(PId(i)));
    let heir = sched.p(heir);
    for i in n..old {
        let p = sched.p(PId(i));
        let mut gs = Vec::new();
        // SAFETY: the world is stopped, so the stopper owns every P.
        let runnext = unsafe { p.runq.pop_runnext() };
        gs.extend(runnext);
        let pos = p.runq.taken();
        let len = p.runq.len();
        if len > 0 {
            // SAFETY: as above; nobody competes, so it succeeds.
            unsafe { p.runq.take_oldest(len, &mut gs) };
        }
        if !gs.is_empty() {
            let gq = sched.lock().global.push_all_front(&gs, &sched.global_len);
            let event = Event::Drain {
                p: p.id,
                n: gs.len() as u32,
                runnext: runnext.is_some(),
                gq,
                pos,
            };
            tracer.emit(tracer.now(), event);
        }
        p.timers.move_to(&heir.timers, removed);
        let dead: Vec<GRef> = p.free.borrow_mut().drain(..).collect();
        sched.lock().free.extend(dead);
        p.set_state(PState::Dead);
    }
    sched.lock().cpu.procs_change(old, now_ns());
    sched.set_procs(n);
    for i in old..n {
        sched.p(PId(i)).set_state(PState::Stopped);
    }
    tracer.emit(tracer.now(), Event::Procs { procs: n });
}

/// Stops the world for the last time: returns whether everything came to rest. The caller is no M.
pub(crate) fn stop_for_ever(
    sched: &'static Sched,
    tracer: &mut Tracer,
    patience: Duration,
) -> bool {
    if !sched.world.take() {
        return false;
    }
    let stopped = stop(sched, tracer, None, StwKind::Shutdown, Some(patience));
    sched.world.close();
    stopped.complete
}
