//! What the fuzzer calls: one function for each thing that parses bytes or text that others wrote.
//!
//! A target takes any bytes and returns; a panic, a hang or memory without bound is a bug in what it calls. It also checks what must hold
//! whatever the bytes are: mostly that what was read can be written and is read again as the same.
//!
//! Each target is run in two ways: by libFuzzer, with the programs in `fuzz/fuzz_targets`, and by `cargo test`, on the seeds in
//! `fuzz/seeds` and some thousand changes of them (`tests/seeds.rs`).
#![forbid(unsafe_code)]

mod clocks;
mod codec;
mod database;
mod order;
pub mod patch;
mod policy;
mod scratch;
mod spool;
mod tables;
mod text;

pub use clocks::clocks;
pub use codec::codec;
pub use database::database;
pub use order::order;
pub use policy::policy;
pub use spool::{FILES, spool};
pub use tables::tables;
pub use text::text;

/// A target, by the name of its program and of its folder of seeds.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("clocks", clocks),
    ("codec", codec),
    ("database", database),
    ("order", order),
    ("policy", policy),
    ("spool", spool),
    ("tables", tables),
    ("text", text),
];
