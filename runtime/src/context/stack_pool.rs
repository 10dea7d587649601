//! Stacks, carved out of large mappings and reused.
//!
//! A mapping of its own for each stack would cost 10 us and two of the process's 65,530 mappings. So stacks are slots of arenas:
//! one mapping, reserved but not committed, in which each slot begins with a guard page. The guards are installed with
//! `MADV_GUARD_INSTALL` (Linux 6.13), which does not split the mapping; where the kernel does not know it, with `mprotect`, which does,
//! and then the kernel's limit on mappings bounds the number of stacks and [`StackPool::get`] says so. An emulator may say that all
//! went well and do nothing (qemu-user does), so the first guard of a pool is put to the test. A slot gets its guard when it is
//! handed out for the first time, so that an arena costs nothing ahead and a refused guard takes no other stack with it.
//!
//! A stack's pages are committed by first use and kept when it is given back.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, RwLock};

use corosensei::stack::StackPointer;

/// Bytes of a guard: a page. 4 KiB on x86-64; what the kernel was built with elsewhere.
static GUARD: LazyLock<usize> = LazyLock::new(|| {
    // SAFETY: no preconditions.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(page).unwrap_or(4096)
});

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

impl Stack {
    /// The lowest address that can be used and the one after the highest.
    pub(crate) fn range(&self) -> (usize, usize) {
        (self.bottom + *GUARD, self.bottom + self.len)
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
    slots: Mutex<Slots>,
    /// Whether `MADV_GUARD_INSTALL` works here; assumed until it does not.
    light_guards: AtomicBool,
}

/// What a pool has to give.
struct Slots {
    /// Stacks that were put back, guarded already. The last is the warmest.
    free: Vec<Stack>,
    /// The slots of the newest arena that were never handed out and have no guard yet.
    fresh: std::ops::Range<usize>,
    /// Whether a guard was put to the test.
    tested: bool,
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
            .next_multiple_of(*GUARD);
        StackPool {
            slot: usable + *GUARD,
            slots: Mutex::new(Slots {
                free: Vec::new(),
                fresh: 0..0,
                tested: false,
            }),
            light_guards: AtomicBool::new(true),
        }
    }

    /// A stack nobody uses.
    ///
    /// # Errors
    /// What the kernel said, with what to do about it.
    pub(crate) fn get(&self) -> io::Result<Stack> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(stack) = slots.free.pop() {
            return Ok(stack);
        }
        if slots.fresh.is_empty() {
            slots.fresh = self.map_arena()?;
        }
        let bottom = slots.fresh.start;
        self.guard(bottom)?;
        if !slots.tested {
            if !refuses_a_write(bottom) {
                self.light_guards.store(false, Ordering::Relaxed);
                self.guard(bottom)?;
            }
            slots.tested = true;
        }
        slots.fresh.start += self.slot;
        Ok(Stack {
            bottom,
            len: self.slot,
        })
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
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .free
            .push(stack);
    }

    /// Whether guards split no mapping, as far as is known after a first stack.
    #[cfg(test)]
    pub(crate) fn guards_are_light(&self) -> bool {
        self.light_guards.load(Ordering::Relaxed)
    }

    /// Maps an arena, which holds a whole number of slots.
    fn map_arena(&self) -> io::Result<std::ops::Range<usize>> {
        let len = (ARENA / self.slot).max(1) * self.slot;
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
            return Err(self.refused(format_args!("cannot map {len} bytes for stacks")));
        }
        // A huge page would commit 2 MiB for the first byte of a stack.
        // SAFETY: the range is the mapping just made.
        unsafe { libc::madvise(base, len, libc::MADV_NOHUGEPAGE) };
        let base = base as usize;
        remember(base, len, self.slot)?;
        Ok(base..base + len)
    }

    fn guard(&self, bottom: usize) -> io::Result<()> {
        let page = bottom as *mut libc::c_void;
        // Relaxed: a hint; a slot for which it is wrong asks the kernel once more.
        if self.light_guards.load(Ordering::Relaxed) {
            // SAFETY: the page is ours and nothing is in it.
            if unsafe { libc::madvise(page, *GUARD, MADV_GUARD_INSTALL) } == 0 {
                return Ok(());
            }
            // Only "unknown advice" is for ever; a refusal for want of memory is not.
            if io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL) {
                self.light_guards.store(false, Ordering::Relaxed);
            }
        }
        // SAFETY: as above.
        if unsafe { libc::mprotect(page, *GUARD, libc::PROT_NONE) } == 0 {
            return Ok(());
        }
        Err(self.refused(format_args!("cannot guard a stack")))
    }

    /// The kernel's last refusal, with what to do about it.
    fn refused(&self, what: std::fmt::Arguments<'_>) -> io::Error {
        let e = io::Error::last_os_error();
        let advice = if self.light_guards.load(Ordering::Relaxed) {
            "have fewer Gs alive at once, or smaller stacks"
        } else {
            "each stack needs two mappings on this kernel (before Linux 6.13): \
             raise vm.max_map_count (sysctl) to twice the Gs and more, or have fewer Gs alive at once"
        };
        io::Error::new(e.kind(), format!("{what}: {e}; {advice}"))
    }
}

/// Whether the kernel says EFAULT where the program itself would fault, when it is asked to write into the page.
fn refuses_a_write(page: usize) -> bool {
    // SAFETY: the kernel checks the address, and nothing else is in the page, which is larger than what it would write.
    let refused = unsafe { libc::uname(page as *mut libc::utsname) } == -1;
    refused && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
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
            // The guard's size is known: there is an arena.
            return ((address - base) % slot < *GUARD).then_some(slot - *GUARD);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn stacks_do_not_overlap_and_come_back() {
        let pool = StackPool::new(64 << 10);
        let all: Vec<Stack> = (0..5_000).map(|_| pool.get().expect("memory")).collect();
        let bottoms: BTreeSet<usize> = all.iter().map(|s| s.bottom).collect();
        assert_eq!(bottoms.len(), all.len());
        let gaps = bottoms.iter().zip(bottoms.iter().skip(1));
        assert!(gaps.into_iter().all(|(a, b)| b - a >= (64 << 10) + *GUARD));
        all.into_iter().for_each(|s| pool.put(s));
        assert!(bottoms.contains(&pool.get().expect("one that was put back").bottom));
    }

    #[test]
    fn a_guard_is_told_from_a_stack_and_from_other_memory() {
        let stack = StackPool::new(64 << 10).get().expect("memory");
        assert_eq!(guarded_stack(stack.bottom), Some(64 << 10));
        assert_eq!(guarded_stack(stack.bottom + *GUARD - 1), Some(64 << 10));
        assert_eq!(guarded_stack(stack.bottom + *GUARD), None);
        assert_eq!(guarded_stack(std::ptr::from_ref(&stack) as usize), None);
    }

    #[test]
    fn both_kinds_of_guard_refuse_a_write() {
        for light in [true, false] {
            let pool = StackPool::new(64 << 10);
            pool.light_guards.store(light, Ordering::Relaxed);
            let stack = pool.get().expect("memory");
            assert!(refuses_a_write(stack.bottom), "light: {light}");
            assert!(!refuses_a_write(stack.bottom + *GUARD), "light: {light}");
        }
    }
}
