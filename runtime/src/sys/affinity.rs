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

/// Lets the calling thread run on this CPU only.
#[cfg(test)]
pub(crate) fn pin_for_tests(cpu: u32) {
    // SAFETY: an all-zero cpu_set_t is a valid empty set; the kernel reads at most its size, and `cpu` is one that it named.
    let done = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}

/// Two CPUs that the calling thread may run on; twice the same one if there is no other.
#[cfg(test)]
pub(crate) fn two_for_tests() -> (u32, u32) {
    // SAFETY: as in `cpus`.
    let allowed: Vec<u32> = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        assert_eq!(
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set),
            0
        );
        let all = 0..libc::CPU_SETSIZE as u32;
        all.filter(|cpu| libc::CPU_ISSET(*cpu as usize, &set))
            .collect()
    };
    (allowed[0], allowed[allowed.len() - 1])
}
