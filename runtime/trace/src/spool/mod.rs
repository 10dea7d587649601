//! The spool: the files of one recorded process, which outlive it.
//!
//! A folder `<pid>-<start>` holds
//! - `control`: one page of words: magic, version, who, which clock, whether the process finished;
//! - `segment-NNNN`: 4 MiB each, cut into chunks of 16 KiB; each chunk belongs to one writer and holds its records in order;
//! - `segments`: a few words for each segment: which of its chunks the recorder has given back;
//! - `tallies-NNNN`: the runtime's own counters, one block for each writer, by its number;
//! - `losses-NNNN`: what each writer lost, by kind, one block for each writer;
//! - `tables`: names (writers, sites, strings, facts), appended by write(2), never dropped.
//!
//! # Publishing
//! A writer encodes a record behind the published length of its chunk and then release-stores the new length. A reader that
//! acquires the length sees whole records. Nothing else is needed: no lock, no system call, no allocation for an event. What was published
//! survives the death of the process, because the pages belong to the file.
//!
//! # No SIGBUS
//! A segment's blocks are allocated before any chunk of it is handed out; a full disk is found there and makes events lost, which
//! are counted, never faults.

pub mod attach;
mod blocks;
pub mod control;
mod cost;
pub mod cursor;
mod fork;
pub mod layout;
pub mod live;
pub mod losses;
mod map;
mod protocol;
pub mod reader;
mod supply;
pub mod tables;
mod tallies;
pub mod writer;

use std::path::PathBuf;

pub use cost::event_cost_ns;

/// Why a spool cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The system refused something.
    #[error("{what} {}: {error}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said. It is part of the text, and so no `source()`: whoever prints the whole chain would say it twice.
        error: std::io::Error,
    },
    /// The file is not what its name says.
    #[error("{}: {what}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl SpoolError {
    fn io(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> SpoolError {
        let path = path.to_owned();
        move |error| SpoolError::Io { what, path, error }
    }
}

/// The file of a segment.
fn segment_name(number: usize) -> String {
    format!("segment-{number:04}")
}
