//! `netpoll_period` and `netpoll_to`: when sysmon polls the network, and where the Gs go that are found ready.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{JoinHandle, Tally, go, time};
use gmp_trace::event::{Event, Placed, Via};

use crate::{count, program, run};

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
    run(1, "netpoll_period=10s", || {
        let (gs, mut writers) = readers(1);
        write_all(&mut writers);
        std::thread::sleep(Duration::from_millis(40));
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
    if let Some(policy) = program::policy() {
        return ready_together(&policy);
    }
    let placed = |policy: &str, wanted: Placed| {
        let recording = program::record(
            "netpoll::what_was_polled_goes_where_the_policy_says",
            policy,
        );
        let polled = recording.events.iter().filter(|o| match o.event {
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
