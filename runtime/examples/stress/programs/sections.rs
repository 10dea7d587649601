//! Scenes of code that may be stopped at any instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Random, Setup, join_all, noise};
use gmp_runtime::{go, preemptible};

/// Mixes numbers of both kinds. It neither allocates nor panics.
fn mix(seed: u64, rounds: u64, floats: &mut [f64; 8]) -> u64 {
    let mut x = seed;
    for i in 0..rounds {
        x = x.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ i;
        for float in &mut *floats {
            *float = *float * 0.75 + (x >> 40) as f64;
        }
    }
    floats.iter().fold(x, |x, f| x.rotate_left(9) ^ f.to_bits())
}

/// Wherever a computation is stopped, and on whatever thread it goes on: it comes to what it comes to when it is not.
pub(super) fn sections(random: &mut Random, _: &Setup) {
    let handles: Vec<_> = (0..random.within(1, 5))
        .map(|_| {
            let mut random = random.fork();
            go(move || {
                for _ in 0..random.within(1, 4) {
                    let (seed, rounds) = (random.next(), random.below(20_000));
                    let mut floats = [0.5; 8];
                    // SAFETY: it computes on its own variables.
                    let stopped = unsafe { preemptible(|| mix(seed, rounds, &mut floats)) };
                    noise(&mut random);
                    assert_eq!(stopped, mix(seed, rounds, &mut [0.5; 8]), "a result");
                }
            })
        })
        .collect();
    join_all(handles);
}

/// Loops that end when another G has its turn. Few, because each may take its slice until then.
pub(super) fn loops(random: &mut Random, _: &Setup) {
    let enough = Arc::new(AtomicBool::new(false));
    let handles: Vec<_> = (0..random.within(1, 2))
        .map(|_| {
            let enough = Arc::clone(&enough);
            go(move || {
                // SAFETY: an atomic only.
                unsafe {
                    preemptible(|| {
                        while !enough.load(Ordering::Relaxed) {
                            std::hint::spin_loop();
                        }
                    });
                }
            })
        })
        .collect();
    noise(random);
    enough.store(true, Ordering::Relaxed);
    join_all(handles);
}
