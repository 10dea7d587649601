//! Scenes of what Gs exclude each other with and wait for each other by.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Random, Setup, join_all, noise};
use gmp_runtime::sync::{Cond, Mutex, RwLock, Semaphore, WaitGroup};
use gmp_runtime::{go, yield_now};

/// Gs that change one value under a mutex, also over calls into the runtime.
pub(super) fn mutex(random: &mut Random, _: &Setup) {
    let shared = Arc::new((Mutex::new((0_u64, 0_u64)), AtomicU64::new(0)));
    let (gs, each) = (random.within(1, 10), random.within(1, 60));
    let handles: Vec<_> = (0..gs)
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            go(move || {
                for _ in 0..each {
                    let mut pair = match random.percent(20) {
                        true => loop {
                            match shared.0.try_lock() {
                                Some(pair) => break pair,
                                None => yield_now(),
                            }
                        },
                        false => shared.0.lock(),
                    };
                    let inside = shared.1.fetch_add(1, Ordering::SeqCst);
                    assert_eq!(inside, 0, "two hold the mutex");
                    pair.0 += 1;
                    if random.percent(15) {
                        noise(&mut random);
                    }
                    pair.1 += 1;
                    assert_eq!(pair.0, pair.1, "the mutex does not exclude");
                    shared.1.fetch_sub(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    join_all(handles);
    assert_eq!(shared.0.lock().0, gs * each, "additions");
}

/// Several wait for a group that is done by others, round after round.
pub(super) fn wait_group(random: &mut Random, _: &Setup) {
    for _ in 0..random.within(1, 5) {
        let (group, done) = (WaitGroup::new(), Arc::new(AtomicU64::new(0)));
        let workers = random.within(1, 20);
        group.add(workers as usize);
        let waiters: Vec<_> = (0..random.within(1, 4))
            .map(|_| {
                let (group, done) = (group.clone(), Arc::clone(&done));
                go(move || {
                    group.wait();
                    assert_eq!(done.load(Ordering::SeqCst), workers, "woken too early");
                })
            })
            .collect();
        let working: Vec<_> = (0..workers)
            .map(|_| {
                let (group, done) = (group.clone(), Arc::clone(&done));
                let mut random = random.fork();
                go(move || {
                    noise(&mut random);
                    done.fetch_add(1, Ordering::SeqCst);
                    group.done();
                })
            })
            .collect();
        join_all(waiters);
        join_all(working);
    }
}

/// No more Gs inside than there are permits, and all permits come back.
pub(super) fn semaphore(random: &mut Random, _: &Setup) {
    let permits = random.within(1, 4);
    let shared = Arc::new((Semaphore::new(permits as u32), AtomicU64::new(0)));
    let each = random.within(1, 40);
    let handles: Vec<_> = (0..random.within(1, 12))
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            go(move || {
                let (semaphore, inside) = &*shared;
                for _ in 0..each {
                    match random.percent(20) {
                        true => {
                            while !semaphore.try_acquire() {
                                yield_now();
                            }
                        }
                        false => semaphore.acquire(),
                    }
                    let others = inside.fetch_add(1, Ordering::SeqCst);
                    assert!(others < permits, "more are inside than there are permits");
                    if random.percent(25) {
                        noise(&mut random);
                    }
                    inside.fetch_sub(1, Ordering::SeqCst);
                    match random.percent(30) {
                        true => semaphore.release_handoff(),
                        false => semaphore.release(),
                    }
                }
            })
        })
        .collect();
    join_all(handles);
    assert_eq!(u64::from(shared.0.available()), permits, "permits");
}

/// Readers see no half of what a writer does, and writers are alone.
pub(super) fn rw_lock(random: &mut Random, _: &Setup) {
    let shared = Arc::new(RwLock::new((0_u64, 0_u64)));
    let each = random.within(1, 40);
    let handles: Vec<_> = (0..random.within(1, 12))
        .map(|_| {
            let (shared, mut random) = (Arc::clone(&shared), random.fork());
            let writes = random.percent(40);
            go(move || {
                for _ in 0..each {
                    if writes {
                        let mut pair = shared.write();
                        pair.0 += 1;
                        if random.percent(20) {
                            noise(&mut random);
                        }
                        pair.1 += 1;
                    } else {
                        let pair = shared.read();
                        let before = *pair;
                        if random.percent(20) {
                            noise(&mut random);
                        }
                        assert_eq!(before.0, before.1, "half of a write");
                        assert_eq!(*pair, before, "a write beside a reader");
                    }
                }
                if writes { each } else { 0 }
            })
        })
        .collect();
    let writes: u64 = join_all(handles).into_iter().sum();
    assert_eq!(*shared.read(), (writes, writes), "writes");
}

/// A bounded buffer made of a mutex and two conditions; signals and broadcasts mixed.
pub(super) fn cond(random: &mut Random, _: &Setup) {
    struct Buffer {
        values: Mutex<Vec<u64>>,
        room: Cond,
        filled: Cond,
    }
    let capacity = random.within(1, 4) as usize;
    let (pairs, each) = (random.within(1, 5), random.within(1, 50));
    let buffer = Arc::new(Buffer {
        values: Mutex::new(Vec::new()),
        room: Cond::new(),
        filled: Cond::new(),
    });
    let wake = |cond: &Cond, random: &mut Random| match random.percent(20) {
        true => cond.broadcast(),
        false => cond.signal(),
    };
    let mut handles = Vec::new();
    for _ in 0..pairs {
        let (shared, mut source) = (Arc::clone(&buffer), random.fork());
        handles.push(go(move || {
            for i in 0..each {
                noise(&mut source);
                let mut values = shared.values.lock();
                while values.len() == capacity {
                    values = shared.room.wait(values);
                }
                values.push(i);
                drop(values);
                wake(&shared.filled, &mut source);
            }
            0
        }));
        let (shared, mut source) = (Arc::clone(&buffer), random.fork());
        handles.push(go(move || {
            let mut sum = 0;
            for _ in 0..each {
                noise(&mut source);
                let mut values = shared.values.lock();
                let value = loop {
                    match values.pop() {
                        Some(value) => break value,
                        None => values = shared.filled.wait(values),
                    }
                };
                assert!(values.len() < capacity, "more than there is room for");
                drop(values);
                wake(&shared.room, &mut source);
                sum += value;
            }
            sum
        }));
    }
    let sum: u64 = join_all(handles).into_iter().sum();
    assert_eq!(sum, pairs * (each * (each - 1) / 2), "the sum");
}
