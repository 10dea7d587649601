//! Looking at the scheduler from outside: what is in the run queues at one moment, and what everything is doing.
//!
//! [`run_queues`] stops the world, so that it is one moment for all queues. In a recording the moment is that of the `stw_end` event of the
//! stop, so that a reader who rebuilds the queues from the events can be held against it.
//! [`dump`] stops nothing and waits for nothing: it is for a program that hangs.

use std::fmt::Write;
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use gmp_trace::event::GState;
use gmp_trace::ids::{GId, MId, PId};

use crate::counters::this;
use crate::sched::{Sched, stw};

/// All run queues at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunQueues {
    /// Those of the Ps in use, by their ids.
    pub locals: Vec<LocalQueue>,
    /// The global queue, the first to be taken first.
    pub global: Vec<GId>,
    /// How many operations on the global queue there were before: threads that come out of system calls, or that run no G, put Gs
    /// there even when the world is stopped, and number what they do.
    pub global_operations: u64,
}

/// The run queue of a P.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalQueue {
    /// Whose.
    pub p: PId,
    /// The G that runs next.
    pub runnext: Option<GId>,
    /// The others, the oldest first.
    pub ring: Vec<GId>,
}

/// What is in the run queues; empty outside a runtime and after its end.
///
/// ```
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(1).run(|| {
///     let g = gmp_runtime::go(|| ());
///     let queues = gmp_runtime::inspect::run_queues();
///     assert!(queues.locals[0].runnext.is_some());
///     g.join().unwrap();
/// });
/// ```
///
/// # Blocking
/// Blocks the M until all others came to rest.
pub fn run_queues() -> RunQueues {
    let Some(sched) = this() else {
        return RunQueues::default();
    };
    stw::inspect(sched, || {
        let locals = sched
            .ps()
            .map(|p| {
                let (next, ring) = p.runq.contents();
                LocalQueue {
                    p: p.id,
                    runnext: Some(GId(next)).filter(|g| g.is_some()),
                    ring: ring.into_iter().map(GId).collect(),
                }
            })
            .collect();
        let (global, global_operations) = sched.lock().global.contents();
        RunQueues {
            locals,
            global: global.iter().map(|g| g.id()).collect(),
            global_operations,
        }
    })
    .unwrap_or_default()
}

/// What every P, M and G of the runtime is doing, as text for people; each line is of a moment of its own.
///
/// It takes no lock that it would have to wait for, so it also says something about a runtime that hangs. Gs are named with their state, what
/// they wait for, and where they were spawned; dead ones are left out.
pub fn dump() -> String {
    let Some(sched) = this() else {
        return "no gmp runtime was started in this process".to_owned();
    };
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_sched(sched, &mut out);
    let _ = write_ps(sched, &mut out);
    let _ = write_ms(sched, &mut out);
    let _ = write_gs(sched, &mut out);
    out
}

fn write_sched(sched: &Sched, out: &mut String) -> std::fmt::Result {
    let (last_poll, until) = sched.poll_turn.words();
    writeln!(
        out,
        "procs={} idle_ps={} spinning={} need_spinning={} global={} live_gs={} stopping={} stop_wait={} shutdown={} \
         sysmon_sleeps={} netpoll_waiters={} last_poll={last_poll} poll_until={until} now={}",
        sched.procs(),
        sched.idle.idle_ps(),
        sched.idle.spinning(),
        sched.idle.needs_spinning(),
        sched.global_len.get(),
        sched.live_gs.load(Ordering::Relaxed),
        sched.is_stopping(),
        sched.stop_wait.load(Ordering::Relaxed),
        sched.is_shutdown(),
        sched.sysmon_wait.load(Ordering::Relaxed),
        sched.poller.waiters(),
        crate::time::now_ns(),
    )
}

fn write_ps(sched: &Sched, out: &mut String) -> std::fmt::Result {
    for p in sched.ps() {
        let (head, tail, next) = p.runq.snapshot();
        // SAFETY: null, or an M, which is never freed.
        let m = unsafe { p.m.load(Ordering::Relaxed).as_ref() };
        writeln!(
            out,
            "{} {} m={} ticks={} syscall_ticks={} ring={} runnext={} next_timer={}",
            p.id,
            p.state(),
            name(m.map(|m| m.id)),
            p.ticks(),
            p.syscall_tick.load(Ordering::Relaxed),
            tail.wrapping_sub(head),
            name(Some(GId(next)).filter(|g| g.is_some())),
            match p.timers.next_when() {
                u64::MAX => "none".to_owned(),
                when => when.to_string(),
            },
        )?;
    }
    Ok(())
}

fn write_ms(sched: &Sched, out: &mut String) -> std::fmt::Result {
    match sched.try_lock() {
        Some(locked) => {
            let ids = |ms: &[&crate::sched::m::M]| {
                ms.iter()
                    .fold(String::new(), |s, m| s + &format!(" {}", m.id))
            };
            let idle_ps = locked.idle_ps.iter();
            writeln!(
                out,
                "ms={} idle:{} waiting for a locked g:{} idle ps:{} global queue: {}",
                locked.ms,
                ids(&locked.idle_ms),
                ids(&locked.idle_locked),
                idle_ps.fold(String::new(), |s, p| s + &format!(" {}", p.id)),
                locked.global.len(),
            )
        }
        None => writeln!(out, "the scheduler's lock is held"),
    }
}

fn write_gs(sched: &Sched, out: &mut String) -> std::fmt::Result {
    let gs = match sched.all_gs.try_lock() {
        Ok(gs) => gs,
        Err(TryLockError::Poisoned(e)) => e.into_inner(),
        Err(TryLockError::WouldBlock) => return writeln!(out, "the list of gs is locked"),
    };
    for g in gs.iter().filter(|g| g.state() != GState::Dead) {
        // SAFETY: null, or an M, which is never freed.
        let m = unsafe { g.m.load(Ordering::Relaxed).as_ref() };
        writeln!(
            out,
            "{} {} {} object={} last m={} spawned at {}",
            g.id(),
            g.state(),
            match g.state() {
                GState::Waiting => g.reason().word(),
                _ => "-",
            },
            g.object.load(Ordering::Relaxed),
            name(m.map(|m: &crate::sched::m::M| -> MId { m.id })),
            g.site()
                .map_or_else(|| "unknown".to_owned(), ToString::to_string),
        )?;
    }
    Ok(())
}

fn name(id: Option<impl std::fmt::Display>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.to_string())
}
