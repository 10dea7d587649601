//! The flag that makes one break of a blocking poll out of many.
//!
//! # Protocol
//! Who breaks: raise the flag; who moved it from 0 to 1 writes the eventfd, the others need not. The poll ends because the eventfd is
//! readable, and the next one would, as long as nobody has read it.
//! A poll that was allowed to block: read the eventfd, *then* lower the flag. One that was not allowed to block leaves both alone: it would
//! swallow the break that the blocked one waits for.
//!
//! *Swallowed break*: lowering the flag before reading the eventfd, a break in between writes the eventfd and is read away together with the one
//! before; the flag then stays raised, and no later break writes anything.
//!
//! A break that comes between the read and the lowering writes nothing: the one it was meant for is awake by then, and looks at everything
//! before it blocks again.

use crate::shim::{AtomicU32, Ordering, fence};

/// 1 = the eventfd was written and no blocking poll has read it.
pub(crate) struct Break(AtomicU32);

impl Break {
    /// Nobody breaks.
    pub(crate) fn new() -> Break {
        Break(AtomicU32::new(0))
    }

    /// Whether the caller is to write the eventfd.
    #[must_use]
    pub(crate) fn raise(&self) -> bool {
        // The breaker's full barrier, between what it did before and its look at the flag: pairs with the one in `lower`. A flag that it finds
        // raised will be lowered, so that barrier comes later.
        fence(Ordering::SeqCst);
        self.0
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// The eventfd was read by a poll that could block.
    pub(crate) fn lower(&self) {
        self.0.store(0, Ordering::Release);
        // The poller's full barrier, between lowering the flag and looking at what the breakers did: see `raise`.
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Two break at once; the poller reads once. At the end either the eventfd is readable, so that the next poll ends at once, or the flag is
    /// down, so that the next break writes.
    #[test]
    fn loom_a_break_is_not_swallowed_with_the_one_before() {
        loom::model(|| {
            let (flag, event) = (Arc::new(Break::new()), Arc::new(AtomicU32::new(0)));
            let breakers: Vec<_> = (0..2)
                .map(|_| {
                    let (flag, event) = (Arc::clone(&flag), Arc::clone(&event));
                    thread::spawn(move || {
                        if flag.raise() {
                            event.fetch_add(1, Ordering::AcqRel);
                        }
                    })
                })
                .collect();
            // The poll ends only if the eventfd is readable.
            if event.swap(0, Ordering::AcqRel) > 0 {
                flag.lower();
            }
            for breaker in breakers {
                breaker.join().expect("no panic");
            }
            let readable = event.load(Ordering::Acquire) > 0;
            assert!(readable || flag.raise(), "no later break is heard");
        });
    }

    /// A break that finds the flag still raised, because the poller has not lowered it yet, is answered by that poller: what was published before
    /// is seen after lowering.
    #[test]
    fn loom_a_break_that_writes_nothing_is_seen_by_the_poller_that_is_awake() {
        loom::model(|| {
            let (flag, event) = (Arc::new(Break::new()), Arc::new(AtomicU32::new(0)));
            let timer = Arc::new(AtomicU32::new(0));
            assert!(flag.raise());
            event.fetch_add(1, Ordering::AcqRel);
            let (theirs, written, added) =
                (Arc::clone(&flag), Arc::clone(&event), Arc::clone(&timer));
            let breaker = thread::spawn(move || {
                added.store(1, Ordering::Relaxed);
                if theirs.raise() {
                    written.fetch_add(1, Ordering::AcqRel);
                }
            });
            // The poll ended: read, lower, look.
            event.swap(0, Ordering::AcqRel);
            flag.lower();
            let seen = timer.load(Ordering::Relaxed) == 1;
            breaker.join().expect("no panic");
            let readable = event.load(Ordering::Acquire) > 0;
            assert!(
                seen || readable,
                "the poller blocks and knows nothing of it"
            );
        });
    }
}
