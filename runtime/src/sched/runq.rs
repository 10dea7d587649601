//! A P's run queue: a ring of runnable Gs and the `runnext` slot. One owner puts and takes, any thief takes.
//!
//! # Shared words and who writes them
//! - `tail`: the owner, with a release store after it filled a slot.
//! - `head`: whoever takes, by compare-and-swap: the owner one by one, a thief several at once, the owner again when it spills.
//! - `slots`: the owner; a slot is written only while it is outside `head..tail`.
//! - `runnext`: the owner by swap; a thief may only take it out.
//!
//! # Protocol: copy, then claim (Go's `runqget`, `runqput`, `runqgrab`)
//! Take: read `head` (acquire), read `tail`, copy the Gs out of their slots, claim them by moving `head` on. If the claim fails somebody
//! else took them and the copies are worthless; begin again. If it succeeds nobody overwrote the slots in between: the owner
//! reuses a slot only when `head` has passed it, and `head` has not moved.
//! The alternative, claim then copy (tokio's), needs a second head; the copies here are at most 128 words.
//!
//! `head` and `tail` count without end and wrap at 2^32; a ring is never larger than 2^31, so their difference is the length.

use crate::shim::{AtomicU32, AtomicUsize, Ordering};

/// What a queue holds: a pointer, as far as the queue is concerned.
pub(crate) trait Item: Copy {
    /// The word that stands for it, never 0.
    fn into_raw(self) -> usize;
    /// The inverse of [`Item::into_raw`].
    ///
    /// # Safety
    /// `raw` came from [`Item::into_raw`].
    unsafe fn from_raw(raw: usize) -> Self;
    /// Its number, which may change once somebody else owns it.
    fn number(self) -> u64;
}

/// The slots of a ring: a power of two, so that positions wrap onto slots evenly.
#[cfg(not(loom))]
const SLOTS: usize = 256;
#[cfg(loom)]
const SLOTS: usize = 4;

const _: () = assert!(SLOTS.is_power_of_two());

/// What a thief took from a ring.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stolen<T> {
    /// The number of the oldest, read while it was the thief's alone: it may be running elsewhere by now.
    pub(crate) first: u64,
    /// The youngest; the thief's to run.
    pub(crate) last: T,
    /// How many.
    pub(crate) n: u32,
    /// Head position before.
    pub(crate) pos: u32,
    /// Length of the victim's ring before.
    pub(crate) victim_len: u32,
}

/// An item that was in `runnext` at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(usize);

/// A ring and a `runnext`. The verbs marked unsafe are the owner's: the M that holds the P, or the stopper of the world.
pub(crate) struct RunQueue<T> {
    head: AtomicU32,
    tail: AtomicU32,
    runnext: AtomicUsize,
    capacity: u32,
    slots: Box<[AtomicUsize]>,
    items: std::marker::PhantomData<T>,
}

impl<T: Item> RunQueue<T> {
    /// An empty queue whose ring holds at most `capacity` (and never more than its slots).
    pub(crate) fn new(capacity: u32) -> RunQueue<T> {
        RunQueue {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            runnext: AtomicUsize::new(0),
            capacity: capacity.clamp(1, SLOTS as u32),
            slots: (0..SLOTS).map(|_| AtomicUsize::new(0)).collect(),
            items: std::marker::PhantomData,
        }
    }

    fn slot(&self, position: u32) -> &AtomicUsize {
        &self.slots[position as usize % SLOTS]
    }

    fn item(raw: usize) -> T {
        debug_assert_ne!(raw, 0);
        // SAFETY: only `into_raw`'s words are stored in slots and `runnext`, and the callers never pass an empty one.
        unsafe { T::from_raw(raw) }
    }

    /// Puts an item at the tail, or gives it back when the ring is full.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn push_back(&self, item: T) -> Result<(), T> {
        // Acquire pairs with the takers' release: their reads of the slot are over before it is written again.
        let head = self.head.load(Ordering::Acquire);
        // Relaxed: the owner's own word.
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(head) >= self.capacity {
            return Err(item);
        }
        // Relaxed: published by the store of `tail`.
        self.slot(tail).store(item.into_raw(), Ordering::Relaxed);
        // Release pairs with the takers' acquire of `tail`: they see the slot, and the G behind it.
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Puts an item into `runnext`; the one that was there comes back, to go to the tail.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn set_runnext(&self, item: T) -> Option<T> {
        // AcqRel: release publishes the new G to a thief; acquire is for the old one, which may have been read by a thief.
        let old = self.runnext.swap(item.into_raw(), Ordering::AcqRel);
        (old != 0).then(|| Self::item(old))
    }

    /// Takes the item in `runnext`.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn pop_runnext(&self) -> Option<T> {
        self.steal_runnext()
    }

    /// Takes the item at the head, with its position.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn pop_front(&self) -> Option<(T, u32)> {
        loop {
            // Acquire: see `push_back`; the owner competes with thieves here.
            let head = self.head.load(Ordering::Acquire);
            // Relaxed: the owner's own word.
            if self.tail.load(Ordering::Relaxed) == head {
                return None;
            }
            let raw = self.slot(head).load(Ordering::Relaxed);
            // Release: the read of the slot is over before the owner may write it again.
            let claimed = self.head.compare_exchange(
                head,
                head.wrapping_add(1),
                Ordering::Release,
                Ordering::Relaxed,
            );
            if claimed.is_ok() {
                return Some((Self::item(raw), head));
            }
        }
    }

    /// Takes the `n` oldest (at most all) into `out`; the position before, or `None` if a thief was faster.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn take_oldest(&self, n: u32, out: &mut Vec<T>) -> Option<u32> {
        let head = self.head.load(Ordering::Acquire);
        let n = n.min(self.tail.load(Ordering::Relaxed).wrapping_sub(head));
        if n == 0 {
            return None;
        }
        let start = out.len();
        out.extend(
            (0..n).map(|i| Self::item(self.slot(head.wrapping_add(i)).load(Ordering::Relaxed))),
        );
        // Release: as in `pop_front`.
        match self.head.compare_exchange(
            head,
            head.wrapping_add(n),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => Some(head),
            Err(_) => {
                out.truncate(start);
                None
            }
        }
    }

    /// Takes `amount(length)` items from this ring; all but the last go to the tail of the thief's.
    ///
    /// # Safety
    /// The caller is the owner of `thief`, which is another queue with room for them.
    pub(crate) unsafe fn steal_into(
        &self,
        amount: impl Fn(u32) -> u32,
        thief: &RunQueue<T>,
    ) -> Option<Stolen<T>> {
        // Relaxed: the thief's own word.
        let to = thief.tail.load(Ordering::Relaxed);
        loop {
            // Acquire: orders this read before that of `tail`, so that the difference is never of a newer head and an older tail.
            let head = self.head.load(Ordering::Acquire);
            // Acquire pairs with the owner's release: the slots below `tail` are filled.
            let len = self.tail.load(Ordering::Acquire).wrapping_sub(head);
            if len == 0 {
                return None;
            }
            let n = amount(len).clamp(1, len);
            if n as usize > SLOTS / 2 + SLOTS % 2 || len as usize > SLOTS {
                // `head` moved between the two reads: the length is of no moment.
                continue;
            }
            for i in 0..n {
                let raw = self.slot(head.wrapping_add(i)).load(Ordering::Relaxed);
                // Relaxed: outside the thief's `head..tail`; published below.
                thief.slot(to.wrapping_add(i)).store(raw, Ordering::Relaxed);
            }
            // AcqRel: release as in `pop_front`; acquire orders the publication below after the claim.
            let claimed = self.head.compare_exchange(
                head,
                head.wrapping_add(n),
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if claimed.is_err() {
                continue;
            }
            let first = Self::item(thief.slot(to).load(Ordering::Relaxed)).number();
            let last = Self::item(thief.slot(to.wrapping_add(n - 1)).load(Ordering::Relaxed));
            // Release: as in `push_back`.
            thief.tail.store(to.wrapping_add(n - 1), Ordering::Release);
            return Some(Stolen {
                first,
                last,
                n,
                pos: head,
                victim_len: len,
            });
        }
    }

    /// Takes the item in `runnext`, from any thread.
    pub(crate) fn steal_runnext(&self) -> Option<T> {
        self.steal_seen_runnext(self.see_runnext()?)
    }

    /// What is in `runnext`, as a hint for [`RunQueue::steal_seen_runnext`].
    pub(crate) fn see_runnext(&self) -> Option<Seen> {
        // Relaxed: taking it is decided by the compare-and-swap.
        let next = self.runnext.load(Ordering::Relaxed);
        (next != 0).then_some(Seen(next))
    }

    /// Takes the item in `runnext` if it is still the one that was seen. A thief waits in between; an item that came meanwhile is the
    /// owner's for as long again.
    pub(crate) fn steal_seen_runnext(&self, seen: Seen) -> Option<T> {
        let next = seen.0;
        // Acquire pairs with the release in `set_runnext`. Release is for `is_empty`: who reads the empty slot also sees the G that
        // the owner kicked to the ring before it took this one. No retry: a failure means that somebody else took or changed it.
        let claimed = self
            .runnext
            .compare_exchange(next, 0, Ordering::AcqRel, Ordering::Relaxed);
        claimed.ok().map(Self::item)
    }

    /// The length of the ring at some moment.
    pub(crate) fn len(&self) -> u32 {
        let head = self.head.load(Ordering::Acquire);
        self.tail.load(Ordering::Acquire).wrapping_sub(head)
    }

    /// Whether ring and `runnext` were both empty at one moment; never falsely true.
    ///
    /// *Kicked in between*: the reader finds the ring empty; the owner kicks the G in `runnext` to the ring; the reader finds
    /// `runnext` taken by the new G's thief, that is empty. So `tail` is read again, and if it moved all is.
    pub(crate) fn is_empty(&self) -> bool {
        loop {
            let head = self.head.load(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            let next = self.runnext.load(Ordering::Acquire);
            if tail == self.tail.load(Ordering::Acquire) {
                return head == tail && next == 0;
            }
        }
    }

    /// The head position at some moment.
    pub(crate) fn head(&self) -> u32 {
        self.head.load(Ordering::Acquire)
    }

    /// Head and tail position and the number of the item in `runnext` (0 = none), each at some moment.
    pub(crate) fn snapshot(&self) -> (u32, u32, u64) {
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        let next = self.runnext.load(Ordering::Acquire);
        let number = if next == 0 {
            0
        } else {
            Self::item(next).number()
        };
        (head, tail, number)
    }

    /// The numbers of the item in `runnext` (0 = none) and of those in the ring, the oldest first. Meant for a stopped world: else it is
    /// neither of one moment nor complete.
    pub(crate) fn contents(&self) -> (u64, Vec<u64>) {
        let (head, tail, next) = self.snapshot();
        let ring = (0..tail.wrapping_sub(head))
            // Relaxed: published by `tail`, which was acquired.
            .map(|i| self.slot(head.wrapping_add(i)).load(Ordering::Relaxed))
            .map(|raw| Self::item(raw).number())
            .collect();
        (next, ring)
    }

    /// Whether there is an item in `runnext`, as a hint.
    pub(crate) fn has_runnext(&self) -> bool {
        self.see_runnext().is_some()
    }
}

#[cfg(test)]
#[path = "tests/runq.rs"]
mod tests;
