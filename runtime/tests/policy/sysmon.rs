//! The monitor thread: time_slice, sysmon, sysmon_max.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::{Tally, checkpoint, go, stats, syscall, yield_now};
use gmp_testing::threads::rounds_of_sysmon;
use gmp_trace::event::{Event, PreemptCause};

use crate::{History, hold_until, run};

fn slices_used_up(history: &History) -> usize {
    history.count(|e| {
        matches!(
            e,
            Event::Preempt {
                cause: PreemptCause::Slice,
                ..
            }
        )
    })
}

/// The main G runs until one of its slices was shorter than Go's 10 ms; the system may hold a thread up, but not each time.
pub fn short_slices() {
    run(1, || {
        let done = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&done);
        // Somebody to give way to.
        go(move || {
            while !seen.load(Ordering::Relaxed) {
                yield_now();
            }
        });
        let mut slice = (0, Instant::now());
        hold_until(|| {
            checkpoint();
            let preempts = stats().get(Tally::Preempts);
            let over = preempts != slice.0;
            let short = over && slice.1.elapsed() < Duration::from_millis(9);
            if over {
                slice = (preempts, Instant::now());
            }
            short
        });
        done.store(true, Ordering::Relaxed);
    });
}

pub fn hold_for_100_ms() {
    run(1, || {
        go(|| ());
        let began = Instant::now();
        hold_until(|| {
            checkpoint();
            began.elapsed() > Duration::from_millis(100)
        });
    });
}

#[test]
fn time_slice_is_how_long_a_g_may_run() {
    let short = History::of("sysmon::short_slices", "time_slice=1ms,sysmon_max=100us");
    assert!(slices_used_up(&short) > 0);
    let long = History::of("sysmon::hold_for_100_ms", "time_slice=10s");
    assert_eq!(slices_used_up(&long), 0);
}

fn retakes(history: &History) -> usize {
    let until_the_end = history.until_the_end().iter();
    until_the_end
        .filter(|o| matches!(o.event, Event::Retake { .. }))
        .count()
}

/// The call lasts until another G has run, for which there is only the P of the caller.
pub fn call_until_another_ran() {
    run(1, || {
        let ran = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&ran);
        go(move || set.store(true, Ordering::Relaxed));
        syscall(|| hold_until(|| ran.load(Ordering::Relaxed)));
    });
}

pub fn call_for_50_ms() {
    run(1, || {
        let other = go(|| ());
        syscall(|| std::thread::sleep(Duration::from_millis(50)));
        other.join().expect("no panic");
    });
}

#[test]
fn sysmon_is_how_soon_a_long_system_call_loses_its_p() {
    assert_eq!(
        retakes(&History::of("sysmon::call_until_another_ran", "default")),
        1
    );
    // A sysmon that looks every 10 s does not see a call of 50 ms twice.
    let slow = History::of("sysmon::call_for_50_ms", "sysmon=10s,sysmon_max=10s");
    assert_eq!(retakes(&slow), 0);
}

pub fn a_thousand_rounds() {
    run(1, || hold_until(|| rounds_of_sysmon() > 1_000));
}

/// With Go's cap: 50 rounds, then the pauses double up to 10 ms.
pub fn rounds_in_400_ms() {
    run(1, || {
        hold_until(|| rounds_of_sysmon() > 0);
        let (began, before) = (Instant::now(), rounds_of_sysmon());
        hold_until(|| began.elapsed() > Duration::from_millis(400));
        let slept = rounds_of_sysmon() - before;
        // By the clock, since this thread may have been held up.
        let most = 70 + began.elapsed().as_millis() as u64 / 10;
        assert!(slept <= most, "{slept} times");
    });
}

/// The programs count the rounds themselves: no event says that sysmon looked.
#[test]
fn sysmon_max_is_how_rarely_an_idle_sysmon_looks() {
    // As low as the shortest pause: it looks a thousand times while a G runs, however long that takes.
    History::of(
        "sysmon::a_thousand_rounds",
        "sysmon_max=20us,time_slice=10s",
    );
    History::of("sysmon::rounds_in_400_ms", "time_slice=10s");
}
