//! The monitor thread: that it is there when it is needed, and `sysmon_patience`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpListener;
use gmp_runtime::{Tally, blocking, checkpoint, go, inspect, syscall, time};
use gmp_testing::program::{command, part, succeed};
use gmp_testing::threads::rounds_of_sysmon;

use crate::{count, run};

#[test]
fn time_slices_are_watched_again_after_all_ps_were_idle() {
    run(1, "default", || {
        // All is idle for so long that sysmon goes to sleep for good; then a timer makes the P busy, which no system call does.
        time::sleep(Duration::from_millis(20));
        let other = go(|| ());
        let began = Instant::now();
        while count(Tally::Preempts) == 0 {
            checkpoint();
        }
        // Asleep it would have come back after a minute.
        assert!(began.elapsed() < Duration::from_secs(30));
        other.join().expect("no panic");
    });
}

#[test]
fn sysmon_pauses_for_longer_after_as_many_rounds_as_the_policy_says() {
    const TEST: &str = "monitor::sysmon_pauses_for_longer_after_as_many_rounds_as_the_policy_says";
    let Some(policy) = part() else {
        for patience in [0, 1_000_000] {
            let policy = format!("sysmon=1ms,sysmon_max=10s,sysmon_patience={patience}");
            succeed(&mut command(TEST, &policy));
        }
        return;
    };
    let patient = policy.ends_with("1000000");
    run(1, &policy, move || {
        // The P is busy all the time.
        let (began, before) = (Instant::now(), rounds_of_sysmon());
        if patient {
            while rounds_of_sysmon() - before < 40 {
                checkpoint();
            }
            return;
        }
        while began.elapsed() < Duration::from_millis(200) {
            checkpoint();
        }
        // 1, 2, 4 ms and so on: the 20th pause alone would be of minutes. A pause may be interrupted once by nothing.
        let rounds = rounds_of_sysmon() - before;
        assert!(rounds < 20, "{rounds}");
    });
}

/// Keeps the thread until it is so. Fails after a time that no machine needs.
fn hold_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never is");
        std::thread::yield_now();
    }
}

/// Goes on when an M that waited in the poller, for timers too, took this G out of it.
fn leave_the_poller() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("bound");
    let thread = std::thread::spawn(move || {
        hold_until(|| inspect::dump().contains("last_poll=0 "));
        std::net::TcpStream::connect(to).expect("it listens")
    });
    listener.accept().expect("a connection");
    drop(thread.join());
}

/// Starts a timer that sets a flag.
fn set_later(flag: &Arc<AtomicBool>) {
    let flag = Arc::clone(flag);
    time::after_func(Duration::from_millis(50), move || {
        flag.store(true, Ordering::SeqCst);
    });
}

fn hold_until_set(flag: &AtomicBool) {
    hold_until(|| flag.load(Ordering::SeqCst));
}

/// Runs the calling test's program under each policy, in processes of their own: a dump is of the runtime that was started last.
fn for_each(test: &str, policies: &[&str], procs: usize, program: fn()) {
    match part() {
        Some(policy) => run(procs, &policy, program),
        None => policies.iter().for_each(|policy| {
            succeed(&mut command(test, policy));
        }),
    }
}

#[test]
fn timers_are_run_though_the_g_that_the_poller_gave_computes() {
    const TEST: &str = "monitor::timers_are_run_though_the_g_that_the_poller_gave_computes";
    for_each(TEST, &["default", "timers=spread"], 4, || {
        let flags: Vec<_> = (0..4).map(|_| Arc::default()).collect();
        flags.iter().for_each(set_later);
        leave_the_poller();
        flags.iter().for_each(|flag| hold_until_set(flag));
    });
}

#[test]
fn timers_are_run_though_their_p_is_in_a_call_and_keeps_it() {
    const TEST: &str = "monitor::timers_are_run_though_their_p_is_in_a_call_and_keeps_it";
    let policies = ["syscall=never", "syscall=never,yield_to=local"];
    for_each(TEST, &policies, 3, || {
        let flag = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&flag);
        let calls = go(move || {
            set_later(&theirs);
            syscall(|| hold_until_set(&theirs));
        });
        leave_the_poller();
        blocking(|| hold_until_set(&flag));
        calls.join().expect("no panic");
    });
}
