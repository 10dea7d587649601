//! A heap of timers as data: it knows times and entries, and nothing of Gs or clocks.
//!
//! A 4-ary heap, as in Go: flatter than a binary one, and the four children share a cache line. Entries of the same time come
//! out in the order in which they were added.

/// A min-heap of entries by time.
pub(crate) struct TimerHeap<A> {
    entries: Vec<Entry<A>>,
    added: u64,
}

struct Entry<A> {
    when: u64,
    order: u64,
    action: A,
}

const ARITY: usize = 4;

impl<A> TimerHeap<A> {
    /// An empty heap.
    pub(crate) fn new() -> TimerHeap<A> {
        TimerHeap {
            entries: Vec::new(),
            added: 0,
        }
    }

    /// Entries in the heap.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// When the earliest is due.
    pub(crate) fn next_when(&self) -> Option<u64> {
        self.entries.first().map(|e| e.when)
    }

    /// Adds an entry.
    pub(crate) fn add(&mut self, when: u64, action: A) {
        self.entries.push(Entry {
            when,
            order: self.added,
            action,
        });
        self.added += 1;
        self.up(self.entries.len() - 1);
    }

    /// Takes the earliest entry if it is due at `now`.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(u64, A)> {
        if self.next_when()? > now {
            return None;
        }
        let entry = self.entries.swap_remove(0);
        self.down(0);
        Some((entry.when, entry.action))
    }

    /// Removes all entries that `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&A) -> bool) {
        self.entries.retain(|e| keep(&e.action));
        (0..self.entries.len()).rev().for_each(|i| self.down(i));
    }

    fn before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.entries[a], &self.entries[b]);
        (a.when, a.order) < (b.when, b.order)
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if !self.before(at, parent) {
                return;
            }
            self.entries.swap(at, parent);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let first = at * ARITY + 1;
            let last = (first + ARITY).min(self.entries.len());
            let Some(least) = (first..last).reduce(|a, b| if self.before(b, a) { b } else { a })
            else {
                return;
            };
            if !self.before(least, at) {
                return;
            }
            self.entries.swap(at, least);
            at = least;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(steps in proptest::collection::vec((any::<bool>(), 0u64..50), 0..400)) {
            let (mut heap, mut map) = (TimerHeap::new(), BTreeMap::new());
            for (i, (add, when)) in steps.into_iter().enumerate() {
                if add {
                    heap.add(when, i);
                    map.insert((when, i), ());
                } else {
                    let want = map.first_key_value().map(|(k, ())| *k).filter(|(w, _)| *w <= when);
                    prop_assert_eq!(heap.pop_due(when), want);
                    if let Some(k) = want { map.remove(&k); }
                }
                prop_assert_eq!(heap.next_when(), map.keys().next().map(|(w, _)| *w));
                prop_assert_eq!(heap.len(), map.len());
            }
            heap.retain(|i| i % 2 == 0);
            map.retain(|(_, i), ()| i % 2 == 0);
            for (k, ()) in map {
                prop_assert_eq!(heap.pop_due(u64::MAX), Some(k));
            }
        }
    }
}
