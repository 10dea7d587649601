//! Whether this thread is tidying up, inside of somebody's call that has nothing to do with what it drops.

use std::cell::Cell;

thread_local! {
    static TIDIES: Cell<bool> = const { Cell::new(false) };
}

/// Drops what belongs to others. No lock is held. See `retire` for what becomes of values of users.
pub(crate) fn drop_for_others<T>(values: T) {
    let _until_the_end = Tidying::begin();
    drop(values);
}

/// Whether what is dropped now is dropped by [`drop_for_others`].
pub(crate) fn is_tidying() -> bool {
    TIDIES.get()
}

/// Ends also by a panic.
struct Tidying {
    before: bool,
}

impl Tidying {
    fn begin() -> Tidying {
        Tidying {
            before: TIDIES.replace(true),
        }
    }
}

impl Drop for Tidying {
    fn drop(&mut self) {
        TIDIES.set(self.before);
    }
}
