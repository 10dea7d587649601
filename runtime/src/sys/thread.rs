//! Facts about the threads of this process.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sys::futex;

/// The kernel's number of the calling thread.
pub(crate) fn gettid() -> u32 {
    // SAFETY: no preconditions.
    let tid = unsafe { libc::gettid() };
    u32::try_from(tid).unwrap_or(0)
}

/// The kernel's number of a thread that is being started, for those who have to wait until it is there.
pub(crate) struct Tid(AtomicU32);

impl Tid {
    /// Of a thread that has not begun.
    pub(crate) const fn unknown() -> Tid {
        Tid(AtomicU32::new(0))
    }

    /// It is the calling thread's.
    pub(crate) fn announce(&self) {
        // Relaxed: the number alone is waited for.
        self.0.store(gettid(), Ordering::Relaxed);
        futex::wake_one(&self.0);
    }

    /// Waits until the thread has announced itself. One thread at most waits.
    pub(crate) fn wait(&self) {
        // Relaxed: as above.
        while self.0.load(Ordering::Relaxed) == 0 {
            futex::wait(&self.0, 0, None);
        }
    }

    /// The number; 0 if the thread has not begun, which is no thread's.
    pub(crate) fn get(&self) -> u32 {
        // Relaxed: a number by itself.
        self.0.load(Ordering::Relaxed)
    }
}

/// How many threads this process has: exactly, at some moment of the call. The kernel counts a thread from before it runs until it has run
/// the last of its program, and a thread that starts another counts until then.
pub(crate) fn count() -> io::Result<usize> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // `num_threads`, the 20th field: the 18th after the name, which is in brackets and may have any character (proc_pid_stat(5)).
    stat.rsplit_once(')')
        .and_then(|(_, fields)| fields.split_ascii_whitespace().nth(17))
        .and_then(|n| n.parse().ok())
        // The caller is one. An emulator that makes the file up says 0 (qemu-user does).
        .filter(|n| *n > 0)
        .ok_or_else(|| io::Error::other("no number of threads in /proc/self/stat"))
}

/// The kernel's numbers of the threads of this process. While threads end it may lack any: the kernel looks for its place in
/// the list anew when the thread there is no more.
pub(crate) fn list() -> io::Result<HashSet<u32>> {
    std::fs::read_dir("/proc/self/task")?
        .map(|task| {
            let name = task?.file_name();
            name.to_str()
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| io::Error::other("no number in /proc/self/task"))
        })
        .collect()
}
