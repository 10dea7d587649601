//! The scheduling loop: progress, parallelism, and the poller in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpListener;
use gmp_runtime::{Tally, blocking, channel, go, inspect, yield_now};

use crate::net::{connection, read_one};
use crate::{run, until_parked};

/// When to give up; a run that works takes far less.
const PATIENCE: Duration = Duration::from_secs(60);

/// Go: `TestYieldProgress`.
#[test]
fn a_g_that_yields_all_the_time_sees_a_send() {
    for procs in [1, 2] {
        run(procs, || {
            let (tx, rx) = channel::<()>(1);
            let spinning = go(move || {
                while rx.try_recv().is_err() {
                    yield_now();
                }
            });
            (0..10).for_each(|_| yield_now());
            tx.send(()).expect("the other waits");
            spinning.join().expect("no panic");
        });
    }
}

/// A number that `n` Gs pass on from one to the next.
#[derive(Clone)]
struct Relay {
    n: u32,
    number: Arc<AtomicU32>,
    began: Instant,
}

impl Relay {
    fn new(n: u32) -> Relay {
        Relay {
            n,
            number: Arc::new(AtomicU32::new(0)),
            began: Instant::now(),
        }
    }

    /// The part of G number `i`: it looks at the number all the time, and does not give way. So all must run at once.
    fn run(&self, i: u32) {
        for round in 0..3 {
            let mine = round * self.n + i;
            while self.number.load(Ordering::SeqCst) != mine {
                assert!(self.began.elapsed() < PATIENCE, "they do not run at once");
                std::hint::spin_loop();
            }
            self.number.store(mine + 1, Ordering::SeqCst);
        }
    }

    /// All from one G, which waits for them.
    fn side_by_side(&self) {
        let gs: Vec<_> = (0..self.n)
            .map(|i| {
                let relay = self.clone();
                go(move || relay.run(i))
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    }

    /// G number `i` and those after it, each spawned by the one before.
    fn nested(&self, i: u32) {
        if i == self.n {
            return;
        }
        let relay = self.clone();
        let next = go(move || relay.nested(i + 1));
        self.run(i);
        next.join().expect("no panic");
    }
}

/// Go: `TestGoroutineParallelism`.
#[test]
fn as_many_gs_as_ps_run_at_once() {
    for procs in 2..=4 {
        run(procs as usize, move || {
            (0..10).for_each(|_| Relay::new(procs).side_by_side());
        });
    }
}

/// Go: `TestGoroutineParallelism2`: with Gs that had come and gone before, with the poller in use, and spawned one by the other.
#[test]
fn as_many_gs_as_ps_run_at_once_after_load_and_beside_the_poller() {
    for (load, poller) in [(true, false), (false, true), (true, true)] {
        run(4, move || {
            let listener = poller.then(|| TcpListener::bind("127.0.0.1:0").expect("a free port"));
            let accepting = listener.map(|listener| {
                let address = listener.local_addr().expect("bound");
                let accepting =
                    until_parked(1, Tally::ParksNet, || go(move || listener.accept().is_ok()));
                (accepting, address)
            });
            if load {
                let gs: Vec<_> = (0..100).map(|_| go(yield_now)).collect();
                gs.into_iter().for_each(|g| g.join().expect("no panic"));
            }
            (0..5).for_each(|_| Relay::new(4).side_by_side());
            (0..5).for_each(|_| {
                let relay = Relay::new(4);
                go(move || relay.nested(0)).join().expect("no panic");
            });
            if let Some((accepting, address)) = accepting {
                let _stream = gmp_runtime::net::TcpStream::connect(address).expect("it listens");
                assert!(accepting.join().expect("no panic"));
            }
        });
    }
}

/// Go: `TestNetpollBreak`: whoever is blocked in the poller until late is broken out of it for something earlier.
#[test]
fn a_poll_until_late_is_broken_for_an_earlier_deadline() {
    let took = run(1, || {
        let (here, _there) = connection();
        here.set_read_deadline(Some(Instant::now() + Duration::from_secs(600)));
        let reader = here.clone();
        let reading = until_parked(1, Tally::ParksNet, || go(move || read_one(&reader)));
        // The deadline is set without a P, while the only P is idle and its M in the poller (or on its way there).
        let setting = go(move || {
            blocking(move || {
                let began = Instant::now();
                here.set_read_deadline(Some(began + Duration::from_millis(20)));
                began
            })
        });
        let error = reading.join().expect("no panic").expect_err("no data");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        setting.join().expect("no panic").elapsed()
    });
    assert!(took >= Duration::from_millis(20), "{took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Go: `TestNetpollWaiters`.
#[test]
fn nobody_counts_as_waiting_for_the_network_when_all_is_over() {
    run(2, || {
        let gs: Vec<_> = (0..20)
            .map(|i| {
                go(move || {
                    let (here, there) = connection();
                    let reading = go(move || read_one(&here));
                    match i % 3 {
                        0 => drop(there),
                        1 => {
                            use std::io::Write;
                            (&there).write_all(&[1]).expect("room");
                            reading.join().expect("no panic").expect("it was sent");
                            return;
                        }
                        _ => {
                            there
                                .shutdown(std::net::Shutdown::Write)
                                .expect("connected");
                        }
                    }
                    assert_eq!(reading.join().expect("no panic").expect("its end"), 0);
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        let began = Instant::now();
        // A waiter counts until after it was readied, so it may go on before.
        while !inspect::dump().contains(" netpoll_waiters=0 ") {
            assert!(began.elapsed() < PATIENCE, "{}", inspect::dump());
            yield_now();
        }
    });
}

/// An idle P beside work that nobody looks for would show here: each G of a burst waits for one that was spawned after it.
#[test]
fn every_g_of_a_burst_gets_a_p_while_the_others_keep_theirs() {
    run(3, || {
        for _ in 0..200 {
            let (first, second) = (
                Arc::new(AtomicBool::new(false)),
                Arc::new(AtomicBool::new(false)),
            );
            let (a, b) = (Arc::clone(&first), Arc::clone(&second));
            let began = Instant::now();
            let waits = move |for_it: &AtomicBool| {
                while !for_it.load(Ordering::SeqCst) {
                    assert!(began.elapsed() < PATIENCE, "a G waits beside an idle P");
                    std::hint::spin_loop();
                }
            };
            let one = go(move || {
                waits(&b);
                a.store(true, Ordering::SeqCst);
            });
            let two = {
                let second = Arc::clone(&second);
                go(move || second.store(true, Ordering::SeqCst))
            };
            // This G keeps its P, and the last of the two is in its `runnext`, whose place the thieves look at last.
            waits(&first);
            one.join().expect("no panic");
            two.join().expect("no panic");
        }
    });
}
