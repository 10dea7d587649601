//! `netpoll`, `netpoll_period` and `netpoll_to`: who polls the network, when sysmon does, and where the Gs go that are found ready.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{JoinHandle, Tally, go, time};
use gmp_testing::Recording;
use gmp_testing::program::{command, part, says, succeed};
use gmp_testing::threads::sleeps;
use gmp_trace::event::{Event, Kind, MKind, Placed, Via};
use gmp_trace::ids::MId;
use gmp_trace::order::Ordered;

use crate::{count, run};

/// Gs that each wait for a byte, and the sockets that they wait for, as plain ones of the kernel.
fn readers(n: u32) -> (Vec<JoinHandle<()>>, Vec<std::net::TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let waits = Arc::new(AtomicU32::new(0));
    let pairs = (0..n).map(|_| {
        let writer = std::net::TcpStream::connect(address).expect("connected");
        let (mut reader, _): (TcpStream, _) = listener.accept().expect("accepted");
        let waits = Arc::clone(&waits);
        let g = go(move || {
            waits.fetch_add(1, Ordering::SeqCst);
            reader.read_exact(&mut [0]).expect("a byte");
        });
        (g, writer)
    });
    let pairs = pairs.collect();
    // On one P a G that was counted has parked when the main G runs again. Somebody blocks in the poller meanwhile, which is what sysmon
    // goes by.
    while waits.load(Ordering::SeqCst) < n {
        time::sleep(Duration::from_micros(200));
    }
    time::sleep(Duration::from_micros(200));
    pairs
}

/// Writes a byte into each, for the Gs on the one P to find when the caller gives it up.
fn write_all(writers: &mut [std::net::TcpStream]) {
    for w in writers {
        w.write_all(&[1]).expect("written");
    }
}

#[test]
fn sysmon_polls_for_busy_ms_as_often_as_the_policy_says() {
    run(1, "netpoll_period=1ms", || {
        let (gs, mut writers) = readers(1);
        write_all(&mut writers);
        // The only M that could poll is kept busy.
        while count(Tally::NetpollReadies) == 0 {
            std::thread::yield_now();
        }
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
    run(1, "netpoll_period=10s,time_slice=1ms", || {
        let (gs, mut writers) = readers(1);
        write_all(&mut writers);
        // Sysmon came by: this G was asked to give way, and was taken from the global queue before its M looked at the network.
        while count(Tally::Preempts) < 3 {
            std::thread::yield_now();
        }
        assert_eq!(count(Tally::NetpollReadies), 0);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        assert_eq!(count(Tally::NetpollReadies), 1);
    });
}

const READERS: u32 = 8;

fn ready_together(policy: &str) {
    // Sysmon does not come in between.
    run(1, &format!("netpoll_period=10s,{policy}"), || {
        let (gs, mut writers) = readers(READERS);
        write_all(&mut writers);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn what_was_polled_goes_where_the_policy_says() {
    if let Some(policy) = part() {
        return ready_together(&policy);
    }
    let placed = |policy: &str, wanted: Placed| {
        const TEST: &str = "netpoll::what_was_polled_goes_where_the_policy_says";
        let history = Recording::whole(&mut command(TEST, policy)).history();
        let polled = history.iter().filter(|o| match o.event {
            Event::Ready {
                via: Via::Netpoll,
                placed,
                ..
            } => placed == wanted,
            _ => false,
        });
        polled.count() as u32
    };
    // The first one runs at once. No P is idle, so in Go's way none goes to the global queue.
    assert_eq!(placed("default", Placed::Local), READERS - 1);
    assert_eq!(placed("default", Placed::Global), 0);
    assert_eq!(placed("netpoll_to=global", Placed::Global), READERS - 1);
    assert_eq!(placed("netpoll_to=global", Placed::Local), 0);
}

/// Network, timers and work for several Ps at once: an echo server whose clients sleep in between.
fn echo(clients: u32, rounds: u32) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    go(move || {
        for _ in 0..clients {
            let (mut peer, _) = listener.accept().expect("accepted");
            go(move || {
                let mut byte = [0];
                while peer.read(&mut byte).expect("readable") == 1 {
                    peer.write_all(&byte).expect("writable");
                }
            });
        }
    });
    let clients: Vec<_> = (0..clients)
        .map(|_| {
            go(move || {
                let mut stream = TcpStream::connect(address).expect("connected");
                for round in 0..rounds {
                    stream.write_all(&[round as u8]).expect("written");
                    let mut byte = [0];
                    stream.read_exact(&mut byte).expect("an echo");
                    assert_eq!(byte, [round as u8]);
                    if round % 4 == 0 {
                        time::sleep(Duration::from_micros(150));
                    }
                }
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|g| g.join().expect("no panic"));
}

/// The threads of a recording, by what they are.
fn kinds(history: &[Ordered]) -> BTreeMap<MId, MKind> {
    let starts = history.iter().filter_map(|o| match o.event {
        Event::MStart { kind, .. } => Some((o.m, kind)),
        _ => None,
    });
    starts.collect()
}

#[test]
fn a_thread_polls_and_the_loop_does_not_or_the_other_way_round() {
    if let Some(policy) = part() {
        return run(2, &policy, || echo(6, 40));
    }
    let polls_by_thread = |policy: &str| {
        const TEST: &str = "netpoll::a_thread_polls_and_the_loop_does_not_or_the_other_way_round";
        let history = Recording::whole(&mut command(TEST, policy)).history();
        let kinds = kinds(&history);
        let polls: Vec<_> = history
            .iter()
            .filter(|o| o.event.kind() == Kind::Netpoll)
            .map(|o| kinds[&o.m] == MKind::Netpoll)
            .collect();
        assert!(!polls.is_empty(), "{policy}");
        (
            kinds.values().filter(|k| **k == MKind::Netpoll).count(),
            polls.iter().filter(|by_thread| **by_thread).count(),
            polls.len(),
        )
    };
    let (threads, by_thread, all) = polls_by_thread("netpoll=thread");
    assert_eq!((threads, by_thread), (1, all));
    let (threads, by_thread, _) = polls_by_thread("netpoll=loop");
    assert_eq!((threads, by_thread), (0, 0));
}

#[test]
fn timers_and_the_network_work_with_a_poller_thread_under_every_placement() {
    for procs in [1, 2, 4] {
        for timers in ["current", "one", "spread"] {
            run(procs, &format!("netpoll=thread,timers={timers}"), || {
                echo(8, 30);
                let sleepers: Vec<_> = (0..100)
                    .map(|i| go(move || time::sleep(Duration::from_micros(50 * (i % 20)))))
                    .collect();
                sleepers
                    .into_iter()
                    .for_each(|g| g.join().expect("no panic"));
            });
        }
    }
}

/// CPU time that the threads of this process used.
fn cpu_time() -> Duration {
    // SAFETY: an all-zero rusage is valid, and the kernel writes one.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1_000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

#[test]
fn an_idle_process_with_a_poller_thread_sleeps() {
    const TEST: &str = "netpoll::an_idle_process_with_a_poller_thread_sleeps";
    let Some(policy) = part() else {
        for policy in ["netpoll=thread", "netpoll=loop"] {
            succeed(&mut command(TEST, policy));
        }
        return;
    };
    run(2, &policy, || {
        let (_gs, _writers) = readers(1);
        // A socket that nobody writes to, and a timer far away: somebody waits for both, and nobody wakes for anything.
        time::sleep(Duration::from_millis(50));
        let (cpu, naps_before) = (cpu_time(), sleeps(|_| true));
        time::sleep(Duration::from_millis(400));
        let (cpu, naps) = (cpu_time() - cpu, sleeps(|_| true) - naps_before);
        assert!(cpu < Duration::from_millis(100), "{cpu:?}");
        assert!(naps < 100, "{naps}");
    });
}

#[test]
fn a_deadlock_is_found_beside_a_poller_thread_which_could_wake_no_g() {
    const TEST: &str = "netpoll::a_deadlock_is_found_beside_a_poller_thread_which_could_wake_no_g";
    let Some(policy) = part() else {
        let report = |policy| says(&mut command(TEST, policy), "goroutine 1 [chan receive]");
        let beside_a_thread = report("netpoll=thread");
        assert!(
            beside_a_thread.contains("goroutines are asleep"),
            "{beside_a_thread}"
        );
        // The harness has a thread that is not the runtime's; the poller thread is not counted with it.
        assert_eq!(beside_a_thread, report("netpoll=loop"));
        return;
    };
    run(2, &policy, || {
        // While a timer or a socket is waited for there is none.
        time::sleep(Duration::from_millis(5));
        echo(1, 3);
        let (_tx, rx) = gmp_runtime::channel::<()>(0);
        rx.recv().expect("never");
    });
}
