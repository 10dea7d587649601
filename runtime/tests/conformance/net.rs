//! Sockets and their deadlines.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{Tally, blocking, go, time, yield_now};

use crate::{run, until_parked};

/// Later than this a deadline is not kept, however loaded the machine is.
const LATE: Duration = Duration::from_secs(30);

/// Two connected sockets, without a network.
pub(crate) fn connection() -> (TcpStream, TcpStream) {
    let (a, b) = UnixStream::pair().expect("the system has room for two sockets");
    (stream(a.into()), stream(b.into()))
}

fn stream(fd: OwnedFd) -> TcpStream {
    TcpStream::from_std(std::net::TcpStream::from(fd)).expect("it can be polled")
}

/// Reads one byte; how many came.
pub(crate) fn read_one(mut stream: &TcpStream) -> io::Result<usize> {
    stream.read(&mut [0])
}

/// Writes until that blocks, and then for as long as it does.
fn write_for_ever(mut stream: &TcpStream) -> ErrorKind {
    let block = vec![0; 1 << 16];
    loop {
        if let Err(e) = stream.write(&block) {
            return e.kind();
        }
    }
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

fn past() -> Option<Instant> {
    Some(Instant::now() - Duration::from_millis(1))
}

fn far() -> Option<Instant> {
    Some(Instant::now() + Duration::from_secs(3_600))
}

/// Go: `TestAcceptTimeout`, `TestReadTimeout`, `TestWriteTimeout`.
#[test]
fn a_deadline_in_the_past_ends_an_operation_before_it_waits() {
    run(1, || {
        let listener = listener();
        listener.set_deadline(past());
        let error = listener.accept().expect_err("nobody connects");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let (here, _there) = connection();
        here.set_read_deadline(past());
        here.set_write_deadline(past());
        let error = read_one(&here).expect_err("no data");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(write_for_ever(&here), ErrorKind::TimedOut);
        // Cleared, it is as if there had been none.
        here.set_write_deadline(None);
        (&here).write_all(&[1]).expect("there is room");
    });
}

/// As above, for data that is there: a deadline that has passed comes first, as in Go.
#[test]
fn a_deadline_in_the_past_ends_a_read_though_there_is_data() {
    run(1, || {
        let (here, there) = connection();
        (&there).write_all(&[1]).expect("there is room");
        here.set_read_deadline(past());
        let error = read_one(&here).expect_err("the deadline passed");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        here.set_read_deadline(None);
        assert_eq!(read_one(&here).expect("data"), 1);
    });
}

/// Go: `TestAcceptTimeoutMustReturn`, `TestReadTimeoutMustReturn`, `TestWriteTimeoutMustReturn`.
#[test]
fn a_deadline_set_by_another_g_ends_a_wait_that_has_begun() {
    for procs in [1, 4] {
        run(procs, || {
            let listener = Arc::new(listener());
            let theirs = Arc::clone(&listener);
            let accepting = until_parked(1, Tally::ParksNet, || {
                go(move || theirs.accept().map(drop).map_err(|e| e.kind()))
            });
            listener.set_deadline(past());
            assert_eq!(
                accepting.join().expect("no panic"),
                Err(ErrorKind::TimedOut)
            );
            let (here, _there) = connection();
            let (reader, writer) = (here.clone(), here.clone());
            let (reading, writing) = until_parked(2, Tally::ParksNet, || {
                (
                    go(move || read_one(&reader).map_err(|e| e.kind())),
                    go(move || write_for_ever(&writer)),
                )
            });
            here.set_read_deadline(past());
            assert_eq!(reading.join().expect("no panic"), Err(ErrorKind::TimedOut));
            here.set_write_deadline(Some(Instant::now() + Duration::from_millis(5)));
            assert_eq!(writing.join().expect("no panic"), ErrorKind::TimedOut);
        });
    }
}

/// Go: `TestAcceptTimeoutMustNotReturn`, `TestReadTimeoutMustNotReturn`, `TestWriteTimeoutMustNotReturn`.
#[test]
fn without_a_deadline_an_operation_waits_for_its_other_end() {
    run(2, || {
        let listener = Arc::new(listener());
        let address = listener.local_addr().expect("bound");
        listener.set_deadline(far());
        listener.set_deadline(None);
        let (here, there) = connection();
        let (full, reads_nothing) = connection();
        here.set_read_deadline(past());
        here.set_read_deadline(None);
        full.set_write_deadline(past());
        full.set_write_deadline(None);
        let returned = Arc::new(AtomicUsize::new(0));
        let counts = || {
            let returned = Arc::clone(&returned);
            move || {
                let _ = returned.fetch_add(1, Ordering::SeqCst);
            }
        };
        let (accepted, read, wrote) = (counts(), counts(), counts());
        let gs = until_parked(3, Tally::ParksNet, || {
            [
                go(move || {
                    listener.accept().expect("somebody connects");
                    accepted();
                }),
                go(move || {
                    assert_eq!(read_one(&here).expect("data"), 1);
                    read();
                }),
                go(move || {
                    assert_eq!(write_for_ever(&full), ErrorKind::BrokenPipe);
                    wrote();
                }),
            ]
        });
        let (began, mut rounds) = (Instant::now(), 0);
        while began.elapsed() < Duration::from_millis(100) || rounds < 100 {
            rounds += 1;
            yield_now();
        }
        assert_eq!(returned.load(Ordering::SeqCst), 0, "none may return");
        let _client = TcpStream::connect(address).expect("it listens");
        (&there).write_all(&[1]).expect("there is room");
        drop(reads_nothing);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        assert_eq!(returned.load(Ordering::SeqCst), 3);
    });
}

/// Go: `TestAcceptTimeoutFluctuation`, `TestReadTimeoutFluctuation`, `TestWriteTimeoutFluctuation`, `TestVariousDeadlines1Proc`,
/// `TestVariousDeadlines4Proc`.
#[test]
fn a_deadline_is_never_kept_early_nor_much_too_late() {
    for procs in [1, 4] {
        run(procs, || {
            let (here, _there) = connection();
            let listener = listener();
            for micros in [1, 2, 50, 100, 200, 500, 1_000, 5_000, 20_000, 70_000] {
                let d = Duration::from_micros(micros);
                let began = Instant::now();
                here.set_read_deadline(Some(began + d));
                let error = read_one(&here).expect_err("no data");
                check(&error, d, began);
                let began = Instant::now();
                listener.set_deadline(Some(began + d));
                let error = listener.accept().expect_err("nobody connects");
                check(&error, d, began);
            }
        });
    }
}

fn check(error: &io::Error, d: Duration, began: Instant) {
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let took = began.elapsed();
    assert!(took >= d, "{took:?} is earlier than {d:?}");
    assert!(took < d + LATE, "{took:?} is later than {d:?}");
}

/// Go: `TestReadWriteProlongedTimeout`.
#[test]
fn a_deadline_that_is_moved_on_all_the_time_ends_nothing() {
    run(2, || {
        let (here, there) = connection();
        let moving = |stream: &TcpStream| {
            let stream = stream.clone();
            go(move || {
                for _ in 0..2_000 {
                    stream.set_read_deadline(far());
                    stream.set_write_deadline(far());
                    yield_now();
                }
            })
        };
        let movers = [moving(&here), moving(&there)];
        let echo = go(move || {
            let mut byte = [0];
            while (&there).read(&mut byte).expect("in time") == 1 {
                (&there).write_all(&byte).expect("in time");
            }
        });
        for i in 0..500_u32 {
            let sent = [i as u8];
            (&here).write_all(&sent).expect("in time");
            let mut back = [0];
            (&here).read_exact(&mut back).expect("in time");
            assert_eq!(back, sent);
        }
        here.shutdown(Shutdown::Write).expect("connected");
        echo.join().expect("no panic");
        movers.into_iter().for_each(|m| m.join().expect("no panic"));
    });
}

/// Go: `TestReadWriteDeadlineRace`.
#[test]
fn deadlines_that_pass_during_reads_and_writes_only_time_them_out() {
    run(4, || {
        let (here, _there) = connection();
        let gs = [
            {
                let here = here.clone();
                go(move || {
                    for i in 0..1_000 {
                        let at = Instant::now() + Duration::from_micros(i % 7);
                        here.set_read_deadline(Some(at));
                        here.set_write_deadline(Some(at));
                        yield_now();
                    }
                })
            },
            {
                let here = here.clone();
                go(move || {
                    for _ in 0..1_000 {
                        let error = read_one(&here).expect_err("no data");
                        assert_eq!(error.kind(), ErrorKind::TimedOut);
                    }
                })
            },
            go(move || {
                for _ in 0..1_000 {
                    if let Err(e) = (&here).write(&[0; 64]) {
                        assert_eq!(e.kind(), ErrorKind::TimedOut);
                    }
                }
            }),
        ];
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Go: `TestConcurrentSetDeadline`: many sockets, each with deadlines that come ever nearer.
#[test]
fn deadlines_that_come_ever_nearer_are_all_kept() {
    run(4, || {
        let gs: Vec<_> = (0..50)
            .map(|_| {
                go(|| {
                    let (here, _there) = connection();
                    let reader = here.clone();
                    let reading = go(move || read_one(&reader).map_err(|e| e.kind()));
                    let began = Instant::now();
                    for i in 0..20 {
                        let at = began + Duration::from_millis(10) + Duration::from_secs(20 - i);
                        here.set_read_deadline(Some(at));
                    }
                    here.set_read_deadline(Some(began + Duration::from_millis(10)));
                    assert_eq!(reading.join().expect("no panic"), Err(ErrorKind::TimedOut));
                    assert!(
                        began.elapsed() < Duration::from_secs(20),
                        "a nearer one was lost"
                    );
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// The deadline that stays when two set one at once must have a timer, and one that was cleared must not pass.
#[test]
fn of_two_deadlines_that_are_set_at_once_one_is_kept() {
    run(1, || {
        let (here, _there) = connection();
        for round in 0..300 {
            let setting: Vec<_> = (0..2)
                .map(|_| {
                    let here = here.clone();
                    // Without a P each: nothing keeps the two from being in the middle of it at the same time.
                    let at = Instant::now() + Duration::from_millis(1);
                    go(move || blocking(move || here.set_read_deadline(Some(at))))
                })
                .collect();
            let ended = Arc::new(AtomicBool::new(false));
            let (reader, flag) = (here.clone(), Arc::clone(&ended));
            let reading = go(move || {
                let error = read_one(&reader).expect_err("no data");
                flag.store(true, Ordering::SeqCst);
                error.kind()
            });
            setting
                .into_iter()
                .for_each(|s| s.join().expect("no panic"));
            let began = Instant::now();
            while !ended.load(Ordering::SeqCst) {
                assert!(began.elapsed() < LATE, "no deadline in round {round}");
                time::sleep(Duration::from_micros(100));
            }
            assert_eq!(reading.join().expect("no panic"), ErrorKind::TimedOut);
            here.set_read_deadline(None);
        }
    });
}

/// Go: `TestRacyRead`, `TestRacyWrite`: many read and write one connection at once, with deadlines. What the runtime must not lose is a reader.
#[test]
fn many_gs_use_one_connection_at_once_and_none_is_lost() {
    for procs in [1, 4] {
        run(procs, || {
            let (here, there) = connection();
            let readers: Vec<_> = (0..10)
                .map(|_| {
                    let here = here.clone();
                    go(move || {
                        let mut n = 0;
                        loop {
                            match read_one(&here).expect("no error") {
                                0 => return n,
                                got => n += got,
                            }
                        }
                    })
                })
                .collect();
            let writers: Vec<_> = (0..10)
                .map(|_| {
                    let there = there.clone();
                    go(move || {
                        for _ in 0..50 {
                            (&there).write_all(&[1]).expect("no error");
                            yield_now();
                        }
                    })
                })
                .collect();
            writers
                .into_iter()
                .for_each(|g| g.join().expect("no panic"));
            there.shutdown(Shutdown::Write).expect("connected");
            let read: usize = readers
                .into_iter()
                .map(|g| g.join().expect("no panic"))
                .sum();
            assert_eq!(read, 500);
        });
    }
}

/// Several accept at one listener, and each connection is accepted once.
#[test]
fn several_gs_accept_from_one_listener() {
    run(2, || {
        let listener = Arc::new(listener());
        let address = listener.local_addr().expect("bound");
        let accepting: Vec<_> = (0..8)
            .map(|_| {
                let listener = Arc::clone(&listener);
                go(move || listener.accept().expect("a client"))
            })
            .collect();
        let clients: Vec<_> = (0..8)
            .map(|_| TcpStream::connect(address).expect("it listens"))
            .collect();
        accepting
            .into_iter()
            .for_each(|g| drop(g.join().expect("no panic")));
        drop(clients);
    });
}

/// Go: os `TestNonpollableDeadline`, `TestNonPollable`: what cannot be polled is refused, it does not hang.
#[test]
fn a_descriptor_that_cannot_be_polled_is_refused() {
    run(1, || {
        let file = tempfile::tempfile().expect("a temporary file");
        let error = TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(file)))
            .expect_err("a file is always ready");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    });
}

/// Go: os `TestFifoEOF`: the reader wakes when the writer has closed.
#[test]
fn a_reader_that_waits_sees_the_end_when_the_writer_closes() {
    run(1, || {
        let (here, there) = connection();
        let reading = until_parked(1, Tally::ParksNet, || go(move || read_one(&here)));
        drop(there);
        assert_eq!(reading.join().expect("no panic").expect("no error"), 0);
    });
}

/// Go: os `TestNewFileNonBlocking`: a descriptor of another's making blocks the G, and not the M.
#[test]
fn a_socket_made_elsewhere_parks_the_g_and_not_the_m() {
    run(1, || {
        let (a, b) = UnixStream::pair().expect("room for two sockets");
        let here = stream(a.into());
        let reading = until_parked(1, Tally::ParksNet, || go(move || read_one(&here)));
        (&b).write_all(&[1]).expect("there is room");
        assert_eq!(reading.join().expect("no panic").expect("data"), 1);
    });
}

/// Nothing of a socket that is gone is left to the next one that gets its place in the poller: no readiness, no error, no deadline.
#[test]
fn a_new_socket_in_an_old_place_starts_from_nothing() {
    run(1, || {
        for _ in 0..50 {
            let (here, there) = connection();
            here.set_read_deadline(past());
            drop(there);
            assert!(read_one(&here).is_err(), "the deadline passed");
            drop(here);
            let (here, there) = connection();
            let reading = until_parked(1, Tally::ParksNet, || go(move || read_one(&here)));
            (&there).write_all(&[1]).expect("there is room");
            assert_eq!(reading.join().expect("no panic").expect("data"), 1);
        }
    });
}
