//! How many Ps a process gets when nobody says, and how many there can be.

/// The most Ps that a runtime can have.
pub const MAX_PROCS: u32 = 4096;

/// How many Ps a process gets by default: its CPUs, but no more than its cgroup's quota, rounded up and at least 2.
///
/// `quota` is in CPUs. As Go's `GOMAXPROCS` since 1.25.
pub fn default_procs(cpus: u32, quota: Option<f64>) -> u32 {
    let limit = match quota {
        Some(q) if q.is_finite() && q > 0.0 => (q.ceil() as u32).max(2),
        _ => u32::MAX,
    };
    cpus.min(limit).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_has_a_floor_of_two_and_affinity_has_none() {
        assert_eq!(default_procs(8, Some(0.5)), 2);
        assert_eq!(default_procs(8, Some(2.00001)), 3);
        assert_eq!(default_procs(8, Some(16.0)), 8);
        assert_eq!(default_procs(8, None), 8);
        assert_eq!(default_procs(1, Some(4.0)), 1);
    }
}
