//! What Gs synchronise with. Everything here also works from threads that run no G; such a caller blocks its thread.

pub mod chan;
mod mutex;
pub mod select;
mod wait_group;

pub use mutex::{Mutex, MutexGuard};
pub use select::Select;
pub use wait_group::WaitGroup;
