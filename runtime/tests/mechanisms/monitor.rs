//! The monitor thread: that it is there when it is needed, and `sysmon_patience`.

use std::time::{Duration, Instant};

use gmp_runtime::{Tally, checkpoint, go, time};
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
