//! What Gs synchronise with. Everything here also works from threads that run no G; such a caller blocks its thread.

pub mod chan;
mod mutex;
mod wait_group;

pub use mutex::{Mutex, MutexGuard};
pub use wait_group::WaitGroup;
