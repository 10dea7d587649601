//! A folder for the files that a target needs, one for each thread, used again by each run.

use std::path::Path;

use tempfile::TempDir;

thread_local! {
    static FOLDER: TempDir = folder();
}

/// In memory where there is a file system for that: a target is run some thousand times a second.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

/// Calls `work` with this thread's folder.
pub fn with<T>(work: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| work(folder.path()))
}
