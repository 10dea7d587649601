//! Deadlock: no G can ever run again.
//!
//! It is looked for when an M parks or ends, and by the poller thread before it waits for nobody: if no M is left that runs, is in a
//! system call or polls, no timer waits, and the main G has not ended, then nobody is left to ready a G, unless a thread that is not
//! the runtime's does. If there is none, the program ends as Go's does, in Go's words. If there is, the user is warned once, and the
//! program is watched: sysmon looks again, ever later up to once a second, until an M runs. The Ms do not look meanwhile.
//!
//! Go's other text, of a program without goroutines, has no case here: `run` returns as soon as the main G has ended, and there is
//! no `Goexit` by which it could end and leave the program waiting.

use std::collections::{HashSet, VecDeque};
use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gmp_trace::event::GState;

use crate::sched::{Locked, Sched, sysmon};
use crate::sys::thread;

/// The most Gs that the report names one by one.
const REPORTED: usize = 100;

/// The time until the first look of sysmon's; doubled after each.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// The longest time between two looks.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// How often the threads are listed until a listing is good for something.
const LISTINGS: usize = 10;

/// When sysmon looks again at a program that is watched.
pub(crate) struct Watch {
    /// The time of the last look and that until the next, in ns.
    last: Option<(u64, u64)>,
}

impl Watch {
    /// No program is watched yet.
    pub(crate) fn new() -> Watch {
        Watch { last: None }
    }

    /// The time until the next look, if there is to be one.
    pub(crate) fn next_look(&self, sched: &Sched) -> Option<Duration> {
        // Relaxed: it is set before `sysmon::wake`, whose fence and that of sysmon before it sleeps order the two: sysmon is woken, or sees it.
        if !sched.deadlock_watched.load(Ordering::Relaxed) {
            return None;
        }
        Some(
            self.last
                .map_or(FIRST_LOOK, |(_, delay)| Duration::from_nanos(delay)),
        )
    }

    /// Looks, if it is time.
    pub(crate) fn look(&mut self, sched: &Sched, now: u64) {
        const FIRST: u64 = FIRST_LOOK.as_nanos() as u64;
        const LAST: u64 = LAST_LOOK.as_nanos() as u64;
        // Relaxed: as above.
        if !sched.deadlock_watched.load(Ordering::Relaxed) {
            self.last = None;
            return;
        }
        let (last, delay) = *self.last.get_or_insert((now, FIRST));
        if now.saturating_sub(last) < delay {
            return;
        }
        self.last = Some((now, LAST.min(2 * delay)));
        let locked = sched.lock();
        if running(&locked) > 0 {
            // Under the lock: that M looks itself when it parks.
            sched.deadlock_watched.store(false, Ordering::Relaxed);
        } else {
            search(sched, &locked, delay == LAST);
        }
    }
}

/// Called under the lock by an M that is about to park or to end, or by the poller thread. Go: `checkdead`.
pub(crate) fn check(sched: &Sched, locked: &Locked) {
    // Relaxed: changed under the lock.
    if !sched.deadlock_watched.load(Ordering::Relaxed) {
        search(sched, locked, false);
    }
}

/// How many Ms are not parked.
fn running(locked: &Locked) -> usize {
    locked.ms - locked.idle_ms.len() - locked.idle_locked.len()
}

/// Looks whether any G can ever run again. Whoever is `patient` has waited long for the threads to be plain, and warns if they are not.
fn search(sched: &Sched, locked: &Locked, patient: bool) {
    if !locked.has_begun {
        // The main G is being made, and then its M.
        return;
    }
    if running(locked) > 0 || locked.global.len() > 0 || sched.is_shutdown() {
        return;
    }
    if sched.is_stopping() {
        // By sysmon or a thread that is not ours. No M need run when the world goes on.
        watch(sched);
        return;
    }
    // Relaxed: the M that ran the main G to its end counted as running until it parked under the lock.
    if sched.main_ended.load(Ordering::Relaxed) {
        // *The abandoned Gs*: others may wait for ever; the thread that waits for the main G is about to end the runtime.
        return;
    }
    if something_waits(sched) {
        return;
    }
    let others = other_threads(sched, locked);
    // *Its last act*: a thread starts a timer after the look above, and ends before it is counted. So what those did that have ended is looked
    // for once more.
    if something_waits(sched) {
        return;
    }
    if others == Others::None {
        crate::fatal::throw(
            format_args!(""),
            format_args!("all goroutines are asleep - deadlock!\n\n{}", report(sched)),
        );
    }
    watch(sched);
    let foreign = match others {
        Others::Some(n) => n,
        Others::Unclear if patient => 1,
        _ => return,
    };
    // Else one of those threads is just making it runnable: it waits for the lock that is held here.
    if !some_may_run(sched) && !sched.deadlock_warned.swap(true, Ordering::Relaxed) {
        eprintln!(
            "gmp: warning: all goroutines are asleep; only {foreign} thread(s) that are not the runtime's could wake one\n{}",
            report(sched)
        );
    }
}

/// Has sysmon look again.
fn watch(sched: &Sched) {
    sched.deadlock_watched.store(true, Ordering::Relaxed);
    sysmon::wake(sched);
}

/// Whether a timer, the network or a P's queue has something that an M will come to.
fn something_waits(sched: &Sched) -> bool {
    sched
        .ps()
        .any(|p| p.timers.next_when() != u64::MAX || !p.runq.is_empty())
        || sched.poller.waiters() > 0
}

/// Whether some G does not wait.
fn some_may_run(sched: &Sched) -> bool {
    let gs = sched.all_gs.lock().unwrap_or_else(PoisonError::into_inner);
    gs.iter()
        .any(|g| !matches!(g.state(), GState::Dead | GState::Waiting))
}

/// What is known of the threads of this process that are not the runtime's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// There are none.
    None,
    /// So many at least.
    Some(usize),
    /// There may be one, at least of those that are about to be gone.
    Unclear,
}

/// Looks for threads that are neither Ms of this runtime, nor sysmon, nor the template thread, nor the poller thread, nor the one that
/// waits for the runtime to end, nor the spool's. None of those begins or ends meanwhile: the lock is held, no M runs, and the runtime
/// does not end.
fn other_threads(sched: &Sched, locked: &Locked) -> Others {
    let ms = locked.all_ms.iter().map(|m| m.tid.load(Ordering::Relaxed));
    let mut ours: HashSet<u32> = ms.collect();
    ours.extend([
        sched.runner_tid.get(),
        sched.sysmon_tid.get(),
        sched.poller_tid.get(),
        sched.template.tid(),
        sched.spool.as_ref().map_or(0, |spool| spool.thread()),
    ]);
    for _ in 0..LISTINGS {
        // In this order: see `judge`.
        let (Ok(counted), Ok(listed)) = (thread::count(), thread::list()) else {
            return Others::Some(1);
        };
        if let Some(others) = judge(counted, &listed, &ours, &locked.ended_tids) {
            return others;
        }
    }
    Others::Unclear
}

/// What a listing of the threads says that was made after they were counted; nothing, if it lacks some.
///
/// *The heir*: a thread that is not ours starts another and ends. A listing need name neither of them, and numbers and names are given
/// again. But the kernel counts them, and at no moment less than one. So there are none only if all that were counted at one
/// moment are ours, which are listed after it.
fn judge(
    counted: usize,
    listed: &HashSet<u32>,
    ours: &HashSet<u32>,
    ended: &VecDeque<u32>,
) -> Option<Others> {
    if ours.intersection(listed).count() >= counted {
        return Some(Others::None);
    }
    // The thread of an M that ended is about to be gone; its number may be another's already.
    let (leaving, foreign): (Vec<u32>, Vec<u32>) =
        listed.difference(ours).partition(|tid| ended.contains(tid));
    match (foreign.len(), leaving.len()) {
        (0, 0) => None,
        (0, _) => Some(Others::Unclear),
        (n, _) => Some(Others::Some(n)),
    }
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Others, judge};

    fn says(counted: usize, listed: &[u32], ours: &[u32], ended: &[u32]) -> Option<Others> {
        let set = |tids: &[u32]| tids.iter().copied().collect();
        judge(
            counted,
            &set(listed),
            &set(ours),
            &ended.iter().copied().collect(),
        )
    }

    #[test]
    fn none_are_there_if_all_that_were_counted_are_ours() {
        assert_eq!(says(3, &[1, 2, 3], &[0, 1, 2, 3], &[]), Some(Others::None));
        // One that had ended by then was counted no more; the kernel may list it still.
        assert_eq!(says(3, &[1, 2, 3, 9], &[1, 2, 3], &[9]), Some(Others::None));
    }

    #[test]
    fn a_listing_that_names_no_foreign_thread_says_nothing_if_one_was_counted() {
        // It ended meanwhile, and its heir is not listed.
        assert_eq!(says(4, &[1, 2, 3], &[1, 2, 3], &[]), None);
        // The listing was cut short.
        assert_eq!(says(3, &[1, 2], &[1, 2, 3], &[]), None);
    }

    #[test]
    fn threads_that_are_listed_are_foreign_or_about_to_be_gone() {
        assert_eq!(says(5, &[1, 2, 7, 8], &[1, 2], &[]), Some(Others::Some(2)));
        assert_eq!(says(3, &[1, 2, 7], &[1, 2], &[7]), Some(Others::Unclear));
        assert_eq!(says(4, &[1, 2, 7, 8], &[1, 2], &[7]), Some(Others::Some(1)));
    }

    #[test]
    fn the_number_of_an_ended_m_may_be_given_to_one_that_runs() {
        // To an M.
        assert_eq!(says(2, &[1, 2], &[1, 2], &[2]), Some(Others::None));
        // To a thread of somebody's: it is not none.
        assert_eq!(says(2, &[1, 7], &[1], &[7]), Some(Others::Unclear));
    }
}
