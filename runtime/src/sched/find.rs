//! `find_runnable`: what to run next, in Go's order, and the way from spinning to parked.
//!
//! The numbers in the code are the steps of Go's `findRunnable` as the README of this folder lists them.

use std::sync::atomic::Ordering;

use gmp_policy::view::{End, TakeView};
use gmp_trace::event::{Event, PState, PStopReason, Rule, Source, Via};
use gmp_trace::tally::Tally;

use crate::netpoll::Wait;
use crate::sched::g::GRef;
use crate::sched::global_queue::Lane;
use crate::sched::m::M;
use crate::sched::p::P;
use crate::sched::park::Unparker;
use crate::sched::states::MState;
use crate::sched::{Sched, run, steal, stw, timers, wake};
use crate::time::now_ns;
use crate::tracer::Tracer;

/// A G that was found, and how.
#[derive(Clone, Copy)]
pub(crate) struct Pick {
    /// The G; this M owns it.
    pub(crate) g: GRef,
    /// Whether it goes on with the time slice of the G before it.
    pub(crate) inherits: bool,
    /// Where it was taken from.
    pub(crate) source: Source,
    /// By which rule.
    pub(crate) rule: Rule,
    /// How many were ever taken from the ring before, if it came from there.
    pub(crate) pos: u32,
}

impl Pick {
    /// One that begins a new time slice.
    pub(crate) fn new(g: GRef, source: Source, rule: Rule) -> Pick {
        Pick {
            g,
            inherits: false,
            source,
            rule,
            pos: 0,
        }
    }
}

/// Finds a G to run; blocks until there is one. `None` when the runtime ends: the M holds no P then.
pub(crate) fn find_runnable(m: &'static M) -> Option<Pick> {
    loop {
        if m.sched.is_stopping() {
            stw::stop_here(m)?;
        }
        if m.sched.is_shutdown() {
            return None;
        }
        if m.p.get().is_none() {
            // The M came here without a P and none was given to it.
            run::stop_m(m)?;
            continue;
        }
        match search(m) {
            Found::Pick(pick) => return Some(pick),
            Found::Again => {}
            Found::Nothing => run::stop_m(m)?,
        }
    }
}

/// What one round of the search came to.
enum Found {
    /// A G.
    Pick(Pick),
    /// No G yet, but a reason to begin anew.
    Again,
    /// No G, and the P is released: the M is to be parked.
    Nothing,
}

fn search(m: &'static M) -> Found {
    let sched = m.sched;
    let p = m.held_p();
    // A spinner is counted on to look for the work of others: it may have none of its own, or it would keep it to itself.
    if m.spinning.get() && !p.runq.is_empty() {
        crate::fatal::fatal(format_args!(
            "{} spins with Gs in the queue of {}",
            m.id, p.id
        ));
    }

    // 1. Own timers.
    let mut poll_until = check_timers(m, p);
    // 4. Every so often the global queue first, so that it does not starve behind a busy local one.
    if sched.policy.look_global_first(p.ticks())
        && sched.global_len.get() > 0
        && let Some(pick) = grab_global(m, p, 1, Rule::Tick)
    {
        return Found::Pick(pick);
    }
    // 6. Own queue.
    if let Some(pick) = take_local(m, p) {
        return Found::Pick(pick);
    }
    m.switch_ticks.set(0);
    // 7. The global queue.
    if sched.global_len.get() > 0
        && let Some(pick) = grab_global(m, p, usize::MAX, Rule::Order)
    {
        return Found::Pick(pick);
    }
    // 8. The network, without blocking.
    if let Some(pick) = poll_network(m) {
        return Found::Pick(pick);
    }
    // 9. Other Ps.
    if m.spinning.get()
        || sched
            .policy
            .may_spin(sched.idle.spinning(), sched.procs(), sched.idle.idle_ps())
    {
        if !m.spinning.get() {
            start_spinning(m);
        }
        match steal::from_others(m, p, &mut poll_until) {
            steal::Outcome::Got(pick) => return Found::Pick(pick),
            steal::Outcome::NewWork => return Found::Again,
            // From the beginning, so that a spinner that takes its time also sees the global queue, the network and its own timers.
            steal::Outcome::Nothing if spins_on(m) => return Found::Again,
            steal::Outcome::Nothing => {}
        }
    }
    // 13. Release the P, unless there is a reason not to.
    let released = {
        let mut locked = sched.lock();
        if sched.is_stopping() {
            return Found::Again;
        }
        if locked.global.len() > 0 {
            drop(locked);
            return grab_global(m, p, usize::MAX, Rule::Release).map_or(Found::Again, Found::Pick);
        }
        // Where no spinner can be trusted to see all (`Policy::trusts_spinners`) each M looks again after it released its P, so none is asked.
        let asked = sched.policy.trusts_spinners() && !m.spinning.get();
        if asked && sched.idle.take_need_spinning() {
            drop(locked);
            start_spinning(m);
            return Found::Again;
        }
        if !p.runq.is_empty() {
            crate::fatal::fatal(format_args!("{} is released with Gs in its queue", p.id));
        }
        let p = wake::release_p(m, PStopReason::Idle);
        wake::put_idle_p(sched, &mut locked, p);
        p
    };
    // *The timer that nobody waits for*: another thread adds a timer to the heap of this P after the look at it above, finds no P idle, so that
    // all timers are looked after, and goes away; then this M releases the P. So it looks again, after the P is on the list of idle ones.
    poll_until = timers::earlier(poll_until, released.timers.next_when());
    // 14. A spinner first stops being one and only then looks at everything again: see `wake`. Who has not spun leaves that to those that
    // do, unless the policy makes that unsafe.
    let was_spinning = m.spinning.get();
    if was_spinning {
        stop_counting(m, false);
    }
    let alone = !was_spinning && !sched.policy.trusts_spinners();
    if alone {
        sched.idle.step_back();
    }
    if (was_spinning || alone)
        && let Some(found) = recheck(m, &mut poll_until)
    {
        return found;
    }
    // 15. Be the one who blocks in the network poller.
    block_in_poller(m, poll_until, was_spinning)
}

/// Whether this spinning M, which found nothing, looks once more.
fn spins_on(m: &'static M) -> bool {
    // The clock is read only under a policy that asks for it.
    if !m.sched.policy.spins_on(0) {
        return false;
    }
    let now = now_ns();
    if m.spins_since.get() == 0 {
        m.spins_since.set(now);
    }
    std::hint::spin_loop();
    m.sched
        .policy
        .spins_on(now.saturating_sub(m.spins_since.get()))
}

/// Runs the P's due timers; says when the next one is due (0 = none). Go: `checkTimers`.
fn check_timers(m: &'static M, p: &'static P) -> u64 {
    // Those that were stopped are taken out by their own P, lest they pile up.
    p.timers.compact();
    let mut next = p.timers.next_when();
    if next != u64::MAX {
        let now = now_ns();
        if next <= now {
            timers::run_due(m, p, now);
            next = p.timers.next_when();
        }
    }
    timers::earlier(0, next)
}

/// The P's own `runnext`, else the oldest of its ring, or the youngest under a policy that says so.
pub(crate) fn take_local(m: &'static M, p: &'static P) -> Option<Pick> {
    // SAFETY: this M holds the P.
    if let Some(g) = unsafe { p.runq.pop_runnext() } {
        let inherits = m.sched.policy.runnext_inherits;
        return Some(Pick {
            g,
            inherits,
            source: Source::Runnext,
            rule: Rule::Order,
            pos: 0,
        });
    }
    let view = TakeView { tick: p.ticks() };
    let (source, (g, pos)) = match m.sched.policy.takes_from(&view) {
        // SAFETY: as above.
        End::Oldest => (Source::Local, unsafe { p.runq.pop_front() }?),
        // SAFETY: as above.
        End::Youngest => (Source::Youngest, unsafe { p.runq.pop_back() }?),
    };
    Some(Pick {
        g,
        inherits: false,
        source,
        rule: Rule::Order,
        pos,
    })
}

/// Takes a batch from the global queue: the first is returned, the rest go to the (empty or nearly empty) ring.
fn grab_global(m: &'static M, p: &'static P, most: usize, rule: Rule) -> Option<Pick> {
    let sched = m.sched;
    let mut batch = Vec::new();
    let (gq, len) = {
        let mut locked = sched.lock();
        let len = locked.global.len();
        if len == 0 {
            return None;
        }
        let lane = locked.global.lane_for(p.id, rule == Rule::Tick);
        let of_lane = locked.global.lane_len(lane) as u32;
        // What is meant for this P is not shared with others; of what is meant for another no more is taken than is run at once.
        let n = match lane {
            Lane::Shared => sched.policy.global_batch(of_lane, sched.procs()),
            Lane::Own(_) => sched.policy.global_batch(of_lane, 1),
            Lane::Other(_) => 1,
        };
        let n = (n as usize).min(most).max(1);
        (
            locked.global.take(lane, n, &mut batch, &sched.global_len),
            len,
        )
    };
    let first = *batch.first()?;
    m.switch_ticks.set(0);
    let tracer = m.tracer();
    tracer.count(Tally::GlobalGrabs);
    tracer.count_n(Tally::GlobalGrabbedGs, batch.len() as u64);
    let ticks = tracer.now();
    tracer.emit(
        ticks,
        Event::GlobalGrab {
            g: first.id(),
            n: batch.len() as u32,
            gq,
            len: len as u32,
        },
    );
    for g in &batch[1..] {
        // SAFETY: this M holds the P.
        if unsafe { p.runq.push_back(*g) }.is_err() {
            crate::fatal::fatal(format_args!(
                "{} has no room for a batch of the global queue",
                p.id
            ));
        }
    }
    Some(Pick::new(first, Source::Global, rule))
}

/// Asks the network poller without blocking; one M at a time.
fn poll_network(m: &'static M) -> Option<Pick> {
    let sched = m.sched;
    if sched.poller.waiters() == 0 || sched.poll_turn.is_taken() {
        return None;
    }
    // Acquire/release: the flag is a try-lock.
    if sched.polling.swap(true, Ordering::Acquire) {
        return None;
    }
    let gs = poll(sched, m.tracer(), Wait::Now);
    sched.polling.store(false, Ordering::Release);
    let (first, rest) = gs.split_first()?;
    wake::ready_direct(m, *first, Via::Netpoll);
    wake::inject(m, rest);
    polled(sched, gs.len());
    Some(Pick::new(*first, Source::Netpoll, Rule::Order))
}

/// Asks the poller; threads that wait, and Gs of other runtimes, are woken here; Gs are returned, still waiting: the caller readies them, and
/// then says so to the poller.
pub(crate) fn poll(sched: &Sched, tracer: &mut Tracer, wait: Wait) -> Vec<GRef> {
    let blocking = wait != Wait::Now;
    let mut tokens = Vec::new();
    if let Err(e) = sched.poller.poll(wait, &mut tokens) {
        crate::fatal::fatal(format_args!("the network poller failed: {e}"));
    }
    // Who blocks said that it is quiet before.
    tracer.awake();
    let mut gs = Vec::with_capacity(tokens.len());
    for token in tokens {
        // SAFETY: the poller gives back what a waiter gave it, once for each wait.
        let waiter = unsafe { Unparker::from_raw(token) };
        match waiter.g() {
            Some(g) if std::ptr::eq(g.sched, sched) => gs.push(g),
            _ => {
                waiter.unpark();
                if blocking {
                    // It has the turn itself, and looks again before it blocks.
                    sched.poller.woken(1);
                } else {
                    polled(sched, 1);
                }
            }
        }
    }
    if blocking || !gs.is_empty() {
        tracer.count(Tally::Netpolls);
        tracer.count_n(Tally::NetpollReadies, gs.len() as u64);
        tracer.emit(
            tracer.now(),
            Event::Netpoll {
                n: gs.len() as u32,
                blocking,
            },
        );
    }
    gs
}

/// Says that `n` of the Gs that [`poll`] gave are runnable now.
pub(crate) fn polled(sched: &Sched, n: usize) {
    if n > 0 && sched.poller.woken(n) {
        nobody_waits(sched);
    }
}

/// Nobody waits for the network any more: whoever blocks in the poller for it is to look again, and to park if there is nothing else (see
/// `poll_turn`).
pub(crate) fn nobody_waits(sched: &Sched) {
    if sched.poll_turn.blocks_for_nobody() {
        sched.poller.wake();
    }
}

/// Counts this M as spinning and says so.
pub(crate) fn start_spinning(m: &'static M) {
    m.sched.idle.start_spin();
    note_spinning(m);
}

/// Says that this M is spinning; it is counted already.
pub(crate) fn note_spinning(m: &'static M) {
    m.spinning.set(true);
    m.search.set((0, 0));
    m.spins_since.set(0);
    let tracer = m.tracer();
    tracer.count(Tally::SpinStarts);
    tracer.emit(tracer.now(), Event::SpinStart {});
}

/// This M is counted as spinning no more.
pub(crate) fn stop_counting(m: &'static M, found: bool) {
    m.spinning.set(false);
    let (passes, tried) = m.search.get();
    let tracer = m.tracer();
    tracer.count(Tally::SpinStops);
    tracer.emit(
        tracer.now(),
        Event::SpinStop {
            found,
            passes,
            tried,
        },
    );
    m.sched.idle.stop_spin();
}

/// After the last look as a spinner: everything once more, without a P.
fn recheck(m: &'static M, poll_until: &mut u64) -> Option<Found> {
    let sched = m.sched;
    // a. The global queue.
    let with_global = {
        let mut locked = sched.lock();
        if locked.global.len() > 0 {
            wake::take_idle_p_locked(sched, &mut locked)
        } else {
            None
        }
    };
    if let Some(p) = with_global {
        wake::acquire_p(m, p);
        start_spinning(m);
        return Some(
            grab_global(m, p, usize::MAX, Rule::Recheck).map_or(Found::Again, Found::Pick),
        );
    }
    // b. The queues of all Ps. c. (Go's idle work of the collector has no counterpart.)
    if sched.ps().any(|p| !p.runq.is_empty())
        && let Some(p) = wake::take_idle_p(sched)
    {
        wake::acquire_p(m, p);
        start_spinning(m);
        return Some(Found::Again);
    }
    // d. The timers of all Ps: only their times, for lack of a P.
    for p in sched.ps() {
        *poll_until = timers::earlier(*poll_until, p.timers.next_when());
    }
    None
}

/// Blocks in the network poller if nobody else does, until `poll_until` (0 = for ever).
fn block_in_poller(m: &'static M, poll_until: u64, was_spinning: bool) -> Found {
    let sched = m.sched;
    // *The orphaned timer*: an M that does not spin has looked at the timers of its own P only, which need not be the P that it blocked with
    // before. If it parks now, or blocks for ever, nobody wakes for those of other idle Ps. A spinner has seen them all just now.
    let until = match was_spinning {
        true => poll_until,
        false => idle_timers(sched, poll_until).0,
    };
    if sched.poller.waiters() == 0 && until == 0 {
        return Found::Nothing;
    }
    if !sched.poll_turn.take() {
        // Somebody else polls; make sure that it does so no longer than we would have.
        if until != 0 && sched.poll_turn.sleeps_past(until) {
            sched.poller.wake();
        }
        return Found::Nothing;
    }
    sched.poll_turn.say(until);
    m.switch_ticks.set(0);
    let ticks = m.tracer().now();
    m.tracer().quiet(ticks);
    m.goes_to(MState::Polling);
    // A timer that was added to an idle P after this M last looked found nobody in the poller and could not break this poll: look once more.
    let (until, mut due) = idle_timers(sched, poll_until);
    sched.poll_turn.say(until);
    let gs = poll(
        sched,
        m.tracer(),
        if sched.is_shutdown() || (until == 0 && sched.poller.waiters() == 0) {
            Wait::Now
        } else if until == 0 {
            Wait::Forever
        } else {
            Wait::Until(until)
        },
    );
    m.goes_to(MState::Searching);
    let now = now_ns();
    sched.poll_turn.give_back(now);
    due |= until != 0 && until <= now;
    match wake::take_idle_p(sched) {
        None => {
            wake::inject(m, &gs);
            polled(sched, gs.len());
            Found::Nothing
        }
        Some(p) => {
            wake::acquire_p(m, p);
            match gs.split_first() {
                Some((first, rest)) => {
                    wake::ready_direct(m, *first, Via::Netpoll);
                    wake::inject(m, rest);
                    polled(sched, gs.len());
                    Found::Pick(Pick::new(*first, Source::Netpoll, Rule::Order))
                }
                None => {
                    // Whose timer is due is not known: a spinner looks at all.
                    if was_spinning || due {
                        start_spinning(m);
                    }
                    Found::Again
                }
            }
        }
    }
}

/// A spinner found a G, perhaps before it looked at the timers of other Ps, and need not have woken another to do so.
///
/// *The timer left to a spinner*: an M that parks leaves a due timer of an idle P to the spinner that there is (see `idle_timers`), which takes
/// a G from the global queue and is busy from then on. Its barrier comes after it stepped back: either it sees that P here, or the one that
/// parks sees no spinner.
pub(crate) fn leave_timers(sched: &'static Sched) {
    let (until, _) = idle_timers(sched, 0);
    if until != 0 {
        timers::wake_net_poller(sched, until);
    }
}

/// The earlier of `until` (0 = never) and the timers of all idle Ps, and whether one of those is due already.
///
/// A timer that is due is left to a spinner, if there is one: it looks at the timers of all Ps before it rests, and then breaks the poll. Without
/// that exception the M that polls would come back at once, not be allowed to spin, and poll again, without end, for as long as the kernel
/// keeps the spinner from running.
fn idle_timers(sched: &Sched, until: u64) -> (u64, bool) {
    let (mut until, mut due) = (until, false);
    let now = now_ns();
    for p in sched.ps().filter(|p| p.state() == PState::Idle) {
        let next = p.timers.next_when();
        if next == u64::MAX || (next <= now && sched.idle.spinning() > 0) {
            continue;
        }
        due |= next <= now;
        until = if until == 0 { next } else { until.min(next) };
    }
    (until, due)
}
