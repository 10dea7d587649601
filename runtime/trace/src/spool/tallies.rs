//! The runtime's own counters in the spool: a block for each writer, in files of their own.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::blocks::{Blocks, Kept};
use crate::ids::WriterId;
use crate::tally::{SLOTS, Tally};

/// Where the blocks of counters are.
pub(super) const TALLIES: Kept = Kept {
    name: "tallies",
    words: SLOTS,
};

/// The block of a writer; in memory that nobody reads if there is no room for it.
pub(super) fn block(tallies: &Blocks, dir: &Path, writer: WriterId) -> TallyBlock {
    match tallies.block(dir, writer) {
        Some(block) => TallyBlock {
            slots: std::ptr::from_ref(block.word(0)),
        },
        // Counted all the same, only not where the recorder can see it.
        None => TallyBlock::in_memory(),
    }
}

/// One thread's counters: a plain load, add and store by that thread; readable by all.
#[derive(Clone, Copy, Debug)]
pub struct TallyBlock {
    slots: *const AtomicU64,
}

// SAFETY: it points to `SLOTS` atomics that live for ever.
unsafe impl Send for TallyBlock {}
// SAFETY: as above.
unsafe impl Sync for TallyBlock {}

impl TallyBlock {
    /// Counters that no recorder sees. Their memory is never given back.
    pub fn in_memory() -> TallyBlock {
        let slots: &'static [AtomicU64; SLOTS] =
            Box::leak(Box::new([const { AtomicU64::new(0) }; SLOTS]));
        TallyBlock {
            slots: slots.as_ptr(),
        }
    }

    /// Adds to a counter. One thread may call this.
    #[inline(always)]
    pub fn add(&self, tally: Tally, n: u64) {
        let slot = self.slot(tally);
        // Relaxed, and no read-modify-write: one writer; readers want a value, not an order.
        slot.store(slot.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    /// The value of a counter at some moment.
    pub fn get(&self, tally: Tally) -> u64 {
        self.slot(tally).load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn slot(&self, tally: Tally) -> &AtomicU64 {
        // SAFETY: there are SLOTS of them, more than there are counters.
        unsafe { &*self.slots.add(tally as usize) }
    }
}
