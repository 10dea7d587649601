//! The CPUs that this process may run on.

/// How many CPUs are in the calling thread's affinity mask; at least 1.
pub(crate) fn cpus() -> u32 {
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    // `available_parallelism` also honours the cgroup's quota, rounded down; the mask itself is what is wanted here.
    // SAFETY: an all-zero cpu_set_t is a valid empty set, and the kernel writes at most its size.
    let in_mask = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        match libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) {
            0 => usize::try_from(libc::CPU_COUNT(&set)).unwrap_or(n),
            _ => n,
        }
    };
    u32::try_from(in_mask).unwrap_or(1).max(1)
}

/// The CPU on which the calling thread runs at this moment.
pub(crate) fn current_cpu() -> Option<u32> {
    // SAFETY: no arguments, no memory; it answers from the thread's own data.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).ok()
}
