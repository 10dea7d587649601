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

    /// What is in it, in no order.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &A> {
        self.entries.iter().map(|e| &e.action)
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

    /// The earliest entry.
    pub(crate) fn first(&self) -> Option<(u64, &A)> {
        self.entries.first().map(|e| (e.when, &e.action))
    }

    /// Takes the earliest entry.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, A)> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.entries.swap_remove(0);
        self.down(0);
        Some((entry.when, entry.action))
    }

    /// Moves the earliest entry to another time. At that time it comes after those that are there.
    pub(crate) fn move_first(&mut self, when: u64) {
        if let Some(first) = self.entries.first_mut() {
            first.when = when;
            first.order = self.added;
            self.added += 1;
            self.down(0);
        }
    }

    /// Looks at all entries: `keep` may change an entry's time, and says whether it stays; what does not is given to `out`.
    pub(crate) fn revise(
        &mut self,
        mut keep: impl FnMut(&mut u64, &A) -> bool,
        out: impl FnMut(A),
    ) {
        self.entries
            .extract_if(.., |e| !keep(&mut e.when, &e.action))
            .map(|e| e.action)
            .for_each(out);
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
        fn behaves_like_a_sorted_map(steps in proptest::collection::vec((0..3u8, 0u64..50), 0..400)) {
            let (mut heap, mut map) = (TimerHeap::new(), BTreeMap::new());
            let mut order = 0;
            for (i, (step, when)) in steps.into_iter().enumerate() {
                let first = map.first_key_value().map(|((w, o), i)| (*w, *o, *i));
                match step {
                    0 => {
                        heap.add(when, i);
                        map.insert((when, order), i);
                        order += 1;
                    }
                    1 => {
                        prop_assert_eq!(heap.pop_first(), first.map(|(w, _, i)| (w, i)));
                        if let Some((w, o, _)) = first { map.remove(&(w, o)); }
                    }
                    _ => {
                        heap.move_first(when);
                        if let Some((w, o, i)) = first {
                            map.remove(&(w, o));
                            map.insert((when, order), i);
                            order += 1;
                        }
                    }
                }
                prop_assert_eq!(heap.first(), map.iter().next().map(|((w, _), i)| (*w, i)));
                prop_assert_eq!((heap.next_when(), heap.len()), (map.keys().next().map(|(w, _)| *w), map.len()));
            }
            // Those of an odd number go, the others come 7 later or earlier.
            let change = |when: &mut u64, i: &usize| {
                *when = if i.is_multiple_of(4) { *when + 7 } else { when.saturating_sub(7) };
                i.is_multiple_of(2)
            };
            let mut gone = Vec::new();
            heap.revise(change, |i| gone.push(i));
            let (mut left, mut others) = (BTreeMap::new(), Vec::new());
            for ((mut when, order), i) in map {
                if change(&mut when, &i) {
                    left.insert((when, order), i);
                } else {
                    others.push(i);
                }
            }
            gone.sort_unstable();
            others.sort_unstable();
            prop_assert_eq!(gone, others);
            for ((when, _), i) in left {
                prop_assert_eq!(heap.pop_first(), Some((when, i)));
            }
            prop_assert_eq!(heap.pop_first(), None);
        }
    }
}
