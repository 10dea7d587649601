//! The channel itself: its buffer, its two queues of waiters, and what a send, a receive and a close do to them.
//!
//! # Protocol
//! Everything is behind the channel's lock. An operation first tries ([`State::send`], [`State::recv`]); if it cannot be done it links a
//! record into the queue of its direction and parks, and the lock is released by the commit of the park, when it may be woken.
//! Who takes a record out of a queue moves the value to or from it and wakes its waiter, after it has released the lock.
//!
//! A `select!` links a record into the queues of all its channels. One [`Claim`] decides which of them counts: a record whose claim is lost
//! is passed over by [`WaitQueue::take`]. So a value is never given to a waiter that has got another.
//!
//! The lock is apart from what it guards, because a `select!` holds the locks of channels of different types in one list.
//!
//! This file knows no threads and no stacks, so the model checker runs it as it is (`sync/select/models.rs`).

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use gmp_trace::event::{ObjectKind, ParkReason};

use super::error::{TryRecvError, TrySendError};
use crate::sched::park::{self, Claim, Object, Unparker, Winner};
use crate::sched::wait_queue::{Taken, WaitQueue, Waiter};
use crate::shim::{Mutex, MutexGuard};

/// What a waiter brings or gets: a sender's value until it is taken, a receiver's once it is there. Still a value in a sender's, or none
/// in a receiver's, when it was woken because the channel was closed.
pub(crate) type Slot<T> = Option<T>;

/// How long an operation may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until it is done.
    Forever,
    /// Not at all.
    None,
    /// Until this time, in ns of the clock of timers.
    Until(u64),
}

/// Which queue a waiter is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// It has a value to give.
    Send,
    /// It wants a value.
    Recv,
}

/// What fills a channel without sending: a timer. It is told when somebody waits, because it is in a heap only then.
pub(crate) trait Source: Send + Sync {
    /// Somebody is about to look at the channel, which is not locked: puts in what is due.
    fn look(&self);
    /// Somebody is about to wait, but is in no queue yet. The channel is locked.
    ///
    /// # Panics
    /// When nothing would ever fill it.
    fn prepare(&self);
    /// Somebody begins to wait. The channel is locked.
    fn block(&self);
    /// That wait is over. The channel may be locked.
    fn unblock(&self);
}

/// What kind of channel it is.
pub(crate) enum Nature {
    /// An ordinary one.
    Plain,
    /// Nothing ever happens on it.
    Nil,
    /// A timer's: its buffer of one is not to be seen.
    Timer(Arc<dyn Source>),
}

/// A channel.
pub(crate) struct Chan<T> {
    lock: Mutex<()>,
    /// Guarded by `lock`.
    state: UnsafeCell<State<T>>,
    capacity: usize,
    nature: Nature,
    pub(crate) object: Object,
}

// SAFETY: the state is reached under the lock only, and hands values from thread to thread, which T allows.
unsafe impl<T: Send> Sync for Chan<T> {}
// SAFETY: nothing in it is bound to a thread; nobody waits on a channel that is being moved.
unsafe impl<T: Send> Send for Chan<T> {}

/// What is behind the lock.
pub(crate) struct State<T> {
    pub(crate) buffer: VecDeque<T>,
    pub(crate) closed: bool,
    capacity: usize,
    senders: WaitQueue<Slot<T>>,
    receivers: WaitQueue<Slot<T>>,
}

/// What came of trying to send. A waiter that was taken must be woken after the lock is released.
pub(crate) enum Sent<T> {
    /// It was done; with the receiver that got it, if one waited.
    Done(Option<Taken<Slot<T>>>),
    /// There is no room, and nobody waits.
    Full(T),
    /// The channel is closed.
    Closed(T),
}

/// What came of trying to receive. A waiter that was taken must be woken after the lock is released.
pub(crate) enum Received<T> {
    /// A value; with the sender whose value was taken, if one waited.
    Value(T, Option<Taken<Slot<T>>>),
    /// There is none.
    Empty,
    /// There is none, and none will come.
    Closed,
}

impl<T> State<T> {
    /// Sends without waiting.
    pub(crate) fn send(&mut self, value: T) -> Sent<T> {
        if self.closed {
            return Sent::Closed(value);
        }
        if let Some(mut receiver) = self.receivers.take() {
            *receiver.payload() = Some(value);
            return Sent::Done(Some(receiver));
        }
        if self.buffer.len() < self.capacity {
            self.buffer.push_back(value);
            return Sent::Done(None);
        }
        Sent::Full(value)
    }

    /// Receives without waiting.
    pub(crate) fn recv(&mut self) -> Received<T> {
        if let Some(value) = self.buffer.pop_front() {
            let mut sender = self.senders.take();
            if let Some(sender) = &mut sender {
                self.buffer.extend(sender.payload().take());
            }
            return Received::Value(value, sender);
        }
        if let Some(mut sender) = self.senders.take() {
            match sender.payload().take() {
                Some(value) => return Received::Value(value, Some(sender)),
                None => unreachable!("a sender waits with its value"),
            }
        }
        if self.closed {
            Received::Closed
        } else {
            Received::Empty
        }
    }

    /// The queue of a direction.
    pub(crate) fn queue(&mut self, direction: Direction) -> &mut WaitQueue<Slot<T>> {
        match direction {
            Direction::Send => &mut self.senders,
            Direction::Recv => &mut self.receivers,
        }
    }
}

/// A channel that is locked by the caller.
pub(crate) struct Locked<'a, T> {
    chan: &'a Chan<T>,
    _guard: MutexGuard<'a, ()>,
}

impl<T> Deref for Locked<'_, T> {
    type Target = State<T>;

    fn deref(&self) -> &State<T> {
        // SAFETY: the guard is the right to use the state.
        unsafe { &*self.chan.state.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut State<T> {
        // SAFETY: the guard is the right to use the state, and it is borrowed for good.
        unsafe { &mut *self.chan.state.get() }
    }
}

impl<T> Chan<T> {
    /// An open and empty one.
    #[track_caller]
    pub(crate) fn new(capacity: usize, nature: Nature) -> Chan<T> {
        let kind = match nature {
            Nature::Timer(_) => ObjectKind::Timer,
            Nature::Plain | Nature::Nil => ObjectKind::Channel,
        };
        Chan {
            lock: Mutex::new(()),
            state: UnsafeCell::new(State {
                // A large buffer grows as it fills.
                buffer: VecDeque::with_capacity(capacity.min(1024)),
                closed: false,
                capacity,
                senders: WaitQueue::new(),
                receivers: WaitQueue::new(),
            }),
            capacity,
            nature,
            object: Object::new(kind),
        }
    }

    /// The same, as an object that was made elsewhere.
    pub(crate) fn named(self, object: Object) -> Chan<T> {
        Chan { object, ..self }
    }

    /// The lock alone, for a `select!`.
    pub(crate) fn raw_lock(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a `select!` that holds the guard in a list.
    pub(crate) fn raw_state(&self) -> *mut State<T> {
        self.state.get()
    }

    /// Locks it.
    pub(crate) fn lock(&self) -> Locked<'_, T> {
        Locked {
            chan: self,
            _guard: self.raw_lock(),
        }
    }

    /// Whether nothing ever happens on it.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self.nature, Nature::Nil)
    }

    /// The timer that fills it, if it is a timer's.
    pub(crate) fn source(&self) -> Option<&dyn Source> {
        match &self.nature {
            Nature::Timer(source) => Some(&**source),
            Nature::Plain | Nature::Nil => None,
        }
    }

    /// Values in the buffer, as programs see it.
    pub(crate) fn len(&self) -> usize {
        match self.nature {
            Nature::Plain => self.lock().buffer.len(),
            Nature::Nil | Nature::Timer(_) => 0,
        }
    }

    /// The size of the buffer, as programs see it.
    pub(crate) fn capacity(&self) -> usize {
        match self.nature {
            Nature::Plain => self.capacity,
            Nature::Nil | Nature::Timer(_) => 0,
        }
    }

    /// Sends a value. Go: `chansend`.
    pub(crate) fn send(&self, value: T, patience: Patience) -> Result<(), TrySendError<T>> {
        let mut state = self.lock();
        let value = match state.send(value) {
            Sent::Done(receiver) => {
                drop(state);
                receiver.into_iter().for_each(Taken::wake);
                return Ok(());
            }
            Sent::Closed(value) => return Err(TrySendError::Closed(value)),
            Sent::Full(value) => value,
        };
        if let Patience::None = patience {
            return Err(TrySendError::Full(value));
        }
        match self.wait(state, patience, Some(value), Direction::Send) {
            (None, _) => Ok(()),
            (Some(value), true) => Err(TrySendError::Full(value)),
            (Some(value), false) => Err(TrySendError::Closed(value)),
        }
    }

    /// Receives a value. Go: `chanrecv`.
    pub(crate) fn recv(&self, patience: Patience) -> Result<T, TryRecvError> {
        if let Some(source) = self.source() {
            source.look();
        }
        let mut state = self.lock();
        match state.recv() {
            Received::Value(value, sender) => {
                drop(state);
                sender.into_iter().for_each(Taken::wake);
                return Ok(value);
            }
            Received::Closed => return Err(TryRecvError::Closed),
            Received::Empty => {}
        }
        if let Patience::None = patience {
            return Err(TryRecvError::Empty);
        }
        if let Some(source) = self.source() {
            source.prepare();
        }
        match self.wait(state, patience, None, Direction::Recv) {
            (Some(value), _) => Ok(value),
            (None, true) => Err(TryRecvError::Empty),
            (None, false) => Err(TryRecvError::Closed),
        }
    }

    /// Waits in the queue of the direction; what is in the slot afterwards, and whether the deadline passed.
    fn wait(
        &self,
        mut state: Locked<'_, T>,
        patience: Patience,
        slot: Slot<T>,
        direction: Direction,
    ) -> (Slot<T>, bool) {
        let reason = match direction {
            _ if self.is_nil() => ParkReason::Forever,
            Direction::Send => ParkReason::ChanSend,
            Direction::Recv => ParkReason::ChanRecv,
        };
        let claim = match patience {
            Patience::Until(_) => Some(Claim::new(Unparker::current())),
            Patience::Forever | Patience::None => None,
        };
        let mut waiter = Waiter::new(claim.clone(), slot);
        let record = NonNull::from(&mut waiter);
        if !self.is_nil() {
            // SAFETY: this frame stays until a waker took the record out and woke us, or until it is removed below.
            unsafe { state.queue(direction).push(record) };
        }
        if let Some(source) = self.source() {
            source.block();
        }
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
        if let Some(source) = self.source() {
            source.unblock();
        }
        let timed_out = claim.is_some_and(|c| c.winner() == Winner::Timer);
        if timed_out {
            let mut state = self.lock();
            // SAFETY: the record is alive; a waker may have taken it out without winning the claim.
            unsafe { state.queue(direction).remove(record) };
        }
        // SAFETY: the record is out of the queue, so it is ours alone; read through the pointer that the queue had.
        let slot = unsafe { (*record.as_ptr()).payload.take() };
        (slot, timed_out)
    }

    /// Closes it and wakes all who wait. Go: `closechan`.
    pub(crate) fn close(&self) {
        let mut woken = Vec::new();
        {
            let mut state = self.lock();
            state.closed = true;
            // Receivers first, as in Go.
            woken.extend(std::iter::from_fn(|| state.receivers.take()));
            woken.extend(std::iter::from_fn(|| state.senders.take()));
        }
        woken.into_iter().for_each(Taken::wake);
    }
}
