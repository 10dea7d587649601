//! Each way in which a task gives its P up.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{Tally, channel, go, stats, syscall, time, yield_now};

use crate::report::{Common, Report, burn, runtime};

/// What it demonstrates.
pub const CLAIM: &str = "channel, sleep, network, system call and yield each give the P to another task; computing does not";

/// Its options.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How often each task comes to its point
    #[arg(long, default_value_t = 200)]
    rounds: u64,
}

/// Runs it.
pub fn run(options: &Options, common: &Common) -> anyhow::Result<Report> {
    let rounds = options.rounds;
    let seed = common.seed;
    let (took, stats, echoed) = runtime(common).run(move || -> anyhow::Result<_> {
        let began = Instant::now();
        let mut gs = Vec::new();
        let (sender, receiver) = channel::<u64>(0);
        gs.push(go(move || {
            for n in 0..rounds {
                let _ = sender.send(n);
            }
        }));
        gs.push(go(move || {
            assert_eq!(receiver.iter().count() as u64, rounds)
        }));
        gs.push(go(move || {
            for _ in 0..rounds {
                time::sleep(Duration::from_micros(50));
            }
        }));
        gs.push(go(move || {
            for _ in 0..rounds {
                yield_now();
            }
        }));
        gs.push(go(move || {
            for _ in 0..rounds {
                syscall(|| std::thread::sleep(Duration::from_micros(30)));
            }
        }));
        gs.push(go(move || {
            for n in 0..rounds {
                burn(20_000, n ^ seed);
            }
        }));
        let echoed = network(rounds)?;
        for g in gs {
            g.join().unwrap_or_else(|e| std::panic::resume_unwind(e));
        }
        Ok((began.elapsed(), stats(), echoed))
    })?;
    ensure!(echoed == rounds, "{echoed} of {rounds} bytes came back");
    // An M counts a yield after the G is in the queue again: the last one may be missing at this moment.
    ensure!(
        stats.get(Tally::Yields) + 1 >= rounds && stats.get(Tally::ParksSleep) >= rounds,
        "a yield or a sleep did not reach the scheduler"
    );
    let mut report = Report::new();
    report.time("time", took);
    report.counters(
        &stats,
        &[
            Tally::ParksChan,
            Tally::ParksSleep,
            Tally::ParksNet,
            Tally::Yields,
            Tally::SyscallEnters,
            Tally::Preempts,
            Tally::Starts,
        ],
    );
    Ok(report)
}

/// Sends bytes to an echo server, one at a time.
fn network(rounds: u64) -> anyhow::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback")?;
    let address = listener.local_addr().context("no address")?;
    let server = go(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            stream.write_all(&byte)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).context("cannot connect to the loopback")?;
    stream.set_nodelay(true).context("cannot set an option")?;
    let mut echoed = 0;
    for n in 0..rounds {
        let mut byte = [n as u8];
        stream.write_all(&byte).context("cannot send")?;
        stream.read_exact(&mut byte).context("cannot receive")?;
        echoed += u64::from(byte[0] == n as u8);
    }
    drop(stream);
    server
        .join()
        .unwrap_or_else(|e| std::panic::resume_unwind(e))
        .context("the server failed")?;
    Ok(echoed)
}
