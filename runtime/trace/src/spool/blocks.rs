//! Words that each writer has for itself, in files that outlive the process: a block for each writer, by its number.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use super::map::Map;
use crate::ids::WriterId;

/// Blocks in one file.
pub(super) const BLOCKS: usize = 128;

/// What is kept in blocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The beginning of the files' names.
    pub(super) name: &'static str,
    /// Words of a block.
    pub(super) words: usize,
}

impl Kept {
    /// The file that holds a writer's block, and the first word of the block in it.
    pub(super) fn place(self, writer: WriterId) -> (String, usize) {
        let (file, block) = (writer.0 as usize / BLOCKS, writer.0 as usize % BLOCKS);
        (format!("{}-{file:04}", self.name), block * self.words)
    }
}

/// The files of a process. They are never unmapped: the blocks are handed out for ever.
#[derive(Debug)]
pub(super) struct Blocks {
    kept: Kept,
    files: Mutex<Vec<&'static Map>>,
}

impl Blocks {
    /// No file yet.
    pub(super) fn new(kept: Kept) -> Blocks {
        Blocks {
            kept,
            files: Mutex::default(),
        }
    }

    /// The block of a writer; none if there is no room for it.
    pub(super) fn block(&self, dir: &Path, writer: WriterId) -> Option<Block> {
        let (_, first) = self.kept.place(writer);
        let file = writer.0 as usize / BLOCKS;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        while files.len() <= file {
            let name = self.kept.place(WriterId((files.len() * BLOCKS) as u32)).0;
            let map = Map::create(&dir.join(name), BLOCKS * self.kept.words * 8).ok()?;
            files.push(Box::leak(Box::new(map)));
        }
        Some(Block {
            map: files[file],
            first,
        })
    }
}

/// The words of one writer. Only it writes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    map: &'static Map,
    first: usize,
}

impl Block {
    /// One of them.
    pub(super) fn word(&self, index: usize) -> &'static AtomicU64 {
        self.map.word(self.first + index)
    }
}
