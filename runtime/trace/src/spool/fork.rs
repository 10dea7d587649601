//! What becomes of a spool in a forked child: nothing of the parent's can be reached from it.
//!
//! A fork copies the parent's mappings, and shared ones stay shared: a child that went on would write into its parent's chunks and
//! counters. So a handler that the C library calls in the child puts private memory in the place of each mapping, before any code of the
//! program runs there. Stores of the child then go where nobody looks, whoever makes them; what is no store (entries of tables, new
//! segments) a spool refuses when it finds itself in another [`generation`] than the one that made it. A program that the child executes starts anew and has a folder of its own.
//!
//! The handler runs for `fork` of the C library, and so for all that is built on it; a raw `clone` system call without `CLONE_VM`
//! escapes it. `vfork` and `posix_spawn` need nothing: their child only executes another program.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A shared mapping. Entries are never freed: the handler may walk the list at any time.
#[derive(Debug)]
pub(super) struct Entry {
    address: *mut u8,
    /// 0 once the mapping is gone.
    len: AtomicUsize,
    next: *const Entry,
}

// SAFETY: the pointers are never written after the entry was published, and the mapping's address is only used by the handler.
unsafe impl Send for Entry {}
// SAFETY: as above; `len` is an atomic.
unsafe impl Sync for Entry {}

/// All mappings of this process's spools, the last one first.
static MAPPINGS: AtomicPtr<Entry> = AtomicPtr::new(std::ptr::null_mut());

/// How many forks of a process with a spool lie between the program's start and this process.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// A number that is another one in a forked child than in its parent.
pub(super) fn generation() -> u32 {
    // Relaxed: changed before any code of the child runs, in its only thread.
    GENERATION.load(Ordering::Relaxed)
}

/// Takes the mapping away from children that are forked from now on.
pub(super) fn guard(address: *mut u8, len: usize) -> &'static Entry {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: the handler is a function of this crate that does only what is allowed between fork and exec.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    let entry = Box::into_raw(Box::new(Entry {
        address,
        len: AtomicUsize::new(len),
        next: std::ptr::null(),
    }));
    // Relaxed: the exchange below checks it.
    let mut head = MAPPINGS.load(Ordering::Relaxed);
    loop {
        // SAFETY: not published yet, so nobody else looks at it.
        unsafe { (*entry).next = head };
        // Release publishes the entry to the handler, which acquires the head.
        match MAPPINGS.compare_exchange_weak(head, entry, Ordering::Release, Ordering::Relaxed) {
            // SAFETY: it was leaked just now.
            Ok(_) => return unsafe { &*entry },
            Err(now) => head = now,
        }
    }
}

impl Entry {
    /// The mapping is about to be taken down.
    pub(super) fn release(&self) {
        // Release: before the mapping goes, so that a child forked after that does not find it.
        self.len.store(0, Ordering::Release);
    }
}

/// Called by the C library in the only thread of a new child. System calls and stores alone: other threads of the parent may have held
/// any lock.
extern "C" fn in_child() {
    // Relaxed: this is the only thread.
    GENERATION.fetch_add(1, Ordering::Relaxed);
    let mut next = MAPPINGS.load(Ordering::Acquire).cast_const();
    // SAFETY: entries are never freed.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.next;
        let len = entry.len.swap(0, Ordering::Acquire);
        if len == 0 {
            continue;
        }
        // SAFETY: the range is a mapping of this crate that was not taken down; references into it stay valid, because there is memory
        // in its place that holds zeros, a value that each of its words may have.
        let private = unsafe {
            libc::mmap(
                entry.address.cast(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_FIXED | libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if private == libc::MAP_FAILED {
            // Better a child that faults at its next event than one that damages the parent's recording.
            // SAFETY: as above; a child of which nothing else is known to hold is not worth keeping.
            unsafe { libc::munmap(entry.address.cast(), len) };
        }
    }
}
