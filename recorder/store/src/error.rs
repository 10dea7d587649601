//! What can go wrong with a trace database, told so that a user knows the file and what to do.
//!
//! The texts hold what the system or SQLite said, which therefore is no `source()`: whoever prints the whole chain would say it twice.

use std::path::PathBuf;

/// An error of a trace database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not there, or cannot be opened.
    #[error("cannot open {}: {error}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is something else.
    #[error("{} is not a trace database; gmp-record makes one", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version.
    #[error(
        "{} has schema version {found}, this program knows versions up to {known}: use a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The last version known here.
        known: i64,
    },
    /// There is no such run.
    #[error("{} has no run {wanted}; --list shows the runs", path.display())]
    NoRun {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        wanted: String,
    },
    /// A row makes no sense.
    #[error("{}: event {id}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The row.
        id: i64,
        /// What is wrong.
        what: String,
    },
    /// SQLite refused.
    #[error("{}: {error}", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}
