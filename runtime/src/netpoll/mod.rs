//! The network poller: which sockets are ready, as waiters' tokens. It knows no G.
//!
//! # Protocol (Go's `netpoll.go`)
//! Each descriptor is registered once, edge-triggered, for both directions. For each direction it has a binary semaphore, one
//! word: `NIL`, `READY`, `WAIT`, or the token of the one waiter.
//! - Wait: `NIL -> WAIT`; look at closing and deadlines once more; park with a commit `WAIT -> token`. A word that is `READY` is consumed instead.
//! - Ready, from the poller: the word becomes `READY`; a token that was in it is the waiter to wake.
//! - Time-out and closing: the flag is published first, then the word becomes `NIL`; a token that was in it is woken and finds the flag.
//!
//! *Lost readiness*: an edge that comes between the failed read and the wait finds the word `NIL` and makes it `READY`; the wait consumes it at once.
//!
//! Descriptors are never freed, only reused under a new sequence number, which the kernel gives back with each event: an event for
//! a socket that was closed in between is recognised.

mod desc;
mod epoll;

pub(crate) use desc::{Direction, PollDesc, Waited};
pub(crate) use epoll::{Poller, Wait};
