//! A file mapped into memory as words: the only mapping in the project's writers.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::MmapRaw;

use super::{SpoolError, fork};

/// A mapped file of fixed length whose blocks are all allocated.
#[derive(Debug)]
pub(super) struct Map {
    map: MmapRaw,
    guarded: &'static fork::Entry,
}

impl Drop for Map {
    fn drop(&mut self) {
        self.guarded.release();
    }
}

impl Map {
    /// Makes a file of `len` zero bytes, allocates its blocks, and maps it.
    pub(super) fn create(path: &Path, len: usize) -> Result<Map, SpoolError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(SpoolError::io("cannot create", path))?;
        let map = allocate(&file, len)
            .map_err(SpoolError::io("no space for", path))
            .and_then(|()| MmapRaw::map_raw(&file).map_err(SpoolError::io("cannot map", path)));
        match map {
            Ok(map) => {
                let guarded = fork::guard(map.as_mut_ptr(), map.len());
                Ok(Map { map, guarded })
            }
            Err(e) => {
                // A file without blocks is of no use to a reader.
                let _ = std::fs::remove_file(path);
                Err(e)
            }
        }
    }

    /// Makes the process's page table entries too, where the kernel can: a first touch then costs nothing.
    pub(super) fn populate(&self) {
        let _ = self.map.advise(memmap2::Advice::PopulateWrite);
    }

    /// The address of a byte.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset < self.map.len(), "{offset} is outside the file");
        // SAFETY: within the mapping.
        unsafe { self.map.as_mut_ptr().add(offset) }
    }

    /// A word, shared with the other process.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(
            (index + 1) * 8 <= self.map.len(),
            "word {index} is outside the file"
        );
        // SAFETY: within the mapping, aligned to 8 because mappings are aligned to pages, and only ever accessed as an atomic.
        unsafe { &*self.map.as_mut_ptr().cast::<AtomicU64>().add(index) }
    }
}

fn allocate(file: &File, len: usize) -> std::io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(std::io::Error::other)?;
    // SAFETY: the descriptor is open. The call returns the error instead of setting errno.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
        0 => Ok(()),
        e => Err(std::io::Error::from_raw_os_error(e)),
    }
}
