//! What each writer lost, by kind, where it outlives the process: so that recorded and lost together are what was counted.

use std::sync::atomic::Ordering;

use super::blocks::{Block, Kept};
use crate::event::Kind;

/// Where the counts are: word `kind as usize` counts the lost events of that kind.
pub(super) const LOSSES: Kept = Kept {
    name: "losses",
    words: 128,
};

/// The word that no kind has: the time of the writer's first loss, in ticks, with the lowest bit set; 0 if it lost nothing.
const FIRST: usize = 0;

const _: () = {
    let mut i = 0;
    while i < Kind::ALL.len() {
        let number = Kind::ALL[i] as usize;
        assert!(number > FIRST && number < LOSSES.words);
        i += 1;
    }
};

/// What a writer lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// When it lost the first, in ticks.
    pub first_ticks: Option<u64>,
    /// How many of each kind; only kinds that it lost.
    pub by_kind: Vec<(Kind, u64)>,
}

impl Losses {
    /// How many, of all kinds.
    pub fn total(&self) -> u64 {
        let sum = |sum: u64, (_, n): &(Kind, u64)| sum.saturating_add(*n);
        self.by_kind.iter().fold(0, sum)
    }

    /// How many of a kind.
    pub fn of(&self, kind: Kind) -> u64 {
        let found = self.by_kind.iter().find(|(k, _)| *k == kind);
        found.map_or(0, |(_, n)| *n)
    }

    /// From the words of a block.
    pub(super) fn read(word: impl Fn(usize) -> u64) -> Losses {
        let first = word(FIRST);
        Losses {
            first_ticks: (first != 0).then_some(first),
            by_kind: Kind::ALL
                .iter()
                .map(|kind| (*kind, word(*kind as usize)))
                .filter(|(_, n)| *n > 0)
                .collect(),
        }
    }
}

/// Counts an event that its writer lost at `ticks`. One thread may call this for a block.
pub(super) fn count(block: &Block, ticks: u64, kind: Kind) {
    // Relaxed, and no read-modify-write: one writer; a reader wants the values when the process has ended.
    let first = block.word(FIRST);
    if first.load(Ordering::Relaxed) == 0 {
        first.store(ticks | 1, Ordering::Relaxed);
    }
    let count = block.word(kind as usize);
    count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}
