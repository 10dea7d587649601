//! TCP over the network poller.
//!
//! Several Gs may read from one connection, or accept from one listener: one after the other, each what it gets.
//! A socket is non-blocking; an operation that would block waits for readiness and is tried again. Where the process has no runtime, the
//! sockets are plain blocking ones.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Instant;

use gmp_trace::event::{ObjectKind, ParkReason};
use socket2::SockRef;

use crate::netpoll::{Direction, PollDesc, Waited};
use crate::sched::park::Object;
use crate::sched::{self, preempt};
use crate::sync::Mutex;
use crate::time::now_ns;

/// A socket with its place in the poller.
struct Polled<S: AsRawFd> {
    socket: S,
    /// None where no runtime ran: it blocks then.
    poll: Option<&'static PollDesc>,
    /// For each direction: whose turn it is. The poller knows one waiter for each, and a second must not wipe out the first. Go: `fdMutex`.
    turns: [Mutex<()>; 2],
    object: Object,
}

impl<S: AsRawFd> Polled<S> {
    #[track_caller]
    fn new(socket: S, set_nonblocking: impl FnOnce(&S) -> io::Result<()>) -> io::Result<Polled<S>> {
        let object = Object::new(ObjectKind::Socket);
        let poll = match sched::of_caller() {
            Some(sched) => {
                set_nonblocking(&socket)?;
                Some(sched.poller.register(socket.as_raw_fd(), sched)?)
            }
            None => None,
        };
        Ok(Polled {
            socket,
            poll,
            turns: [Mutex::new(()), Mutex::new(())],
            object,
        })
    }

    /// Tries `f` until it does not block any more. Who comes second in the same direction waits for the first.
    fn retry<T>(
        &self,
        d: Direction,
        reason: ParkReason,
        mut f: impl FnMut(&S) -> io::Result<T>,
    ) -> io::Result<T> {
        preempt::checkpoint();
        let Some(desc) = self.poll else {
            return f(&self.socket);
        };
        let _turn = self.turns[d as usize].lock();
        ready(desc.prepare(d))?;
        loop {
            match f(&self.socket) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    ready(desc.wait(d, reason, &self.object))?
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn set_deadline(&self, d: Direction, deadline: Option<Instant>) {
        if let Some(desc) = self.poll {
            let when = deadline.map(|at| match at.checked_duration_since(Instant::now()) {
                Some(left) => {
                    now_ns().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
                }
                None => 0,
            });
            desc.set_deadline(d, when);
        }
    }
}

fn ready(waited: Waited) -> io::Result<()> {
    match waited {
        Waited::Ready => Ok(()),
        Waited::TimedOut => Err(io::Error::new(ErrorKind::TimedOut, "the deadline passed")),
        Waited::Closed => Err(io::Error::new(
            ErrorKind::NotConnected,
            "the socket is closed",
        )),
        Waited::Ended => Err(io::Error::other(
            "the gmp runtime in which the socket was made has ended",
        )),
    }
}

impl<S: AsRawFd> Drop for Polled<S> {
    fn drop(&mut self) {
        if let Some(desc) = self.poll {
            desc.close();
            desc.deregister(self.socket.as_raw_fd());
        }
    }
}

/// A TCP socket that accepts connections.
pub struct TcpListener(Polled<std::net::TcpListener>);

impl TcpListener {
    /// Listens at an address; port 0 is any free one. As many connections may wait to be accepted as the system allows.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
        preempt::checkpoint();
        let socket = std::net::TcpListener::bind(address)?;
        // std asks for room for 128; what does not fit makes its client try again only after a second. The system cuts the number.
        SockRef::from(&socket).listen(i32::from(u16::MAX))?;
        Ok(TcpListener(Polled::new(socket, |s| {
            s.set_nonblocking(true)
        })?))
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// `TimedOut` when the deadline passed; else as [`std::net::TcpListener::accept`].
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    #[track_caller]
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.0.retry(
            Direction::Read,
            ParkReason::NetAccept,
            std::net::TcpListener::accept,
        )?;
        Ok((TcpStream::from_std(stream)?, peer))
    }

    /// The address it listens at.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::local_addr`].
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        preempt::checkpoint();
        self.0.socket.local_addr()
    }

    /// Until when `accept` waits; `None` is for ever. One in the past ends a wait at once, also one that has begun.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        preempt::checkpoint();
        self.0.set_deadline(Direction::Read, deadline);
    }
}

/// A TCP connection. Clones by [`TcpStream::try_clone`] are the same connection.
#[derive(Clone)]
pub struct TcpStream(Arc<Polled<std::net::TcpStream>>);

impl TcpStream {
    /// Connects to an address; of several, to the first that answers. A name is looked up in a system call.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::connect`].
    ///
    /// # Blocking
    /// Parks the G until the connection is made, or blocks the thread if it runs none.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> io::Result<TcpStream> {
        preempt::checkpoint();
        let mut last = None;
        for address in crate::syscall(|| address.to_socket_addrs())? {
            match TcpStream::connect_to(address) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::new(ErrorKind::InvalidInput, "there is no address")))
    }

    #[track_caller]
    fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
        if sched::of_caller().is_none() {
            return TcpStream::from_std(std::net::TcpStream::connect(address)?);
        }
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => return Err(e),
            _ => {}
        }
        // Registered only now: an unconnected socket counts as hung up, and that edge would be taken for the connection.
        let stream = TcpStream::from_std(socket.into())?;
        stream
            .0
            .retry(Direction::Write, ParkReason::NetConnect, |s| {
                match s.take_error()? {
                    Some(e) => Err(e),
                    None => match s.peer_addr() {
                        Err(e) if e.kind() == ErrorKind::NotConnected => {
                            Err(ErrorKind::WouldBlock.into())
                        }
                        peer => peer.map(drop),
                    },
                }
            })?;
        Ok(stream)
    }

    /// Takes over a connected socket.
    ///
    /// # Errors
    /// When the socket cannot be watched.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        preempt::checkpoint();
        Ok(TcpStream(Arc::new(Polled::new(stream, |s| {
            s.set_nonblocking(true)
        })?)))
    }

    /// Another handle of the same connection.
    ///
    /// # Errors
    /// None; as `std` has it.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        preempt::checkpoint();
        Ok(self.clone())
    }

    /// Until when reads wait; `None` is for ever. One in the past ends a wait at once, also one that has begun.
    pub fn set_read_deadline(&self, deadline: Option<Instant>) {
        preempt::checkpoint();
        self.0.set_deadline(Direction::Read, deadline);
    }

    /// Until when writes wait; `None` is for ever.
    pub fn set_write_deadline(&self, deadline: Option<Instant>) {
        preempt::checkpoint();
        self.0.set_deadline(Direction::Write, deadline);
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::set_nodelay`].
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        preempt::checkpoint();
        self.0.socket.set_nodelay(nodelay)
    }

    /// Ends one or both directions.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::shutdown`].
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        preempt::checkpoint();
        self.0.socket.shutdown(how)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::peer_addr`].
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        preempt::checkpoint();
        self.0.socket.peer_addr()
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0
            .retry(Direction::Read, ParkReason::NetRead, |mut s| s.read(buffer))
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0
            .retry(Direction::Write, ParkReason::NetWrite, |mut s| {
                s.write(buffer)
            })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for TcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.socket.fmt(f)
    }
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.socket.fmt(f)
    }
}
