//! Stacks, carved out of large mappings and reused.
//!
//! A mapping of its own for each stack would cost 10 us and two of the process's 65,530 mappings. So stacks are slots of arenas:
//! one mapping, reserved but not committed, in which each slot begins with a guard page. The guards are installed with
//! `MADV_GUARD_INSTALL` (Linux 6.13), which does not split the mapping; where the kernel does not know it, with `mprotect`, which does,
//! and then the kernel's limit on mappings bounds the number of stacks and [`StackPool::get`] says so.
//!
//! A stack's pages are committed by first use and kept when it is given back.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use corosensei::stack::StackPointer;

/// The kernel's page size on every target this runs on.
pub(crate) const PAGE: usize = 4096;

/// Bytes of a guard.
const GUARD: usize = PAGE;

/// The size of an arena, unless one stack is larger: address space only.
const ARENA: usize = 64 << 20;

/// Lightweight guards, since Linux 6.13.
const MADV_GUARD_INSTALL: libc::c_int = 102;

/// A stack with a guard below it. Owned: nobody else has the same slot until it is put back.
#[derive(Debug)]
pub(crate) struct Stack {
    /// The lowest address, the guard's.
    bottom: usize,
    /// Bytes with the guard.
    len: usize,
}

// SAFETY: the slot has a guard page at its lower end, was mapped readable and writable above it, and is larger than corosensei's
// least size (`StackPool::new`); base and limit are page-aligned.
unsafe impl corosensei::stack::Stack for Stack {
    fn base(&self) -> StackPointer {
        address(self.bottom + self.len)
    }

    fn limit(&self) -> StackPointer {
        address(self.bottom)
    }
}

fn address(a: usize) -> StackPointer {
    match NonZeroUsize::new(a) {
        Some(a) => a,
        None => unreachable!("no mapping lies at 0"),
    }
}

/// Where stacks come from. Its mappings are never taken down: a G of a runtime that ended may still be on one.
pub(crate) struct StackPool {
    slot: usize,
    free: Mutex<Vec<Stack>>,
    /// Whether the kernel knows `MADV_GUARD_INSTALL`; assumed until it refuses.
    light_guards: AtomicBool,
}

/// Every arena of the process, for telling a guard's fault from another: (bottom, bytes, bytes of a slot).
static ARENAS: RwLock<Vec<(usize, usize, usize)>> = RwLock::new(Vec::new());

/// The arenas again, as the fault handler may read them: no locks. Filled from the front.
static ARENA_WORDS: [[AtomicUsize; 3]; MAX_ARENAS] =
    [const { [const { AtomicUsize::new(0) }; 3] }; MAX_ARENAS];
const MAX_ARENAS: usize = 8192;

impl StackPool {
    /// A pool of stacks of this usable size, rounded up to whole pages.
    pub(crate) fn new(stack_bytes: usize) -> StackPool {
        let usable = stack_bytes
            .max(corosensei::stack::MIN_STACK_SIZE)
            .next_multiple_of(PAGE);
        StackPool {
            slot: usable + GUARD,
            free: Mutex::new(Vec::new()),
            light_guards: AtomicBool::new(true),
        }
    }

    /// A stack nobody uses.
    ///
    /// # Errors
    /// What the kernel said, with what to do about it.
    pub(crate) fn get(&self) -> io::Result<Stack> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            self.carve(&mut free)?;
        }
        free.pop()
            .ok_or_else(|| io::Error::other("a new arena held no stacks"))
    }

    /// Gives a stack back that nothing is on.
    #[cfg_attr(
        not(test),
        allow(
            dead_code,
            reason = "dead Gs keep their stacks; only tests give them back"
        )
    )]
    pub(crate) fn put(&self, stack: Stack) {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stack);
    }

    /// Maps an arena and puts its slots on the free list.
    fn carve(&self, free: &mut Vec<Stack>) -> io::Result<()> {
        let slots = (ARENA / self.slot).max(1);
        let len = slots * self.slot;
        // SAFETY: a fresh anonymous mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            let e = io::Error::last_os_error();
            return Err(io::Error::new(
                e.kind(),
                format!("cannot map {len} bytes for stacks: {e}"),
            ));
        }
        // A huge page would commit 2 MiB for the first byte of a stack.
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(base, len, libc::MADV_NOHUGEPAGE) };
        let base = base as usize;
        remember(base, len, self.slot)?;
        for i in 0..slots {
            let bottom = base + i * self.slot;
            self.guard(bottom)?;
            free.push(Stack {
                bottom,
                len: self.slot,
            });
        }
        // The lowest slot first.
        free.reverse();
        Ok(())
    }

    fn guard(&self, bottom: usize) -> io::Result<()> {
        let page = bottom as *mut libc::c_void;
        if self.light_guards.load(Ordering::Relaxed) {
            // SAFETY: the page is ours and nothing is in it.
            if unsafe { libc::madvise(page, GUARD, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            self.light_guards.store(false, Ordering::Relaxed);
        }
        // SAFETY: as above.
        if unsafe { libc::mprotect(page, GUARD, libc::PROT_NONE) } == 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        let advice = "each stack's guard needs a mapping of its own on this kernel (before Linux 6.13): \
                      raise vm.max_map_count, or have fewer Gs alive at once";
        Err(io::Error::new(
            e.kind(),
            format!("cannot guard a stack: {e}; {advice}"),
        ))
    }
}

fn remember(base: usize, len: usize, slot: usize) -> io::Result<()> {
    let mut arenas = ARENAS.write().unwrap_or_else(PoisonError::into_inner);
    let Some(words) = ARENA_WORDS.get(arenas.len()) else {
        return Err(io::Error::other(format!(
            "more than {MAX_ARENAS} arenas of stacks"
        )));
    };
    // Relaxed, the base last with release: the handler takes a base that is not 0 as the sign that the other two are there.
    words[1].store(len, Ordering::Relaxed);
    words[2].store(slot, Ordering::Relaxed);
    words[0].store(base, Ordering::Release);
    arenas.push((base, len, slot));
    Ok(())
}

/// If the address lies in a guard: the usable size of the stack above it. Async-signal-safe.
pub(super) fn guarded_stack(address: usize) -> Option<usize> {
    for words in &ARENA_WORDS {
        // Acquire: see `remember`.
        let base = words[0].load(Ordering::Acquire);
        if base == 0 {
            return None;
        }
        let (len, slot) = (
            words[1].load(Ordering::Relaxed),
            words[2].load(Ordering::Relaxed),
        );
        if address >= base && address < base + len {
            return ((address - base) % slot < GUARD).then_some(slot - GUARD);
        }
    }
    None
}
