//! Which number the trace has for a place in the source.
//!
//! The spool's table is behind a lock; each thread remembers the places it has seen by the address of their
//! `Location`, in a small direct-mapped cache, so that a spawn in a loop costs one comparison.

use std::panic::Location;

use gmp_trace::ids::SiteId;
use gmp_trace::spool::writer::Spool;

/// Entries of the cache: more than the spawn sites that a loop alternates between.
const ENTRIES: usize = 64;

/// One thread's memory of places in the source.
pub(super) struct SiteCache {
    entries: [(usize, SiteId); ENTRIES],
}

impl SiteCache {
    /// An empty one.
    pub(super) fn new() -> SiteCache {
        SiteCache {
            entries: [(0, SiteId(0)); ENTRIES],
        }
    }

    /// The number of a place; asks the spool when this thread sees it for the first time.
    pub(super) fn get(&mut self, location: &'static Location<'static>, spool: &Spool) -> SiteId {
        let address = std::ptr::from_ref(location) as usize;
        let entry = &mut self.entries[(address / align_of::<Location<'_>>()) % ENTRIES];
        if entry.0 != address {
            *entry = (
                address,
                spool.site(location.file(), location.line(), location.column()),
            );
        }
        entry.1
    }
}
