//! `GMP_DEBUG=schedtrace=MS`: a line about the scheduler on stderr now and then, in Go's format; `scheddetail=1`: all of it.
//!
//! Sysmon prints it, and does not sleep deeply while it is asked for. The words and their order are Go's, so that what reads Go's traces
//! reads ours. Of an M, `mallocing`, `throwing`, `preemptoff`, `locks` and `dying` are about things that do not exist here: always 0 or
//! empty. States are numbers: those of a G are Go's; a P can also be 2, in a system call (Go up to 1.25).
//!
//! Everything is read while it changes: a line is no snapshot. What only an M may read of itself is taken from the Ps and Gs that name it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use gmp_trace::event::{GState, PState};

use crate::debug::Debug;
use crate::sched::m::M;
use crate::sched::{Locked, Sched, sysmon};
use crate::time::now_ns;

/// When to print, and how much.
pub(crate) struct Schedtrace {
    every_ns: u64,
    detailed: bool,
    began: u64,
    /// When it was printed last; never at first.
    last: Option<u64>,
}

impl Schedtrace {
    /// As asked for; times count from now.
    pub(crate) fn new(debug: &Debug) -> Schedtrace {
        Schedtrace {
            every_ns: debug.schedtrace_ms.saturating_mul(1_000_000),
            detailed: debug.scheddetail,
            began: now_ns(),
            last: None,
        }
    }

    /// Whether anything is printed at all.
    pub(crate) fn is_on(&self) -> bool {
        self.every_ns > 0
    }

    /// Prints if it is time to: at once the first time, as Go does.
    pub(crate) fn print_if_due(&mut self, sched: &Sched, now: u64) {
        let waits = |last: u64| now < last.saturating_add(self.every_ns);
        if !self.is_on() || self.last.is_some_and(waits) {
            return;
        }
        self.last = Some(now);
        let text = trace(sched, (now - self.began) / 1_000_000, self.detailed);
        // Nothing can be done about a closed stderr.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

/// Threads of the runtime: Ms, sysmon, the template thread. Go: `mcount`.
pub(crate) fn threads(sched: &Sched, locked: &Locked) -> usize {
    locked.ms + usize::from(!sysmon::has_ended(sched)) + usize::from(sched.template.runs())
}

/// Go: `schedtrace`.
fn trace(sched: &Sched, ms: u64, detailed: bool) -> String {
    let mut out = String::new();
    {
        let locked = sched.lock();
        head(&mut out, sched, &locked, ms, detailed);
        if !detailed {
            ps_in_short(&mut out, sched);
            return out;
        }
        ps(&mut out, sched);
        all_ms(&mut out, sched, &locked);
    }
    gs(&mut out, sched);
    out
}

/// Writing to a String does not fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => { let _ = write!($out, $($arg)*); };
}

fn head(out: &mut String, sched: &Sched, locked: &Locked, ms: u64, detailed: bool) {
    put!(
        out,
        "SCHED {ms}ms: gomaxprocs={} idleprocs={} threads={} spinningthreads={} needspinning={} idlethreads={} runqueue={}",
        sched.procs(),
        locked.idle_ps.len(),
        threads(sched, locked),
        sched.idle.spinning(),
        u32::from(sched.idle.take_need_spinning()),
        locked.idle_ms.len(),
        locked.global.len()
    );
    if detailed {
        put!(
            out,
            " gcwaiting={} nmidlelocked={} stopwait={} sysmonwait={}\n",
            sched.is_stopping(),
            locked.idle_locked.len(),
            sched.stop_wait.load(Ordering::Relaxed),
            sched.sysmon_wait.load(Ordering::Relaxed) == 1
        );
    }
}

/// The lengths of the rings, without `runnext`, and the time slices.
fn ps_in_short(out: &mut String, sched: &Sched) {
    out.push_str(" [ ");
    for p in sched.ps() {
        put!(out, "{} ", p.runq.len());
    }
    out.push_str("] schedticks=[ ");
    for p in sched.ps() {
        put!(out, "{} ", p.ticks());
    }
    out.push_str("]\n");
}

fn ps(out: &mut String, sched: &Sched) {
    for p in sched.ps() {
        let status = match p.state() {
            PState::Idle => 0,
            PState::Running => 1,
            PState::Syscall => 2,
            PState::Stopped => 3,
            PState::Dead => 4,
        };
        put!(
            out,
            "  P{}: status={status} schedtick={} syscalltick={} m={} runqsize={} gfreecnt={} timerslen={}\n",
            p.id.0,
            p.ticks(),
            p.syscall_tick.load(Ordering::Relaxed),
            m_number(p.m.load(Ordering::Relaxed)),
            p.runq.len(),
            p.free_len.load(Ordering::Relaxed),
            p.timers.len()
        );
    }
}

fn all_ms(out: &mut String, sched: &Sched, locked: &Locked) {
    let all_gs = sched.all_gs.lock().unwrap_or_else(PoisonError::into_inner);
    for m in &locked.all_ms {
        let is_it = |other: *mut M| std::ptr::eq(other, *m);
        let p = sched.ps().find(|p| is_it(p.m.load(Ordering::Relaxed)));
        let runs = |state| matches!(state, GState::Running | GState::Syscall);
        let curg = all_gs
            .iter()
            .find(|g| runs(g.state()) && is_it(g.m.load(Ordering::Relaxed)));
        let lockedg = all_gs
            .iter()
            .find(|g| is_it(g.locked_m.load(Ordering::Relaxed)));
        let parked = |list: &[&'static M]| list.iter().any(|other| std::ptr::eq(*other, *m));
        put!(
            out,
            "  M{}: p={} curg={} mallocing=0 throwing=0 preemptoff= locks=0 dying=0 spinning={} blocked={} lockedg={}\n",
            m.id.0,
            or_nil(p.map(|p| u64::from(p.id.0))),
            or_nil(curg.map(|g| g.id().0)),
            m.spinning.get(),
            parked(&locked.idle_ms) || parked(&locked.idle_locked),
            or_nil(lockedg.map(|g| g.id().0))
        );
    }
}

fn gs(out: &mut String, sched: &Sched) {
    let all_gs = sched.all_gs.lock().unwrap_or_else(PoisonError::into_inner);
    for g in all_gs.iter() {
        let state = g.state();
        let m = match state {
            GState::Running | GState::Syscall => g.m.load(Ordering::Relaxed),
            GState::Runnable | GState::Waiting | GState::Dead => std::ptr::null_mut(),
        };
        put!(
            out,
            "  G{}: status={}({}) m={} lockedm={}\n",
            g.id().0,
            state as u8,
            g.reason().word(),
            m_number(m),
            m_number(g.locked_m.load(Ordering::Relaxed))
        );
    }
}

fn m_number(m: *mut M) -> String {
    // SAFETY: null, or an M, which is never freed.
    or_nil(unsafe { m.as_ref() }.map(|m| u64::from(m.id.0)))
}

fn or_nil(number: Option<u64>) -> String {
    number.map_or_else(|| "nil".to_owned(), |n| n.to_string())
}
