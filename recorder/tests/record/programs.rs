//! What the recorded programs do, for as long as their test wants.

use gmp_runtime::{Builder, go, time, yield_now};

use crate::harness::own;

/// A few hundred Gs that yield and sleep.
pub fn work() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let gs: Vec<_> = (0..300_u64)
            .map(|i| {
                go(move || {
                    yield_now();
                    if i % 10 == 0 {
                        time::sleep(std::time::Duration::from_micros(50));
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Works until a file appears, and says when it has begun.
pub fn work_until_told() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let mut rounds = 0_u64;
        while !own("stop").exists() {
            go(yield_now).join().expect("no panic");
            rounds += 1;
            if rounds == 1_000 {
                std::fs::write(own("begun"), format!("{}\n", std::process::id()))
                    .expect("writable");
            }
        }
    });
}

/// Many events, as soon as the test says so.
pub fn work_hard_when_told(yields: u32) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(move || {
        std::fs::write(own("begun"), format!("{}\n", std::process::id())).expect("writable");
        while !own("go").exists() {
            std::thread::yield_now();
        }
        (0..yields).for_each(|_| yield_now());
    });
    std::fs::write(own("done"), "").expect("writable");
}
