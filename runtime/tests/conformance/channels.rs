//! Channels and select: Go's `chan_test.go`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use gmp_runtime::sync::WaitGroup;
use gmp_runtime::sync::chan::{RecvError, TryRecvError, TrySendError};
use gmp_runtime::{Receiver, Sender, Tally, channel, go, select, yield_now};

use crate::{run, until_parked};

const MOST: usize = 200;

#[test]
fn receiving_from_an_empty_channel_waits() {
    run(2, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<u32>(capacity);
            let received = Arc::new(AtomicU32::new(0));
            let receivers = until_parked(2, Tally::ParksChan, || {
                [(); 2].map(|()| {
                    let (rx, received) = (rx.clone(), Arc::clone(&received));
                    go(move || {
                        rx.recv().expect("open");
                        received.fetch_add(1, Ordering::Relaxed);
                    })
                })
            });
            assert_eq!(received.load(Ordering::Relaxed), 0, "capacity {capacity}");
            assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
            select! {
                recv(rx) -> _ => panic!("received from an empty channel"),
                default => {}
            }
            tx.send(0).expect("open");
            tx.send(0).expect("open");
            for g in receivers {
                g.join().expect("no panic");
            }
        }
    });
}

#[test]
fn sending_to_a_full_channel_waits() {
    run(2, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<usize>(capacity);
            (0..capacity).for_each(|i| tx.send(i).expect("open"));
            let sent = Arc::new(AtomicBool::new(false));
            let sender = until_parked(1, Tally::ParksChan, || {
                let (tx, sent) = (tx.clone(), Arc::clone(&sent));
                go(move || {
                    tx.send(capacity).expect("open");
                    sent.store(true, Ordering::Relaxed);
                })
            });
            assert!(!sent.load(Ordering::Relaxed), "capacity {capacity}");
            assert_eq!(tx.try_send(0), Err(TrySendError::Full(0)));
            select! {
                send(tx, 0) -> _ => panic!("sent to a full channel"),
                default => {}
            }
            assert_eq!(rx.recv(), Ok(0));
            sender.join().expect("no panic");
            (1..=capacity).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
        }
    });
}

#[test]
fn a_closed_channel_drains_in_order_and_then_says_so() {
    run(1, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<usize>(capacity);
            (0..capacity).for_each(|i| tx.send(i).expect("open"));
            tx.close();
            (0..capacity).for_each(|i| assert_eq!(rx.recv(), Ok(i)));
            assert_eq!(rx.recv(), Err(RecvError));
            assert_eq!(rx.try_recv(), Err(TryRecvError::Closed));
        }
    });
}

#[test]
fn closing_wakes_a_receiver() {
    run(2, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<u32>(capacity);
            let receiver = until_parked(1, Tally::ParksChan, || go(move || rx.recv()));
            tx.close();
            assert_eq!(receiver.join().expect("no panic"), Err(RecvError));
        }
    });
}

#[test]
fn one_senders_values_come_in_order() {
    run(2, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<u32>(capacity);
            go(move || (0..100).for_each(|i| tx.send(i).expect("open")));
            assert!(rx.iter().eq(0..100), "capacity {capacity}");
        }
    });
}

#[test]
fn four_senders_and_receivers_lose_and_double_nothing() {
    run(4, || {
        for capacity in 0..MOST {
            const EACH: u32 = 1_000;
            let (tx, rx) = channel::<u32>(capacity);
            for _ in 0..4 {
                let tx = tx.clone();
                go(move || (0..EACH).for_each(|i| tx.send(i).expect("open")));
            }
            drop(tx);
            let receivers = [(); 4].map(|()| {
                let rx = rx.clone();
                go(move || {
                    let mut got = BTreeMap::new();
                    rx.iter().for_each(|v| *got.entry(v).or_insert(0) += 1);
                    got
                })
            });
            let mut all = BTreeMap::new();
            for g in receivers {
                for (value, n) in g.join().expect("no panic") {
                    *all.entry(value).or_insert(0) += n;
                }
            }
            assert!(all.into_iter().eq((0..EACH).map(|v| (v, 4))), "{capacity}");
        }
    });
}

#[test]
fn length_and_capacity_are_those_of_the_buffer() {
    run(1, || {
        for capacity in 0..MOST {
            let (tx, rx) = channel::<usize>(capacity);
            assert_eq!(
                (tx.len(), tx.capacity(), rx.capacity()),
                (0, capacity, capacity)
            );
            (0..capacity).for_each(|i| tx.send(i).expect("open"));
            assert_eq!(
                (tx.len(), rx.len(), tx.capacity()),
                (capacity, capacity, capacity)
            );
        }
    });
}

/// Go's `TestNonblockRecvRace`.
#[test]
fn a_nonblocking_receive_beside_a_close_always_finds_the_value() {
    run(2, || {
        for _ in 0..10_000 {
            let (tx, rx) = channel::<u32>(1);
            tx.send(1).expect("open");
            let receiver = go(move || {
                select! {
                    recv(rx) -> value => value,
                    default => panic!("the channel is neither empty nor open"),
                }
            });
            tx.close();
            drop(tx);
            assert_eq!(receiver.join().expect("no panic"), Ok(1));
        }
    });
}

/// Go's `TestNonblockSelectRace`: at every moment one of the two has a value.
#[test]
fn a_nonblocking_select_sees_one_moment() {
    run(2, || {
        for _ in 0..10_000 {
            let (one, first) = channel::<u32>(1);
            let (two, kept) = channel::<u32>(1);
            one.send(1).expect("open");
            // The originals stay here, so that no channel is closed by its last receiver.
            let (rx, second) = (first.clone(), kept.clone());
            let g = go(move || {
                select! {
                    recv(rx) -> _ => true,
                    recv(second) -> _ => true,
                    default => false,
                }
            });
            two.send(1).expect("open");
            let _ = first.try_recv();
            assert!(g.join().expect("no panic"), "no channel was ready");
        }
    });
}

/// Go's `TestNonblockSelectRace2`: the second is closed instead.
#[test]
fn a_nonblocking_select_sees_one_moment_of_a_close() {
    run(2, || {
        for _ in 0..10_000 {
            let (one, first) = channel::<u32>(1);
            let (two, second) = channel::<u32>(0);
            one.send(1).expect("open");
            let rx = first.clone();
            let g = go(move || {
                select! {
                    recv(rx) -> _ => true,
                    recv(second) -> _ => true,
                    default => false,
                }
            });
            two.close();
            let _ = first.try_recv();
            assert!(g.join().expect("no panic"), "no channel was ready");
        }
    });
}

/// Go's `TestSelfSelect`.
#[test]
fn a_select_does_not_receive_its_own_send() {
    run(2, || {
        for capacity in [0, 10] {
            let (tx, rx) = channel::<usize>(capacity);
            let gs = [0, 1].map(|p| {
                let (tx, rx) = (tx.clone(), rx.clone());
                go(move || {
                    for i in 0..1_000 {
                        let check = |got: Result<usize, RecvError>| {
                            assert!(capacity > 0 || got != Ok(p), "it received its own value");
                        };
                        if p == 0 || i % 2 == 0 {
                            select! {
                                send(tx, p) -> sent => sent.expect("open"),
                                recv(rx) -> got => check(got),
                            }
                        } else {
                            select! {
                                recv(rx) -> got => check(got),
                                send(tx, p) -> sent => sent.expect("open"),
                            }
                        }
                    }
                })
            });
            for g in gs {
                g.join().expect("no panic");
            }
        }
    });
}

/// Go's `TestSelectStress`: plain operations and selects on the same four channels, each in a direction of its own.
#[test]
fn selects_and_plain_operations_on_the_same_channels_all_end() {
    run(4, || {
        const EACH: usize = 4_000;
        let chans = [0, 0, 2, 3].map(channel::<u32>);
        let group = WaitGroup::new();
        for (tx, rx) in &chans {
            let (tx, rx) = (tx.clone(), rx.clone());
            group.go(move || (0..EACH).for_each(|_| tx.send(0).expect("open")));
            group.go(move || (0..EACH).for_each(|_| assert_eq!(rx.recv(), Ok(0))));
        }
        let senders = chans.each_ref().map(|(tx, _)| tx.clone());
        group.go(move || {
            let mut left = [EACH; 4];
            while left != [0; 4] {
                let (off, _) = gmp_runtime::sync::chan::nil();
                let [a, b, c, d] =
                    std::array::from_fn(|i| if left[i] > 0 { &senders[i] } else { &off });
                let done = select! {
                    send(d, 0) -> sent => sent.map(|()| 3),
                    send(c, 0) -> sent => sent.map(|()| 2),
                    send(a, 0) -> sent => sent.map(|()| 0),
                    send(b, 0) -> sent => sent.map(|()| 1),
                };
                left[done.expect("open")] -= 1;
            }
        });
        let receivers = chans.each_ref().map(|(_, rx)| rx.clone());
        group.go(move || {
            let mut left = [EACH; 4];
            while left != [0; 4] {
                let (_, off) = gmp_runtime::sync::chan::nil();
                let [a, b, c, d] =
                    std::array::from_fn(|i| if left[i] > 0 { &receivers[i] } else { &off });
                let done = select! {
                    recv(a) -> got => got.map(|_| 0),
                    recv(b) -> got => got.map(|_| 1),
                    recv(c) -> got => got.map(|_| 2),
                    recv(d) -> got => got.map(|_| 3),
                };
                left[done.expect("open")] -= 1;
            }
        });
        group.wait();
    });
}

/// Go's `TestSelectFairness`.
#[test]
fn two_cases_that_are_always_ready_are_chosen_equally() {
    run(2, || {
        const TRIALS: u32 = 10_000;
        let (one, first) = channel::<u8>(TRIALS as usize + 1);
        let (two, second) = channel::<u8>(TRIALS as usize + 1);
        for _ in 0..=TRIALS {
            one.send(1).expect("open");
            two.send(2).expect("open");
        }
        let (_never, third) = channel::<u8>(0);
        let (_nobody, fourth) = channel::<u8>(0);
        let (results, out) = channel::<u8>(0);
        let (quit, stop) = channel::<()>(0);
        let chooser = go(move || {
            loop {
                let got = select! {
                    recv(third) -> got => got,
                    recv(fourth) -> got => got,
                    recv(first) -> got => got,
                    recv(second) -> got => got,
                };
                select! {
                    send(results, got.expect("open")) -> sent => sent.expect("open"),
                    recv(stop) -> _ => return,
                }
            }
        });
        let firsts = (0..TRIALS).filter(|_| out.recv() == Ok(1)).count();
        drop(quit);
        chooser.join().expect("no panic");
        let share = firsts as f64 / f64::from(TRIALS);
        let sigma = 0.5 / f64::from(TRIALS).sqrt();
        assert!(
            (share - 0.5).abs() < 10.0 * sigma,
            "the first was chosen {share}"
        );
    });
}

/// Go's `TestPseudoRandomSend`.
#[test]
fn two_sends_of_a_select_are_both_chosen() {
    run(1, || {
        const N: usize = 100;
        for capacity in [0, N] {
            let (tx, rx) = channel::<usize>(capacity);
            let receiver = go(move || {
                let mut got = [0; 2];
                for _ in 0..N {
                    yield_now();
                    got[rx.recv().expect("open")] += 1;
                }
                got
            });
            for _ in 0..N {
                select! {
                    send(tx, 0) -> sent => sent.expect("open"),
                    send(tx, 1) -> sent => sent.expect("open"),
                }
            }
            let got = receiver.join().expect("no panic");
            assert!(got.iter().all(|n| *n > N / 10), "{got:?}");
        }
    });
}

/// Go's `TestMultiConsumer`.
#[test]
fn many_workers_keep_the_sum() {
    run(4, || {
        const WORKERS: usize = 23;
        const ITEMS: usize = 271_828;
        const PRIMES: [usize; 11] = [2, 3, 7, 11, 13, 17, 19, 23, 27, 31, 1];
        let (queue, work) = channel::<usize>(WORKERS * 3);
        let (results, out) = channel::<usize>(WORKERS * 3);
        for _ in 0..WORKERS {
            let (work, results) = (work.clone(), results.clone());
            go(move || {
                for value in work.iter() {
                    if value.is_multiple_of(137) {
                        yield_now();
                    }
                    results.send(value).expect("open");
                }
            });
        }
        drop((work, results));
        let feeder = go(move || {
            (0..ITEMS).fold(0, |sum, i| {
                let value = PRIMES[i % PRIMES.len()];
                queue.send(value).expect("open");
                sum + value
            })
        });
        let (n, sum) = out.iter().fold((0, 0), |(n, sum), v| (n + 1, sum + v));
        assert_eq!((n, sum), (ITEMS, feeder.join().expect("no panic")));
    });
}

/// Go's `TestSelectDuplicateChannel`: the queue of `c` would be broken if only one of the two records were taken out.
#[test]
fn the_same_channel_twice_in_a_select_leaves_the_queue_whole() {
    run(1, || {
        let (tx, rx) = channel::<u32>(0);
        let (other, wake) = channel::<u32>(0);
        let (c, theirs) = (rx.clone(), rx.clone());
        let g1 = until_parked(1, Tally::ParksChan, || {
            go(move || {
                let woken = select! {
                    recv(c) -> _ => false,
                    recv(c) -> _ => false,
                    recv(wake) -> _ => true,
                };
                (woken, c.recv())
            })
        });
        let g2 = until_parked(1, Tally::ParksChan, || go(move || theirs.recv()));
        // The first is woken by the other channel and waits for `c` again, behind the second.
        until_parked(1, Tally::ParksChan, || other.try_send(0).expect("it waits"));
        tx.try_send(1).expect("the second waits");
        tx.try_send(2).expect("the first waits");
        assert_eq!(g2.join().expect("no panic"), Ok(1));
        assert_eq!(g1.join().expect("no panic"), (true, Ok(2)));
    });
}

/// A select that waits is woken by a value and by a close, with a sender as with a receiver, and by its deadline.
#[test]
fn a_waiting_select_ends_by_value_by_close_and_by_time() {
    run(2, || {
        type Ended = (Option<Result<u32, RecvError>>, Option<Result<(), u32>>);
        fn both(rx: Receiver<u32>, tx: Sender<u32>) -> Ended {
            select! {
                recv(rx) -> got => (Some(got), None),
                send(tx, 7) -> sent => (None, Some(sent.map_err(|e| e.0))),
            }
        }
        let waiting = |left: &Receiver<u32>, right: &Sender<u32>| {
            let (rx, tx) = (left.clone(), right.clone());
            until_parked(1, Tally::ParksChan, || go(move || both(rx, tx)))
        };
        let (in_tx, in_rx) = channel::<u32>(0);
        let (out_tx, out_rx) = channel::<u32>(0);

        let g = waiting(&in_rx, &out_tx);
        in_tx.try_send(1).expect("a select waits");
        assert_eq!(g.join().expect("no panic"), (Some(Ok(1)), None));

        let g = waiting(&in_rx, &out_tx);
        assert_eq!(out_rx.try_recv(), Ok(7));
        assert_eq!(g.join().expect("no panic"), (None, Some(Ok(()))));

        let g = waiting(&in_rx, &out_tx);
        out_rx.close();
        assert_eq!(g.join().expect("no panic"), (None, Some(Err(7))));

        let (out_tx, _out) = channel::<u32>(0);
        let g = waiting(&in_rx, &out_tx);
        in_tx.close();
        assert_eq!(g.join().expect("no panic"), (Some(Err(RecvError)), None));

        let (_in, in_rx) = channel::<u32>(0);
        let timed_out = select! {
            recv(in_rx) -> _ => false,
            send(out_tx, 1) -> _ => false,
            default(std::time::Duration::from_millis(1)) => true,
        };
        assert!(timed_out);
    });
}
