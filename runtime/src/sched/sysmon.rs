//! The monitor thread: it needs no P and looks after what the Ms can't.
//!
//! Every round, 20 us to 10 ms apart: take Ps from system calls that last, ask Gs to give way whose time slice is used up, poll
//! the network if nobody has for 10 ms. While all Ps are idle or the world is stopped it sleeps until it is woken.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use gmp_policy::RetakeView;
use gmp_trace::event::{MKind, PState, PreemptCause, RetakeCause};
use gmp_trace::ids::MId;
use gmp_trace::tally::Tally;

use crate::limits::NETPOLL_PERIOD_NS;
use crate::netpoll::Wait;
use crate::sched::g::GRef;
use crate::sched::p::P;
use crate::sched::park::Unparker;
use crate::sched::{Sched, preempt, stw, wake};
use crate::sys::futex;
use crate::time::now_ns;
use crate::tracer::Tracer;
use gmp_trace::event::{Event, Via};

/// In `Sched::sysmon_life`: it runs, or has not begun.
pub(crate) const RUNS: u32 = 0;
/// It is to end, and is woken from its short sleeps for it.
const ENDS: u32 = 1;
/// It has ended: its part of the trace and its counters are complete.
const ENDED: u32 = 2;

/// What sysmon saw of a P when it last looked.
#[derive(Clone, Copy, Default)]
struct Seen {
    sched_tick: u32,
    sched_since: u64,
    syscall_tick: u32,
    syscall_since: u64,
    /// When a request to give way was last recorded in this time slice; 0 if none was.
    asked: u64,
}

/// Wakes sysmon from its deep sleep, if it sleeps: whoever takes a P from the list of idle ones calls it, because nobody else would preempt
/// what that P is to run.
pub(crate) fn wake(sched: &Sched) {
    // Pairs with the barrier in `deep_sleep`: sysmon announces its sleep and then looks at the Ps once more; who makes a P busy does so first
    // and then looks here.
    fence(Ordering::SeqCst);
    // SeqCst: the word is also swapped by others that wake, of which one is to go on.
    if sched.sysmon_wait.load(Ordering::SeqCst) == 1
        && sched.sysmon_wait.swap(0, Ordering::SeqCst) == 1
    {
        futex::wake_one(&sched.sysmon_wait);
    }
}

/// Asks it to end. The runtime is shut down already.
pub(crate) fn end(sched: &Sched) {
    // Release, with the acquire in `has_ended`: nothing passes this way but the word itself, which only moves forward.
    sched.sysmon_life.store(ENDS, Ordering::Release);
    futex::wake_one(&sched.sysmon_life);
    wake(sched);
}

/// Whether it has ended.
pub(crate) fn has_ended(sched: &Sched) -> bool {
    // Acquire pairs with the release at its end: what it counted and recorded is there.
    sched.sysmon_life.load(Ordering::Acquire) == ENDED
}

/// The thread's body. Ends when the runtime does.
pub(crate) fn run(sched: &'static Sched, id: MId) {
    let mut tracer = Tracer::start(
        sched.spool.as_ref().map(Arc::clone).as_ref(),
        id,
        MKind::Sysmon,
        "gmp-sysmon",
    );
    sched.keep_tally(&tracer);
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    while !sched.is_shutdown() {
        tracer.quiet(tracer.now());
        if sched.is_idle() || sched.is_stopping() {
            deep_sleep(sched);
            idle_rounds = 0;
        }
        let delay = Duration::from_nanos(sched.policy.sysmon_delay_ns(idle_rounds));
        futex::wait(&sched.sysmon_life, RUNS, Some(delay));
        tracer.awake();
        if sched.is_shutdown() {
            break;
        }
        let now = now_ns();
        poll_network(sched, &mut tracer, now);
        if retake(sched, &mut tracer, &mut seen, now) > 0 {
            idle_rounds = 0
        } else {
            idle_rounds += 1
        }
    }
    tracer.awake();
    tracer.emit(tracer.now(), Event::MExit {});
    tracer.finish();
    sched.sysmon_life.store(ENDED, Ordering::Release);
}

/// Sleeps until a P is busy again, a timer is due, or the runtime ends.
fn deep_sleep(sched: &Sched) {
    sched.sysmon_wait.store(1, Ordering::SeqCst);
    // See `wake`: the count of idle Ps is read without an order of its own.
    fence(Ordering::SeqCst);
    if (sched.is_idle() || sched.is_stopping()) && !sched.is_shutdown() {
        // The Ms watch the timers themselves; the limit only guards against a thread that was stopped from outside.
        futex::wait(&sched.sysmon_wait, 1, Some(Duration::from_secs(60)));
    }
    sched.sysmon_wait.store(0, Ordering::SeqCst);
}

/// Polls the network if nobody has for long: all Ms are busy.
fn poll_network(sched: &'static Sched, tracer: &mut Tracer, now: u64) {
    let last = sched.last_poll.load(Ordering::SeqCst);
    if last == 0 || sched.poller.waiters() == 0 || last + NETPOLL_PERIOD_NS > now {
        return;
    }
    if sched
        .last_poll
        .compare_exchange(last, now, Ordering::SeqCst, Ordering::Relaxed)
        .is_err()
    {
        return;
    }
    let mut tokens = Vec::new();
    if let Err(e) = sched.poller.poll(Wait::Now, &mut tokens) {
        crate::fatal::fatal(format_args!("the network poller failed: {e}"));
    }
    let mut gs: Vec<GRef> = Vec::new();
    for token in tokens {
        // SAFETY: the poller gives back what a waiter gave it, once for each wait.
        let waiter = unsafe { Unparker::from_raw(token) };
        match waiter.g() {
            Some(g) => gs.push(g),
            None => waiter.unpark_thread(),
        }
    }
    if !gs.is_empty() {
        tracer.count(Tally::Netpolls);
        tracer.count_n(Tally::NetpollReadies, gs.len() as u64);
        tracer.emit(
            tracer.now(),
            Event::Netpoll {
                n: gs.len() as u32,
                blocking: false,
            },
        );
        for g in gs {
            wake::ready_global(tracer, g, Via::Netpoll);
        }
    }
}

/// Asks the G on a P whose time slice is over to give way, each round until it does. Recorded once for each time slice that it goes on.
fn ask(sched: &Sched, tracer: &mut Tracer, p: &P, seen: &mut Seen, now: u64) {
    let Some(asked) = preempt::request(p) else {
        return;
    };
    asked.count(tracer);
    if seen.asked == 0 || now - seen.asked >= sched.policy.time_slice_ns {
        seen.asked = now;
        let ns = now - seen.sched_since;
        preempt::note_request(tracer, p, asked, PreemptCause::Slice, ns);
    }
}

/// Takes Ps from system calls and asks for preemption; returns how many Ps were taken. Go: `retake`.
fn retake(sched: &'static Sched, tracer: &mut Tracer, seen: &mut Vec<Seen>, now: u64) -> u32 {
    let mut taken = 0;
    seen.resize(sched.procs() as usize, Seen::default());
    for (p, seen) in sched.ps().zip(seen.iter_mut()) {
        let state = p.state();
        if state != PState::Running && state != PState::Syscall {
            continue;
        }
        let tick = p.ticks();
        let mut slice_over = false;
        if seen.sched_tick != tick || seen.sched_since == 0 {
            (seen.sched_tick, seen.sched_since, seen.asked) = (tick, now, 0);
        } else if now - seen.sched_since >= sched.policy.time_slice_ns {
            slice_over = true;
            if state == PState::Running {
                ask(sched, tracer, p, seen, now);
            }
        }
        if state != PState::Syscall {
            continue;
        }
        // Relaxed: a statistic compared with our own earlier reading.
        let tick = p.syscall_tick.load(Ordering::Relaxed);
        if !slice_over && (seen.syscall_tick != tick || seen.syscall_since == 0) {
            (seen.syscall_tick, seen.syscall_since) = (tick, now);
            continue;
        }
        let view = RetakeView {
            queue_len: p.runq.len() + u32::from(p.runq.has_runnext()),
            spinning: sched.idle.spinning(),
            idle_ps: sched.idle.idle_ps(),
            away_ns: now - seen.syscall_since,
        };
        if !sched.policy.retakes(view) {
            continue;
        }
        if let Some(from) = p.take_from_syscall() {
            stw::note_retake(tracer, p, from, RetakeCause::Syscall);
            wake::handoff_p(sched, tracer, p);
            taken += 1;
        }
    }
    taken
}
