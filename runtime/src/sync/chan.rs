//! Channels, as Go has them: any number of senders and receivers, first in first out, with a buffer of fixed size or none.
//!
//! A send to a waiting receiver hands the value over directly; a receive from a full buffer takes the head and puts the waiting
//! sender's value at the tail. So nobody wakes only to find that somebody else was faster, and order is kept.
//! A channel is closed by [`Sender::close`] or when one side is gone altogether. Values that were in the buffer then are still received.

use std::collections::VecDeque;
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gmp_trace::event::{ObjectKind, ParkReason};

use crate::sched::park::{self, Claim, Object, Unparker, Winner};
use crate::sched::preempt;
use crate::sched::wait_queue::{WaitQueue, Waiter};

/// What a waiter brings or gets: a sender's value until it is taken, a receiver's once it is there. Still a value in a sender's, or none
/// in a receiver's, when it was woken because the channel was closed.
type Slot<T> = Option<T>;

struct Chan<T> {
    state: Mutex<State<T>>,
    capacity: usize,
    object: Object,
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

struct State<T> {
    buffer: VecDeque<T>,
    closed: bool,
    senders: WaitQueue<Slot<T>>,
    receivers: WaitQueue<Slot<T>>,
}

/// The sending end; clones send into the same channel.
pub struct Sender<T>(Arc<Chan<T>>);

/// The receiving end; clones share the values.
pub struct Receiver<T>(Arc<Chan<T>>);

/// The value could not be sent: the channel is closed.
#[derive(PartialEq, Eq, Clone, Copy)]
pub struct SendError<T>(pub T);

/// The value was not sent.
#[derive(PartialEq, Eq, Clone, Copy)]
pub enum TrySendError<T> {
    /// Nobody was ready to take it in time.
    Full(T),
    /// The channel is closed.
    Closed(T),
}

/// The channel is closed and empty.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub struct RecvError;

/// Nothing was received.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum TryRecvError {
    /// Nothing was there in time.
    Empty,
    /// The channel is closed and empty.
    Closed,
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sending on a closed channel")
    }
}

impl<T> std::error::Error for SendError<T> {}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "sending on a full channel",
            TrySendError::Closed(_) => "sending on a closed channel",
        })
    }
}

impl<T> std::error::Error for TrySendError<T> {}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("receiving from a closed and empty channel")
    }
}

impl std::error::Error for RecvError {}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "receiving from an empty channel",
            TryRecvError::Closed => "receiving from a closed and empty channel",
        })
    }
}

impl std::error::Error for TryRecvError {}

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
    let chan = Arc::new(Chan {
        state: Mutex::new(State {
            buffer: VecDeque::with_capacity(capacity.min(1024)),
            closed: false,
            senders: WaitQueue::new(),
            receivers: WaitQueue::new(),
        }),
        capacity,
        object: Object::new(ObjectKind::Channel),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
    });
    (Sender(Arc::clone(&chan)), Receiver(chan))
}

/// How long an operation may wait.
#[derive(Clone, Copy)]
enum Patience {
    Forever,
    None,
    Until(u64),
}

impl<T> Chan<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, value: T, patience: Patience) -> Result<(), TrySendError<T>> {
        preempt::checkpoint();
        let mut state = self.lock();
        if state.closed {
            return Err(TrySendError::Closed(value));
        }
        if let Some(mut receiver) = state.receivers.take() {
            drop(state);
            *receiver.payload() = Some(value);
            receiver.wake();
            return Ok(());
        }
        if state.buffer.len() < self.capacity {
            state.buffer.push_back(value);
            return Ok(());
        }
        if let Patience::None = patience {
            return Err(TrySendError::Full(value));
        }
        let (rest, timed_out) = self.wait(state, patience, Some(value), ParkReason::ChanSend);
        match rest {
            None => Ok(()),
            Some(value) if timed_out => Err(TrySendError::Full(value)),
            Some(value) => Err(TrySendError::Closed(value)),
        }
    }

    fn recv(&self, patience: Patience) -> Result<T, TryRecvError> {
        preempt::checkpoint();
        let mut state = self.lock();
        if let Some(value) = state.buffer.pop_front() {
            if let Some(mut sender) = state.senders.take() {
                state.buffer.extend(sender.payload().take());
                drop(state);
                sender.wake();
            }
            return Ok(value);
        }
        if let Some(mut sender) = state.senders.take() {
            drop(state);
            let value = sender.payload().take();
            sender.wake();
            return value.ok_or(TryRecvError::Closed);
        }
        if state.closed {
            return Err(TryRecvError::Closed);
        }
        if let Patience::None = patience {
            return Err(TryRecvError::Empty);
        }
        let (value, timed_out) = self.wait(state, patience, None, ParkReason::ChanRecv);
        value.ok_or(if timed_out {
            TryRecvError::Empty
        } else {
            TryRecvError::Closed
        })
    }

    /// Waits in the queue of the direction; what is in the slot afterwards, and whether the deadline passed.
    fn wait(
        &self,
        state: MutexGuard<'_, State<T>>,
        patience: Patience,
        slot: Slot<T>,
        reason: ParkReason,
    ) -> (Slot<T>, bool) {
        let claim = match patience {
            Patience::Until(_) => Some(Claim::new(Unparker::current())),
            Patience::Forever | Patience::None => None,
        };
        let mut waiter = Waiter::new(claim.clone(), slot);
        let record = NonNull::from(&mut waiter);
        let mut state = state;
        let queue = |state: &mut State<T>| match reason {
            ParkReason::ChanSend => &raw mut state.senders,
            _ => &raw mut state.receivers,
        };
        // SAFETY: this frame stays until a waker took the record out and woke us, or until it is removed below.
        unsafe { (*queue(&mut state)).push(record) };
        // The lock is released by the commit, once this G waits: nobody can find the record before.
        let mut state = Some(state);
        let mut commit = || {
            drop(state.take());
            true
        };
        match (patience, &claim) {
            (Patience::Until(deadline), Some(claim)) => {
                park::park_until(reason, &self.object, deadline, claim, &mut commit);
            }
            _ => park::park(reason, &self.object, &mut commit),
        }
        let timed_out = claim.is_some_and(|c| c.winner() == Winner::Timer);
        if timed_out {
            let mut state = self.lock();
            // SAFETY: the record is alive; a waker may have taken it out without winning the claim.
            unsafe { (*queue(&mut state)).remove(record) };
        }
        // SAFETY: the record is out of the queue, so it is ours alone; read through the pointer that the queue had.
        let slot = unsafe { (*record.as_ptr()).payload.take() };
        (slot, timed_out)
    }

    fn close(&self) {
        let mut wake_senders = Vec::new();
        let mut wake_receivers = Vec::new();
        {
            let mut state = self.lock();
            state.closed = true;
            while let Some(sender) = state.senders.take() {
                wake_senders.push(sender);
            }
            while let Some(receiver) = state.receivers.take() {
                wake_receivers.push(receiver);
            }
        }
        wake_receivers.into_iter().for_each(|w| w.wake());
        wake_senders.into_iter().for_each(|w| w.wake());
    }
}

impl<T> Sender<T> {
    /// Sends a value; waits for room, or for a receiver.
    ///
    /// # Errors
    /// With the value, when the channel is closed before it was taken.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.0.send(value, Patience::Forever).map_err(|e| match e {
            TrySendError::Full(v) | TrySendError::Closed(v) => SendError(v),
        })
    }

    /// Sends a value if that is possible at once.
    ///
    /// # Errors
    /// With the value, when it is not.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.0.send(value, Patience::None)
    }

    /// Sends a value; waits no longer than `d`.
    ///
    /// # Errors
    /// With the value, when nobody took it in time or the channel is closed.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn send_timeout(&self, value: T, d: Duration) -> Result<(), TrySendError<T>> {
        self.0.send(value, Patience::Until(crate::time::after(d)))
    }

    /// Closes the channel: receivers get what is in the buffer, then an error; senders get an error at once.
    pub fn close(&self) {
        preempt::checkpoint();
        self.0.close();
    }

    /// Values in the buffer.
    pub fn len(&self) -> usize {
        preempt::checkpoint();
        self.0.lock().buffer.len()
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The size of the buffer.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }
}

impl<T> Receiver<T> {
    /// Receives a value; waits for one.
    ///
    /// # Errors
    /// When the channel is closed and empty.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.0.recv(Patience::Forever).map_err(|_| RecvError)
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.0.recv(Patience::None)
    }

    /// Receives a value; waits no longer than `d`.
    ///
    /// # Errors
    /// When none came in time, or the channel is closed and empty.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn recv_timeout(&self, d: Duration) -> Result<T, TryRecvError> {
        self.0.recv(Patience::Until(crate::time::after(d)))
    }

    /// All values until the channel is closed and empty.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        std::iter::from_fn(|| self.recv().ok())
    }

    /// Closes the channel, as [`Sender::close`] does.
    pub fn close(&self) {
        preempt::checkpoint();
        self.0.close();
    }

    /// Values in the buffer.
    pub fn len(&self) -> usize {
        preempt::checkpoint();
        self.0.lock().buffer.len()
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
        // Relaxed: a clone is made from a live sender, so the count is not 0.
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // AcqRel: what the other senders did is done when the last one closes.
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver(Arc::clone(&self.0))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.0.receivers.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.0.capacity)
            .finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("capacity", &self.0.capacity)
            .finish()
    }
}
