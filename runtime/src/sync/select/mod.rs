//! Waiting for the first of several channel operations: [`select!`](crate::select!) where the operations are known in the source,
//! [`Select`] where their number is known only when the program runs.
//!
//! Both do what Go's `select` does. All channels are looked at in one moment, in a random order, and the first operation that can be done is
//! done; so of several that can always be done each is chosen as often as any other, and a `default` is taken only if really nothing
//! could be done. If nothing can be done and there is no `default`, the G waits in the queues of all channels at once, and exactly one
//! operation is done when it wakes. A nil channel ([`crate::sync::chan::nil`]) is passed over.

mod builder;
mod case;
mod engine;
mod macros;

pub use builder::Select;
#[doc(hidden)]
pub use macros::{Deadline, Op, RecvCase, SendCase, Site, forever, recv, run, send};
