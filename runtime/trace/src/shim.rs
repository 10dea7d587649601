//! Atomics, from `std` or, under `--cfg loom`, from the model checker. The modelled file imports them from here only.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};
