//! Stopping the world and changing the number of Ps. Go: `proc_test.go`, `trace_test.go`, `gomaxprocs_test.go`.
//! That the cgroup's quota is followed is tested beside the code (`sched/default_procs.rs`), since a test can't change its own CPUs upwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::{
    Builder, channel, checkpoint, go, inspect, num_goroutines, procs, set_default_procs, set_procs,
    syscall, time, yield_now,
};
use gmp_testing::Recording;
use gmp_testing::program::{command, is_part, succeed};
use gmp_trace::event::{Event, StwKind};
use gmp_trace::ids::{GId, MId, PId};
use gmp_trace::version::ENV_COUNTERS;

use crate::run;

#[test]
fn stopping_the_world_in_two_ways_at_once_beside_gs_that_respawn_does_not_hang() {
    run(3, || {
        let stop = Arc::new(AtomicBool::new(false));
        fn respawn(stop: Arc<AtomicBool>, over: gmp_runtime::Sender<()>) {
            if stop.load(Ordering::Relaxed) {
                over.send(()).expect("room");
            } else {
                go(move || respawn(stop, over));
            }
        }
        let (over, is_over) = channel::<()>(1);
        let theirs = Arc::clone(&stop);
        go(move || respawn(theirs, over));
        let looks = go(|| {
            for _ in 0..1_000 {
                inspect::run_queues();
            }
        });
        let resizes = go(|| {
            for i in 0..1_000 {
                let n = 1 + i % 3;
                set_procs(n);
                assert_eq!(procs(), n);
            }
        });
        looks.join().expect("no panic");
        resizes.join().expect("no panic");
        stop.store(true, Ordering::Relaxed);
        is_over.recv().expect("the last one says so");
    });
}

#[test]
fn a_thousand_ps_work() {
    run(1024, || {
        assert_eq!(procs(), 1024);
        let gs: Vec<_> = (0..5_000u64).map(|i| go(move || i)).collect();
        let sum: u64 = gs.into_iter().map(|g| g.join().expect("no panic")).sum();
        assert_eq!(sum, 5_000 * 4_999 / 2);
    });
}

/// Timers, channels, system calls, full rings: all of it must come out while Ps come and go.
#[test]
fn nothing_is_lost_while_ps_come_and_go() {
    run(2, || {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        let resizes = go(move || {
            let mut seed = 1u64;
            let mut n = 0;
            while !theirs.load(Ordering::Relaxed) {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                set_procs(1 + (seed >> 33) as usize % 8);
                n += 1;
                yield_now();
            }
            n
        });
        let timers = Arc::new(AtomicU64::new(0));
        for _ in 0..4 {
            let (tx, rx) = channel::<u64>(3);
            let gs: Vec<_> = (0..800u64)
                .map(|i| {
                    let (tx, timers) = (tx.clone(), Arc::clone(&timers));
                    go(move || match i % 4 {
                        0 => {
                            time::sleep(Duration::from_micros(i));
                            timers.fetch_add(1, Ordering::Relaxed);
                        }
                        1 => syscall(|| std::thread::sleep(Duration::from_micros(20))),
                        2 => tx.send(i).expect("open"),
                        _ => (0..5).for_each(|_| yield_now()),
                    })
                })
                .collect();
            drop(tx);
            assert_eq!(rx.iter().count(), 200);
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(resizes.join().expect("no panic") > 0);
        assert_eq!(timers.load(Ordering::Relaxed), 800);
        assert_eq!(num_goroutines(), 1);
    });
}

#[test]
fn threads_and_gs_take_turns_at_stopping_the_world() {
    // A program of its own: the thread means the runtime that was started last.
    if !is_part("take_turns") {
        let test = "procs::threads_and_gs_take_turns_at_stopping_the_world";
        succeed(&mut command(test, "take_turns"));
        return;
    }
    run(2, || {
        let thread = std::thread::spawn(|| {
            for i in 0..100 {
                set_procs(1 + i % 4);
                inspect::run_queues();
            }
        });
        let gs: Vec<_> = (0..4)
            .map(|i| {
                go(move || {
                    for n in 0..100 {
                        set_procs(1 + (i + n) % 4);
                        inspect::run_queues();
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        syscall(|| thread.join()).expect("no panic");
        set_procs(2);
        assert_eq!(procs(), 2);
    });
}

/// Gs on Ps that are no more go on with others.
#[test]
fn a_g_whose_p_goes_away_goes_on() {
    run(4, || {
        let busy = crate::Busy::start(3);
        for _ in 0..200 {
            assert_eq!(set_procs(1), 4);
            assert_eq!(procs(), 1);
            yield_now();
            assert_eq!(set_procs(4), 1);
            assert_eq!(procs(), 4);
            yield_now();
        }
        busy.end();
    });
}

#[test]
fn after_the_end_of_a_runtime_there_is_no_world_to_stop() {
    if is_part("after_the_end") {
        run(2, || ());
        set_procs(1);
        set_default_procs();
        assert_eq!(inspect::run_queues(), inspect::RunQueues::default());
        return;
    }
    let test = "procs::after_the_end_of_a_runtime_there_is_no_world_to_stop";
    succeed(&mut command(test, "after_the_end"));
}

/// Sets the CPUs of all threads of this process.
fn set_affinity(cpus: &[usize]) {
    for task in std::fs::read_dir("/proc/self/task").expect("readable") {
        let tid = task.expect("readable").file_name();
        let tid = tid.to_string_lossy().parse().expect("a number");
        // SAFETY: an all-zero set is valid, and the kernel reads at most its size. A thread that has ended since is no matter.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            cpus.iter().for_each(|cpu| libc::CPU_SET(*cpu, &mut set));
            libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const set);
        }
    }
}

/// The CPUs that this process may use.
fn affinity() -> Vec<usize> {
    // SAFETY: an all-zero set is valid, and the kernel writes at most its size.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set),
            0
        );
        (0..libc::CPU_SETSIZE as usize)
            .filter(|cpu| libc::CPU_ISSET(*cpu, &set))
            .collect()
    }
}

#[test]
fn the_affinity_mask_is_the_default_and_is_followed() {
    if is_part("affinity") {
        let cpus = affinity();
        set_affinity(&cpus[..1]);
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        return unsafe { Builder::new() }.run(move || {
            assert_eq!(procs(), 1);
            for n in [cpus.len().min(2), 1] {
                set_affinity(&cpus[..n]);
                let began = Instant::now();
                while procs() != n {
                    assert!(began.elapsed() < Duration::from_secs(60), "{}", procs());
                    yield_now();
                }
            }
            // What is asked for is not followed, until the default is.
            assert_eq!(set_procs(3), 1);
            set_affinity(&cpus[..cpus.len().min(2)]);
            assert_eq!(procs(), 3);
            set_default_procs();
            assert_eq!(procs(), cpus.len().min(2));
        });
    }
    let test = "procs::the_affinity_mask_is_the_default_and_is_followed";
    succeed(&mut command(test, "affinity"));
}

/// As many stops of each kind as Go's test makes.
const STOPS: usize = 50;

/// Stops the world again and again while a G runs on each other P.
fn stops() {
    // Nobody is preempted but for the stops.
    let policy = "time_slice=10s".parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).policy(policy).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let began = Arc::new(AtomicU64::new(0));
        let (theirs, starts) = (Arc::clone(&stop), Arc::clone(&began));
        let busy = go(move || {
            while !theirs.load(Ordering::Relaxed) {
                checkpoint();
                starts.fetch_add(1, Ordering::Relaxed);
                std::hint::spin_loop();
            }
        });
        let wait_until_it_runs_beside_this_one = || {
            let seen = began.load(Ordering::Relaxed);
            while began.load(Ordering::Relaxed) < seen + 100 {
                std::hint::spin_loop();
                checkpoint();
            }
        };
        for _ in 0..STOPS {
            wait_until_it_runs_beside_this_one();
            inspect::run_queues();
        }
        let mut counted = 0;
        while counted < STOPS {
            // The M that is woken for the third P may take the G there, whose P goes away again: that is not what is asked.
            wait_until_it_runs_beside_this_one();
            set_procs(3);
            wait_until_it_runs_beside_this_one();
            counted += usize::from(inspect::dump().contains("\nP2 idle "));
            set_procs(2);
        }
        // Without a G of its own this M would steal the other one.
        wait_until_it_runs_beside_this_one();
        stop.store(true, Ordering::Relaxed);
        busy.join().expect("no panic");
    });
}

/// Who runs what on which P, as the events tell it.
#[derive(Default)]
struct Running {
    p: BTreeMap<MId, PId>,
    g: BTreeMap<MId, GId>,
}

impl Running {
    fn see(&mut self, m: MId, event: &Event) {
        match *event {
            Event::PStart { p, .. } => drop(self.p.insert(m, p)),
            Event::PStop { .. } => drop(self.p.remove(&m)),
            Event::Start { g, .. } => drop(self.g.insert(m, g)),
            Event::Yield { .. }
            | Event::Preempt { .. }
            | Event::Park { .. }
            | Event::Exit { .. } => drop(self.g.remove(&m)),
            _ => {}
        }
    }

    /// Each G that runs, with its P and M.
    fn all(&self) -> BTreeMap<GId, (PId, MId)> {
        self.g
            .iter()
            .filter_map(|(m, g)| Some((*g, (*self.p.get(m)?, *m))))
            .collect()
    }
}

#[test]
fn after_a_stop_each_g_goes_on_on_its_p_and_its_m() {
    if is_part("stops") {
        return stops();
    }
    let test = "procs::after_a_stop_each_g_goes_on_on_its_p_and_its_m";
    let recording = Recording::whole(command(test, "stops").env(ENV_COUNTERS, "none"));
    let mut running = Running::default();
    // Per kind: stops after which two Gs go on that have a P each and all Ps, and those after which one of them did not go on on its M.
    let mut stops: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    let mut before = None;
    let mut procs = 2;
    for o in recording.history() {
        let m = o.m;
        running.see(m, &o.event);
        match o.event {
            Event::Procs { procs: now, .. } => procs = now,
            Event::StwBegin { kind } if kind != StwKind::Shutdown => {
                before = Some((kind, running.all()));
            }
            // The first start of a G after the stop; the stopper's own G never stopped.
            Event::Start { g, .. } => {
                let Some((kind, gs)) = before.take() else {
                    continue;
                };
                // Beside a third P it may be stolen, also from a P whose M is still on its way.
                let stay = gs.values().all(|(p, _)| p.0 < 2);
                if let Some((p, on)) = gs.get(&g)
                    && procs == 2
                    && gs.len() == 2
                    && stay
                {
                    let seen = stops.entry(kind as u64).or_default();
                    seen.0 += 1;
                    seen.1 += usize::from(*on != m);
                    assert_eq!(running.p.get(&m), Some(p), "{g} after {kind:?}");
                }
            }
            _ => {}
        }
    }
    for kind in [StwKind::Inspect, StwKind::SetProcs] {
        let (seen, missed) = stops.get(&(kind as u64)).copied().unwrap_or_default();
        assert!(seen >= STOPS / 2, "{kind:?}: {seen} stops seen");
        // As Go's test: on which M is best effort, as the old one may still be on its way to where it is looked for.
        assert!(missed * 4 <= seen, "{kind:?}: {missed} of {seen}");
    }
}

/// Sysmon sleeps deeply while all Ps are idle. Whatever ends that must wake it, or nobody preempts what runs then.
#[test]
fn after_an_idle_time_a_g_that_computes_is_preempted() {
    run(1, || {
        for _ in 0..20 {
            time::sleep(Duration::from_millis(5));
            let began = Instant::now();
            let seen = Arc::new(AtomicBool::new(false));
            let theirs = Arc::clone(&seen);
            let g = go(move || theirs.store(true, Ordering::Relaxed));
            while !seen.load(Ordering::Relaxed) {
                checkpoint();
                // It would go on for the minute that sysmon's deep sleep lasts at most.
                assert!(began.elapsed() < Duration::from_secs(20));
            }
            g.join().expect("no panic");
        }
    });
}
