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
    fn every_fill_level_is_last_in_first_out_from_the_other_end() {
        let q = RunQueue::new(256);
        for level in 0..=256usize {
            // SAFETY: one thread owns the queue.
            unsafe {
                (1..=level).for_each(|i| q.push_back(Job(i)).expect("room"));
                let taken: Vec<_> = std::iter::from_fn(|| q.pop_back().map(|(j, _)| j.0)).collect();
                assert!(taken.into_iter().eq((1..=level).rev()));
                assert!(q.is_empty());
            }
        }
        // 0 + 1 + … + 256 were taken, and as many were put.
        assert_eq!(q.snapshot(), (32_896, 32_896, 0));
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
        contended(false);
    }

    #[test]
    fn under_contention_for_the_youngest_every_item_is_taken_exactly_once() {
        contended(true);
    }

    fn contended(youngest: bool) {
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
                    // Under `youngest` the owner mostly lives at the young end, where slots are used again at once.
                    if i % 7 == 0 {
                        got.extend(q.pop_front().map(|(j, _)| j));
                    } else if youngest && i % 8 != 0 {
                        got.extend(q.pop_back().map(|(j, _)| j));
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
        PopBack,
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
                    2 => Just(Op::PopBack),
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
                        Op::PopBack => {
                            let want = ring.pop_back().map(|j| (j, head));
                            head += u32::from(want.is_some());
                            prop_assert_eq!(q.pop_back(), want);
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
                let (taken, put, _) = q.snapshot();
                prop_assert_eq!((taken, put.wrapping_sub(taken) as usize), (head, ring.len()));
                prop_assert!(q.contents().1.into_iter().eq(ring.iter().map(|j: &Job| j.0 as u64)));
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

    /// Go's TestSchedLocalQueueEmpty: a put and a get on a queue in use, with either of the two Gs in `runnext` or neither.
    #[test]
    fn loom_a_put_and_a_get_never_report_a_queue_in_use_empty() {
        for (first, second) in [(false, false), (false, true), (true, false), (true, true)] {
            loom::model(move || {
                let q = Arc::new(RunQueue::new(4));
                let put = |job: Job, next: bool| {
                    // SAFETY: this thread owns `q`.
                    unsafe {
                        let to_ring = if next { q.set_runnext(job) } else { Some(job) };
                        assert!(to_ring.is_none_or(|job| q.push_back(job).is_ok()));
                    }
                };
                put(Job(1), first);
                let theirs = Arc::clone(&q);
                let reader = thread::spawn(move || theirs.is_empty());
                put(Job(2), second);
                // SAFETY: as above.
                let got = unsafe { q.pop_runnext().or_else(|| q.pop_front().map(|(j, _)| j)) };
                assert!(got.is_some());
                assert!(!reader.join().expect("no panic"), "{first} {second}");
            });
        }
    }

    /// What a thief takes of `q` with `amount`.
    fn steals(q: &RunQueue<Job>, amount: impl Fn(u32) -> u32) -> Vec<Job> {
        let mine = RunQueue::new(4);
        let mut got = Vec::new();
        // SAFETY: this thread owns `mine`.
        unsafe {
            got.extend(q.steal_into(amount, &mine).map(|s| s.last));
            while let Some((j, _)) = mine.pop_front() {
                got.push(j);
            }
        }
        got
    }

    /// The owner takes the youngest and puts another into its slot, while a thief that may have copied that slot claims.
    #[test]
    fn loom_a_slot_used_again_at_the_young_end_is_not_stolen_as_what_it_was() {
        loom::model(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { (1..=2).for_each(|i| assert!(q.push_back(Job(i)).is_ok())) };
            let theirs = Arc::clone(&q);
            let thief = thread::spawn(move || steals(&theirs, |n| n));
            let mut got = Vec::new();
            // SAFETY: as above.
            unsafe {
                got.extend(q.pop_back().map(|(j, _)| j));
                assert!(q.push_back(Job(3)).is_ok());
                got.extend(q.pop_back().map(|(j, _)| j));
                got.extend(thief.join().expect("no panic"));
                while let Some((j, _)) = q.pop_back() {
                    got.push(j);
                }
            }
            got.sort_unstable();
            assert_eq!(got, [Job(1), Job(2), Job(3)]);
        });
    }

    /// Owner and two thieves want the one item there is.
    #[test]
    fn loom_the_last_item_is_taken_once_from_either_end() {
        // Three threads: all interleavings of up to three preemptions, which takes seconds and not minutes.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let q = Arc::new(RunQueue::new(4));
            // SAFETY: this thread owns `q`.
            unsafe { assert!(q.push_back(Job(1)).is_ok()) };
            let thieves: Vec<_> = (0..2)
                .map(|_| {
                    let theirs = Arc::clone(&q);
                    thread::spawn(move || steals(&theirs, |n| n - n / 2))
                })
                .collect();
            // SAFETY: as above.
            let mut got: Vec<Job> = unsafe { q.pop_back() }
                .map(|(j, _)| j)
                .into_iter()
                .collect();
            for thief in thieves {
                got.extend(thief.join().expect("no panic"));
            }
            assert_eq!(got, [Job(1)]);
            assert_eq!(q.snapshot(), (1, 1, 0));
        });
    }

    /// A G is kicked to the ring, and others come and go at both places above it: the kicked one is there all the time.
    #[test]
    fn loom_a_queue_in_use_is_never_reported_empty_while_the_youngest_is_taken() {
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
                assert!(q.set_runnext(Job(3)).is_none());
                q.pop_runnext();
                assert!(q.push_back(Job(4)).is_ok());
                assert_eq!(q.pop_back(), Some((Job(4), 0)));
            }
            assert!(!reader.join().expect("no panic"));
        });
    }

    fn half(n: u32) -> u32 {
        n - n / 2
    }

    /// What is left of a queue, with what was got, in order.
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
            let first = thread::spawn(move || steals(&a, half));
            let second = thread::spawn(move || steals(&b, half));
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
            let thief = thread::spawn(move || steals(&theirs, half));
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
