//! Beginning and end of a runtime: who makes which thread, and what must be over before `run` returns.
//!
//! The thread that calls [`crate::Builder::run`] is no M; it waits. Start: the Ps are made, the main G is put on P 0, sysmon
//! and the first M start. End: the main G's result is there; the world is stopped, so that all counters are final; the Ms that are
//! parked end, those in system calls end when they come back; the trace is finished. Gs that have not ended are abandoned:
//! their stacks are not unwound, as in Go when `main` returns.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use gmp_policy::knobs::netpoll::Netpoll;
use gmp_trace::event::{Event, MKind};
use gmp_trace::ids::{MId, PId};

use crate::limits::{ENDED_TIDS, SHUTDOWN_PATIENCE};
use crate::sched::m::{self, M};
use crate::sched::states::MState;
use crate::sched::{Sched, async_preempt, deadlock, poller_thread, run, sysmon, wake};
use crate::tracer::{Tracer, foreign};

impl Sched {
    /// Keeps a thread's counters for the sums of [`crate::stats`].
    pub(crate) fn keep_tally(&self, tracer: &Tracer) {
        self.tallies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(tracer.tally());
    }
}

/// Where the main G leaves its result for the thread that waits.
pub(crate) struct Outcome<T> {
    value: Mutex<Option<std::thread::Result<T>>>,
    there: Condvar,
}

impl<T> Outcome<T> {
    /// Not there yet.
    pub(crate) fn new() -> Arc<Outcome<T>> {
        Arc::new(Outcome {
            value: Mutex::new(None),
            there: Condvar::new(),
        })
    }

    /// Leaves the result.
    pub(crate) fn set(&self, value: std::thread::Result<T>) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.there.notify_one();
    }

    /// Waits for the result.
    pub(crate) fn wait(&self) -> std::thread::Result<T> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match value.take() {
                Some(v) => return v,
                None => {
                    value = self
                        .there
                        .wait(value)
                        .unwrap_or_else(PoisonError::into_inner)
                }
            }
        }
    }
}

/// Makes the Ps, sysmon and, by way of the main G that `spawn_main` puts on the global queue, the first M.
pub(crate) fn start(sched: &'static Sched, procs: u32, spawn_main: impl FnOnce(&mut Tracer)) {
    (0..procs).for_each(|i| sched.make_p(PId(i)));
    sched.set_procs(procs);
    if sched.policy.netpoll == Netpoll::Thread {
        // For ever: see `poller_thread`. Nobody can have it: no M has started.
        let _ = sched.poll_turn.take();
    }
    sched.runner_tid.announce();
    foreign::with(sched, |tracer| {
        tracer.emit(tracer.now(), Event::Procs { procs });
        {
            let mut locked = sched.lock();
            for i in (0..procs).rev() {
                wake::put_idle_p(sched, &mut locked, sched.p(PId(i)));
            }
        }
    });
    // *Stopped before it began*: from here on threads can stop this world, and would wait for ever for a P that nobody has and that is not idle.
    super::set_home(sched);
    if sched.policy.netpoll == Netpoll::Thread {
        let id = next_mid(sched);
        sched.poller_thread.store(true, Ordering::Relaxed);
        spawn_thread(poller_thread::NAME.into(), move || {
            poller_thread::run(sched, id)
        });
        sched.poller_tid.wait();
    }
    let id = next_mid(sched);
    spawn_thread("gmp-sysmon".into(), move || sysmon::run(sched, id));
    // The deadlock detector must know these threads before the main G can wait for something.
    sched.sysmon_tid.wait();
    sched.measures.calibrate();
    foreign::with(sched, spawn_main);
}

/// Stops everything that can be stopped; the trace of what came to rest is complete afterwards.
pub(crate) fn stop(sched: &'static Sched) {
    foreign::with(sched, |tracer| {
        super::stw::stop_for_ever(sched, tracer, SHUTDOWN_PATIENCE);
    });
    sched.shutdown.store(true, Ordering::SeqCst);
    // At once: what sets a timer of this runtime in another one from now on means that one.
    sched.ps().for_each(|p| p.timers.abandon());
    let parked: Vec<&'static M> = {
        let mut locked = sched.lock();
        let mut parked = std::mem::take(&mut locked.idle_ms);
        parked.append(&mut locked.idle_locked);
        parked
    };
    parked.iter().for_each(|m| m.unpark());
    sched.poller.wake();
    sysmon::end(sched);
    sched.template.end();
    // Those that are parked or polling end at once, and so do sysmon and the poller thread; those in system calls when they come back, which
    // nobody waits for.
    let mut began = std::time::Instant::now();
    let ended =
        || sched.lock().ms == 0 && sysmon::has_ended(sched) && poller_thread::has_ended(sched);
    while !ended() && began.elapsed() < SHUTDOWN_PATIENCE {
        if sched.waits_for_room() {
            // It is the recorder's time, not theirs: they have something to record yet, and would lose it.
            began = std::time::Instant::now();
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    foreign::forget(sched);
    if let Some(spool) = &sched.spool {
        if let Some(plan) = &sched.counters {
            plan.state_result(spool);
        }
        spool.finish();
    }
}

fn next_mid(sched: &Sched) -> MId {
    let mut locked = sched.lock();
    let id = MId(locked.next_mid);
    locked.next_mid += 1;
    id
}

/// Reserves a new M; its thread is still to be started. Counted as running from now on.
pub(crate) fn new_m(sched: &'static Sched) -> &'static M {
    let mut locked = sched.lock();
    // Relaxed: a number by itself.
    let max = sched.max_ms.load(Ordering::Relaxed);
    if locked.ms >= max {
        drop(locked);
        too_many_threads(max);
    }
    let id = MId(locked.next_mid);
    locked.next_mid += 1;
    locked.ms += 1;
    locked.has_begun = true;
    let m: &'static M = Box::leak(Box::new(M::new(
        id,
        sched,
        mix(sched.seed ^ u64::from(id.0)),
    )));
    locked.all_ms.push(m);
    m
}

/// There are more threads than there may be. Go: `checkmcount`.
pub(crate) fn too_many_threads(max: usize) -> ! {
    crate::fatal::throw(
        format_args!("runtime: program exceeds {max}-thread limit\n"),
        format_args!(
            "thread exhaustion\n\ntoo many Gs block in system calls, or are locked to threads, at once: Builder::max_threads and set_max_threads set the limit"
        ),
    )
}

/// Starts the thread of a new M, which was given a P. Go: `newm`.
pub(crate) fn start_thread(m: &'static M) {
    // That of the thread that may have changed: the M may be one of another runtime, where nobody had to start one. If it has ended, with its
    // runtime, a thread that inherits too much is better than none.
    let tainted = m::current().filter(|m| super::lock::is_tainted(m));
    if !tainted.is_some_and(|by| by.sched.template.make(m)) {
        spawn_m(m);
    }
}

/// Starts the thread of a new M as a child of the calling one.
pub(crate) fn spawn_m(m: &'static M) {
    spawn_thread(format!("gmp-m{}", m.id.0), move || {
        m::set_current(Some(m));
        // Relaxed: the deadlock detector does not look while this M runs, and the lock orders its parking; who signals the M has seen it in a
        // preemptible section, and asks again if it has not seen this yet.
        m.tid.store(crate::sys::thread::gettid(), Ordering::Relaxed);
        m.mask.set(async_preempt::mask_of_thread());
        *m.tracer() = Tracer::start(
            m.sched.spool.as_ref(),
            m.id,
            MKind::Worker,
            &format!("gmp-m{}", m.id.0),
        );
        m.tracer().set_m(m);
        m.sched.keep_tally(m.tracer());
        if let Some(plan) = &m.sched.counters {
            m.tracer().open_counters(plan, m.id);
        }
        let guard = NeverUnwinds(m.id);
        run::schedule(m);
        std::mem::forget(guard);
        m.goes_to(MState::Ended);
        let tracer = m.tracer();
        tracer.awake();
        tracer.close_counters();
        tracer.emit(tracer.now(), Event::MExit {});
        tracer.finish();
        m::set_current(None);
        end_m(m);
    });
}

/// A panic of the scheduler itself must not end an M, which may hold a P and a G: all others would wait for them.
struct NeverUnwinds(MId);

impl Drop for NeverUnwinds {
    fn drop(&mut self) {
        crate::fatal::fatal(format_args!("the scheduler of {} panicked", self.0));
    }
}

/// The M is no more; its thread is about to end.
fn end_m(m: &'static M) {
    let mut locked = m.sched.lock();
    locked.ms -= 1;
    if m.ends.get() {
        locked.all_ms.retain(|other| !std::ptr::eq(*other, m));
        locked.ended_tids.push_back(m.tid.load(Ordering::Relaxed));
        if locked.ended_tids.len() > ENDED_TIDS {
            locked.ended_tids.pop_front();
        }
        deadlock::check(m.sched, &locked);
    }
}

/// Starts a thread of the runtime.
pub(crate) fn spawn_thread(name: String, body: impl FnOnce() + Send + 'static) {
    if let Err(e) = std::thread::Builder::new().name(name).spawn(body) {
        crate::fatal::exit(format_args!(
            "cannot create a thread: {e} (ulimit -u, or the cgroup's pids.max?)"
        ));
    }
}

/// Spreads a seed (splitmix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
