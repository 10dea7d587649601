//! What an interrupt (Ctrl-C, a closed terminal, `kill`) leaves behind: nothing half-written.
//!
//! Files are written under temporary names. While one is, its name is registered here; [`watch`] starts a thread that removes what is
//! registered when a signal comes, and then lets the signal do what it does.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static PARTS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes registered files when a signal ends the program.
///
/// # Errors
/// When signals cannot be caught.
pub fn watch() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let watcher = move || {
        for signal in signals.forever() {
            let parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
            for part in parts.iter() {
                // It may just have got its name, or never have been made.
                let _ = std::fs::remove_file(part);
            }
            // Ends the program; the lock is held so that no file gets a name any more.
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(watcher)
        .map(drop)
}

/// Registers a file until the guard is dropped.
pub fn clean(path: &Path) -> Cleaned {
    let mut parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
    parts.push(path.to_owned());
    Cleaned(path.to_owned())
}

/// A file is registered.
#[derive(Debug)]
pub struct Cleaned(PathBuf);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let mut parts = PARTS.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|part| *part != self.0);
    }
}
