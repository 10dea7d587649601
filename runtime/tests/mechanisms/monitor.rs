//! The monitor thread: that it is there when it is needed.

use std::time::{Duration, Instant};

use gmp_runtime::{Tally, checkpoint, go, time};

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
