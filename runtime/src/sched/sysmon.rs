//! The monitor thread: it needs no P and looks after what the Ms can't.
//!
//! Every round, 20 us to 10 ms apart: take Ps from system calls that last, ask Gs to give way whose time slice is used up, poll
//! the network if nobody has for 10 ms, look whether the default number of Ps changed, wake a spinner for timers that are left alone, look for
//! a deadlock if the program is watched for one, print a line of `schedtrace`. While all Ps are idle or the world is stopped it sleeps until it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::time::Duration;

use gmp_policy::view::RetakeView;
use gmp_trace::event::{MKind, PState, PreemptCause, RetakeCause};
use gmp_trace::ids::MId;

use crate::netpoll::Wait;
use crate::sched::deadlock::Watch;
use crate::sched::p::P;
use crate::sched::poll_turn::Turn;
use crate::sched::schedtrace::Schedtrace;
use crate::sched::{Sched, default_procs, find, preempt, stw, wake};
use crate::sys::futex;
use crate::time::now_ns;
use crate::tracer::Tracer;
use gmp_trace::event::Event;

/// It runs, or has not begun.
const RUNS: u32 = 0;
/// It is to end, and is woken from its short sleeps for it.
const ENDS: u32 = 1;
/// It has ended: its part of the trace and its counters are complete.
const ENDED: u32 = 2;

/// How far sysmon is: a word that only moves forward.
pub(crate) struct Life(AtomicU32);

impl Life {
    /// It has not begun.
    pub(crate) fn new() -> Life {
        Life(AtomicU32::new(RUNS))
    }

    /// Asks it to end.
    fn ask(&self) {
        // *Over before it was asked*: it may have seen the shutdown itself and have ended, and who waits for its end would go on waiting.
        // Relaxed: nothing passes this way but the word itself.
        let asked = self
            .0
            .compare_exchange(RUNS, ENDS, Ordering::Relaxed, Ordering::Relaxed);
        if asked.is_ok() {
            futex::wake_one(&self.0);
        }
    }

    /// Sleeps, until it is asked to end at most.
    fn sleep(&self, delay: Duration) {
        futex::wait(&self.0, RUNS, Some(delay));
    }

    /// It ends.
    fn end(&self) {
        // Release pairs with the acquire in `has_ended`.
        self.0.store(ENDED, Ordering::Release);
    }

    /// Whether it has ended.
    fn has_ended(&self) -> bool {
        // Acquire pairs with the release at its end: what it counted and recorded is there.
        self.0.load(Ordering::Acquire) == ENDED
    }
}

/// The longest sleep while all Ps are idle.
const DEEP_SLEEP: Duration = Duration::from_secs(60);

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
    sched.sysmon_life.ask();
    wake(sched);
}

/// Whether it has ended.
pub(crate) fn has_ended(sched: &Sched) -> bool {
    sched.sysmon_life.has_ended()
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
    sched.sysmon_tid.announce();
    sched.default_procs.watch_this_thread();
    let mut schedtrace = Schedtrace::new(&sched.debug);
    let mut looked_at_default = 0;
    let mut watch = Watch::new();
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle_rounds = 0;
    while !sched.is_shutdown() {
        tracer.quiet(tracer.now());
        if !schedtrace.is_on() && (sched.is_idle() || sched.is_stopping()) {
            deep_sleep(sched, &watch);
            idle_rounds = 0;
        }
        let delay = Duration::from_nanos(sched.policy.sysmon_delay_ns(idle_rounds));
        sched.sysmon_life.sleep(delay);
        tracer.awake();
        if sched.is_shutdown() {
            break;
        }
        let now = now_ns();
        poll_network(sched, &mut tracer, now);
        default_procs::look(sched, &mut tracer, &mut looked_at_default, now);
        if retake(sched, &mut tracer, &mut seen, now) > 0 {
            idle_rounds = 0
        } else {
            idle_rounds += 1
        }
        start_for_timers(sched, &mut tracer, &seen, now);
        watch.look(sched, now);
        schedtrace.print_if_due(sched, now);
    }
    tracer.awake();
    tracer.emit(tracer.now(), Event::MExit {});
    tracer.finish();
    sched.sysmon_life.end();
}

/// Sleeps until a P is busy again, by a timer for example, or the runtime ends; no longer than until
/// the next look for a deadlock.
fn deep_sleep(sched: &Sched, watch: &Watch) {
    sched.sysmon_wait.store(1, Ordering::SeqCst);
    // See `wake`: the count of idle Ps is read without an order of its own.
    fence(Ordering::SeqCst);
    if (sched.is_idle() || sched.is_stopping()) && !sched.is_shutdown() {
        // The Ms watch the timers themselves; the longer limit only guards against a thread that was stopped from outside.
        let limit = watch.next_look(sched).unwrap_or(DEEP_SLEEP);
        futex::wait(&sched.sysmon_wait, 1, Some(limit));
    }
    sched.sysmon_wait.store(0, Ordering::SeqCst);
}

/// Polls the network if nobody has for long: all Ms are busy.
fn poll_network(sched: &'static Sched, tracer: &mut Tracer, now: u64) {
    // Somebody is blocked in the poller, or a thread does nothing but poll: then it is not overdue.
    let overdue = |since| sched.policy.sysmon_polls(since);
    if sched.poller.waiters() == 0 || !sched.poll_turn.is_overdue(now, overdue) {
        return;
    }
    let gs = find::poll(sched, tracer, Wait::Now);
    wake::inject_without_p(sched, tracer, &gs);
    find::polled(sched, gs.len());
}

/// Asks the G on a P whose time slice is over to give way, each round until it does. Recorded once for each time slice that it goes on.
fn ask(sched: &Sched, tracer: &mut Tracer, p: &P, seen: &mut Seen, now: u64) {
    let Some(asked) = preempt::request(p) else {
        return;
    };
    asked.count(tracer);
    if seen.asked == 0 || sched.policy.slice_is_over(now - seen.asked) {
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
        } else if sched.policy.slice_is_over(now - seen.sched_since) {
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
        if seen.syscall_tick != tick || seen.syscall_since == 0 {
            (seen.syscall_tick, seen.syscall_since) = (tick, now);
            if !slice_over {
                continue;
            }
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
            stw::note_retake(sched, tracer, p, from, RetakeCause::Syscall);
            wake::handoff_p(sched, tracer, p);
            taken += 1;
        }
    }
    taken
}

/// Starts a spinner for a timer that is due on a P that cannot run it, where another P is idle. Go's sysmon once did so, too.
///
/// *The timer left in the poller*: an M waits in the network poller for the timers of all idle Ps, is woken for the network, and goes on to a G.
/// As in Go it leaves those timers to the next search, and that may never be: the G, or the Gs after it, compute without a call, or yield in
/// a way that wakes nobody. In a call that does not lose its P, or in code that does not give way, a P's own timers wait in the same way.
fn start_for_timers(sched: &'static Sched, tracer: &mut Tracer, seen: &[Seen], now: u64) {
    if sched.idle.idle_ps() == 0 || sched.idle.spinning() > 0 || sched.is_stopping() {
        return;
    }
    let is_left = |p: &P, seen: &Seen| match p.state() {
        PState::Idle | PState::Syscall => true,
        // Its holder comes by, unless what it runs does not let it.
        PState::Running => {
            seen.sched_tick == p.ticks() && sched.policy.slice_is_over(now - seen.sched_since)
        }
        _ => false,
    };
    let left = sched.ps().zip(seen).any(|(p, seen)| {
        let when = p.timers.next_when();
        // Who is blocked until then is about to look.
        when <= now && is_left(p, seen) && sched.poll_turn.ask(when) != Turn::InTime
    });
    if left {
        wake::wake_p_with(sched, tracer);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Life;

    #[test]
    fn what_has_ended_stays_so_when_it_is_asked_to_end() {
        let life = Life::new();
        life.end();
        life.ask();
        assert!(life.has_ended());
    }
}
