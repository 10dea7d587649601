//! Deadlock: no G can ever run again.
//!
//! It is looked for when an M parks, and by the poller thread before it waits for nobody: if no M is left that runs, is in a system call or polls, no timer waits, and the runtime is not
//! ending, then nobody is left to ready a G, unless a thread that is not the runtime's does. If there is none, the program
//! ends as Go's does, in Go's words; if there is, the user is warned once, and sysmon looks every second whether such a thread is still there.
//!
//! Go's other text, of a program without goroutines, has no case here: `run` returns as soon as the main G has ended, and there is
//! no `Goexit` by which it could end and leave the program waiting.

use std::fmt::Write;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use gmp_trace::event::GState;

use crate::sched::{Locked, Sched, poller_thread, sysmon};

/// The most Gs that the report names one by one.
const REPORTED: usize = 100;

/// Whether only threads that are not the runtime's could go on, when it was looked.
pub(crate) fn was_warned_of(sched: &Sched) -> bool {
    // Relaxed: a hint.
    sched.deadlock_warned.load(Ordering::Relaxed)
}

/// Called under the lock by an M that is about to park, by the poller thread, or by sysmon. Go: `checkdead`.
pub(crate) fn check(sched: &Sched, locked: &mut Locked) {
    if locked.ms == 0 && locked.ended_tids.is_empty() {
        // The runtime begins: the main G is being made, and then its M.
        return;
    }
    let running = locked.ms - locked.ending_ms - locked.idle_ms.len() - locked.idle_locked.len();
    if running > 0 || sched.is_stopping() || sched.is_shutdown() || locked.global.len() > 0 {
        return;
    }
    if sched.live_gs.load(Ordering::Relaxed) == 0 {
        // The main G has ended; the thread that waits for it is about to end the runtime.
        return;
    }
    if sched
        .ps()
        .any(|p| p.timers.next_when() != u64::MAX || !p.runq.is_empty())
        || sched.poller.waiters() > 0
    {
        return;
    }
    let foreign = foreign_threads(sched, locked);
    if foreign == 0 {
        crate::fatal::throw(
            format_args!(""),
            format_args!("all goroutines are asleep - deadlock!\n\n{}", report(sched)),
        );
    }
    if some_may_run(sched) {
        // One of those threads is just making it runnable: it waits for the lock that is held here.
        return;
    }
    if !sched.deadlock_warned.swap(true, Ordering::Relaxed) {
        eprintln!(
            "gmp: warning: all goroutines are asleep; only {foreign} thread(s) that are not the runtime's could wake one\n{}",
            report(sched)
        );
        sysmon::wake(sched);
    }
}

/// Whether some G does not wait.
fn some_may_run(sched: &Sched) -> bool {
    let gs = sched.all_gs.lock().unwrap_or_else(PoisonError::into_inner);
    gs.iter()
        .any(|g| !matches!(g.state(), GState::Dead | GState::Waiting))
}

/// How many threads of this process are neither Ms of this runtime, nor sysmon, nor the template thread, nor the poller thread, nor the one that
/// waits for the runtime to end, nor the spool's.
fn foreign_threads(sched: &Sched, locked: &Locked) -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 1;
    };
    // Relaxed: written before any of the threads that park was started.
    let mut ours: Vec<u32> = [&sched.runner_tid, &sched.sysmon_tid]
        .into_iter()
        .chain(locked.all_ms.iter().map(|m| &m.tid))
        .map(|tid| tid.load(Ordering::Relaxed))
        .collect();
    ours.push(sched.template.tid());
    tasks
        .flatten()
        .filter(|task| {
            let tid = task.file_name().to_string_lossy().parse().unwrap_or(0);
            let name = match std::fs::read(task.path().join("comm")) {
                Ok(name) => name,
                // *Listed, and gone before its name was read*: it ended, and was counted as one that could wake a G.
                Err(gone) => return !has_ended(&gone),
            };
            let ended = locked.ended_tids.contains(&tid) && name.starts_with(b"gmp-m");
            !ours.contains(&tid)
                && !ended
                && !name.starts_with(b"gmp-spool")
                && !name.starts_with(poller_thread::NAME.as_bytes())
        })
        .count()
}

/// Whether a file of a thread cannot be read because there is no such thread; any other error says nothing about it.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Every G that has not ended, what it waits for and where it was spawned.
fn report(sched: &Sched) -> String {
    let gs = sched.all_gs.lock().unwrap_or_else(PoisonError::into_inner);
    let mut out = String::new();
    let mut more = 0;
    let live: Vec<_> = gs
        .iter()
        .filter(|g| g.state() != GState::Dead && !g.system.get())
        .collect();
    for (i, g) in live.iter().enumerate() {
        if i >= REPORTED {
            more += 1;
            continue;
        }
        let what = match g.state() {
            GState::Waiting => g.reason().word().to_owned(),
            other => other.word().to_owned(),
        };
        let locked = if g.locked_m.load(Ordering::Relaxed).is_null() {
            ""
        } else {
            ", locked to thread"
        };
        let site = g
            .site()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string);
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "goroutine {} [{what}{locked}]: spawned at {site}",
            g.id().0
        );
    }
    if more > 0 {
        let _ = writeln!(out, "... and {more} more");
    }
    out
}
