//! Sleeping, timers and tickers: Go's `sleep_test.go` and `tick_test.go`, and the rows of `proc_test.go` about timers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::sync::WaitGroup;
use gmp_runtime::sync::chan::TryRecvError;
use gmp_runtime::time::{Ticker, Timer, after, after_func, sleep, tick};
use gmp_runtime::{Tally, channel, go, select, set_procs, syscall, yield_now};

use crate::{run, until_parked};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than anything that is to come may take.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_sleep_is_never_shorter_than_asked() {
    for procs in [1, 4] {
        run(procs, || {
            for us in [1, 50, 1_000, 5_000] {
                let (d, began) = (Duration::from_micros(us), Instant::now());
                sleep(d);
                assert!(began.elapsed() >= d);
            }
        });
    }
}

#[test]
fn a_chain_of_functions_without_delay_is_called() {
    run(1, || {
        let (tx, rx) = channel::<u32>(1);
        fn next(left: u32, tx: gmp_runtime::Sender<u32>) {
            after_func(Duration::ZERO, move || {
                match left {
                    0 => tx.send(left).expect("open"),
                    _ => next(left - 1, tx.clone()),
                }
                // It holds nobody up: it has a G of its own.
                sleep(10 * MS);
            });
        }
        next(10, tx);
        assert_eq!(rx.recv(), Ok(0));
    });
}

/// Go's `TestAfterFuncStarvation`.
#[test]
fn a_function_is_called_though_two_gs_keep_the_p_busy() {
    run(1, || {
        for _ in 0..100 {
            let stop = Arc::new(AtomicBool::new(false));
            let (tx, rx) = channel::<bool>(1);
            let stopped = Arc::clone(&stop);
            let sender = go(move || {
                while !stopped.load(Ordering::Relaxed) {
                    tx.send(true).expect("open");
                }
            });
            let receiver = go(move || rx.iter().count());
            after_func(Duration::from_micros(1), move || {
                stop.store(true, Ordering::Relaxed)
            });
            sender.join().expect("no panic");
            receiver.join().expect("no panic");
        }
    });
}

#[test]
fn a_ticker_of_a_nanosecond_starves_nobody() {
    run(2, || {
        let ticker = Ticker::new(Duration::from_nanos(1));
        for _ in 0..1_000 {
            ticker.chan().recv().expect("it is never closed");
            yield_now();
        }
        ticker.stop();
        assert_eq!(ticker.chan().try_recv(), Err(TryRecvError::Empty));
    });
}

/// Go's `TestTickerConcurrentStress` and `TestMultiWakeupTicker`.
#[test]
fn many_receivers_share_a_ticker() {
    run(4, || {
        let ticker = Ticker::new(Duration::from_micros(1));
        let group = WaitGroup::new();
        for _ in 0..10 {
            let ticks = ticker.chan().clone();
            group.go(move || {
                for _ in 0..200 {
                    select! {
                        recv(ticks) -> at => _ = at.expect("it is never closed"),
                        recv(after(MS)) -> at => _ = at.expect("it is never closed"),
                    }
                }
            });
        }
        group.wait();
    });
}

/// Go's `TestMultiWakeupTimer`.
#[test]
fn many_receivers_share_a_timer() {
    run(4, || {
        let timer = Arc::new(Timer::new(Duration::from_nanos(1)));
        let group = WaitGroup::new();
        for _ in 0..8 {
            let timer = Arc::clone(&timer);
            group.go(move || {
                for _ in 0..200 {
                    select! {
                        recv(timer.chan()) -> at => _ = at.expect("it is never closed"),
                        recv(after(Duration::from_micros(100))) -> at => _ = at.expect("it is never closed"),
                    }
                    timer.reset(Duration::from_micros(10));
                }
            });
        }
        group.wait();
    });
}

/// Go's `TestAfterQueuing`. A CPU that is taken away for longer than the distance of two timers makes their Gs run in any order, so it
/// tries again with a longer one, as Go's does.
#[test]
fn mixed_deadlines_fire_in_order() {
    const SLOTS: [u32; 13] = [5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0];
    let in_order = |distance: Duration| {
        run(2, move || {
            let (tx, rx) = channel::<(u32, Instant)>(SLOTS.len());
            let began = Instant::now();
            for slot in SLOTS {
                let tx = tx.clone();
                go(move || {
                    let at = after(slot * distance).recv().expect("it is never closed");
                    assert!(at >= began + slot * distance && at <= Instant::now());
                    tx.send((slot, at)).expect("open");
                });
            }
            drop(tx);
            let fired: Vec<_> = rx.iter().collect();
            assert_eq!(fired.len(), SLOTS.len());
            fired.is_sorted_by_key(|(slot, _)| *slot)
        })
    };
    assert!([5, 20, 50, 200].iter().any(|ms| in_order(*ms * MS)));
}

/// Go's `TestTimerStopStress`, and `StopResult` for functions: a timer is called or stopped, never both, never neither.
#[test]
fn a_stopped_timer_never_fires_and_any_other_does() {
    for procs in [1, 4] {
        run(procs, || {
            let called = Arc::new(AtomicU32::new(0));
            let mut stopped = 0;
            for i in 0..2_000u32 {
                let theirs = Arc::clone(&called);
                let timer =
                    after_func(Duration::from_nanos(u64::from(i % 50) * 1_000), move || {
                        theirs.fetch_add(1, Ordering::Relaxed);
                    });
                if i % 3 == 0 {
                    yield_now();
                }
                stopped += u32::from(timer.stop());
                assert!(!timer.stop());
            }
            while called.load(Ordering::Relaxed) + stopped < 2_000 {
                yield_now();
            }
            // Whatever was wrongly left in a heap is due by now.
            after(MS).recv().expect("it is never closed");
            yield_now();
            assert_eq!(called.load(Ordering::Relaxed) + stopped, 2_000);
        });
    }
}

/// Go's `TestSleepZeroDeadlock`; its collections are stops of the world here.
#[test]
fn sleeping_for_no_time_leaves_nothing_behind() {
    run(4, || {
        let group = WaitGroup::new();
        group.go(|| (0..50).for_each(|i| _ = set_procs(2 + i % 3)));
        for _ in 0..3 {
            group.go(|| {
                for _ in 0..200 {
                    sleep(Duration::ZERO);
                    let (tx, rx) = channel::<bool>(1);
                    tx.send(true).expect("open");
                    rx.recv().expect("open");
                }
            });
        }
        group.wait();
    });
}

/// Go's `TestReset`.
#[test]
fn a_timer_can_be_set_anew_before_and_after_it_fired() {
    run(1, || {
        let timer = Timer::new(LONG);
        let began = Instant::now();
        assert!(timer.reset(5 * MS), "it had not fired");
        timer.chan().recv().expect("it is never closed");
        assert!(began.elapsed() >= 5 * MS);
        assert!(!timer.reset(5 * MS), "it had fired");
        timer.chan().recv().expect("it is never closed");
        assert!(began.elapsed() >= 10 * MS);
    });
}

/// Go's `TestStopResult` and `TestResetResult`: of a stop and a receive exactly one gets the firing.
#[test]
fn a_stop_or_the_receiver_gets_the_firing() {
    for set in [false, true] {
        run(4, move || {
            for i in 0..1_000u64 {
                let timer = Timer::new(Duration::from_nanos(i * 20));
                let rx = timer.chan().clone();
                let (quit, stop) = channel::<()>(0);
                let receiver = go(move || {
                    select! {
                        recv(rx) -> at => at.is_ok(),
                        recv(stop) -> _ => false,
                    }
                });
                if i % 2 == 0 {
                    yield_now();
                }
                let pending = if set { timer.reset(HOUR) } else { timer.stop() };
                assert_eq!(
                    timer.chan().try_recv(),
                    Err(TryRecvError::Empty),
                    "something old"
                );
                drop(quit);
                let received = receiver.join().expect("no panic");
                assert!(
                    pending != received,
                    "stopped {pending}, received {received}"
                );
            }
        });
    }
}

#[test]
fn the_longest_times_do_not_fire_and_do_not_overflow() {
    run(2, || {
        let fired = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&fired);
        until_parked(1, Tally::ParksSleep, || {
            go(move || {
                sleep(Duration::MAX);
                theirs.store(true, Ordering::Relaxed);
            })
        });
        let mut ticker = Ticker::new(Duration::MAX);
        let late = after_func(Duration::MAX, || unreachable!("not in our time"));
        select! {
            recv(after(Duration::MAX)) -> _ => panic!("too early"),
            recv(ticker.chan()) -> _ => panic!("too early"),
            recv(after(5 * MS)) -> _ => {}
        }
        assert!(!fired.load(Ordering::Relaxed));
        assert!(late.stop());
        // No time at all is over at once.
        sleep(Duration::ZERO);
        after(Duration::ZERO).recv().expect("it is never closed");
        ticker.reset(MS);
        ticker.tick();
    });
}

#[test]
fn a_timer_without_delay_is_prompt() {
    for procs in [1, 2] {
        run(procs, || {
            for _ in 0..10_000 {
                let began = Instant::now();
                let at = Timer::new(Duration::ZERO)
                    .chan()
                    .recv()
                    .expect("it is never closed");
                assert!(at.duration_since(began) < Duration::from_secs(2));
            }
        });
    }
}

/// Go's `TestTimerModifiedEarlier`.
#[test]
fn a_timer_moved_to_an_earlier_time_fires_then() {
    run(2, || {
        for _ in 0..200 {
            let timer = Timer::new(HOUR);
            // In a heap, with the late time.
            let rx = timer.chan().clone();
            let waiter = until_parked(1, Tally::ParksChan, || go(move || rx.recv()));
            for _ in 0..10 {
                assert!(timer.stop());
                timer.reset(HOUR / 2);
            }
            assert!(timer.reset(Duration::ZERO));
            select! {
                recv(after(LONG)) -> _ => panic!("it was overlooked"),
                recv(done(waiter)) -> at => _ = at.expect("it fired"),
            }
        }
        /// The result of a G, for a select.
        fn done<T: Send + 'static>(g: gmp_runtime::JoinHandle<T>) -> gmp_runtime::Receiver<T> {
            let (tx, rx) = channel(1);
            go(move || tx.send(g.join().expect("no panic")));
            rx
        }
    });
}

/// Go's `TestAdjustTimers`.
#[test]
fn timers_moved_back_and_forth_are_all_there() {
    run(2, || {
        let group = WaitGroup::new();
        for lane in 0..4u64 {
            group.go(move || {
                let mut timers: Vec<(u32, Timer)> =
                    (0..100).map(|_| (1, Timer::new(Duration::ZERO))).collect();
                let mut random = lane + 1;
                while !timers.is_empty() {
                    random = random
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    let i = (random >> 33) as usize % timers.len();
                    let (step, timer) = &mut timers[i];
                    match *step {
                        1 | 9 => _ = timer.chan().recv().expect("it is never closed"),
                        2 => assert!(!timer.reset(LONG)),
                        4 => assert!(!timer.reset(3 * LONG)),
                        6 => assert!(!timer.reset(2 * LONG)),
                        3 | 5 | 7 => assert!(timer.stop()),
                        8 => assert!(!timer.reset(Duration::ZERO)),
                        _ => {
                            timers.swap_remove(i);
                            continue;
                        }
                    }
                    *step += 1;
                }
            });
        }
        group.wait();
    });
}

/// Go's `TestLongAdjustTimers`.
#[test]
fn thousands_of_timers_moved_earlier_one_by_one_all_fire() {
    run(2, || {
        const TIMERS: u32 = 5_000;
        let group = WaitGroup::new();
        group.add(TIMERS as usize);
        let timers: Vec<_> = (0..TIMERS)
            .map(|_| {
                let group = group.clone();
                after_func(HOUR, move || group.done())
            })
            .collect();
        // Each is the earliest of all so far.
        for (i, timer) in timers.iter().enumerate().rev() {
            assert!(timer.reset(Duration::from_micros(10 * i as u64)));
        }
        group.wait();
        assert!(timers.iter().all(|t| !t.stop()));
    });
}

/// Go's `TestChan` of `tick_test.go`, for timers.
#[test]
fn a_timers_channel_never_holds_anything_old() {
    run(2, || {
        let timer = Timer::new(MS);
        let rx = timer.chan();
        assert_eq!((rx.len(), rx.capacity()), (0, 0));
        sleep(3 * MS);
        // It is due, and nobody has looked yet.
        assert_eq!((rx.len(), rx.capacity()), (0, 0));
        assert!(timer.stop(), "nobody has received it");
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert!(!timer.reset(MS));
        sleep(3 * MS);
        assert!(timer.reset(HOUR), "nobody has received it");
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert!(timer.reset(MS));
        sleep(3 * MS);
        assert!(rx.try_recv().is_ok());
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert!(!timer.stop());

        // Of several that wait one gets it.
        timer.reset(HOUR);
        let waiters: Vec<_> = until_parked(3, Tally::ParksChan, || {
            (0..3)
                .map(|_| {
                    let rx = rx.clone();
                    go(move || rx.recv().is_ok())
                })
                .collect()
        });
        for left in [2, 1, 0] {
            timer.reset(Duration::ZERO);
            while waiters.iter().filter(|g| !g.is_finished()).count() > left {
                yield_now();
            }
            assert_eq!(waiters.iter().filter(|g| !g.is_finished()).count(), left);
        }
    });
}

/// Go's `TestChan` of `tick_test.go`, for tickers.
#[test]
fn a_tickers_channel_never_holds_anything_old() {
    run(2, || {
        let ticker = Ticker::new(MS);
        let rx = ticker.chan();
        assert_eq!((rx.len(), rx.capacity()), (0, 0));
        rx.recv().expect("it is never closed");
        sleep(3 * MS);
        assert_eq!((rx.len(), rx.capacity()), (0, 0));
        ticker.reset(HOUR);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        ticker.reset(MS);
        sleep(3 * MS);
        assert!(rx.try_recv().is_ok());
        sleep(3 * MS);
        ticker.stop();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        let waiter = until_parked(1, Tally::ParksChan, || {
            let rx = rx.clone();
            go(move || rx.recv().is_ok())
        });
        ticker.reset(MS);
        assert!(waiter.join().expect("no panic"));
    });
}

#[test]
fn the_time_received_is_the_time_it_was_due() {
    run(2, || {
        for d in [MS, 3 * MS, 5 * MS] {
            let began = Instant::now();
            let rx = after(d);
            let made = Instant::now();
            sleep(d + 4 * MS);
            let at = rx.recv().expect("it is never closed");
            assert!(at >= began + d, "too early");
            assert!(
                at <= made + d + MS,
                "{:?} after it was due",
                at - (made + d)
            );
        }
    });
}

#[test]
fn the_times_of_ticks_are_whole_periods_apart() {
    run(2, || {
        let rx = tick(2 * MS);
        let first = rx.recv().expect("it is never closed");
        for _ in 0..5 {
            // Some are missed.
            sleep(5 * MS);
            let apart = rx.recv().expect("it is never closed") - first;
            assert_eq!(apart.as_nanos() % 2_000_000, 0, "{apart:?}");
        }
    });
}

#[test]
fn a_ticker_without_a_period_is_refused() {
    run(1, || {
        let panics = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
        assert!(panics(&|| _ = Ticker::new(Duration::ZERO)));
        let ticker = Ticker::new(HOUR);
        assert!(panics(&|| ticker.reset(Duration::ZERO)));
    });
}

#[test]
fn tick_without_a_period_never_ticks() {
    run(1, || {
        let never = tick(Duration::ZERO);
        select! {
            recv(never) -> _ => panic!("a nil channel"),
            default(MS) => {}
        }
    });
}

/// Go's `TestTimerFairness`.
#[test]
fn a_timer_fires_though_two_gs_hand_over_values_at_full_rate() {
    for procs in [1, 2] {
        run(procs, || {
            let (tx, rx) = channel::<()>(0);
            let (quit, done) = channel::<()>(0);
            let gs = [(); 2].map(|()| {
                let (tx, done) = (tx.clone(), done.clone());
                go(move || {
                    loop {
                        select! {
                            send(tx, ()) -> sent => sent.expect("open"),
                            recv(done) -> _ => return,
                        }
                    }
                })
            });
            let timer = after(20 * MS);
            loop {
                select! {
                    recv(rx) -> got => got.expect("open"),
                    recv(timer) -> _ => break,
                }
            }
            drop(quit);
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
        });
    }
}

/// Go's `TestTimerFairness2`.
#[test]
fn a_timer_fires_though_two_gs_make_short_system_calls() {
    for procs in [1, 2] {
        run(procs, || {
            let (tx, rx) = channel::<()>(0);
            let gs = [(); 2].map(|()| {
                let (tx, rx) = (tx.clone(), rx.clone());
                go(move || {
                    let timer = after(20 * MS);
                    loop {
                        syscall(std::thread::yield_now);
                        select! {
                            send(tx, ()) -> sent => sent.expect("open"),
                            recv(rx) -> got => got.expect("open"),
                            recv(timer) -> _ => return,
                        }
                    }
                })
            });
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
        });
    }
}
