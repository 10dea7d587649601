//! Spinning and waking: spin, spin_for, wake.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpListener;
use gmp_runtime::sync::Mutex;
use gmp_runtime::{Tally, blocking, channel, go, inspect, syscall, time, yield_now};
use gmp_trace::event::{Event, WakeReason};
use gmp_trace::ids::MId;

use crate::{History, hold_until, hold_until_counted, run};

/// A G is run by another M while the main G keeps its P; that M has then looked for another, and released its P.
pub fn one_g_elsewhere() {
    run(2, || {
        let ran = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&ran);
        go(move || set.store(true, Ordering::Relaxed));
        hold_until(|| ran.load(Ordering::Relaxed));
        hold_until(|| {
            let now = inspect::dump();
            now.contains("idle_ps=1 ") && now.contains("spinning=0 ")
        });
    });
}

/// What the M that ran the second G did right after it ended.
fn after_the_g(history: &History) -> Vec<&Event> {
    let exit = history
        .0
        .iter()
        .find(|o| matches!(o.event, Event::Exit { .. }));
    let exit = exit.expect("it ended");
    let stream = history.of_m(exit.m);
    let later = stream.iter().filter(|o| o.m_seq > exit.m_seq);
    later.map(|o| &o.event).collect()
}

#[test]
fn spin_is_whether_an_m_without_work_looks_at_other_ps() {
    let go = History::of("spin::one_g_elsewhere", "time_slice=10s");
    assert!(matches!(after_the_g(&go)[0], Event::SpinStart {}));
    let off = History::of("spin::one_g_elsewhere", "spin=0,time_slice=10s");
    assert!(matches!(after_the_g(&off)[0], Event::PStop { .. }));
}

#[test]
fn spin_for_is_how_long_an_m_goes_on_looking() {
    let passes = |history: &History| match after_the_g(history)[..] {
        [
            Event::SpinStart {},
            Event::PStop { .. },
            Event::SpinStop {
                found: false,
                passes,
                ..
            },
            ..,
        ] => *passes,
        ref other => panic!("{other:?}"),
    };
    let go = History::of("spin::one_g_elsewhere", "time_slice=10s");
    assert_eq!(passes(&go), 4);
    let patient = History::of("spin::one_g_elsewhere", "spin_for=2ms,time_slice=10s");
    // However slow the machine is, it looks once more when it has just found that there is time left.
    assert!(
        passes(&patient) >= 8 && passes(&patient) % 4 == 0,
        "{}",
        passes(&patient)
    );
}

/// As [`one_g_elsewhere`], twice; the second G is spawned while other Ms spin and go on doing so, and a P is idle.
pub fn two_gs_elsewhere() {
    run(5, || {
        let run_elsewhere = || {
            let ran = Arc::new(AtomicBool::new(false));
            let set = Arc::clone(&ran);
            go(move || set.store(true, Ordering::Relaxed));
            hold_until(|| ran.load(Ordering::Relaxed));
        };
        run_elsewhere();
        // The M that ran it spins, or the one that it woke when it found it.
        hold_until_counted(|s| {
            s.get(Tally::SpinStarts) > s.get(Tally::SpinStops) && s.get(Tally::Exits) == 1
        });
        run_elsewhere();
    });
}

/// Whether the spawn of a G woke an M though others spun.
fn woke_beside_spinners(policy: &str) -> bool {
    let policy = format!("{policy},spin_for=1s,time_slice=10s");
    let history = History::of("spin::two_gs_elsewhere", &policy);
    // From the spawn of the second G to what follows it on the main G's M.
    let spawns = history
        .0
        .iter()
        .filter(|o| matches!(o.event, Event::Spawn { .. }));
    let second = spawns.max_by_key(|o| o.ticks).expect("it was spawned");
    let stream = history.of_m(second.m);
    let next = stream.iter().find(|o| o.m_seq > second.m_seq);
    next.is_some_and(|o| is_wake(&o.event))
}

fn is_wake(event: &Event) -> bool {
    matches!(
        event,
        Event::MWake {
            reason: WakeReason::Work,
            ..
        }
    )
}

#[test]
fn wake_always_starts_an_m_beside_those_that_spin() {
    assert!(!woke_beside_spinners("wake=if_none_spins"));
    assert!(woke_beside_spinners("wake=always"));
}

pub fn spawn_and_join() {
    run(4, || {
        let gs: Vec<_> = (0..50).map(|_| go(|| ())).collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn wake_never_leaves_the_work_to_who_holds_a_p() {
    let never = History::of("spin::spawn_and_join", "wake=never");
    let wakes = |history: &History, of: &dyn Fn(MId) -> bool| {
        let by_ms = history.until_the_end().iter().filter(|o| of(o.m));
        by_ms.filter(|o| is_wake(&o.event)).count()
    };
    // The Ms that run Gs wake nobody; the thread that put the main G on the global queue had to.
    let runs_gs = |history: &History, m: MId| {
        let stream = history.of_m(m);
        stream
            .iter()
            .any(|o| matches!(o.event, Event::Start { .. }))
    };
    assert_eq!(wakes(&never, &|m| runs_gs(&never, m)), 0);
    assert_eq!(wakes(&never, &|m| !runs_gs(&never, m)), 1);
    let go = History::of("spin::spawn_and_join", "default");
    assert!(wakes(&go, &|m| runs_gs(&go, m)) > 0);
}

/// Gs are woken by timers, by a thread, by the ends of system calls, and by channels.
pub fn wake_in_every_way() {
    run(3, || {
        let (tx, rx) = channel::<u32>(1);
        let theirs = tx.clone();
        let thread = std::thread::spawn(move || theirs.send(1).expect("open"));
        go(move || {
            time::sleep(Duration::from_millis(1));
            blocking(|| std::thread::sleep(Duration::from_millis(1)));
            syscall(|| std::thread::sleep(Duration::from_millis(1)));
            tx.send(2).expect("open");
        });
        assert_eq!(rx.iter().sum::<u32>(), 3);
        thread.join().expect("no panic");
    });
}

#[test]
fn wake_never_lets_every_program_end() {
    let history = History::of("spin::wake_in_every_way", "wake=never");
    assert_eq!(history.count(|e| matches!(e, Event::Exit { .. })), 2);
}

/// Two Gs sleep in turns, so that timers are due on Ps that are idle.
pub fn sleep_in_turns() {
    run(2, || {
        let mutex = Arc::new(Mutex::new(()));
        let gs: Vec<_> = (0..2)
            .map(|_| {
                let mutex = Arc::clone(&mutex);
                go(move || {
                    for _ in 0..20 {
                        let held = mutex.lock();
                        time::sleep(Duration::from_micros(100));
                        drop(held);
                        time::sleep(Duration::from_micros(100));
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Where no spinner can be trusted to look at the timers of all Ps, whoever sleeps for one does.
#[test]
fn spin_0_and_wake_never_forget_no_timer() {
    for policy in ["spin=0", "wake=never", "spin=0,wake=never"] {
        let history = History::of("spin::sleep_in_turns", policy);
        assert!(history.count(|e| matches!(e, Event::Timer { .. })) >= 80);
    }
}

/// An M waits in the poller for timers in the heaps of all Ps, and leaves it for the main G, which then does nothing but yield.
pub fn yield_while_others_sleep() {
    const SLEEPERS: u32 = 2;
    run(2, || {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = listener.local_addr().expect("bound");
        // Not the runtime's, so that nothing but the connection takes an M out of the poller.
        let thread = std::thread::spawn(move || {
            hold_until(|| inspect::dump().contains("last_poll=0 "));
            std::net::TcpStream::connect(to).expect("it listens")
        });
        let awake = Arc::new(AtomicU32::new(0));
        let gs: Vec<_> = (0..SLEEPERS)
            .map(|_| {
                let awake = Arc::clone(&awake);
                go(move || {
                    time::sleep(Duration::from_millis(100));
                    awake.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        listener.accept().expect("a connection");
        let began = Instant::now();
        while awake.load(Ordering::SeqCst) < SLEEPERS {
            let in_time = began.elapsed() < Duration::from_secs(20);
            assert!(in_time, "nobody runs the timers");
            yield_now();
        }
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        drop(thread.join());
    });
}

/// Whoever leaves the poller for a G leaves the timers that it waited for to somebody, where no spinner is sure to come by.
#[test]
fn timers_of_idle_ps_do_not_wait_for_a_g_that_yields() {
    for policy in [
        "wake=never",
        "spin=0",
        "spin=0,wake=never",
        "yield_to=local",
    ] {
        let policy = format!("{policy},timers=spread");
        let history = History::of("spin::yield_while_others_sleep", &policy);
        assert_eq!(history.count(|e| matches!(e, Event::Timer { .. })), 2);
    }
}
