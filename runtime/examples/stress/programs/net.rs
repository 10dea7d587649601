//! Scenes of sockets: what is written is read, and a deadline ends a wait.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::{Random, Setup, join, join_all, noise};
use gmp_runtime::go;
use gmp_runtime::net::TcpStream;

/// A connection without a network: nothing of it stays behind in the kernel.
fn connection() -> (TcpStream, TcpStream) {
    let (a, b) = UnixStream::pair().expect("the system has room for two sockets");
    let stream = |s: UnixStream| {
        TcpStream::from_std(std::net::TcpStream::from(OwnedFd::from(s))).expect("it can be polled")
    };
    (stream(a), stream(b))
}

/// Bytes there and back, in pieces of any size.
pub(super) fn sockets(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 6))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let (mut here, mut there) = connection();
                let size = random.within(1, 40_000) as usize;
                let mut echo_random = random.fork();
                let echo = go(move || {
                    let mut buffer = vec![0; echo_random.within(1, 9_000) as usize];
                    loop {
                        noise(&mut echo_random);
                        match there.read(&mut buffer).expect("no error") {
                            0 => return,
                            n => there.write_all(&buffer[..n]).expect("no error"),
                        }
                    }
                });
                let sent: Vec<u8> = (0..size).map(|i| (i * 31) as u8).collect();
                let (mut writer, theirs) = (here.clone(), sent.clone());
                let mut write_random = random.fork();
                let writing = go(move || {
                    let mut rest = &theirs[..];
                    while !rest.is_empty() {
                        let n = rest.len().min(write_random.within(1, 12_000) as usize);
                        writer.write_all(&rest[..n]).expect("no error");
                        rest = &rest[n..];
                        noise(&mut write_random);
                    }
                    writer
                        .shutdown(std::net::Shutdown::Write)
                        .expect("no error");
                });
                let mut back = Vec::new();
                here.read_to_end(&mut back).expect("no error");
                join(writing);
                join(echo);
                assert!(back == sent, "the echo is not what was sent");
            })
        })
        .collect();
    join_all(handles);
}

/// Deadlines that pass, that are moved, and that are cleared, while somebody reads.
pub(super) fn socket_deadlines(random: &mut Random, _: &Setup) {
    let (mut here, mut there) = connection();
    let began = Instant::now();
    let d = random.micros(2_000);
    here.set_read_deadline(Some(began + d));
    let mut byte = [0];
    let error = here.read(&mut byte).expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
    assert!(began.elapsed() >= d, "timed out before its time");
    // Others change the deadline all the time, none of them to one that passes; then the byte comes.
    here.set_read_deadline(None);
    let movers: Vec<_> = (0..random.within(1, 3))
        .map(|_| {
            let (here, mut random) = (here.clone(), random.fork());
            go(move || {
                for _ in 0..random.within(1, 20) {
                    let far = Instant::now() + Duration::from_secs(random.within(1_000, 9_000));
                    here.set_read_deadline(random.percent(70).then_some(far));
                    noise(&mut random);
                }
            })
        })
        .collect();
    let mut random_write = random.fork();
    let writing = go(move || {
        (0..4).for_each(|_| noise(&mut random_write));
        there.write_all(&[7]).expect("no error");
        there
    });
    assert_eq!(here.read(&mut byte).expect("in time"), 1, "bytes read");
    assert_eq!(byte, [7]);
    join_all(movers);
    // A deadline in the past ends a wait that has begun.
    let reading = {
        let mut here = here.clone();
        go(move || here.read(&mut [0]).map_err(|e| e.kind()))
    };
    (0..3).for_each(|_| noise(random));
    here.set_read_deadline(Some(began));
    assert_eq!(join(reading), Err(std::io::ErrorKind::TimedOut));
    drop(join(writing));
}
