//! Files: the functions of [`std::fs`], each in a system call, so that the P is not lost to others while the disk works.
//!
//! Any other call that may block can be wrapped in the same way with [`crate::syscall`].

use std::io;
use std::path::Path;

/// Reads a whole file.
///
/// # Errors
/// As [`std::fs::read`].
///
/// # Blocking
/// Blocks the M.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    crate::syscall(|| std::fs::read(path))
}

/// Reads a whole file as text.
///
/// # Errors
/// As [`std::fs::read_to_string`].
///
/// # Blocking
/// Blocks the M.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    crate::syscall(|| std::fs::read_to_string(path))
}

/// Writes a whole file.
///
/// # Errors
/// As [`std::fs::write`].
///
/// # Blocking
/// Blocks the M.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    crate::syscall(|| std::fs::write(path, contents))
}
