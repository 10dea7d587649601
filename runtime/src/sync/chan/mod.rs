//! Channels, as Go has them: any number of senders and receivers, first in first out, with a buffer of fixed size or none.
//!
//! A send to a waiting receiver hands the value over directly, also to one that waits in a `select!`; a receive from a full buffer takes
//! the head and puts the waiting sender's value at the tail. So nobody wakes only to find that somebody else was faster, and order is kept.
//! A channel is closed by [`Sender::close`] or when one side is gone altogether. Values that were in the buffer then are still received.
//!
//! [`nil`] makes Go's nil channel: nothing ever happens on it, and a `select!` passes it over.
//!
//! `core` is the channel itself, without threads or stacks, so that the model checker can look at it; `ends` is what programs hold.

pub(crate) mod core;
mod ends;
mod error;

pub(crate) use ends::Shared;
pub use ends::{IntoIter, Receiver, Sender, channel, nil};
pub use error::{RecvError, SendError, TryRecvError, TrySendError};
