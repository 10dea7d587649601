//! The runtime's own counters in the spool: a block for each writer, in files of their own.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::map::Map;
use crate::ids::WriterId;
use crate::tally::{SLOTS, Tally};

/// Blocks of counters in one file.
pub(super) const BLOCKS: usize = 128;

/// The file that holds a writer's block, and the first word of the block in it.
pub(super) fn place(writer: WriterId) -> (String, usize) {
    let (file, block) = (writer.0 as usize / BLOCKS, writer.0 as usize % BLOCKS);
    (format!("tallies-{file:04}"), block * SLOTS)
}

/// The files of a process. They are never unmapped: the blocks are handed out for ever.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    files: Mutex<Vec<&'static Map>>,
}

impl Tallies {
    /// The block of a writer; in memory that nobody reads if there is no room for it.
    pub(super) fn block(&self, dir: &Path, writer: WriterId) -> TallyBlock {
        let (_, first) = place(writer);
        let file = writer.0 as usize / BLOCKS;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        while files.len() <= file {
            let name = place(WriterId((files.len() * BLOCKS) as u32)).0;
            match Map::create(&dir.join(name), BLOCKS * SLOTS * 8) {
                Ok(map) => files.push(Box::leak(Box::new(map))),
                // Counted all the same, only not where the recorder can see it.
                Err(_) => return TallyBlock::in_memory(),
            }
        }
        TallyBlock {
            slots: std::ptr::from_ref(files[file].word(first)),
        }
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
