//! A queue of waiters, first in first out, whose records live on the waiters' own stacks.
//!
//! The queue is behind a lock of its owner (a channel's, a mutex's). A record is linked in by its waiter under that lock, before it
//! parks, and taken out under the lock by the waker, or by the waiter itself when its deadline passed. A record that
//! has been taken out is never touched by a waker again after it unparked the waiter, whose frame may be gone.
//!
//! A waiter with a deadline has a [`Claim`]: a waker that takes its record out must win the claim before it may wake it; if the timer
//! won, the record is simply out of the queue and the next one is tried. The records of a `select!`, one in each queue, share a claim
//! in the same way; the one that was taken by the winner is marked (Go: `selectDone`).

use std::ptr::NonNull;
use std::sync::Arc;

use super::park::{Claim, Unparker, Winner};

/// One waiter, with what it brings or wants.
pub(crate) struct Waiter<T> {
    unparker: Unparker,
    claim: Option<Arc<Claim>>,
    /// What passes between waiter and waker. Belongs to whoever holds the lock while the record is queued, then to the waker until it unparks.
    pub(crate) payload: T,
    next: Option<NonNull<Waiter<T>>>,
    prev: Option<NonNull<Waiter<T>>>,
    queued: bool,
    /// Whether a waker took it out that has won the claim, or needed none. Written under the owner's lock.
    fired: bool,
}

impl<T> Waiter<T> {
    /// The caller, not queued yet.
    pub(crate) fn new(claim: Option<Arc<Claim>>, payload: T) -> Waiter<T> {
        let unparker = claim
            .as_ref()
            .map_or_else(Unparker::current, |c| c.unparker());
        Waiter {
            unparker,
            claim,
            payload,
            next: None,
            prev: None,
            queued: false,
            fired: false,
        }
    }

    /// Whether a waker took it out to wake it: of the records of a `select!`, the one that counts.
    pub(crate) fn fired(&self) -> bool {
        self.fired
    }
}

/// The queue. All verbs are called under the owner's lock.
pub(crate) struct WaitQueue<T> {
    first: Option<NonNull<Waiter<T>>>,
    last: Option<NonNull<Waiter<T>>>,
}

// SAFETY: it links records that are only touched under the owner's lock, or by the waker that took one out.
unsafe impl<T: Send> Send for WaitQueue<T> {}

impl<T> WaitQueue<T> {
    /// Nobody waits.
    pub(crate) const fn new() -> WaitQueue<T> {
        WaitQueue {
            first: None,
            last: None,
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Puts a waiter at the end.
    ///
    /// # Safety
    /// The record stays where it is until it is out of the queue again: the waiter does not return before it was woken, or
    /// before it called [`WaitQueue::remove`].
    pub(crate) unsafe fn push(&mut self, waiter: NonNull<Waiter<T>>) {
        // SAFETY: the caller's contract; all links are to records in this queue, under one lock.
        unsafe {
            (*waiter.as_ptr()).queued = true;
            (*waiter.as_ptr()).prev = self.last;
            (*waiter.as_ptr()).next = None;
            match self.last {
                Some(last) => (*last.as_ptr()).next = Some(waiter),
                None => self.first = Some(waiter),
            }
        }
        self.last = Some(waiter);
    }

    /// Puts a waiter at the front: one that was woken before, and that somebody else was faster than.
    ///
    /// # Safety
    /// As [`WaitQueue::push`].
    pub(crate) unsafe fn push_front(&mut self, waiter: NonNull<Waiter<T>>) {
        // SAFETY: as in `push`.
        unsafe {
            (*waiter.as_ptr()).queued = true;
            (*waiter.as_ptr()).prev = None;
            (*waiter.as_ptr()).next = self.first;
            match self.first {
                Some(first) => (*first.as_ptr()).prev = Some(waiter),
                None => self.last = Some(waiter),
            }
        }
        self.first = Some(waiter);
    }

    /// Takes a waiter out if it is still in; whether it was.
    ///
    /// # Safety
    /// The record is alive, and if it is queued it is in this queue.
    pub(crate) unsafe fn remove(&mut self, waiter: NonNull<Waiter<T>>) -> bool {
        // SAFETY: as in `push`.
        unsafe {
            let w = waiter.as_ptr();
            if !(*w).queued {
                return false;
            }
            (*w).queued = false;
            match (*w).prev {
                Some(prev) => (*prev.as_ptr()).next = (*w).next,
                None => self.first = (*w).next,
            }
            match (*w).next {
                Some(next) => (*next.as_ptr()).prev = (*w).prev,
                None => self.last = (*w).prev,
            }
            true
        }
    }

    /// Takes the first waiter out that `wanted` says yes to and that nobody else wakes: the caller must [`Taken::wake`] it.
    pub(crate) fn take_where(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Option<Taken<T>> {
        let mut at = self.first;
        while let Some(waiter) = at {
            // SAFETY: a queued record is alive.
            unsafe {
                at = (*waiter.as_ptr()).next;
                if wanted(&(*waiter.as_ptr()).payload) {
                    self.remove(waiter);
                    if Self::claim(waiter) {
                        return Some(Taken(waiter));
                    }
                }
            }
        }
        None
    }

    /// Wins the right to wake a waiter that was just taken out, if somebody else has not.
    ///
    /// # Safety
    /// The record is alive, and the caller took it out under the owner's lock, which it still holds.
    unsafe fn claim(waiter: NonNull<Waiter<T>>) -> bool {
        // SAFETY: the caller's contract.
        unsafe {
            let w = waiter.as_ptr();
            (*w).fired = (*w).claim.as_ref().is_none_or(|c| c.claim(Winner::Waker));
            (*w).fired
        }
    }

    /// Takes the first waiter out whom nobody else wakes: the caller must [`Taken::wake`] it. Go: `dequeue`, `dequeueSudoG`.
    pub(crate) fn take(&mut self) -> Option<Taken<T>> {
        while let Some(first) = self.first {
            // SAFETY: a queued record is alive.
            unsafe {
                self.remove(first);
                if Self::claim(first) {
                    return Some(Taken(first));
                }
            }
        }
        None
    }
}

/// A waiter that was taken out and must be woken; until then its record is alive and the taker's.
pub(crate) struct Taken<T>(NonNull<Waiter<T>>);

impl<T> Taken<T> {
    /// What passes between waiter and waker.
    pub(crate) fn payload(&mut self) -> &mut T {
        // SAFETY: the waiter sleeps until `wake`, and nobody else has the record.
        unsafe { &mut (*self.0.as_ptr()).payload }
    }

    /// Wakes the waiter; its record may be gone afterwards.
    pub(crate) fn wake(self) {
        // SAFETY: as in `payload`; the unparker is copied out before it is used.
        let unparker = unsafe { (*self.0.as_ptr()).unparker };
        unparker.unpark();
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc as Arc2;

    use loom::cell::UnsafeCell;
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    use super::super::park::Token;
    use super::*;

    /// What a primitive keeps behind its lock: the value waited for, and who waits.
    struct Primitive {
        values: u32,
        queue: WaitQueue<UnsafeCell<u32>>,
    }

    fn primitive() -> Arc<Mutex<Primitive>> {
        Arc::new(Mutex::new(Primitive {
            values: 0,
            queue: WaitQueue::new(),
        }))
    }

    /// Takes a value, or waits for one, as a receiver of a channel does; `None` if the deadline ended the wait.
    fn receive(primitive: &Mutex<Primitive>, token: &Token, claim: &Arc2<Claim>) -> Option<u32> {
        let mut p = primitive.lock().expect("no panic");
        if p.values > 0 {
            p.values -= 1;
            return Some(1);
        }
        let mut waiter = Waiter::new(Some(Arc2::clone(claim)), UnsafeCell::new(0));
        let record = NonNull::from(&mut waiter);
        // SAFETY: the record stays until it was woken, and out of the queue.
        unsafe { p.queue.push(record) };
        drop(p);
        token.sleep();
        if claim.winner() == Winner::Timer {
            let mut p = primitive.lock().expect("no panic");
            // SAFETY: the record is alive and in no other queue.
            unsafe { p.queue.remove(record) };
            return None;
        }
        // SAFETY: the model checker proves that the waker is done with it.
        Some(unsafe { (*record.as_ptr()).payload.with(|v| *v) })
    }

    /// Gives a value to the first waiter, or leaves it.
    fn send(primitive: &Mutex<Primitive>) {
        let mut p = primitive.lock().expect("no panic");
        match p.queue.take() {
            Some(mut taken) => {
                drop(p);
                // SAFETY: the model checker proves that nobody else uses it.
                taken.payload().with_mut(|v| unsafe { *v = 1 });
                taken.wake();
            }
            None => p.values += 1,
        }
    }

    #[test]
    fn loom_a_waiter_and_a_waker_meet_whoever_comes_first() {
        loom::model(|| {
            let primitive = primitive();
            let token = Token::new();
            let claim = Claim::new(Unparker::of(&token));
            let theirs = Arc::clone(&primitive);
            let waker = thread::spawn(move || send(&theirs));
            assert_eq!(receive(&primitive, &token, &claim), Some(1));
            waker.join().expect("no panic");
        });
    }

    /// The value goes to the waiter or stays where it is; it is never given to one whose deadline has passed.
    #[test]
    fn loom_a_waker_and_a_deadline_wake_once_and_lose_no_value() {
        loom::model(|| {
            let primitive = primitive();
            let token = Token::new();
            let claim = Claim::new(Unparker::of(&token));
            let theirs = Arc::clone(&primitive);
            let waker = thread::spawn(move || send(&theirs));
            let (deadline, held) = (Arc2::clone(&claim), Arc::clone(&token));
            let timer = thread::spawn(move || {
                if deadline.claim(Winner::Timer) {
                    deadline.unparker().unpark();
                }
                drop(held);
            });
            let got = receive(&primitive, &token, &claim);
            waker.join().expect("no panic");
            timer.join().expect("no panic");
            let left = primitive.lock().expect("no panic").values;
            assert_eq!(got.unwrap_or(0) + left, 1, "a value was lost or doubled");
        });
    }

    /// Two who wait are both woken by two wakers, each once.
    #[test]
    fn loom_two_wakers_wake_two_waiters() {
        loom::model(|| {
            let primitive = primitive();
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let theirs = Arc::clone(&primitive);
                    thread::spawn(move || {
                        let token = Token::new();
                        let claim = Claim::new(Unparker::of(&token));
                        let got = receive(&theirs, &token, &claim);
                        (got, token)
                    })
                })
                .collect();
            send(&primitive);
            send(&primitive);
            // The tokens live until all have ended.
            let ended: Vec<_> = waiters
                .into_iter()
                .map(|w| w.join().expect("no panic"))
                .collect();
            assert!(ended.iter().all(|(got, _)| *got == Some(1)));
            assert!(primitive.lock().expect("no panic").queue.is_empty());
        });
    }
}
