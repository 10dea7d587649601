//! Files mapped into memory as words: what the two processes share.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};

use super::protocol::Header;
use super::{SpoolError, fork};

/// A mapped file of fixed length whose blocks are all allocated, for reading and writing.
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
            .and_then(|()| Map::of(&file, path));
        if map.is_err() {
            // A file without blocks is of no use to a reader.
            let _ = std::fs::remove_file(path);
        }
        map
    }

    /// Maps a file that another process made, which must have this length.
    pub(super) fn open(path: &Path, len: usize) -> Result<Map, SpoolError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(SpoolError::io("cannot open", path))?;
        check_length(&file, path, len)?;
        Map::of(&file, path)
    }

    fn of(file: &File, path: &Path) -> Result<Map, SpoolError> {
        let map = MmapRaw::map_raw(file).map_err(SpoolError::io("cannot map", path))?;
        let guarded = fork::guard(map.as_mut_ptr(), map.len());
        Ok(Map { map, guarded })
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
        // SAFETY: the mapping is alive as long as `self`.
        unsafe { word(self.map.as_mut_ptr(), self.map.len(), index) }
    }
}

/// A mapped file of fixed length, for reading alone.
#[derive(Debug)]
pub(super) struct View {
    map: MmapRaw,
}

impl View {
    /// Maps a file, which must have this length.
    pub(super) fn open(path: &Path, len: usize) -> Result<View, SpoolError> {
        let file = File::open(path).map_err(SpoolError::io("cannot open", path))?;
        check_length(&file, path, len)?;
        let map = MmapOptions::new()
            .len(len)
            .map_raw_read_only(&file)
            .map_err(SpoolError::io("cannot map", path))?;
        Ok(View { map })
    }

    /// A word, shared with the other process. It must not be stored to.
    pub(super) fn word(&self, index: usize) -> &AtomicU64 {
        // SAFETY: the mapping is alive as long as `self`.
        unsafe { word(self.map.as_mut_ptr(), self.map.len(), index) }
    }

    /// Bytes that nobody writes to any more.
    ///
    /// # Safety
    /// The range is published, and stays so while the bytes are borrowed.
    pub(super) unsafe fn bytes(&self, from: usize, to: usize) -> &[u8] {
        assert!(
            from <= to && to <= self.map.len(),
            "{from}..{to} is outside the file"
        );
        // SAFETY: within the mapping; the caller promises that nobody writes there.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(from), to - from) }
    }
}

/// The header of a chunk that is mapped for reading: the mapping, and the chunk's first byte in it.
#[derive(Clone, Copy)]
pub(super) struct MappedHeader<'a>(pub(super) &'a View, pub(super) usize);

impl Header for MappedHeader<'_> {
    fn word(&self, index: usize) -> &AtomicU64 {
        self.0.word(self.1 / 8 + index)
    }
}

/// # Safety
/// `base` begins a mapping of `len` bytes that outlives the result, and this word of it is only ever accessed as an atomic.
unsafe fn word<'a>(base: *mut u8, len: usize, index: usize) -> &'a AtomicU64 {
    assert!((index + 1) * 8 <= len, "word {index} is outside the file");
    // SAFETY: within the mapping, and aligned to 8 because mappings are aligned to pages.
    unsafe { &*base.cast::<AtomicU64>().add(index) }
}

fn check_length(file: &File, path: &Path, len: usize) -> Result<(), SpoolError> {
    let meta = file
        .metadata()
        .map_err(SpoolError::io("cannot read", path))?;
    if meta.len() == len as u64 {
        return Ok(());
    }
    Err(SpoolError::Format {
        path: path.to_owned(),
        what: format!("it has {} bytes and should have {len}", meta.len()),
    })
}

fn allocate(file: &File, len: usize) -> std::io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(std::io::Error::other)?;
    // SAFETY: the descriptor is open. The call returns the error instead of setting errno.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
        0 => Ok(()),
        e => Err(std::io::Error::from_raw_os_error(e)),
    }
}
