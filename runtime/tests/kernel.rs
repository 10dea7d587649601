//! System calls, sockets, and changes of the number of Ps, through the public API.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{
    Builder, Tally, blocking, channel, checkpoint, go, num_threads, procs, set_procs, stats,
    syscall, yield_now,
};

fn run<T: Send + 'static>(procs: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).run(f)
}

#[test]
fn a_p_is_taken_from_a_system_call_that_others_need_it_for() {
    for call in [syscall::<()> as fn(_), blocking::<()> as fn(_)] {
        run(1, move || {
            let (tx, rx) = std::sync::mpsc::channel::<()>();
            // The only P is in a system call that ends when another G has run.
            let waiting =
                go(move || call(Box::new(move || rx.recv().expect("sent")) as Box<dyn FnOnce()>));
            yield_now();
            tx.send(()).expect("it waits");
            waiting.join().expect("no panic");
        });
    }
}

#[test]
fn threads_are_ps_and_blocked_calls() {
    run(2, || {
        const BLOCKED: usize = 20;
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let rx = Arc::new(std::sync::Mutex::new(rx));
        let inside = Arc::new(AtomicUsize::new(0));
        let calls: Vec<_> = (0..BLOCKED)
            .map(|_| {
                let (rx, inside) = (Arc::clone(&rx), Arc::clone(&inside));
                go(move || {
                    blocking(|| {
                        inside.fetch_add(1, Ordering::Release);
                        rx.lock().expect("no panic").recv().expect("sent");
                    });
                })
            })
            .collect();
        while inside.load(Ordering::Acquire) < BLOCKED {
            yield_now();
        }
        // At most one more than needed: a thread that was started for work that another had taken.
        let threads = num_threads();
        assert!((BLOCKED + 1..=BLOCKED + 4).contains(&threads), "{threads}");
        (0..BLOCKED).for_each(|_| tx.send(()).expect("it waits"));
        calls.into_iter().for_each(|c| c.join().expect("no panic"));
    });
}

#[test]
fn a_panic_in_a_system_call_leaves_it() {
    run(1, || {
        let bad = go(|| syscall(|| -> u32 { panic!("on purpose") }));
        assert!(bad.join().is_err());
        assert_eq!(go(|| syscall(|| 4)).join().expect("no panic"), 4);
    });
}

#[test]
fn short_system_calls_do_not_starve_others() {
    run(2, || {
        let stop = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let stop = Arc::clone(&stop);
            go(move || {
                while !stop.load(Ordering::Relaxed) {
                    syscall(|| std::thread::sleep(Duration::from_micros(50)));
                }
            });
        }
        let others: Vec<_> = (0..8).map(|i| go(move || i)).collect();
        others.into_iter().for_each(|o| drop(o.join()));
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_hog_with_checkpoints_gives_way_after_its_time_slice() {
    run(1, || {
        let seen = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&seen);
        go(move || theirs.store(true, Ordering::Release));
        while !seen.load(Ordering::Acquire) {
            checkpoint();
        }
        assert!(stats().get(Tally::Preempts) >= 1);
    });
}

#[test]
fn bytes_come_back_from_an_echo_server() {
    for procs in [1, 2, 4] {
        run(procs, || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            go(move || {
                while let Ok((stream, _)) = listener.accept() {
                    go(move || {
                        let mut buffer = [0; 64];
                        loop {
                            match (&stream).read(&mut buffer) {
                                Ok(0) | Err(_) => return,
                                Ok(n) => {
                                    (&stream).write_all(&buffer[..n]).expect("the client reads")
                                }
                            }
                        }
                    });
                }
            });
            let clients: Vec<_> = (0..50u8)
                .map(|i| {
                    go(move || {
                        let stream = TcpStream::connect(address).expect("it listens");
                        for round in 0..20 {
                            (&stream).write_all(&[i, round]).expect("it reads");
                            let mut back = [0; 2];
                            (&stream).read_exact(&mut back).expect("it echoes");
                            assert_eq!(back, [i, round]);
                        }
                    })
                })
                .collect();
            clients
                .into_iter()
                .for_each(|c| c.join().expect("no panic"));
        });
    }
}

#[test]
fn deadlines_end_reads_and_accepts() {
    for procs in [1, 4] {
        run(procs, || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let stream =
                TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
            let mut buffer = [0; 1];
            // In the past: at once.
            stream.set_read_deadline(Some(Instant::now()));
            assert_eq!(
                (&stream).read(&mut buffer).map_err(|e| e.kind()),
                Err(ErrorKind::TimedOut)
            );
            // In the near future: no earlier.
            let began = Instant::now();
            stream.set_read_deadline(Some(began + Duration::from_millis(10)));
            assert_eq!(
                (&stream).read(&mut buffer).map_err(|e| e.kind()),
                Err(ErrorKind::TimedOut)
            );
            assert!(began.elapsed() >= Duration::from_millis(10));
            // Set by another G while this one waits.
            stream.set_read_deadline(None);
            let reader = {
                let stream = stream.clone();
                go(move || (&stream).read(&mut [0; 1]).map_err(|e| e.kind()))
            };
            while stats().get(Tally::ParksNet) < 2 {
                yield_now();
            }
            stream.set_read_deadline(Some(Instant::now()));
            assert_eq!(reader.join().expect("no panic"), Err(ErrorKind::TimedOut));
            drop(listener.accept().expect("the stream"));
            listener.set_deadline(Some(Instant::now()));
            assert_eq!(
                listener.accept().map(drop).map_err(|e| e.kind()),
                Err(ErrorKind::TimedOut)
            );
        });
    }
}

#[test]
fn the_number_of_ps_changes_under_load_and_nothing_is_lost() {
    let sum = run(4, || {
        let (tx, rx) = channel::<u64>(16);
        for s in 0..8u64 {
            let tx = tx.clone();
            go(move || {
                for i in 0..2_000 {
                    tx.send(s * 2_000 + i).expect("open");
                    if i % 50 == 0 {
                        syscall(|| ());
                        yield_now();
                    }
                }
            });
        }
        drop(tx);
        let changer = go(|| {
            for n in [1, 8, 2, 5, 1, 3, 16, 4].repeat(5) {
                set_procs(n);
                assert_eq!(procs(), n);
                yield_now();
            }
        });
        let sum: u64 = rx.iter().sum();
        changer.join().expect("no panic");
        sum
    });
    assert_eq!(sum, 15_999 * 16_000 / 2);
}
