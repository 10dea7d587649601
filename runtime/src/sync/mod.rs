//! What Gs synchronise with. Everything here also works from threads that run no G; such a caller blocks its thread.

pub mod chan;
mod cond;
mod mutex;
mod once;
mod rw_lock;
pub mod select;
mod sema;
mod semaphore;
mod wait_group;

pub use cond::Cond;
pub use mutex::{Mutex, MutexGuard};
pub use once::Once;
pub use rw_lock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use select::Select;
pub use semaphore::Semaphore;
pub use wait_group::WaitGroup;

use crate::sched::g::Request;
use crate::sched::{m, park};

/// Gives way to the G that was readied just now: it runs next, in this time slice. Go: `goyield`.
fn give_way() {
    // While a G unwinds it is bound to its thread, so that another switch would cost two of threads.
    if let Some((m, g)) = m::running()
        && !std::thread::panicking()
    {
        park::suspend(m, g, Request::YieldLocal);
    }
}
