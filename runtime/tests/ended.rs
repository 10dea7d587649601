//! What threads ask for of a runtime that has ended: nothing of it runs any more, and who asked would wait for ever.

use std::panic::catch_unwind;
use std::time::Duration;

use gmp_runtime::{Builder, go, num_goroutines, stats, time};

fn message(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(f).expect_err("nothing would do it");
    *payload.downcast::<String>().unwrap_or_else(|other| {
        Box::new((*other.downcast::<&str>().expect("a message")).to_owned())
    })
}

#[test]
fn nothing_is_spawned_or_timed_after_the_end() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.run(|| go(|| ()).join().expect("no panic"));
    let spawned = message(|| drop(go(|| ())));
    assert!(spawned.contains("no gmp runtime runs"), "{spawned}");
    let timed = message(|| drop(time::after_func(Duration::ZERO, || ())));
    assert!(timed.contains("no gmp runtime runs"), "{timed}");
    // What it did can still be asked.
    assert_eq!(stats().get(gmp_runtime::Tally::Spawns), 2);
    assert_eq!(num_goroutines(), 0);
    // Another one is there for all of it.
    // SAFETY: as above.
    unsafe { Builder::new() }.run(|| {
        std::thread::spawn(|| go(|| 7).join().expect("no panic"))
            .join()
            .expect("no panic")
    });
}
