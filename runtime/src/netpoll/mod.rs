//! The network poller: which sockets are ready, as waiters' tokens. It knows no G.
//!
//! # Protocol (Go's `netpoll.go`)
//! Each descriptor is registered once, edge-triggered, for both directions. For each direction it has a binary semaphore, one
//! word (`semaphore.rs`), in which its one waiter meets readiness, deadlines and closing. A poll that blocks is broken by an eventfd,
//! written once for many breaks (`break.rs`).
//!
//! Descriptors are never freed, only reused under a new sequence number, which the kernel gives back with each event: an event for
//! a socket that was closed in between is recognised.

mod r#break;
mod desc;
mod epoll;
mod semaphore;

pub(crate) use desc::{Direction, PollDesc, Waited};
pub(crate) use epoll::{Poller, Wait};
