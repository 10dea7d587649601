//! `runnext_delay`: how long a thief leaves a running victim its `runnext`.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gmp_runtime::go;

use crate::run;

/// How long it takes until a thief runs the G in the `runnext` of a G that never comes to a call.
fn stolen_after(policy: &str) -> Duration {
    run(2, policy, || {
        let (tx, rx) = mpsc::channel();
        let began = Instant::now();
        go(move || tx.send(Instant::now()).expect("somebody receives"));
        loop {
            match rx.try_recv() {
                Ok(then) => return then.duration_since(began),
                Err(_) => std::thread::yield_now(),
            }
        }
    })
}

#[test]
fn a_thief_waits_as_long_as_the_policy_says() {
    let delay = Duration::from_millis(10);
    assert!(stolen_after("runnext_delay=10ms") >= delay);
    // However busy the machine is, it is faster some time.
    while stolen_after("runnext_delay=0us") >= delay {}
}
