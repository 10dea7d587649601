//! The life of a chunk, as the processes on both sides of the mapping see it. All orderings of it are here.
//!
//! # Shared words and who writes them
//! - The header of a chunk: its writer; the magic also by the supply, which takes it away before the chunk is used again.
//! - The bit of a chunk in the table of segments: set by the recorder, cleared by the supply.
//!
//! # Protocol
//! 1. Hand out: the writer fills the header and stores the magic last ([`hand_out`]).
//! 2. Publish: the writer stores records behind the published length, then the new length ([`publish`]); at last it says that the
//!    chunk is closed ([`close`]).
//! 3. Read: a chunk is there if its bit is clear and its magic is there ([`is_there`]); its records are those below the published length
//!    ([`published`]).
//! 4. Give back: when it has read a closed chunk to its end, the recorder sets the bit ([`give_back`]) and does not look at it again
//!    until it is there anew.
//! 5. Use again: the supply takes the magic away, then clears the bit ([`reclaim`]); then as from 1.
//!
//! # Why no old record shows under a new header
//! A reader that finds the bit clear after a 4 has acquired the clearing store, which comes after the magic was taken away: so it finds no
//! magic, or the new one, and with the new one, which it acquires, the new header with nothing published. And the writer's first
//! store into the chunk comes after the recorder's last read of it, because the supply acquired the bit. A process that dies between two of these
//! steps leaves the state between them, in which the chunk is not there.
//!
//! Tried and rejected: a generation number in each record or header. It would cost bytes in every chunk and say no more than the magic.

use super::layout::{CHUNK_MAGIC, chunk};
use crate::shim::{AtomicU64, Ordering};

/// The header of a chunk, wherever it is mapped.
pub(crate) trait Header {
    /// A word of it, by its index in [`chunk`].
    fn word(&self, index: usize) -> &AtomicU64;
}

/// The writer begins a chunk that it was given: `fields` are all words of its header but the magic.
pub(crate) fn hand_out(header: &impl Header, fields: &[(usize, u64)]) {
    for (index, value) in fields {
        // Relaxed: published by the magic.
        header.word(*index).store(*value, Ordering::Relaxed);
    }
    // Release pairs with the acquire in `is_there`: who sees the magic sees the header.
    header
        .word(chunk::MAGIC)
        .store(CHUNK_MAGIC, Ordering::Release);
}

/// The writer has stored whole records up to this length.
#[inline(always)]
pub(crate) fn publish(header: &impl Header, bytes: u64) {
    // Release pairs with the acquire in `published`: who sees the length sees the records. One plain store on x86; no read-modify-write,
    // because only the writer changes this word.
    header
        .word(chunk::PUBLISHED)
        .store(bytes, Ordering::Release);
}

/// The writer stores nothing more into the chunk: [`chunk::CLOSED`], with [`chunk::ENDED`] if nothing more comes from it at all.
pub(crate) fn close(header: &impl Header, how: u64) {
    let published = header.word(chunk::PUBLISHED);
    // Relaxed load: the writer's own word. Release as in `publish`.
    published.store(published.load(Ordering::Relaxed) | how, Ordering::Release);
}

/// What is published: the length in the lower half, what [`close`] said in the upper.
#[inline(always)]
pub(crate) fn published(header: &impl Header) -> u64 {
    // Acquire pairs with the release in `publish` and `close`.
    header.word(chunk::PUBLISHED).load(Ordering::Acquire)
}

/// Whether a chunk holds records that were not given back; `free` holds its bit.
pub(crate) fn is_there(header: &impl Header, free: &AtomicU64, bit: u32) -> bool {
    // Acquire pairs with the release in `reclaim`: if the bit was cleared again, the old magic is gone. It must be read first.
    let is_free = free.load(Ordering::Acquire) >> bit & 1 == 1;
    // Acquire pairs with the release in `hand_out`.
    !is_free && header.word(chunk::MAGIC).load(Ordering::Acquire) == CHUNK_MAGIC
}

/// The recorder will not look at the chunk again.
pub(crate) fn give_back(free: &AtomicU64, bit: u32) {
    // Release pairs with the acquire in `find_free`: the recorder's reads of the chunk are over. A read-modify-write, because the supply
    // clears bits of the same word.
    free.fetch_or(1 << bit, Ordering::Release);
}

/// The first chunk of a word of bits that was given back.
pub(crate) fn find_free(free: &AtomicU64) -> Option<u32> {
    // Acquire pairs with the release in `give_back`.
    let bits = free.load(Ordering::Acquire);
    (bits != 0).then(|| bits.trailing_zeros())
}

/// The supply, under its lock, takes a chunk that was given back for another writer.
pub(crate) fn reclaim(header: &impl Header, free: &AtomicU64, bit: u32) {
    // Relaxed: the release of the bit follows.
    header.word(chunk::MAGIC).store(0, Ordering::Relaxed);
    // Release pairs with the acquire in `is_there`: who sees the bit clear finds no magic, or a new one.
    free.fetch_and(!(1 << bit), Ordering::Release);
}

#[cfg(all(test, loom))]
mod models {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// A chunk with room for two records of one byte.
    struct Chunk {
        header: Vec<AtomicU64>,
        free: AtomicU64,
        records: [UnsafeCell<u64>; 2],
    }

    impl Header for Chunk {
        fn word(&self, index: usize) -> &AtomicU64 {
            &self.header[index]
        }
    }

    impl Chunk {
        fn new() -> Arc<Chunk> {
            Arc::new(Chunk {
                header: (0..8).map(|_| AtomicU64::new(0)).collect(),
                free: AtomicU64::new(0),
                records: [UnsafeCell::new(0), UnsafeCell::new(0)],
            })
        }

        /// A writer's work: a header that says `number`, and records that are `number * 10` and one more.
        fn write(&self, number: u64) {
            let fields = [(chunk::NUMBER, number), (chunk::PUBLISHED, 0)];
            hand_out(self, &fields);
            for (i, record) in self.records.iter().enumerate() {
                // SAFETY: the model checker proves that nobody else reads or writes it now; that is the point.
                record.with_mut(|r| unsafe { *r = number * 10 + i as u64 });
                publish(self, i as u64 + 1);
            }
            close(self, chunk::CLOSED);
        }

        /// What a reader finds: the number of the chunk, and its published records, which are checked; `None` if it is not there.
        fn read(&self) -> Option<(u64, u64)> {
            if !is_there(self, &self.free, 3) {
                return None;
            }
            // Relaxed: published by the magic.
            let number = self.word(chunk::NUMBER).load(Ordering::Relaxed);
            let word = published(self);
            for i in 0..word as u32 as u64 {
                // SAFETY: as in `write`.
                let record = self.records[i as usize].with(|r| unsafe { *r });
                assert_eq!(record, number * 10 + i, "a record of another life");
            }
            Some((number, word))
        }
    }

    #[test]
    fn loom_a_published_record_is_whole() {
        loom::model(|| {
            let chunk = Chunk::new();
            let theirs = Arc::clone(&chunk);
            let writer = thread::spawn(move || theirs.write(1));
            if let Some((number, _)) = chunk.read() {
                assert_eq!(number, 1);
            }
            writer.join().expect("no panic");
            assert_eq!(chunk.read(), Some((1, 2 | chunk::CLOSED)));
        });
    }

    /// The recorder reads, gives back and looks again while the supply hands the chunk to another writer.
    #[test]
    fn loom_no_old_record_shows_in_a_chunk_that_is_used_again() {
        loom::model(|| {
            let chunk = Chunk::new();
            chunk.write(1);
            let theirs = Arc::clone(&chunk);
            let writers = thread::spawn(move || {
                let bit = loop {
                    match find_free(&theirs.free) {
                        Some(bit) => break bit,
                        None => thread::yield_now(),
                    }
                };
                reclaim(&*theirs, &theirs.free, bit);
                theirs.write(2);
            });
            assert_eq!(chunk.read(), Some((1, 2 | chunk::CLOSED)));
            give_back(&chunk.free, 3);
            let (number, _) = loop {
                match chunk.read() {
                    Some(found) => break found,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(number, 2);
            writers.join().expect("no panic");
        });
    }
}
