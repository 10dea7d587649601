//! The CPUs that this process may run on.

/// How many CPUs are in a thread's affinity mask, by the kernel's number of the thread, 0 for the calling one; at least 1.
pub(crate) fn cpus(tid: u32) -> u32 {
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    // `available_parallelism` also honours the cgroup's quota, rounded down; the mask itself is what is wanted here.
    // SAFETY: an all-zero cpu_set_t is a valid empty set, and the kernel writes at most its size.
    let in_mask = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(
            tid.cast_signed(),
            size_of::<libc::cpu_set_t>(),
            &raw mut set,
        ) {
            0 => usize::try_from(libc::CPU_COUNT(&set)).unwrap_or(n),
            _ => n,
        }
    };
    u32::try_from(in_mask).unwrap_or(1).max(1)
}
