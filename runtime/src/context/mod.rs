//! Switching between stacks: the only importer of corosensei.
//!
//! # Why a suspended G may go on on another thread
//! A suspended coroutine is a stack and a stack pointer in memory; resuming it loads the latter. Nothing in that names a
//! thread. What the code on the stack holds may be bound to one, which the compiler cannot know: that is the contract of
//! [`crate::Builder::new`]. corosensei leaves its type without `Send` for that reason; [`Coroutine`] says so once for all.
//! The runtime's own code on G stacks reads thread-locals only in functions that are never inlined, so that no address of
//! a thread-local is kept over a suspension.
//!
//! # Panics
//! The body of a G catches its own panics; one that still came out would pass through the switch into the M's stack, where it
//! would end the thread. Unwinding stops at the root of the G's stack in any case.
//!
//! # Overflow
//! Below every stack is a guard that faults; [`overflow`] turns the fault into a message.

mod coroutine;
pub(crate) mod overflow;
mod stack_pool;

pub(crate) use coroutine::{Coroutine, Resumed, Suspender};
pub(crate) use stack_pool::{Stack, StackPool};
