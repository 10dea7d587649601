//! Which number the trace has for a thing that never moves: a place in the source, the name of a span.
//!
//! The spool's tables are behind a lock; each thread remembers what it has seen by its address, in a small direct-mapped cache, so that a
//! spawn in a loop costs one comparison.

/// Entries of the cache: more than the places that a loop alternates between.
const ENTRIES: usize = 64;

/// One thread's memory of numbers.
pub(super) struct AddressCache<T> {
    entries: [(usize, T); ENTRIES],
}

impl<T: Copy + Default> AddressCache<T> {
    /// An empty one.
    pub(super) fn new() -> AddressCache<T> {
        AddressCache {
            entries: [(0, T::default()); ENTRIES],
        }
    }

    /// The number of a thing; asks for it when this thread sees it for the first time.
    pub(super) fn get<K: ?Sized>(&mut self, thing: &'static K, ask: impl FnOnce() -> T) -> T {
        let address = std::ptr::from_ref(thing).cast::<u8>() as usize;
        let entry = &mut self.entries[(address / align_of::<usize>()) % ENTRIES];
        if entry.0 != address {
            *entry = (address, ask());
        }
        entry.1
    }
}
