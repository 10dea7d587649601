//! The recorder's side of the words that writers look at: that it lives, that it works, and what it has read.
//!
//! Everything else that a recorder does with a spool is reading ([`super::reader`]).

use std::path::Path;
use std::sync::atomic::Ordering;

use super::layout::{CHUNK, CONTROL, TABLE, control as words, table};
use super::map::Map;
use super::{SpoolError, control, protocol};
use crate::clock;

/// A chunk that a recorder has read to its end. Made by [`super::cursor::Cursor::take_finished`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FinishedChunk {
    pub(super) segment: u32,
    pub(super) index: u32,
}

impl FinishedChunk {
    /// The bytes that it takes in the spool.
    pub const BYTES: usize = CHUNK;
}

/// A recorder's hold on the spool of a living process.
#[derive(Debug)]
pub struct Attachment {
    control: Map,
    table: Map,
}

impl Attachment {
    /// Says to the writers of the process whose folder this is that the calling process records them.
    ///
    /// # Errors
    /// Which file cannot be opened, or is not what it should be.
    pub fn new(dir: &Path) -> Result<Attachment, SpoolError> {
        let attachment = Attachment {
            control: Map::open(&dir.join("control"), CONTROL)?,
            table: Map::open(&dir.join("segments"), TABLE)?,
        };
        name_recorder(&attachment.control, std::process::id());
        attachment.beat();
        Ok(attachment)
    }

    /// Says that the recorder works. To be called at least each second: writers that wait for room take a recorder that is silent for one
    /// that was stopped and will go on, and one that is not silent and gives nothing back for one that waits for them.
    pub fn beat(&self) {
        let now = clock::kernel_ns(libc::CLOCK_MONOTONIC);
        // Relaxed: a time.
        self.control
            .word(words::HEARTBEAT)
            .store(now, Ordering::Relaxed);
    }

    /// Lets the writers use chunks again. What was in them must be safe: it can be read no more.
    pub fn give_back(&self, chunks: &[FinishedChunk]) {
        for chunk in chunks {
            let (part, bit) = (chunk.index as usize / 64, chunk.index % 64);
            let word = chunk.segment as usize * table::WORDS + table::FREE + part;
            protocol::give_back(self.table.word(word), bit);
        }
        // Release: a writer that sees the count sees the bits.
        self.control
            .word(words::FREED)
            .fetch_add(chunks.len() as u64, Ordering::Release);
    }
}

/// Says to the writers of the process whose folder this is that nobody records any more: from now on they do not wait for room.
///
/// # Errors
/// Which file cannot be opened, or is not what it should be.
pub fn release(dir: &Path) -> Result<(), SpoolError> {
    let control = Map::open(&dir.join("control"), CONTROL)?;
    // Relaxed: a number on its own; a writer that waits looks again soon.
    control.word(words::RECORDER).store(0, Ordering::Relaxed);
    Ok(())
}

/// Writes down who records.
pub(super) fn name_recorder(map: &Map, pid: u32) {
    // Relaxed: a writer that sees one word without the other takes the recorder for dead for a moment, and loses what does not fit then;
    // both are written before anything can be full.
    map.word(words::RECORDER_STARTED)
        .store(control::start_of(pid).unwrap_or(0), Ordering::Relaxed);
    map.word(words::RECORDER)
        .store(u64::from(pid), Ordering::Relaxed);
}
