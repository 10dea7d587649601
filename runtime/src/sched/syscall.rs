//! System calls: how a G leaves the world of Gs for the kernel and comes back.
//!
//! # Protocol
//! Enter (the G's M): record, state of the G to syscall, state of the P to syscall. From then on anybody may take the P by
//! moving its state on: sysmon when the call lasts, the stopper of the world. Nothing is handed off.
//! Exit (the same M): move the P's state from syscall back to running; whoever loses that race finds another P, or puts
//! its G on the global queue and parks.
//! A call that is known to block gives the P away before it begins ([`blocking`]); under the policy `syscall=at_once` every call does. Under
//! `syscall=never` sysmon takes no P; the stopper of the world still does, or it would wait for the kernel.
//!
//! Unlike Go since 1.26, where the state of the G guards the P, the P has a syscall state of its own here (as in Go up to
//! 1.25): one word, one compare-and-swap for each party, and no lock bit on the G.

use gmp_trace::event::{Event, GState, PStopReason, Placed, Rule, Source, SyscallKind};
use gmp_trace::tally::Tally;

use crate::sched::find::Pick;
use crate::sched::g::{GRef, Request};
use crate::sched::m::{self, M};
use crate::sched::p::P;
use crate::sched::states::MState;
use crate::sched::{park, preempt, run, stw, sysmon, wake};

/// Runs `f`, which may block in the kernel, so that the P is not lost to others while it does.
///
/// The P stays with the calling M until the monitor thread takes it: after 20 µs at the earliest, when other Gs wait for
/// one; the policies `syscall` and `syscall_after` change that. Inside `f` the calling code is not a G: what would park it blocks the thread.
/// Outside a runtime it just calls `f`.
///
/// # Blocking
/// Blocks the M; the G is in state syscall.
pub fn syscall<T>(f: impl FnOnce() -> T) -> T {
    around(f, SyscallKind::Syscall)
}

/// As [`syscall`], for calls that are known to last: the P is handed off before `f` begins.
///
/// # Blocking
/// Blocks the M; the G is in state syscall and holds no P.
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    around(f, SyscallKind::Blocking)
}

fn around<T>(f: impl FnOnce() -> T, kind: SyscallKind) -> T {
    /// Leaves the system call also when `f` panics.
    struct Exit;
    impl Drop for Exit {
        fn drop(&mut self) {
            exit();
        }
    }

    let Some((m, g)) = m::running() else {
        return f();
    };
    preempt::checkpoint_on(m);
    // The checkpoint may have moved this G to another M.
    let Some((m, g)) = m::running().filter(|(_, now)| *now == g) else {
        return f();
    };
    enter(m, g, kind);
    let _exit = Exit;
    f()
}

/// Go: `entersyscall`, `entersyscallblock`.
fn enter(m: &'static M, g: GRef, kind: SyscallKind) {
    let p = m.held_p();
    let sched = m.sched;
    let kind = if sched.policy.hands_off_at_once() {
        SyscallKind::Blocking
    } else {
        kind
    };
    let tracer = m.tracer();
    let ticks = tracer.now();
    tracer.count(Tally::SyscallEnters);
    tracer.emit(
        ticks,
        Event::SyscallEnter {
            kind,
            seq: p.next_seq(),
        },
    );
    g.transition(GState::Running, GState::Syscall);
    m.goes_to(MState::Syscall);
    m.old_p.set(Some(p));
    match kind {
        SyscallKind::Syscall => {
            m.p.set(None);
            p.enter_syscall(m.id);
            // SeqCst on both words: either the stopper sees the P in a system call, or this M sees that it wants to stop. *Another's call*: this M
            // sees the flag and is held up; the world stops and starts, and the P is in the system call of another M, from which it must not
            // be taken for a stop that is over. So only the P of the own call is taken: then this stop still waits for it.
            if sched.is_stopping() && p.take_back_from_syscall(m.id) {
                stw::retaken(sched, m.tracer(), p, m.id);
            }
            sysmon::wake(sched);
        }
        SyscallKind::Blocking => {
            let p = wake::release_p(m, PStopReason::Blocking);
            p.tick_syscall();
            sched.measures.syscall_lost_p();
            wake::handoff_p(sched, m.tracer(), p);
        }
    }
}

/// Go: `exitsyscall`. The G may be on another M when this returns.
fn exit() {
    let Some(m) = m::current() else { return };
    let Some(g) = m.g.get() else { return };
    let old = m.old_p.take();
    if let Some(p) = old
        && p.leave_syscall(m.id)
    {
        m.p.set(Some(p));
        p.tick_syscall();
        g.transition(GState::Syscall, GState::Running);
        m.goes_to(MState::Running);
        let tracer = m.tracer();
        tracer.count(Tally::SyscallExits);
        tracer.emit(tracer.now(), Event::SyscallExit {});
        return;
    }
    m.sched.measures.syscall_without_p_ended();
    if let Some(p) = take_p(m, old) {
        run_on(m, g, p);
        return;
    }
    park::suspend(m, g, Request::SyscallExit);
}

/// An idle P, the old one if it is among them.
fn take_p(m: &'static M, old: Option<&'static P>) -> Option<&'static P> {
    let mut locked = m.sched.lock();
    if let Some(old) = old
        && let Some(at) = locked.idle_ps.iter().position(|p| std::ptr::eq(*p, old))
    {
        // The list is a stack: put it on top.
        let last = locked.idle_ps.len() - 1;
        locked.idle_ps.swap(at, last);
    }
    wake::take_idle_p_locked(m.sched, &mut locked)
}

/// The G goes on at once with a P that was just taken.
fn run_on(m: &'static M, g: GRef, p: &'static P) {
    g.transition(GState::Syscall, GState::Runnable);
    let tracer = m.tracer();
    tracer.count(Tally::SyscallExitsBlocked);
    // The P changed, so another interval of the G begins.
    let ticks = tracer.end_interval();
    tracer.emit(
        ticks,
        Event::SyscallExitBlocked {
            placed: Placed::Direct,
            gq: 0,
        },
    );
    wake::acquire_p(m, p);
    p.tick();
    let seq = g.next_seq();
    g.transition(GState::Runnable, GState::Running);
    m.goes_to(MState::Running);
    let tracer = m.tracer();
    tracer.count(Tally::Starts);
    let event = Event::Start {
        g: g.id(),
        seq,
        source: Source::Direct,
        rule: Rule::Order,
        pos: 0,
    };
    let ticks = tracer.begin_interval(tracer.now());
    tracer.emit(ticks, event);
}

/// On the scheduler's stack, after the G suspended because no P was to be had: it goes to the global queue, unless
/// one has become idle. Go: `exitsyscall0`.
pub(crate) fn exit_without_p(m: &'static M, g: GRef, ticks: u64) {
    let tracer = m.tracer();
    tracer.count(Tally::SyscallExitsBlocked);
    g.transition(GState::Syscall, GState::Runnable);
    m.g.set(None);
    let p = {
        let mut locked = m.sched.lock();
        match wake::take_idle_p_locked(m.sched, &mut locked) {
            Some(p) => {
                tracer.emit(
                    ticks,
                    Event::SyscallExitBlocked {
                        placed: Placed::Direct,
                        gq: 0,
                    },
                );
                Some(p)
            }
            None => {
                let gq = locked.global.push(g, &m.sched.global_len);
                tracer.emit(
                    ticks,
                    Event::SyscallExitBlocked {
                        placed: Placed::Global,
                        gq,
                    },
                );
                None
            }
        }
    };
    match p {
        Some(p) => {
            wake::acquire_p(m, p);
            run::execute(m, Pick::new(g, Source::Direct, Rule::Order));
        }
        // A P may have become idle since: its M looked at the global queue before that, under the lock, or somebody spins. The
        // caller's loop parks this M.
        None => wake::wake_for_work(m.sched, tracer, false),
    }
}
