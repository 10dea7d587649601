//! Whether this thread is tidying up, inside of somebody's call that has nothing to do with what it drops.

use std::cell::Cell;

thread_local! {
    static TIDIES: Cell<bool> = const { Cell::new(false) };
}

/// Drops what belongs to others. No lock is held. See `retire` for what becomes of values of users.
pub(crate) fn tidy<T>(values: T) {
    TIDIES.set(true);
    drop(values);
    TIDIES.set(false);
}

/// Whether what is dropped now is dropped by [`tidy`].
pub(crate) fn is_tidying() -> bool {
    TIDIES.get()
}
