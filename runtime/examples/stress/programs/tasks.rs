//! Scenes of Gs themselves: spawning, panics, system calls, giving way, and Ps that come and go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Random, Setup, join_all, message, noise};
use gmp_runtime::sync::Mutex;
use gmp_runtime::{blocking, channel, checkpoint, go, set_procs, syscall, yield_now};

/// Gs that spawn Gs; the sum over the tree is that of a plain loop.
pub(super) fn tree(random: &mut Random, _: &Setup) {
    fn grow(random: &mut Random, depth: u64) -> u64 {
        noise(random);
        let value = random.below(1_000);
        if depth == 0 {
            return value;
        }
        let children: Vec<_> = (0..random.within(1, 4))
            .map(|_| {
                let mut random = random.fork();
                go(move || grow(&mut random, depth - 1))
            })
            .collect();
        value + join_all(children).into_iter().sum::<u64>()
    }
    fn expected(random: &mut Random, depth: u64) -> u64 {
        // As `noise` does.
        random.fork();
        let value = random.below(1_000);
        if depth == 0 {
            return value;
        }
        value
            + (0..random.within(1, 4))
                .map(|_| expected(&mut random.fork(), depth - 1))
                .sum::<u64>()
    }
    let depth = random.within(1, 4);
    let seed = random.fork();
    assert_eq!(
        grow(&mut seed.clone(), depth),
        expected(&mut seed.clone(), depth),
        "the tree's sum"
    );
}

/// More Gs in system calls than there are Ps.
pub(super) fn system_calls(random: &mut Random, _: &Setup) {
    let (gs, each) = (random.within(1, 12), random.within(1, 25));
    let handles: Vec<_> = (0..gs)
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                (0..each)
                    .map(|i| {
                        let d = random.micros(80);
                        let work = move || {
                            if !d.as_micros().is_multiple_of(3) {
                                std::thread::sleep(d);
                            }
                            i
                        };
                        match random.below(5) {
                            0 => blocking(work),
                            _ => syscall(work),
                        }
                    })
                    .sum::<u64>()
            })
        })
        .collect();
    let sum: u64 = join_all(handles).into_iter().sum();
    assert_eq!(sum, gs * (each * (each - 1) / 2), "results of system calls");
}

/// What a G panics with on purpose.
struct OnPurpose(u64);

/// Calls into the runtime while its G unwinds.
struct Unwinding(Random, Arc<AtomicU64>);

impl Drop for Unwinding {
    fn drop(&mut self) {
        noise(&mut self.0);
        yield_now();
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Gs that panic, some while others wait for them, some that call into the runtime while they unwind.
pub(super) fn panics(random: &mut Random, _: &Setup) {
    let unwound = Arc::new(AtomicU64::new(0));
    let gs: Vec<_> = (0..random.within(1, 16))
        .map(|i| {
            let (mut random, unwound) = (random.fork(), Arc::clone(&unwound));
            go(move || {
                let _unwinding = Unwinding(random.fork(), unwound);
                noise(&mut random);
                if i % 3 == 0 {
                    let caught = catch_unwind(AssertUnwindSafe(|| {
                        yield_now();
                        std::panic::resume_unwind(Box::new(OnPurpose(i)))
                    }));
                    assert!(caught.is_err(), "a panic that was caught");
                }
                if i % 2 == 0 {
                    std::panic::resume_unwind(Box::new(OnPurpose(i)));
                }
                i
            })
        })
        .collect();
    let n = gs.len() as u64;
    for (i, g) in gs.into_iter().enumerate() {
        match g.join() {
            Ok(value) => assert_eq!((value, value % 2), (i as u64, 1), "who did not panic"),
            Err(payload) => match payload.downcast::<OnPurpose>() {
                Ok(p) => assert_eq!((p.0, p.0 % 2), (i as u64, 0), "who panicked"),
                Err(payload) => panic!("{}", message(&*payload)),
            },
        }
    }
    assert_eq!(unwound.load(Ordering::SeqCst), n, "destructors");
}

/// The number of Ps changes while others work.
pub(super) fn resize(random: &mut Random, setup: &Setup) {
    for _ in 0..random.within(1, 6) {
        let n = random.within(1, setup.procs_max as u64);
        if random.percent(20) {
            blocking(move || set_procs(n as usize));
        } else {
            set_procs(n as usize);
        }
        for _ in 0..random.below(6) {
            noise(random);
        }
    }
}

/// Threads that are no Ms send, lock, and spawn.
pub(super) fn foreign_threads(random: &mut Random, _: &Setup) {
    let (tx, rx) = channel::<u64>(random.below(3) as usize);
    let shared = Arc::new(Mutex::new(0_u64));
    let (threads, each) = (random.within(1, 3), random.within(1, 30));
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let (tx, shared) = (tx.clone(), Arc::clone(&shared));
            std::thread::spawn(move || {
                for i in 0..each {
                    match i % 3 {
                        0 => tx.send(1).expect("open"),
                        1 => *shared.lock() += 1,
                        _ => {
                            let shared = Arc::clone(&shared);
                            let g = go(move || *shared.lock() += 1);
                            assert!(g.join().is_ok(), "a G of a thread");
                        }
                    }
                }
            })
        })
        .collect();
    drop(tx);
    let sent: u64 = rx.iter().sum();
    for handle in handles {
        blocking(move || handle.join()).expect("no panic");
    }
    let locked = *shared.lock();
    assert_eq!(sent + locked, threads * each, "what threads did");
}

/// Nothing but giving way, together.
pub(super) fn yields(random: &mut Random, _: &Setup) {
    let each = random.within(1, 100);
    let handles: Vec<_> = (0..random.within(1, 40))
        .map(|_| go(move || (0..each).map(|_| yield_now()).count() as u64))
        .collect();
    assert!(
        join_all(handles).into_iter().all(|n| n == each),
        "yields that came back"
    );
}

/// Gs that compute without giving way, except that they look whether they are to.
pub(super) fn hogs(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 4))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                let until = Instant::now() + random.micros(4_000);
                let mut x = random.next();
                while Instant::now() < until {
                    x = std::hint::black_box(x.rotate_left(7) ^ 0x55);
                    checkpoint();
                }
            })
        })
        .collect();
    join_all(handles);
}
