//! The CPUs that this process may run on, and binding a thread to one of them.

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

/// The CPUs of the calling thread's affinity mask, in the order of their numbers; none if the kernel does not say.
pub(crate) fn allowed() -> Vec<u32> {
    // SAFETY: an all-zero cpu_set_t is a valid empty set, and the kernel writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) != 0 {
            return Vec::new();
        }
        set
    };
    (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the number is below the size of the set.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .map(|cpu| cpu as u32)
        .collect()
}

/// Binds the calling thread to one CPU. It runs there when this returns.
///
/// # Errors
/// The kernel's: the process may not use that CPU, or not choose.
pub(crate) fn pin(cpu: u32) -> std::io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as u32 {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: an all-zero cpu_set_t is a valid empty set, the number is below its size, and the kernel only reads it.
    let refused = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if refused == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// The CPU on which the calling thread runs at this moment.
pub(crate) fn current_cpu() -> Option<u32> {
    // SAFETY: no arguments, no memory; it answers from the thread's own data.
    let cpu = unsafe { libc::sched_getcpu() };
    u32::try_from(cpu).ok()
}

/// Two CPUs that the calling thread may run on; twice the same one if there is no other.
#[cfg(test)]
pub(crate) fn two_for_tests() -> (u32, u32) {
    let allowed = allowed();
    (allowed[0], allowed[allowed.len() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_that_cpu_only() {
        // On a thread of its own, which takes its mask with it.
        let pinned = std::thread::spawn(|| {
            let last = allowed().pop().expect("at least one");
            pin(last).expect("one of ours");
            assert_eq!((allowed(), current_cpu()), (vec![last], Some(last)));
            assert_eq!(cpus(0), 1);
        });
        pinned.join().expect("no panic");
        assert_eq!(allowed().len(), cpus(0) as usize);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        for cpu in [libc::CPU_SETSIZE as u32 - 1, u32::MAX] {
            if !allowed().contains(&cpu) {
                assert!(pin(cpu).is_err());
            }
        }
    }
}
