//! epoll as the poller's kernel side.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::r#break::Break;
use super::desc::{Direction, PollDesc};
use crate::sched::Sched;
use crate::time::now_ns;

/// How long to wait for readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    Now,
    /// Until this time in ns of [`now_ns`].
    Until(u64),
    /// Until something is ready or [`Poller::wake`] is called.
    Forever,
}

/// Events asked for at a time, as in Go.
const BATCH: usize = 128;

/// The user data of the eventfd that breaks a wait: no descriptor lies at this address.
const BREAK: u64 = 0;

/// An epoll instance and its descriptors.
pub(crate) struct Poller {
    epoll: OwnedFd,
    event: OwnedFd,
    /// Whether the eventfd was written already.
    breaking: Break,
    waiters: AtomicU32,
    /// Descriptors of closed sockets.
    free: Mutex<Vec<&'static PollDesc>>,
}

impl Poller {
    /// A poller of nothing.
    pub(crate) fn new() -> io::Result<Poller> {
        // SAFETY: plain system calls; the descriptors they return are owned by nobody else.
        let (epoll, event) = unsafe {
            let epoll = OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?);
            let event = OwnedFd::from_raw_fd(check(libc::eventfd(
                0,
                libc::EFD_CLOEXEC | libc::EFD_NONBLOCK,
            ))?);
            (epoll, event)
        };
        let poller = Poller {
            epoll,
            event,
            breaking: Break::new(),
            waiters: AtomicU32::new(0),
            free: Mutex::new(Vec::new()),
        };
        // Level-triggered: it stays readable until a blocking poll drains it.
        poller.control(
            libc::EPOLL_CTL_ADD,
            poller.event.as_raw_fd(),
            libc::EPOLLIN as u32,
            BREAK,
        )?;
        Ok(poller)
    }

    fn control(&self, op: libc::c_int, fd: RawFd, events: u32, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: the event is ours for the call.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), op, fd, &raw mut event) }).map(drop)
    }

    /// How many wait for a descriptor of this poller.
    pub(crate) fn waiters(&self) -> u32 {
        // SeqCst: an M about to park reads it after it released its P; a waiter counts itself before it parks.
        self.waiters.load(Ordering::SeqCst)
    }

    /// One more waits, and is about to park.
    pub(super) fn waits(&self) {
        self.waiters.fetch_add(1, Ordering::SeqCst);
    }

    /// Watches a non-blocking descriptor. `owner` is the runtime that this is the poller of.
    pub(crate) fn register(
        &self,
        fd: RawFd,
        owner: &'static Sched,
    ) -> io::Result<&'static PollDesc> {
        let known = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let desc = known.unwrap_or_else(|| Box::leak(Box::new(PollDesc::new(owner))));
        desc.reuse();
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        match self.control(libc::EPOLL_CTL_ADD, fd, events as u32, pack(desc)) {
            Ok(()) => Ok(desc),
            Err(e) => {
                self.recycle(desc);
                Err(e)
            }
        }
    }

    /// See [`PollDesc::deregister`].
    pub(super) fn deregister(&self, fd: RawFd, desc: &'static PollDesc) {
        // A descriptor that the kernel does not know any more needs no removal.
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        self.recycle(desc);
    }

    fn recycle(&self, desc: &'static PollDesc) {
        desc.seq.fetch_add(1, Ordering::SeqCst);
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(desc);
    }

    /// Says that `n` waiters whose tokens [`Poller::poll`] gave were woken; whether nobody waits any more. After they
    /// were made runnable, so that nobody believes meanwhile that nothing is waited for: an M that parks then would find all
    /// goroutines asleep.
    pub(crate) fn woken(&self, n: usize) -> bool {
        self.waiters.fetch_sub(n as u32, Ordering::SeqCst) == n as u32
    }

    /// Puts the tokens of all waiters whose descriptors became ready into `out`. The caller wakes them and then says so ([`Poller::woken`]).
    pub(crate) fn poll(&self, wait: Wait, out: &mut Vec<usize>) -> io::Result<()> {
        // SAFETY: an all-zero epoll_event is valid.
        let mut events: [libc::epoll_event; BATCH] = unsafe { std::mem::zeroed() };
        let n = loop {
            let timeout = match wait {
                Wait::Now => 0,
                Wait::Forever => -1,
                Wait::Until(when) => milliseconds(when.saturating_sub(now_ns())),
            };
            // SAFETY: the buffer holds BATCH events.
            let n = unsafe {
                libc::epoll_wait(
                    self.epoll.as_raw_fd(),
                    events.as_mut_ptr(),
                    BATCH as i32,
                    timeout,
                )
            };
            match check(n) {
                Ok(n) => break n as usize,
                Err(e) if e.kind() == io::ErrorKind::Interrupted && wait == Wait::Now => {
                    break 0;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        };
        for event in &events[..n] {
            let (flags, data) = (event.events as i32, event.u64);
            if data == BREAK {
                // A poll that does not block leaves it for the one that does.
                if wait != Wait::Now {
                    self.drain();
                }
                continue;
            }
            let (desc, seq) = unpack(data);
            if desc.seq.load(Ordering::SeqCst) & SEQ_MASK != seq {
                continue;
            }
            let failed = flags & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
            if failed || flags & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0 {
                out.extend(desc.unblock(Direction::Read, true));
            }
            if failed || flags & libc::EPOLLOUT != 0 {
                out.extend(desc.unblock(Direction::Write, true));
            }
        }
        Ok(())
    }

    /// Ends a blocking poll, the present one or the next.
    pub(crate) fn wake(&self) {
        if self.breaking.raise() {
            let one = 1u64;
            // SAFETY: 8 bytes of ours. It cannot fail with a counter of at most 1.
            unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
        }
    }

    fn drain(&self) {
        let mut count = 0u64;
        // SAFETY: 8 bytes of ours.
        unsafe { libc::read(self.event.as_raw_fd(), (&raw mut count).cast(), 8) };
        self.breaking.lower();
    }
}

/// Addresses have 48 bits: the 16 above carry the sequence number.
const SEQ_MASK: u32 = 0xffff;

fn pack(desc: &'static PollDesc) -> u64 {
    let seq = desc.seq.load(Ordering::SeqCst) & SEQ_MASK;
    std::ptr::from_ref(desc) as u64 | u64::from(seq) << 48
}

fn unpack(data: u64) -> (&'static PollDesc, u32) {
    let address = (data & ((1 << 48) - 1)) as *const PollDesc;
    // SAFETY: the kernel gives back what `pack` made of a descriptor, which is never freed.
    (unsafe { &*address }, (data >> 48) as u32)
}

/// As Go rounds: less than a millisecond is one, the rest is cut off, and more than 11 days are that; the caller looks at the time again.
fn milliseconds(ns: u64) -> libc::c_int {
    const MOST: u64 = 1_000_000_000;
    match ns {
        0 => 0,
        1..1_000_000 => 1,
        _ => (ns / 1_000_000).min(MOST) as libc::c_int,
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_outs_are_rounded_as_go_does() {
        let rounded = [0, 1, 999_999, 1_000_000, 1_999_999, u64::MAX].map(milliseconds);
        assert_eq!(rounded, [0, 1, 1, 1, 1, 1_000_000_000]);
    }
}
