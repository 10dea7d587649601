//! Channels, mutexes, wait groups, timers and deadlines, through the public API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::sync::chan::{TryRecvError, TrySendError};
use gmp_runtime::sync::{Mutex, WaitGroup};
use gmp_runtime::time::{Ticker, sleep, timeout};
use gmp_runtime::{Builder, channel, go, yield_now};

fn run<T: Send + 'static>(procs: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(f)
}

#[test]
fn four_senders_and_four_receivers_lose_and_double_nothing() {
    for procs in [1, 4] {
        for capacity in [0, 1, 10, 200] {
            let sum = run(procs, move || {
                let (tx, rx) = channel::<usize>(capacity);
                for s in 0..4 {
                    let tx = tx.clone();
                    go(move || (0..1_000).for_each(|i| tx.send(s * 1_000 + i).expect("open")));
                }
                drop(tx);
                let receivers: Vec<_> = (0..4)
                    .map(|_| {
                        let rx = rx.clone();
                        go(move || rx.iter().fold((0, 0), |(n, sum), v| (n + 1, sum + v)))
                    })
                    .collect();
                receivers
                    .into_iter()
                    .map(|r| r.join().expect("no panic"))
                    .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
            });
            assert_eq!(
                sum,
                (4_000, 3_999 * 4_000 / 2),
                "{procs} Ps, capacity {capacity}"
            );
        }
    }
}

#[test]
fn one_senders_values_come_in_order() {
    for capacity in [0, 1, 7] {
        run(2, move || {
            let (tx, rx) = channel::<u32>(capacity);
            go(move || (0..10_000).for_each(|i| tx.send(i).expect("open")));
            assert!(rx.iter().eq(0..10_000));
        });
    }
}

#[test]
fn try_forms_do_not_wait() {
    run(1, || {
        let (tx, rx) = channel::<u32>(1);
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(tx.try_send(1), Ok(()));
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
        assert_eq!(rx.try_recv(), Ok(1));
        drop(rx);
        assert_eq!(tx.try_send(3), Err(TrySendError::Closed(3)));
    });
}

#[test]
fn closing_delivers_the_buffer_and_wakes_all() {
    run(2, || {
        let (tx, rx) = channel::<u32>(4);
        (0..3).for_each(|i| tx.send(i).expect("open"));
        tx.close();
        assert_eq!(tx.send(9).map_err(|e| e.0), Err(9));
        assert!(rx.iter().eq(0..3));

        let (tx, rx) = channel::<u32>(0);
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let rx = rx.clone();
                go(move || rx.recv())
            })
            .collect();
        let sender = {
            let (full, _keep) = channel::<u32>(0);
            let closer = full.clone();
            let sender = go(move || full.send(1));
            go(move || closer.close());
            sender
        };
        tx.close();
        assert!(
            waiting
                .into_iter()
                .all(|w| w.join().expect("no panic").is_err())
        );
        assert!(sender.join().expect("no panic").is_err());
    });
}

#[test]
fn waits_with_a_deadline_end_by_value_or_by_time() {
    for procs in [1, 2] {
        run(procs, || {
            let (tx, rx) = channel::<u32>(0);
            let began = Instant::now();
            assert_eq!(
                rx.recv_timeout(Duration::from_millis(5)),
                Err(TryRecvError::Empty)
            );
            assert_eq!(
                tx.send_timeout(1, Duration::from_millis(5)),
                Err(TrySendError::Full(1))
            );
            assert!(began.elapsed() >= Duration::from_millis(10));
            go(move || tx.send(7).expect("open"));
            assert_eq!(rx.recv_timeout(Duration::from_secs(60)), Ok(7));
            assert_eq!(timeout(Duration::from_secs(60), || 3), Some(3));
            assert_eq!(
                timeout(Duration::from_millis(2), || sleep(Duration::from_secs(60))),
                None
            );
        });
    }
}

#[test]
fn deadlines_racing_with_values_neither_lose_nor_double() {
    run(4, || {
        let (tx, rx) = channel::<usize>(0);
        let sent = Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..8)
            .map(|_| {
                let (tx, sent) = (tx.clone(), Arc::clone(&sent));
                go(move || {
                    for _ in 0..500 {
                        if tx.send_timeout(1, Duration::from_micros(30)).is_ok() {
                            sent.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                })
            })
            .collect();
        drop(tx);
        let received: usize = (0..4)
            .map(|_| {
                let rx = rx.clone();
                go(move || {
                    let mut n = 0;
                    loop {
                        match rx.recv_timeout(Duration::from_micros(20)) {
                            Ok(v) => n += v,
                            Err(TryRecvError::Empty) => {}
                            Err(TryRecvError::Closed) => return n,
                        }
                    }
                })
            })
            .collect::<Vec<_>>()
            .into_iter()
            .map(|r| r.join().expect("no panic"))
            .sum();
        senders
            .into_iter()
            .for_each(|s| s.join().expect("no panic"));
        assert_eq!(received, sent.load(Ordering::Relaxed));
    });
}

#[test]
fn a_mutex_is_held_by_one_at_a_time_also_over_yields() {
    for procs in [1, 4] {
        let total = run(procs, || {
            let value = Arc::new(Mutex::new(0u64));
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let value = Arc::clone(&value);
                    go(move || {
                        for i in 0..1_000 {
                            let mut guard = value.lock();
                            let before = *guard;
                            if i % 100 == 0 {
                                yield_now();
                            }
                            *guard = before + 1;
                        }
                    })
                })
                .collect();
            workers
                .into_iter()
                .for_each(|w| w.join().expect("no panic"));
            Arc::into_inner(value).expect("all ended").into_inner()
        });
        assert_eq!(total, 8_000);
    }
}

#[test]
fn threads_and_gs_share_channels_and_mutexes() {
    let (tx, rx) = channel::<u32>(0);
    let (back, results) = channel::<u32>(0);
    let thread = std::thread::spawn(move || {
        (0..200).for_each(|i| tx.send(i).expect("open"));
        drop(tx);
        results.recv().expect("the sum")
    });
    run(2, move || {
        back.send(rx.iter().sum()).expect("the thread waits")
    });
    assert_eq!(thread.join().expect("no panic"), 199 * 200 / 2);
}

#[test]
fn a_wait_group_releases_all_who_wait() {
    run(4, || {
        let group = WaitGroup::new();
        group.add(100);
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let group = group.clone();
                go(move || group.wait())
            })
            .collect();
        for _ in 0..100 {
            let group = group.clone();
            go(move || group.done());
        }
        group.wait();
        waiters
            .into_iter()
            .for_each(|w| w.join().expect("no panic"));
    });
}

#[test]
fn sleep_is_never_shorter_than_asked_and_deadlines_come_in_order() {
    let in_order = |procs: usize, distance: u64| {
        run(procs, move || {
            let (tx, rx) = channel::<u64>(100);
            let began = Instant::now();
            for slot in [3, 1, 2, 0, 4] {
                let tx = tx.clone();
                go(move || {
                    let d = Duration::from_millis(slot * distance);
                    sleep(d);
                    assert!(began.elapsed() >= d);
                    tx.send(slot).expect("open");
                });
            }
            drop(tx);
            let woken: Vec<_> = rx.iter().collect();
            assert_eq!(woken.len(), 5);
            woken == [0, 1, 2, 3, 4]
        })
    };
    for procs in [1, 4] {
        // Those that a busy machine lets fire together come in any order: then they lie too close.
        let distances = [10, 40, 160, 640];
        assert!(distances.iter().any(|ms| in_order(procs, *ms)));
    }
}

#[test]
fn a_ticker_keeps_its_phase() {
    run(1, || {
        let began = Instant::now();
        let mut ticker = Ticker::new(Duration::from_millis(3));
        let dropped: u64 = (0..5).map(|_| ticker.tick()).sum();
        assert!(began.elapsed() >= Duration::from_millis(3 * (5 + dropped)));
    });
}

#[test]
fn a_timer_fires_although_two_gs_hand_values_at_full_rate() {
    run(1, || {
        let (tx, rx) = channel::<()>(0);
        go(move || while tx.send(()).is_ok() {});
        let pump = rx.clone();
        go(move || while pump.recv().is_ok() {});
        sleep(Duration::from_millis(20));
        rx.close();
    });
}

#[test]
fn connecting_parks_the_g_and_no_thread() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // Nobody accepts before all are connected: the system does it for the listener.
        let clients: Vec<_> = (0..400)
            .map(|_| go(move || TcpStream::connect(address).expect("connected")))
            .collect();
        let streams: Vec<_> = clients
            .into_iter()
            .map(|g| g.join().expect("no panic"))
            .collect();
        assert!(
            gmp_runtime::num_threads() < 20,
            "{}",
            gmp_runtime::num_threads()
        );
        assert!(
            streams
                .iter()
                .all(|s| s.peer_addr().is_ok_and(|a| a == address))
        );
        drop(listener);
        let refused = TcpStream::connect(address).err().map(|e| e.kind());
        assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused));
    });
}
