//! Scenes of timers: nothing fires early, twice, or after it was stopped.

use std::time::{Duration, Instant};

use super::{Random, Setup, join, join_all, noise};
use gmp_runtime::sync::chan::{TryRecvError, TrySendError};
use gmp_runtime::{channel, go, time};

/// Nothing ends too early; what comes in time is there, what does not is not.
pub(super) fn deadlines(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 30))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let d = random.micros(3_000);
                let began = Instant::now();
                match random.below(4) {
                    0 => time::sleep(d),
                    1 => {
                        let (_tx, rx) = channel::<()>(0);
                        assert_eq!(rx.recv_timeout(d), Err(TryRecvError::Empty));
                    }
                    2 => {
                        let (tx, _rx) = channel::<()>(0);
                        assert_eq!(tx.send_timeout((), d), Err(TrySendError::Full(())));
                    }
                    _ => {
                        let (tx, rx) = channel::<u64>(0);
                        let value = random.next();
                        let sender = go(move || {
                            time::sleep(d);
                            tx.send(value)
                        });
                        let got = rx.recv_timeout(Duration::from_secs(3_600));
                        assert_eq!(got, Ok(value), "what was sent in time");
                        assert_eq!(join(sender), Ok(()));
                    }
                }
                let took = began.elapsed();
                assert!(took >= d, "{took:?} is shorter than {d:?}");
            })
        })
        .collect();
    join_all(handles);
}

/// Ticks are never early, and dropped ones are counted.
pub(super) fn ticker(random: &mut Random, _: &Setup) {
    let period = Duration::from_micros(random.within(1, 500));
    let began = Instant::now();
    let mut ticker = time::Ticker::new(period);
    let mut ticks = 0;
    for _ in 0..random.within(1, 20) {
        ticks += 1 + ticker.tick();
        let due = period * u32::try_from(ticks).expect("few");
        let took = began.elapsed();
        assert!(took >= due, "tick {ticks} is early: {took:?} of {due:?}");
        if random.percent(30) {
            noise(random);
        }
    }
}

/// Timers of all kinds: none fires early, and one that was stopped in time does not fire at all.
pub(super) fn timers(random: &mut Random, _: &Setup) {
    let afters: Vec<_> = (0..random.within(1, 10))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let (began, d) = (Instant::now(), random.micros(3_000));
                let timer = time::after(d);
                noise(&mut random);
                let at = timer.recv().expect("open");
                assert!(at >= began + d, "it fired early");
                assert!(at <= Instant::now(), "it was received before its time");
            })
        })
        .collect();
    // Functions, some of which are stopped or set anew.
    let (called, calls) = channel::<usize>(64);
    let mut to_come = vec![0_u64; random.within(1, 20) as usize];
    let functions: Vec<_> = (0..to_come.len())
        .map(|i| {
            let called = called.clone();
            let d = random.micros(2_000);
            time::after_func(d, move || called.send(i).expect("open"))
        })
        .collect();
    for (timer, to_come) in functions.iter().zip(&mut to_come) {
        noise(random);
        *to_come = match random.below(3) {
            0 => u64::from(!timer.stop()),
            1 => 1 + u64::from(!timer.reset(random.micros(1_000))),
            _ => 1,
        };
    }
    for _ in 0..to_come.iter().sum() {
        let i = calls.recv().expect("open");
        assert!(to_come[i] > 0, "function {i} was called too often");
        to_come[i] -= 1;
    }
    // A ticker whose period changes.
    let ticker = time::Ticker::new(Duration::from_micros(random.within(1, 500)));
    for _ in 0..random.within(1, 10) {
        noise(random);
        let (set, period) = (Instant::now(), random.within(1, 800));
        let period = Duration::from_micros(period);
        ticker.reset(period);
        let at = ticker.chan().recv().expect("open");
        assert!(at >= set + period, "a tick of the period before");
    }
    ticker.stop();
    noise(random);
    assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
    join_all(afters);
    assert_eq!(
        calls.try_recv(),
        Err(TryRecvError::Empty),
        "a call too many"
    );
}
