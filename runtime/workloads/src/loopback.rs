//! A loop that accepts, an echo server on the loopback, and a client that talks to it: what the network programs share.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use gmp_runtime::net::{TcpListener, TcpStream};
use gmp_runtime::{JoinHandle, go};

/// Gives each connection to `serve`, until the listener has a deadline that has passed. Whatever else ends it ends the program: those
/// who wait for their connection to be accepted would do so for ever.
pub fn accept_all(listener: &TcpListener, mut serve: impl FnMut(TcpStream)) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => serve(stream),
            Err(e) if e.kind() == ErrorKind::TimedOut => return,
            // That client has left.
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
            Err(e) => {
                eprintln!("gmp-workloads: cannot accept a connection: {e}");
                std::process::exit(1);
            }
        }
    }
}

/// A server that sends back what it gets; one G for each connection.
pub struct Echo {
    listener: Arc<TcpListener>,
    accepting: JoinHandle<u64>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Echo {
    /// Starts it, after it has made room for as many sockets as this user may open.
    pub fn start() -> anyhow::Result<Echo> {
        rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the number of open files")?;
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on the loopback")?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let listener = Arc::new(listener);
        let accepting = {
            let listener = Arc::clone(&listener);
            go(move || {
                let mut connections = 0;
                // Until `stop` sets the deadline.
                accept_all(&listener, |stream| {
                    connections += 1;
                    go(move || echo(stream));
                });
                connections
            })
        };
        Ok(Echo {
            listener,
            accepting,
            address,
        })
    }

    /// Stops it; how many connections there were.
    pub fn stop(self) -> u64 {
        self.listener.set_deadline(Some(Instant::now()));
        self.accepting
            .join()
            .unwrap_or_else(|e| std::panic::resume_unwind(e))
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    // A client that goes away, in whatever way, ends the conversation.
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

/// Sends a message `trips` times and reads each back; how many came back right.
pub fn talk(address: SocketAddr, message: &[u8], trips: u64) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; message.len()];
    let mut right = 0;
    for _ in 0..trips {
        stream.write_all(message)?;
        stream.read_exact(&mut answer)?;
        right += u64::from(answer == message);
    }
    Ok(right)
}
