//! One operation of a select: a send or a receive on one channel, with the value that it brings or gets.
//!
//! A case is in one of three states: new; done (`selected`), by its own attempt or by a waker; or queued, between `enqueue` and `dequeue`,
//! when its record belongs to the channel's lock or to the waker that took it out. Its parts are used by the selecting G only, except the
//! record while it is queued, so they are in a cell: a reference to the case says nothing about them.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::sched::park::Claim;
use crate::sched::wait_queue::{Taken, Waiter};
use crate::shim::MutexGuard;
use crate::sync::chan::core::{Chan, Direction, Received, Sent, Slot};

/// An operation, whatever the type of its channel.
pub(super) trait Operation {
    /// Of its channel; two cases with the same channel have the same.
    fn address(&self) -> usize;
    /// Whether its channel is nil: it takes no part then.
    fn is_nil(&self) -> bool;
    /// If its channel is a timer's: what is due is put in. The channel is not locked.
    fn look(&self);
    /// Locks the channel.
    fn lock(&self) -> MutexGuard<'_, ()>;
    /// Does the operation if it can be done now; whether it was.
    ///
    /// # Safety
    /// The caller holds the channel's lock.
    unsafe fn attempt(&self) -> bool;
    /// Wakes the partner of a successful attempt. The channel is not locked.
    fn finish(&self);
    /// If its channel is a timer's: the select is about to wait. The channel is locked.
    ///
    /// # Panics
    /// When nothing would ever run the timer.
    fn prepare(&self);
    /// Puts a record into the channel's queue.
    ///
    /// # Safety
    /// The caller holds the channel's lock, and keeps the case where it is until it has called `dequeue`.
    unsafe fn enqueue(&self, claim: &Arc<Claim>);
    /// If its channel is a timer's: nobody waits here any more. Called once after each `enqueue`.
    fn no_longer_waits(&self);
    /// Takes the record out, if it still is in the queue; whether the operation was done by a waker.
    ///
    /// # Safety
    /// The caller holds the channel's lock, and `enqueue` came before.
    unsafe fn dequeue(&self) -> bool;
}

/// A case of a known type.
pub(super) struct Case<'a, T> {
    chan: &'a Chan<T>,
    direction: Direction,
    parts: UnsafeCell<Parts<T>>,
}

struct Parts<T> {
    /// A sender's value until it is taken, a receiver's once it is there.
    slot: Slot<T>,
    selected: bool,
    waiter: Option<Waiter<Slot<T>>>,
    partner: Option<Taken<Slot<T>>>,
}

impl<'a, T> Case<'a, T> {
    pub(super) fn new(chan: &'a Chan<T>, direction: Direction, slot: Slot<T>) -> Case<'a, T> {
        Case {
            chan,
            direction,
            parts: UnsafeCell::new(Parts {
                slot,
                selected: false,
                waiter: None,
                partner: None,
            }),
        }
    }

    /// What is in the slot, if this case was selected: a value that could not be sent, or one that was received, or none.
    pub(super) fn into_slot(self) -> Option<Slot<T>> {
        let parts = self.parts.into_inner();
        parts.selected.then_some(parts.slot)
    }
}

impl<T> Operation for Case<'_, T> {
    fn address(&self) -> usize {
        std::ptr::from_ref(self.chan).addr()
    }

    fn is_nil(&self) -> bool {
        self.chan.is_nil()
    }

    fn look(&self) {
        if self.direction == Direction::Recv
            && let Some(source) = self.chan.source()
        {
            source.look();
        }
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.chan.raw_lock()
    }

    unsafe fn attempt(&self) -> bool {
        // SAFETY: nothing is queued yet, so the parts are this G's alone, and this is the only reference to them.
        let parts = unsafe { &mut *self.parts.get() };
        // SAFETY: the caller holds the lock, and this is the only reference to the state.
        let state = unsafe { &mut *self.chan.raw_state() };
        match (self.direction, parts.slot.take()) {
            (Direction::Send, Some(value)) => match state.send(value) {
                Sent::Done(receiver) => {
                    parts.partner = receiver;
                    parts.selected = true;
                }
                Sent::Closed(value) => {
                    parts.slot = Some(value);
                    parts.selected = true;
                }
                Sent::Full(value) => parts.slot = Some(value),
            },
            (Direction::Send, None) => unreachable!("a send has its value until it is done"),
            (Direction::Recv, _) => match state.recv() {
                Received::Value(value, sender) => {
                    parts.slot = Some(value);
                    parts.partner = sender;
                    parts.selected = true;
                }
                Received::Closed => parts.selected = true,
                Received::Empty => {}
            },
        }
        parts.selected
    }

    fn finish(&self) {
        // SAFETY: nothing is queued, so the parts are this G's alone.
        let partner = unsafe { (*self.parts.get()).partner.take() };
        partner.into_iter().for_each(Taken::wake);
    }

    fn prepare(&self) {
        if let Some(source) = self.chan.source() {
            source.prepare();
        }
    }

    unsafe fn enqueue(&self, claim: &Arc<Claim>) {
        // SAFETY: not queued yet, so the parts are this G's alone.
        let parts = unsafe { &mut *self.parts.get() };
        let waiter = Waiter::new(Some(Arc::clone(claim)), parts.slot.take());
        let record = NonNull::from(parts.waiter.insert(waiter));
        // SAFETY: the caller holds the lock, and this is the only reference to the state.
        let state = unsafe { &mut *self.chan.raw_state() };
        // SAFETY: the caller keeps the case where it is until the record is out of the queue.
        unsafe { state.queue(self.direction).push(record) };
        if let Some(source) = self.chan.source() {
            source.block();
        }
    }

    fn no_longer_waits(&self) {
        if let Some(source) = self.chan.source() {
            source.unblock();
        }
    }

    unsafe fn dequeue(&self) -> bool {
        // SAFETY: the select is awake and the channel locked, so no waker has the record: whoever took it out with the claim won has woken
        // us since, and whoever lost the claim let go of it under the lock. A raw pointer, because the queue may still link to it.
        let waiter = unsafe { &raw mut (*self.parts.get()).waiter };
        // SAFETY: as above; `enqueue` filled it.
        let Some(record) = (unsafe { (*waiter).as_mut() }).map(NonNull::from) else {
            unreachable!("a case is queued before it is dequeued");
        };
        // SAFETY: the caller holds the lock, and this is the only reference to the state.
        let state = unsafe { &mut *self.chan.raw_state() };
        // SAFETY: the record is alive, and if it is queued it is in this queue.
        unsafe { state.queue(self.direction).remove(record) };
        // SAFETY: it is out of the queue, so the parts are this G's alone again.
        let parts = unsafe { &mut *self.parts.get() };
        if let Some(mut waiter) = parts.waiter.take() {
            parts.selected = waiter.fired();
            parts.slot = waiter.payload.take();
        }
        parts.selected
    }
}
