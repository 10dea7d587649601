//! Deadlock and too many threads: when a program ends because it cannot go on, and what it says. Go: `crash_test.go`.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gmp_runtime::net::TcpListener;
use gmp_runtime::sync::Mutex;
use gmp_runtime::sync::chan::Sender;
use gmp_runtime::time::after_func;
use gmp_runtime::{Builder, blocking, channel, go, lock_os_thread, set_max_threads, yield_now};
use gmp_testing::program::{command, is_part, stderr};
use gmp_trace::version::ENV_POLICY;

use crate::program::alone;

fn builder() -> Builder {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2)
}

fn never() {
    let (_tx, rx) = channel::<u32>(0);
    rx.recv().expect("never");
}

/// Locks its thread and ends as such: the thread ends too.
fn ends_locked() {
    go(lock_os_thread).join().expect("no panic");
}

/// A part that is played before `main`, where the process has one thread.
pub fn play(part: &str) {
    let main: fn() = match part {
        "simple" => never,
        "locked" => || {
            lock_os_thread();
            never();
        },
        "locked_2" => || {
            go(|| {
                lock_os_thread();
                never();
            });
            never();
        },
        "after_a_locked_exit" => || {
            (0..10).for_each(|_| ends_locked());
            never();
        },
        "the_last_thread_ends_locked" => || {
            let mutex = std::sync::Arc::new(Mutex::new(()));
            let held = mutex.lock();
            std::mem::forget(held);
            // The G that ends last, and its thread with it, leaves nobody to look for the deadlock but itself.
            go(|| {
                lock_os_thread();
                gmp_runtime::time::sleep(std::time::Duration::from_millis(20));
            });
            drop(mutex.lock());
        },
        "foreign" => || {
            std::thread::spawn(|| std::io::stdin().read_to_string(&mut String::new()));
            never();
        },
        // Each starts the next and ends; the last sends.
        "chain" => || {
            fn next(tx: Sender<()>, left: u32) {
                match left {
                    0 => tx.send(()).expect("open"),
                    _ => drop(std::thread::spawn(move || next(tx, left - 1))),
                }
            }
            for _ in 0..20 {
                let (tx, rx) = channel(0);
                std::thread::spawn(move || next(tx, 100));
                rx.recv().expect("sent");
            }
        },
        // Before one is gone the next begins: none is there in every listing of the threads.
        "churn" => || {
            for i in 0..5_000 {
                let (tx, rx) = channel(0);
                std::thread::spawn(move || tx.send(i).expect("open"));
                assert_eq!(rx.recv(), Ok(i));
            }
        },
        // What a G left to its thread is dropped when that ends with it, after all Gs have gone to sleep.
        "leaves" => || {
            for i in 0..20 {
                let (tx, rx) = channel(0);
                drop(go(move || {
                    lock_os_thread();
                    LEFT.set(Some(SendsLate(i, tx)));
                }));
                assert_eq!(rx.recv(), Ok(i));
            }
        },
        // The last act of each is to start a timer, which nothing waits for but this G.
        "timers" => || {
            for i in 0..300 {
                let (tx, rx) = channel(1);
                std::thread::spawn(move || {
                    let began = Instant::now();
                    while began.elapsed() < Duration::from_micros(i) {
                        std::hint::spin_loop();
                    }
                    after_func(Duration::from_micros(300), move || {
                        tx.try_send(()).expect("room");
                    });
                });
                rx.recv().expect("sent");
            }
        },
        "many" => || {
            let gs: Vec<_> = (0..5).map(|_| go(never)).collect();
            gs.into_iter().for_each(|g| g.join().expect("never"));
        },
        "ends" => || (0..10).for_each(|_| ends_locked()),
        "abandons" => return abandon(),
        other => panic!("no part {other}"),
    };
    builder().run(main);
}

/// Sends when it is dropped, a while after.
struct SendsLate(u32, Sender<u32>);

impl Drop for SendsLate {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(5));
        self.1.send(self.0).expect("open");
    }
}

thread_local! {
    static LEFT: Cell<Option<SendsLate>> = const { Cell::new(None) };
}

/// The main G ends while others wait for ever, each in a runtime of its own.
fn abandon() {
    for _ in 0..100 {
        builder().run(|| {
            (0..3).for_each(|_| drop(go(never)));
            (0..20).for_each(|_| yield_now());
        });
    }
}

/// What the program says that ends by a deadlock.
fn says(part: &str) -> String {
    let mut child = alone(part)
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while stderr.read_line(&mut said).expect("text") > 0 {
        // It would wait for ever for a thread that it does not know.
        if said.contains("warning") {
            child.kill().expect("it runs");
        }
    }
    let status = child.wait().expect("a child");
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(
        said.starts_with("fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 ["),
        "{said}"
    );
    said
}

#[test]
fn a_program_whose_only_g_waits_for_ever_ends() {
    let said = says("simple");
    assert!(said.contains("goroutine 1 [chan receive]"), "{said}");
    assert!(said.contains("deadlock.rs"), "{said}");
}

#[test]
fn all_that_wait_are_named() {
    let said = says("many");
    assert!(said.contains("goroutine 1 [join]"), "{said}");
    assert_eq!(said.matches("[chan receive]").count(), 5, "{said}");
}

#[test]
fn a_locked_g_that_waits_for_ever_ends_the_program() {
    let said = says("locked");
    assert!(
        said.contains("goroutine 1 [chan receive, locked to thread]"),
        "{said}"
    );
}

#[test]
fn a_locked_g_beside_another_that_waits_ends_the_program() {
    let said = says("locked_2");
    assert!(said.contains("goroutine 1 [chan receive]"), "{said}");
    assert!(said.contains("[chan receive, locked to thread]"), "{said}");
}

#[test]
fn threads_that_ended_are_not_taken_for_some_that_could_wake_a_g() {
    says("after_a_locked_exit");
}

#[test]
fn a_thread_that_ends_as_the_last_looks_for_the_deadlock() {
    let said = says("the_last_thread_ends_locked");
    assert!(said.contains("goroutine 1 [mutex"), "{said}");
}

fn end_is_noticed(debug: &str) {
    let mut child = alone("foreign")
        .env("GMP_DEBUG", debug)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while !said.contains("spawned at") {
        assert!(stderr.read_line(&mut said).expect("text") > 0, "{said}");
    }
    assert!(
        said.contains("warning: all goroutines are asleep"),
        "{said}"
    );
    // Its thread reads to the end, and ends.
    drop(child.stdin.take());
    stderr.read_to_string(&mut said).expect("text");
    assert_eq!(child.wait().expect("a child").code(), Some(2), "{said}");
    assert!(
        said.contains("all goroutines are asleep - deadlock!"),
        "{said}"
    );
}

#[test]
fn the_end_of_the_last_thread_that_could_wake_a_g_is_noticed() {
    end_is_noticed("");
    // Then sysmon does not sleep deeply.
    end_is_noticed("schedtrace=60000");
}

fn ends_by_itself(part: &mut Command) {
    let output = part.output().expect("it starts");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_program_that_ends_is_no_deadlock() {
    let output = alone("ends").output().expect("it starts");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
}

#[test]
fn a_main_g_that_ends_before_others_is_no_deadlock() {
    ends_by_itself(&mut alone("abandons"));
}

#[test]
fn threads_that_each_start_the_next_are_no_deadlock() {
    ends_by_itself(&mut alone("chain"));
}

#[test]
fn threads_that_end_while_others_begin_are_no_deadlock() {
    ends_by_itself(&mut alone("churn"));
}

#[test]
fn what_the_thread_of_a_locked_g_drops_at_its_end_may_wake_others() {
    ends_by_itself(&mut alone("leaves"));
}

#[test]
fn a_timer_of_a_thread_that_has_ended_is_no_deadlock() {
    for netpoll in ["loop", "thread"] {
        ends_by_itself(alone("timers").env(ENV_POLICY, format!("netpoll={netpoll}")));
    }
}

#[test]
fn waiting_for_the_network_is_no_deadlock() {
    const LINES: u8 = 20;
    if is_part("netpoll") {
        return builder().run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
            println!("port={}", listener.local_addr().expect("bound").port());
            let (mut stream, _) = listener.accept().expect("somebody connects");
            let mut byte = [0];
            for i in 0..LINES {
                stream.write_all(&[i]).expect("open");
                stream.read_exact(&mut byte).expect("answered");
                assert_eq!(byte, [i]);
            }
        });
    }
    let mut child = command(
        "deadlock::waiting_for_the_network_is_no_deadlock",
        "netpoll",
    )
    .stdout(Stdio::piped())
    .spawn()
    .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port: u16 = lines
        .by_ref()
        .map(|l| l.expect("text"))
        .find_map(|l| l.split_once("port=").and_then(|(_, n)| n.parse().ok()))
        .expect("it says its port");
    // Between its byte and the answer nothing of the program can run but by the network.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut byte = [0];
    for _ in 0..LINES {
        stream.read_exact(&mut byte).expect("open");
        stream.write_all(&byte).expect("open");
    }
    lines.for_each(drop);
    assert!(child.wait().expect("a child").success());
}

/// 100 Gs that block their threads.
fn exhaust() {
    let gs: Vec<_> = (0..100)
        .map(|_| {
            go(|| {
                blocking(|| {
                    loop {
                        std::thread::park();
                    }
                })
            })
        })
        .collect();
    gs.into_iter().for_each(|g| g.join().expect("never"));
}

fn exhausts(test: &str, part: &str) {
    let output = command(test, part).output().expect("it starts");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let want = "runtime: program exceeds 10-thread limit\nfatal error: thread exhaustion\n";
    assert!(said.starts_with(want), "{said}");
}

#[test]
fn more_threads_than_the_builder_allows_end_the_program() {
    if is_part("exhaust") {
        return builder().max_threads(10).run(exhaust);
    }
    exhausts(
        "deadlock::more_threads_than_the_builder_allows_end_the_program",
        "exhaust",
    );
}

#[test]
fn more_threads_than_are_allowed_later_end_the_program() {
    if is_part("exhaust_later") {
        return builder().run(|| {
            assert_eq!(set_max_threads(20), 10_000);
            assert_eq!(set_max_threads(10), 20);
            exhaust();
        });
    }
    exhausts(
        "deadlock::more_threads_than_are_allowed_later_end_the_program",
        "exhaust_later",
    );
}

#[test]
fn fewer_threads_than_there_are_end_the_program_at_once() {
    if is_part("too_few") {
        return builder().run(|| {
            for _ in 0..20 {
                go(|| {
                    blocking(|| {
                        loop {
                            std::thread::park();
                        }
                    })
                });
            }
            while gmp_runtime::num_threads() < 20 {
                gmp_runtime::yield_now();
            }
            set_max_threads(10);
        });
    }
    exhausts(
        "deadlock::fewer_threads_than_there_are_end_the_program_at_once",
        "too_few",
    );
}
