//! Something that is done once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Mutex;
use crate::sched::preempt;

/// Calls a function once, whoever comes first; the others wait until that call has ended. Go: `sync.Once`.
///
/// ```
/// use gmp_runtime::sync::Once;
///
/// static START: Once = Once::new();
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.run(|| {
///     let gs: Vec<_> = (0..4).map(|_| gmp_runtime::go(|| START.call_once(|| println!("once")))).collect();
///     gs.into_iter().for_each(|g| g.join().expect("no panic"));
///     assert!(START.is_done());
/// });
/// ```
pub struct Once {
    done: AtomicBool,
    turn: Mutex<()>,
}

impl Once {
    /// Not done yet.
    #[track_caller]
    #[allow(
        clippy::new_without_default,
        reason = "the caller's place in the source is part of it"
    )]
    pub const fn new() -> Once {
        Once {
            done: AtomicBool::new(false),
            turn: Mutex::new(()),
        }
    }

    /// Calls `f`, unless this has called something before. When it returns, that call has ended. One that panicked counts as ended. Go: `Do`.
    ///
    /// # Panics
    /// With `f`'s panic.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none, while another calls; for ever, if `f` itself calls this.
    pub fn call_once(&self, f: impl FnOnce()) {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                // Release pairs with the acquire in `is_done`.
                self.0.store(true, Ordering::Release);
            }
        }
        if self.is_done() {
            return;
        }
        let _turn = self.turn.lock();
        if !self.is_done() {
            let _done = Done(&self.done);
            f();
        }
    }

    /// Whether the call has ended.
    pub fn is_done(&self) -> bool {
        preempt::checkpoint();
        // Acquire pairs with the release in `call_once`: what the call did is visible.
        self.done.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("done", &self.is_done())
            .finish()
    }
}
