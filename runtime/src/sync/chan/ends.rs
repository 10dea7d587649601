//! The ends of a channel, as programs hold them. The last of a kind closes the channel when it is dropped.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use gmp_trace::event::ObjectKind;

use super::core::{Chan, Nature, Patience, Source};
use super::error::{RecvError, SendError, TryRecvError, TrySendError};
use crate::sched::park::Object;
use crate::sched::preempt;

/// A channel with the number of its ends.
pub(crate) struct Shared<T> {
    pub(crate) chan: Chan<T>,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// The sending end; clones send into the same channel.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end; clones share the values.
pub struct Receiver<T>(Arc<Shared<T>>);

/// Makes a channel. Capacity 0 is a rendezvous: a send returns when a receiver has the value.
///
/// ```
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let (tx, rx) = gmp_runtime::channel(2);
///     gmp_runtime::go(move || {
///         for word in ["spawn", "park", "ready"] {
///             tx.send(word).expect("the receiver is there");
///         }
///     });
///     assert_eq!(rx.iter().collect::<Vec<_>>(), ["spawn", "park", "ready"]);
/// });
/// ```
#[track_caller]
pub fn channel<T: Send>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    preempt::checkpoint();
    let shared = Shared::new(Chan::new(capacity, Nature::Plain));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The two ends of a nil channel, on which nothing ever happens: sending and receiving wait for ever, a `select!` passes it over.
/// Go: a channel variable that is `nil`.
///
/// It takes an operation out of a `select!` for a time:
///
/// ```
/// use gmp_runtime::{channel, select, sync::chan};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let (tx, rx) = channel::<u32>(4);
///     let (_, off) = chan::nil();
///     tx.send(1).expect("open");
///     for paused in [true, false] {
///         let source = if paused { &off } else { &rx };
///         select! {
///             recv(source) -> value => assert_eq!((paused, value), (false, Ok(1))),
///             default => assert!(paused),
///         }
///     }
/// });
/// ```
#[track_caller]
pub fn nil<T: Send>() -> (Sender<T>, Receiver<T>) {
    preempt::checkpoint();
    let shared = Shared::new(Chan::new(0, Nature::Nil));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Shared<T> {
    fn new(chan: Chan<T>) -> Arc<Shared<T>> {
        Arc::new(Shared {
            chan,
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        })
    }

    /// Go panics where a nil channel is closed.
    fn close(&self) {
        assert!(!self.chan.is_nil(), "close of a nil channel");
        self.chan.close();
    }
}

impl<T> Sender<T> {
    /// The channel itself.
    pub(crate) fn chan(&self) -> &Chan<T> {
        &self.0.chan
    }

    /// Sends a value; waits for room, or for a receiver.
    ///
    /// # Errors
    /// With the value, when the channel is closed before it was taken.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        preempt::checkpoint();
        self.0
            .chan
            .send(value, Patience::Forever)
            .map_err(|e| match e {
                TrySendError::Full(v) | TrySendError::Closed(v) => SendError(v),
            })
    }

    /// Sends a value if that is possible at once.
    ///
    /// # Errors
    /// With the value, when it is not.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        preempt::checkpoint();
        self.0.chan.send(value, Patience::None)
    }

    /// Sends a value; waits no longer than `d`.
    ///
    /// # Errors
    /// With the value, when nobody took it in time or the channel is closed.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn send_timeout(&self, value: T, d: Duration) -> Result<(), TrySendError<T>> {
        preempt::checkpoint();
        self.0
            .chan
            .send(value, Patience::Until(crate::time::after_ns(d)))
    }

    /// Closes the channel: receivers get what is in the buffer, then an error; senders get an error at once.
    ///
    /// # Panics
    /// When it is a nil channel.
    pub fn close(&self) {
        preempt::checkpoint();
        self.0.close();
    }

    /// Values in the buffer.
    pub fn len(&self) -> usize {
        preempt::checkpoint();
        self.0.chan.len()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the buffer.
    pub fn capacity(&self) -> usize {
        preempt::checkpoint();
        self.0.chan.capacity()
    }
}

impl<T> Receiver<T> {
    /// The receiving end of a channel that `source` fills, and which has no sending end; `source` is made with a handle on it.
    #[track_caller]
    pub(crate) fn filled_by(
        source: impl FnOnce(Weak<Shared<T>>) -> Arc<dyn Source>,
    ) -> Receiver<T> {
        // `new_cyclic` calls a closure, which does not know this function's caller.
        let object = Object::new(ObjectKind::Timer);
        Receiver(Arc::new_cyclic(|weak| Shared {
            chan: Chan::new(1, Nature::Timer(source(Weak::clone(weak)))).named(object),
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
        }))
    }

    /// The channel itself.
    pub(crate) fn chan(&self) -> &Chan<T> {
        &self.0.chan
    }

    /// Receives a value; waits for one.
    ///
    /// # Errors
    /// When the channel is closed and empty.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn recv(&self) -> Result<T, RecvError> {
        preempt::checkpoint();
        self.0.chan.recv(Patience::Forever).map_err(|_| RecvError)
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        preempt::checkpoint();
        self.0.chan.recv(Patience::None)
    }

    /// Receives a value; waits no longer than `d`.
    ///
    /// # Errors
    /// When none came in time, or the channel is closed and empty.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn recv_timeout(&self, d: Duration) -> Result<T, TryRecvError> {
        preempt::checkpoint();
        self.0.chan.recv(Patience::Until(crate::time::after_ns(d)))
    }

    /// All values until the channel is closed and empty.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// Closes the channel, as [`Sender::close`] does.
    ///
    /// # Panics
    /// When it is a nil channel.
    pub fn close(&self) {
        preempt::checkpoint();
        self.0.close();
    }

    /// Values in the buffer; 0 for a timer's channel.
    pub fn len(&self) -> usize {
        preempt::checkpoint();
        self.0.chan.len()
    }

    /// The size of the buffer; 0 for a timer's channel.
    pub fn capacity(&self) -> usize {
        preempt::checkpoint();
        self.0.chan.capacity()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The values of a receiver that is given away.
pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        preempt::checkpoint();
        // Relaxed: a clone is made from a live sender, so the count is not 0.
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // AcqRel: what the other senders did is done when the last one closes.
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.chan.close();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        preempt::checkpoint();
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.0.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.chan.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.0.chan.capacity())
            .finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.0.chan.capacity())
            .finish()
    }
}
