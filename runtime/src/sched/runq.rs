//! A P's run queue: a ring of runnable Gs and the `runnext` slot. One owner puts and takes, any thief takes.
//!
//! # Shared words and who writes them
//! - `tail`: the owner, with a release store after it filled a slot; one less while it takes the youngest.
//! - `head`: whoever takes, by compare-and-swap: the owner one by one, a thief several at once, the owner again when it spills. Two numbers in
//!   one word: the position of the oldest, and how many were ever taken from the other end, the youngest's.
//! - `slots`: the owner; a slot is written only while it is outside `head..tail`.
//! - `runnext`: the owner by swap; a thief may only take it out.
//!
//! # Protocol: copy, then claim (Go's `runqget`, `runqput`, `runqgrab`)
//! Take: read `head` (acquire), read `tail`, copy the Gs out of their slots, claim them by moving `head` on. If the claim fails somebody
//! else took them and the copies are worthless; begin again. If it succeeds nobody overwrote the slots in between: the owner
//! reuses a slot only when `head` has passed it, and `head` has not moved.
//! The alternative, claim then copy (tokio's), needs a second head; the copies here are at most 128 words.
//!
//! # The youngest first
//! [`RunQueue::pop_back`] is for the policy `local_order=lifo`. (1) Copy the youngest and lower `tail` below it. (2) Claim it by
//! adding one to the second number in `head`. A thief that looked before (1) may have the youngest among its copies; if its claim comes first,
//! (2) fails, and the owner sees by the position whether that thief took all: then it puts `tail` back. If (2) comes first, every claim
//! that was begun before it fails, also when `tail` has risen again and the slot holds another G meanwhile, because the number differs.
//! Who reads the new `head` (acquire) also sees the lowered `tail`.
//! Chase and Lev's deque takes the youngest without a claim unless it is the last. That is right for thieves that take one at a time: one that takes
//! half would take what the owner has already run.
//!
//! # Numbers in the trace
//! Every take, from either end, moves `head`, and the sum of its two numbers counts all that were ever taken. That is the position which
//! events carry: it orders the takes of a ring. In a ring of Go's order it is the position of the oldest.
//!
//! Positions count without end and wrap at 2^32; a ring is never larger than 2^31, so the difference of tail and head is the length.

use crate::shim::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

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
    /// How many were ever taken from the victim's ring before.
    pub(crate) pos: u32,
    /// Length of the victim's ring before.
    pub(crate) victim_len: u32,
}

/// What is in the word `head`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    /// The position of the oldest item: the low half.
    at: u32,
    /// How many were ever taken as the youngest: the high half.
    back: u32,
}

impl Head {
    fn of(word: u64) -> Head {
        Head {
            at: word as u32,
            back: (word >> 32) as u32,
        }
    }

    fn word(self) -> u64 {
        u64::from(self.back) << 32 | u64::from(self.at)
    }

    /// After `n` were taken as the oldest.
    fn without_oldest(self, n: u32) -> Head {
        Head {
            at: self.at.wrapping_add(n),
            ..self
        }
    }

    /// After one was taken as the youngest.
    fn without_youngest(self) -> Head {
        Head {
            back: self.back.wrapping_add(1),
            ..self
        }
    }

    /// How many were ever taken.
    fn taken(self) -> u32 {
        self.at.wrapping_add(self.back)
    }
}
/// An item that was in `runnext` at some moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen(usize);

/// A ring and a `runnext`. The verbs marked unsafe are the owner's: the M that holds the P, or the stopper of the world.
pub(crate) struct RunQueue<T> {
    head: AtomicU64,
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
            head: AtomicU64::new(0),
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

    fn head(&self, order: Ordering) -> Head {
        Head::of(self.head.load(order))
    }

    /// Moves `head` on if it is still what it was.
    fn claim(&self, from: Head, to: Head, order: Ordering) -> bool {
        self.head
            .compare_exchange(from.word(), to.word(), order, Ordering::Relaxed)
            .is_ok()
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
        let head = self.head(Ordering::Acquire);
        // Relaxed: the owner's own word.
        let tail = self.tail.load(Ordering::Relaxed);
        if tail.wrapping_sub(head.at) >= self.capacity {
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

    /// Takes the oldest item; with it, how many were ever taken from the ring before.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn pop_front(&self) -> Option<(T, u32)> {
        loop {
            // Acquire: see `push_back`; the owner competes with thieves here.
            let head = self.head(Ordering::Acquire);
            // Relaxed: the owner's own word.
            if self.tail.load(Ordering::Relaxed) == head.at {
                return None;
            }
            let raw = self.slot(head.at).load(Ordering::Relaxed);
            // Release: the read of the slot is over before the owner may write it again.
            if self.claim(head, head.without_oldest(1), Ordering::Release) {
                return Some((Self::item(raw), head.taken()));
            }
        }
    }

    /// Takes the youngest item; with it, how many were ever taken from the ring before. The owner has just found `runnext` empty, else
    /// [`RunQueue::is_empty`] could be wrong.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn pop_back(&self) -> Option<(T, u32)> {
        // Relaxed: the owner's own word.
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire: see `push_back`; here, too, the owner competes with thieves.
        if self.head(Ordering::Acquire).at == tail {
            return None;
        }
        let last = tail.wrapping_sub(1);
        let raw = self.slot(last).load(Ordering::Relaxed);
        // Release: as in `push_back`, for who reads this smaller value. It comes before the claim, whose release publishes it.
        self.tail.store(last, Ordering::Release);
        loop {
            let head = self.head(Ordering::Acquire);
            if head.at == tail {
                // A thief that looked before took all of it. Release: as in `push_back`.
                self.tail.store(tail, Ordering::Release);
                return None;
            }
            // Release pairs with the thieves' acquire of `head`: from here on they see the smaller tail.
            if self.claim(head, head.without_youngest(), Ordering::Release) {
                return Some((Self::item(raw), head.taken()));
            }
        }
    }

    /// Takes the `n` oldest (at most all) into `out`; how many were ever taken before, or `None` if a thief was faster.
    ///
    /// # Safety
    /// The caller is the owner.
    pub(crate) unsafe fn take_oldest(&self, n: u32, out: &mut Vec<T>) -> Option<u32> {
        let head = self.head(Ordering::Acquire);
        let n = n.min(self.tail.load(Ordering::Relaxed).wrapping_sub(head.at));
        if n == 0 {
            return None;
        }
        let start = out.len();
        out.extend(
            (0..n).map(|i| Self::item(self.slot(head.at.wrapping_add(i)).load(Ordering::Relaxed))),
        );
        // Release: as in `pop_front`.
        if self.claim(head, head.without_oldest(n), Ordering::Release) {
            Some(head.taken())
        } else {
            out.truncate(start);
            None
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
            let head = self.head(Ordering::Acquire);
            // Acquire pairs with the owner's release: the slots below `tail` are filled.
            let len = self.tail.load(Ordering::Acquire).wrapping_sub(head.at);
            if len == 0 {
                return None;
            }
            if len as usize > SLOTS {
                // `head` moved between the two reads, or `tail` is low for the youngest that another thief took: no length of any moment.
                crate::shim::spin_loop();
                continue;
            }
            // The thief's ring has room for that many: it was empty, or nearly.
            let n = amount(len).clamp(1, len.min(SLOTS as u32 / 2));
            for i in 0..n {
                let raw = self.slot(head.at.wrapping_add(i)).load(Ordering::Relaxed);
                // Relaxed: outside the thief's `head..tail`; published below.
                thief.slot(to.wrapping_add(i)).store(raw, Ordering::Relaxed);
            }
            // AcqRel: release as in `pop_front`; acquire orders the publication below after the claim.
            if !self.claim(head, head.without_oldest(n), Ordering::AcqRel) {
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
                pos: head.taken(),
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

    /// The length of the ring at some moment, as a hint to all but the owner.
    pub(crate) fn len(&self) -> u32 {
        let head = self.head(Ordering::Acquire);
        let len = self.tail.load(Ordering::Acquire).wrapping_sub(head.at);
        // More than there are slots: `tail` is low for the youngest, which a thief took.
        if len as usize > SLOTS { 0 } else { len }
    }

    /// Whether ring and `runnext` were both empty at one moment; never falsely true. (What the owner is just taking out is the owner's
    /// already: it runs it, and looks at the queue again after.)
    ///
    /// *Kicked in between*: the reader finds the ring empty; the owner kicks the G in `runnext` to the ring; the reader finds
    /// `runnext` taken by the new G's thief, that is empty. So `tail` is read again, and if it moved all is.
    /// *Kicked and taken in between*: as before, but the owner also takes the kicked G as the youngest, so `tail` is what it was. Then there was
    /// a moment at which both were empty: the owner takes from the ring only when it found `runnext` empty ([`RunQueue::pop_back`]).
    pub(crate) fn is_empty(&self) -> bool {
        loop {
            let head = self.head(Ordering::Acquire);
            let tail = self.tail.load(Ordering::Acquire);
            let next = self.runnext.load(Ordering::Acquire);
            if tail == self.tail.load(Ordering::Acquire) {
                return head.at == tail && next == 0;
            }
        }
    }

    /// How many were ever taken from the ring, at some moment.
    pub(crate) fn taken(&self) -> u32 {
        self.head(Ordering::Acquire).taken()
    }

    /// How many were ever taken from the ring and put into it, and the number of the item in `runnext` (0 = none), each at some moment.
    pub(crate) fn snapshot(&self) -> (u32, u32, u64) {
        let head = self.head(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        let next = self.runnext.load(Ordering::Acquire);
        let number = if next == 0 {
            0
        } else {
            Self::item(next).number()
        };
        (head.taken(), tail.wrapping_add(head.back), number)
    }

    /// The numbers of the item in `runnext` (0 = none) and of those in the ring, the oldest first. Meant for a stopped world: else it is
    /// neither of one moment nor complete.
    pub(crate) fn contents(&self) -> (u64, Vec<u64>) {
        let (taken, put, next) = self.snapshot();
        let head = self.head(Ordering::Acquire);
        let ring = (0..put.wrapping_sub(taken))
            // Relaxed: published by `tail`, which was acquired.
            .map(|i| self.slot(head.at.wrapping_add(i)).load(Ordering::Relaxed))
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
