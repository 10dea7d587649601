//! What happens to timers, time slices and wake-ups when the runtime had nothing to do for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use gmp_runtime::{Builder, Policy, channel, checkpoint, go, time};

fn run<T: Send + 'static>(procs: usize, policy: &str, f: impl FnOnce() -> T + Send + 'static) -> T {
    let policy: Policy = policy.parse().expect("a policy");
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).policy(policy).run(f)
}

/// While all Ps are idle sysmon sleeps deeply; the G that a timer wakes must be asked to give way all the same.
#[test]
fn a_g_woken_by_a_timer_after_a_rest_is_asked_to_give_way() {
    let gave_way = run(1, "", || {
        // Longer than the longest pause of sysmon, so that it has seen that all are idle.
        time::sleep(Duration::from_millis(60));
        let ran = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&ran);
        let other = go(move || theirs.store(true, Ordering::SeqCst));
        let began = Instant::now();
        while !ran.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(20) {
            checkpoint();
        }
        let gave_way = ran.load(Ordering::SeqCst);
        other.join().expect("no panic");
        gave_way
    });
    assert!(gave_way, "nobody asked the G to give way for 20 s");
}

/// With no spinning allowed, the M that polls for a timer of one P may come back with another P. It must still see to that timer.
#[test]
fn a_timer_of_another_idle_p_fires_though_no_m_may_spin() {
    // From outside: a timer that guards this one inside the runtime would keep the M awake.
    let (ended, end) = mpsc::channel();
    std::thread::spawn(move || {
        (0..10).for_each(|_| run(2, "spin=0", sleep_on_another_p));
        // The test may have given up.
        let _ = ended.send(());
    });
    end.recv_timeout(Duration::from_secs(60))
        .expect("the timer did not fire");
}

fn sleep_on_another_p() {
    let (tx, rx) = channel::<()>(0);
    let started = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&started);
    go(move || {
        theirs.store(true, Ordering::SeqCst);
        time::sleep(Duration::from_millis(30));
        tx.send(()).expect("the main G waits");
    });
    // On another P: this G keeps its own.
    while !started.load(Ordering::SeqCst) {
        std::hint::spin_loop();
    }
    // Until the other P is idle, and its M in the poller.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(10) {
        std::hint::spin_loop();
    }
    // From here this P is idle too, and the first to be taken.
    rx.recv().expect("the timer fires");
}
