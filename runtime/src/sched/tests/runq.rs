//! The run queue against a simple model, under contention, and (with `--cfg loom`) in every interleaving.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job(usize);

impl Item for Job {
    fn into_raw(self) -> usize {
        self.0
    }
    unsafe fn from_raw(raw: usize) -> Self {
        Job(raw)
    }
    fn number(self) -> u64 {
        self.0 as u64
    }
}

#[cfg(not(loom))]
mod threads {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicBool;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fill_level_is_first_in_first_out() {
        let q = RunQueue::new(256);
        for level in 0..=256usize {
            // SAFETY: one thread owns the queue.
            unsafe {
                (1..=level).for_each(|i| q.push_back(Job(i)).expect("room"));
                assert_eq!(q.len() as usize, level);
                (1..=level).for_each(|i| assert_eq!(q.pop_front().map(|(j, _)| j), Some(Job(i))));
                assert!(q.pop_front().is_none() && q.is_empty());
            }
        }
    }

    #[test]
    fn a_full_ring_gives_the_item_back() {
        let q = RunQueue::new(2);
        // SAFETY: one thread owns the queue.
        unsafe {
            assert!(q.push_back(Job(1)).is_ok() && q.push_back(Job(2)).is_ok());
            assert_eq!(q.push_back(Job(3)), Err(Job(3)));
        }
    }

    #[test]
    fn steal_takes_half_rounded_up_and_keeps_the_order() {
        for level in 1..=256usize {
            let (victim, thief) = (RunQueue::new(256), RunQueue::new(256));
            // SAFETY: one thread owns both queues.
            unsafe {
                (1..=level).for_each(|i| victim.push_back(Job(i)).expect("room"));
                let stolen = victim.steal_into(|n| n - n / 2, &thief).expect("something");
                let n = level - level / 2;
                assert_eq!(
                    (stolen.n as usize, stolen.first, stolen.last),
                    (n, 1, Job(n))
                );
                (1..n).for_each(|i| assert_eq!(thief.pop_front().map(|(j, _)| j), Some(Job(i))));
                (n + 1..=level)
                    .for_each(|i| assert_eq!(victim.pop_front().map(|(j, _)| j), Some(Job(i))));
            }
        }
    }

    #[test]
    fn under_contention_every_item_is_taken_exactly_once() {
        const ITEMS: usize = 100_000;
        let q = RunQueue::new(256);
        let done = AtomicBool::new(false);
        let taken = std::thread::scope(|s| {
            let thieves: Vec<_> = (0..3)
                .map(|_| {
                    s.spawn(|| {
                        let (mine, mut got) = (RunQueue::new(256), Vec::new());
                        loop {
                            let last = done.load(Ordering::Acquire);
                            // SAFETY: this thread owns `mine`.
                            match unsafe { q.steal_into(|n| n - n / 2, &mine) } {
                                Some(stolen) => got.push(stolen.last),
                                None if last => return got,
                                None => got.extend(q.steal_runnext()),
                            }
                            // SAFETY: as above.
                            while let Some((job, _)) = unsafe { mine.pop_front() } {
                                got.push(job);
                            }
                        }
                    })
                })
                .collect();
            let mut got = Vec::new();
            for i in 1..=ITEMS {
                // SAFETY: this thread owns `q`.
                unsafe {
                    let mut next = if i % 3 == 0 {
                        q.set_runnext(Job(i))
                    } else {
                        Some(Job(i))
                    };
                    while let Some(job) = next.take() {
                        if let Err(full) = q.push_back(job) {
                            next = Some(full);
                            let _ = q.take_oldest(128, &mut got);
                        }
                    }
                    if i % 7 == 0 {
                        got.extend(q.pop_front().map(|(j, _)| j));
                    }
                }
            }
            // SAFETY: as above.
            unsafe {
                got.extend(q.pop_runnext());
                while let Some((job, _)) = q.pop_front() {
                    got.push(job);
                }
            }
            done.store(true, Ordering::Release);
            thieves
                .into_iter()
                .for_each(|t| got.extend(t.join().expect("no panic")));
            got
        });
        let mut taken = taken;
        taken.sort_unstable();
        assert!(taken.iter().copied().eq((1..=ITEMS).map(Job)));
    }

    #[derive(Clone, Debug)]
    enum Op {
        Push,
        Next,
        Pop,
        PopNext,
        Spill(u32),
        Steal,
    }

    proptest! {
        #[test]
        fn behaves_like_a_deque_and_a_slot(
            ops in proptest::collection::vec(
                prop_oneof![
                    4 => Just(Op::Push),
                    2 => Just(Op::Next),
                    2 => Just(Op::Pop),
                    1 => Just(Op::PopNext),
                    1 => (1u32..300).prop_map(Op::Spill),
                    1 => Just(Op::Steal),
                ],
                0..600,
            ),
            capacity in 1u32..=256,
        ) {
            let (q, thief) = (RunQueue::new(capacity), RunQueue::new(256));
            let (mut ring, mut next, mut id, mut head) = (VecDeque::new(), None, 0, 0u32);
            for op in ops {
                // SAFETY: one thread owns both queues.
                unsafe {
                    match op {
                        Op::Push => {
                            id += 1;
                            let fits = ring.len() < capacity as usize;
                            prop_assert_eq!(q.push_back(Job(id)).is_ok(), fits);
                            if fits { ring.push_back(Job(id)) }
                        }
                        Op::Next => {
                            id += 1;
                            prop_assert_eq!(q.set_runnext(Job(id)), next.replace(Job(id)));
                        }
                        Op::Pop => {
                            let want = ring.pop_front().map(|j| (j, head));
                            head += u32::from(want.is_some());
                            prop_assert_eq!(q.pop_front(), want);
                        }
                        Op::PopNext => prop_assert_eq!(q.pop_runnext(), next.take()),
                        Op::Spill(n) => {
                            let n = (n as usize).min(ring.len());
                            let mut out = Vec::new();
                            let got = q.take_oldest(n as u32, &mut out);
                            prop_assert_eq!(got, (n > 0).then_some(head));
                            prop_assert!(out.into_iter().eq(ring.drain(..n)));
                            head += n as u32;
                        }
                        Op::Steal => {
                            let len = ring.len() as u32;
                            let stolen = q.steal_into(|n| n - n / 2, &thief);
                            let n = len - len / 2;
                            prop_assert_eq!(stolen.map(|s| (s.n, s.pos, s.victim_len)), (n > 0).then_some((n, head, len)));
                            let want: Vec<_> = ring.drain(..n as usize).collect();
                            let mut got = Vec::new();
                            while let Some((j, _)) = thief.pop_front() { got.push(j) }
                            got.extend(stolen.map(|s| s.last));
                            prop_assert_eq!(got, want);
                            head += n;
                        }
                    }
                }
                prop_assert_eq!(q.len() as usize, ring.len());
                prop_assert_eq!(q.is_empty(), ring.is_empty() && next.is_none());
            }
        }
    }
}

#[cfg(loom)]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_owner_and_thief_never_take_the_same_item() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            let theirs = Arc::clone(&q);
            let thief = thread::spawn(move || {
                let mine = RunQueue::new(4);
                let mut got = Vec::new();
                // SAFETY: this thread owns `mine`.
                unsafe {
                    got.extend(theirs.steal_into(|n| n - n / 2, &mine).map(|s| s.last));
                    while let Some((j, _)) = mine.pop_front() {
                        got.push(j);
                    }
                }
                got
            });
            let mut got = Vec::new();
            // SAFETY: this thread owns `q`.
            unsafe {
                (1..=3).for_each(|i| assert!(q.push_back(Job(i)).is_ok()));
                got.extend(q.pop_front().map(|(j, _)| j));
            }
            got.extend(thief.join().expect("no panic"));
            // SAFETY: as above.
            while let Some((j, _)) = unsafe { q.pop_front() } {
                got.push(j);
            }
            got.sort_unstable();
            assert_eq!(got, [Job(1), Job(2), Job(3)]);
        });
    }

    #[test]
    fn loom_a_queue_in_use_is_never_reported_empty_while_runnext_is_kicked() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { assert!(q.set_runnext(Job(1)).is_none()) };
            let theirs = Arc::clone(&q);
            let reader = thread::spawn(move || theirs.is_empty());
            // SAFETY: as above.
            unsafe {
                let kicked = q.set_runnext(Job(2)).expect("nobody steals here");
                assert!(q.push_back(kicked).is_ok());
                q.pop_runnext();
            }
            assert!(!reader.join().expect("no panic"));
        });
    }

    /// What a thief gets out of a queue: the last of what it stole, and the rest out of its own ring.
    fn steal_all(from: &RunQueue<Job>) -> Vec<Job> {
        let mine = RunQueue::new(4);
        let mut got = Vec::new();
        // SAFETY: this thread owns `mine`.
        unsafe {
            got.extend(from.steal_into(|n| n - n / 2, &mine).map(|s| s.last));
            while let Some((j, _)) = mine.pop_front() {
                got.push(j);
            }
        }
        got
    }

    fn rest(q: &RunQueue<Job>, mut got: Vec<Job>) -> Vec<Job> {
        // SAFETY: the thread that made the queue calls this, after the thieves have ended.
        unsafe {
            got.extend(q.pop_runnext());
            while let Some((j, _)) = q.pop_front() {
                got.push(j);
            }
        }
        got.sort_unstable();
        got
    }

    #[test]
    fn loom_two_thieves_never_take_the_same_item() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { (1..=2).for_each(|i| assert!(q.push_back(Job(i)).is_ok())) };
            let (a, b) = (Arc::clone(&q), Arc::clone(&q));
            let first = thread::spawn(move || steal_all(&a));
            let second = thread::spawn(move || steal_all(&b));
            let mut got = first.join().expect("no panic");
            got.extend(second.join().expect("no panic"));
            assert_eq!(rest(&q, got), [Job(1), Job(2)]);
        });
    }

    /// The ring is full: the owner takes the oldest half out for the global queue while a thief takes half.
    #[test]
    fn loom_an_overflow_and_a_steal_never_take_the_same_item() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { (1..=4).for_each(|i| assert!(q.push_back(Job(i)).is_ok())) };
            let theirs = Arc::clone(&q);
            let thief = thread::spawn(move || steal_all(&theirs));
            let mut got = Vec::new();
            // SAFETY: as above.
            let mut new = unsafe { q.push_back(Job(5)) }.err();
            while let Some(job) = new {
                // SAFETY: as above.
                unsafe {
                    if q.take_oldest(2, &mut got).is_some() {
                        got.push(job);
                        break;
                    }
                    // The thief was faster: there is room now.
                    new = q.push_back(job).err();
                }
            }
            got.extend(thief.join().expect("no panic"));
            assert_eq!(rest(&q, got), [1, 2, 3, 4, 5].map(Job));
        });
    }

    /// The owner puts another G into `runnext` while a thief, which saw the first one there, takes it.
    #[test]
    fn loom_a_runnext_is_stolen_or_kicked_and_never_both() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { assert!(q.set_runnext(Job(1)).is_none()) };
            let theirs = Arc::clone(&q);
            let thief = thread::spawn(move || {
                let seen = theirs.see_runnext()?;
                theirs.steal_seen_runnext(seen)
            });
            // SAFETY: as above.
            unsafe {
                if let Some(kicked) = q.set_runnext(Job(2)) {
                    assert!(q.push_back(kicked).is_ok());
                }
            }
            let got: Vec<_> = thief.join().expect("no panic").into_iter().collect();
            assert_eq!(rest(&q, got), [Job(1), Job(2)]);
        });
    }
}
