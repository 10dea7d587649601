//! What a recorded program leaves: each test runs itself again as the recorded program and reads the spool.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

use gmp_runtime::{Builder, Tally, channel, go, select, set_procs, syscall, time, yield_now};
use gmp_testing::Recording;
use gmp_testing::program::{command, is_part, says};
use gmp_testing::recording::{assert_counted, counters, events};
use gmp_trace::event::{Event, Kind, PreemptCause};
use gmp_trace::queues::global_operation;
use gmp_trace::spool::reader::Recorded;

/// Runs this test binary again, recorded, as `part`.
fn record(test: &str, part: &str) -> Recording {
    Recording::whole(&mut command(test, part))
}

/// A little of everything: channels, selects, timers, sleeps, yields, system calls, overflow, changes of the number of Ps.
///
/// All Gs are spawned on one P whose running G is not preempted meanwhile, so the ring overflows for certain.
fn mixture() {
    let policy = "time_slice=10s".parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(1).policy(policy).run(|| {
        let (tx, rx) = channel::<u64>(3);
        let gs: Vec<_> = (0..700u64)
            .map(|i| {
                let tx = tx.clone();
                go(move || match i % 5 {
                    0 => time::sleep(std::time::Duration::from_micros(100 + i)),
                    1 => yield_now(),
                    2 => syscall(|| std::thread::sleep(std::time::Duration::from_micros(30))),
                    3 => tx.send(i).expect("open"),
                    _ => {}
                })
            })
            .collect();
        let (called, calls) = channel::<u64>(0);
        for i in 0..50 {
            let called = called.clone();
            time::after_func(std::time::Duration::from_micros(i * 7), move || {
                select! {
                    send(called, i) -> sent => sent.expect("open"),
                    recv(time::after(std::time::Duration::from_secs(60))) -> _ => panic!("nobody receives"),
                }
            });
        }
        set_procs(4);
        set_procs(2);
        set_procs(3);
        let ticker = time::Ticker::new(std::time::Duration::from_micros(20));
        let mut left = 50;
        while left > 0 {
            select! {
                recv(calls) -> call => {
                    call.expect("open");
                    left -= 1;
                }
                recv(ticker.chan()) -> _ => {}
            }
        }
        drop(tx);
        assert_eq!(rx.iter().count(), 140);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn events_equal_the_runtimes_own_counters() {
    if is_part("mixture") {
        return mixture();
    }
    let recording = record("events_equal_the_runtimes_own_counters", "mixture");
    let events = events(&recording.spool);
    assert_counted(&recording.spool, events.iter().map(|r| &r.event));
    assert!(events.iter().any(|r| r.event.kind() == Kind::Overflow));
}

#[test]
fn each_gs_moves_are_numbered_without_a_gap() {
    if is_part("mixture") {
        return mixture();
    }
    let recording = record("each_gs_moves_are_numbered_without_a_gap", "mixture");
    let mut moves: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    let mut global = Vec::new();
    for r in events(&recording.spool) {
        match r.event {
            Event::Start { g, seq, .. } | Event::Ready { g, seq, .. } => {
                moves.entry(g.0).or_default().push(seq)
            }
            _ => {}
        }
        global.extend(Some(global_operation(&r.event)).filter(|gq| *gq > 0));
    }
    assert_eq!(moves.len(), 751);
    for (g, mut seqs) in moves {
        seqs.sort_unstable();
        assert!(
            seqs.iter().copied().eq(1..=seqs.len() as u64),
            "G{g}: {seqs:?}"
        );
    }
    global.sort_unstable();
    assert!(
        global.iter().copied().eq(1..=global.len() as u64),
        "operations on the global queue"
    );
}

#[test]
fn a_recording_has_a_legal_order() {
    if is_part("mixture") {
        return mixture();
    }
    let recording = record("a_recording_has_a_legal_order", "mixture");
    let history = recording.history();
    assert_eq!(history.len(), events(&recording.spool).len());
}

#[test]
fn a_killed_program_leaves_what_it_published() {
    if is_part("killed") {
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.procs(2).run(|| {
            for _ in 0..1_000 {
                go(|| ()).join().expect("no panic");
            }
            // SAFETY: no preconditions; the process ends here.
            unsafe { libc::raise(libc::SIGKILL) };
        });
        return;
    }
    let test = "a_killed_program_leaves_what_it_published";
    let recording = Recording::of(&mut command(test, "killed"));
    assert_eq!(recording.output.status.signal(), Some(libc::SIGKILL));
    assert!(!recording.spool.finished);
    let exits = events(&recording.spool)
        .iter()
        .filter(|r| r.event.kind() == Kind::Exit)
        .count();
    // The join of the last one may be seen before its end is recorded: one unfinished step.
    assert!((999..=1_000).contains(&exits), "{exits}");
}

#[test]
fn a_deadlock_ends_the_program_and_names_the_gs() {
    if is_part("deadlock") {
        // A thread of its own, so that none is left that could wake a G: the harness's are told apart below.
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.procs(2).run(|| {
            let (_tx, rx) = channel::<u32>(0);
            rx.recv().expect("never");
        });
        return;
    }
    // The harness has threads of its own, so it is a warning here; the report is the same.
    let test = "a_deadlock_ends_the_program_and_names_the_gs";
    let report = says(&mut command(test, "deadlock"), "goroutine 1 [chan receive]");
    assert!(
        report.contains("all goroutines are asleep") && report.contains("recorded.rs"),
        "{report}"
    );
}

#[test]
fn a_stack_overflow_names_the_g_and_the_size() {
    if is_part("overflow") {
        #[allow(unconditional_recursion, reason = "that is the point")]
        fn deeper(n: u64) -> u64 {
            std::hint::black_box(n + deeper(std::hint::black_box(n + 1)))
        }
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.run(|| go(|| deeper(0)).join().expect("never"));
        return;
    }
    let test = "a_stack_overflow_names_the_g_and_the_size";
    let recording = Recording::of(&mut command(test, "overflow"));
    assert_eq!(recording.output.status.signal(), Some(libc::SIGABRT));
    let stderr = recording.stderr();
    assert!(
        stderr.contains("stack overflow in G") && stderr.contains("64 KiB"),
        "{stderr}"
    );
    assert!(stderr.contains("recorded.rs"), "{stderr}");
}

/// Loops in preemptible sections, one that is not and is asked in vain, and stops of the world.
fn preemptions() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let policy = "time_slice=1ms,sysmon_max=500us".parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).policy(policy).run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let gs: Vec<_> = (0..3)
            .map(|_| {
                let stop = Arc::clone(&stop);
                // SAFETY: an atomic only.
                go(move || unsafe {
                    gmp_runtime::preemptible(|| while !stop.load(Ordering::Relaxed) {});
                })
            })
            .collect();
        while gmp_runtime::stats().get(Tally::AsyncPreempts) < 20 {
            yield_now();
        }
        set_procs(1);
        set_procs(2);
        set_procs(1);
        // This one neither asks nor may be stopped until it is asked twice; on the one P there is, so that nobody else is. One more than that,
        // because the request that the G before it did not answer may be counted late.
        go(|| {
            let asked = gmp_runtime::stats().get(Tally::PreemptRequests);
            let counts = || {
                // Not through the runtime's own calls, which would give way: the counters of this process, as its recorder sees them.
                std::thread::spawn(|| gmp_runtime::stats().get(Tally::PreemptRequests)).join()
            };
            while counts().expect("no panic") < asked + 3 {}
        })
        .join()
        .expect("no panic");
        stop.store(true, Ordering::Relaxed);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn preemptions_by_a_signal_are_recorded_in_a_legal_order_and_as_counted() {
    const NAME: &str = "preemptions_by_a_signal_are_recorded_in_a_legal_order_and_as_counted";
    if is_part("preemptions") {
        return preemptions();
    }
    let recording = record(NAME, "preemptions");
    let events = events(&recording.spool);
    assert_eq!(recording.history().len(), events.len());
    let counters = counters(&recording.spool);
    let counted = |tally: Tally| counters.get(&tally).copied().unwrap_or_default();
    let causes = |cause: PreemptCause| {
        let of = |e: &&Recorded| matches!(e.event, Event::Preempt { cause: c, .. } if c == cause);
        events.iter().filter(of).count() as u64
    };
    let by_signal = [PreemptCause::AsyncSlice, PreemptCause::AsyncStw].map(causes);
    assert!(by_signal[0] >= 15 && by_signal[1] >= 1, "{by_signal:?}");
    assert_eq!(counted(Tally::AsyncPreempts), by_signal.iter().sum::<u64>());
    assert!(counted(Tally::PreemptSignals) >= counted(Tally::AsyncPreempts));
    let requests: Vec<_> = events
        .iter()
        .filter_map(|e| match e.event {
            Event::PreemptRequest {
                cause, ns, signal, ..
            } => Some((cause, ns, signal)),
            _ => None,
        })
        .collect();
    assert_eq!(
        counted(Tally::PreemptRequests),
        requests.len() as u64,
        "{requests:?}"
    );
    // The hog's, which got none, and the loops', which did.
    let slices = |signal: bool| {
        let of = |(cause, ns, s): &&(PreemptCause, u64, bool)| {
            *cause == PreemptCause::Slice && *s == signal && *ns >= 1_000_000
        };
        requests.iter().filter(of).count()
    };
    assert!(slices(false) >= 2 && slices(true) >= 1, "{requests:?}");
}
