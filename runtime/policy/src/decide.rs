//! The decisions, as pure functions of what the scheduler sees.

use crate::policy::{Policy, Steal, YieldTo};
use crate::victims::Victims;

/// The most Gs that go from the global queue to a P at once: half of the largest ring.
const GLOBAL_BATCH_MAX: u32 = 128;

/// Rounds of sysmon in which nothing was to be done before its pauses become longer.
const SYSMON_PATIENCE: u32 = 50;

/// What is known of a P whose G is in a system call.
#[derive(Clone, Copy, Debug)]
pub struct RetakeView {
    /// Gs in the P's ring and `runnext`.
    pub queue_len: u32,
    /// Ms that spin.
    pub spinning: u32,
    /// Ps that are idle.
    pub idle_ps: u32,
    /// How long the system call has been seen to last, in ns.
    pub away_ns: u64,
}

impl Policy {
    /// Whether a P looks at the global queue first at this tick. Tick 0 counts, as in Go.
    pub fn look_global_first(&self, tick: u32) -> bool {
        self.global_tick != 0 && tick.is_multiple_of(self.global_tick)
    }

    /// How many Gs to take from a global queue of this length: a fair share, at most half of the ring. Go: `globrunqget`.
    pub fn global_batch(&self, len: u32, procs: u32) -> u32 {
        (len / procs.max(1))
            .saturating_add(1)
            .min(len)
            .min(GLOBAL_BATCH_MAX)
            .min((self.local_queue / 2).max(1))
    }

    /// How many Gs to take from a victim's ring of this length, which is not 0.
    pub fn steal_amount(&self, len: u32) -> u32 {
        match self.steal {
            Steal::Half => len - len / 2,
            Steal::Count(n) => n.min(len),
        }
    }

    /// How many Gs of a full ring of this length go to the global queue: at least one.
    pub fn overflow_amount(&self, len: u32) -> u32 {
        (len * self.overflow / 100).clamp(1, len.max(1))
    }

    /// Whether one more M may begin to spin.
    pub fn may_spin(&self, spinning: u32, procs: u32, idle_ps: u32) -> bool {
        let busy = procs.saturating_sub(idle_ps);
        u64::from(spinning) * 100 < u64::from(self.spin) * u64::from(busy)
    }

    /// The order in which a thief visits `0..procs`, itself included, for one random number.
    pub fn victims(&self, procs: u32, random: u64) -> Victims {
        Victims::new(procs, random)
    }

    /// Whether a G that yields goes to the global queue.
    pub fn yield_to_global(&self) -> bool {
        self.yield_to == YieldTo::Global
    }

    /// How long sysmon pauses after this many rounds in which it took no P: doubled each round after the 50th.
    pub fn sysmon_delay_ns(&self, idle_rounds: u32) -> u64 {
        let doublings = idle_rounds.saturating_sub(SYSMON_PATIENCE).min(32);
        self.sysmon_ns
            .saturating_mul(1 << doublings)
            .min(self.sysmon_max_ns.max(self.sysmon_ns))
    }

    /// Whether sysmon takes a P that has been in the same system call for a whole round of its own.
    pub fn retakes(&self, p: RetakeView) -> bool {
        let nothing_waits = p.queue_len == 0 && p.spinning + p.idle_ps > 0;
        !nothing_waits || p.away_ns >= self.syscall_ns
    }
}

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
    fn go_looks_at_the_global_queue_every_61st_slice() {
        let go = Policy::default();
        let looks: Vec<u32> = (0..200).filter(|t| go.look_global_first(*t)).collect();
        assert_eq!(looks, [0, 61, 122, 183]);
    }

    #[test]
    fn steal_half_rounds_up() {
        let go = Policy::default();
        assert_eq!(
            [1, 2, 3, 4, 255, 256].map(|n| go.steal_amount(n)),
            [1, 1, 2, 2, 128, 128]
        );
    }

    #[test]
    fn the_global_batch_is_a_fair_share() {
        let go = Policy::default();
        assert_eq!(go.global_batch(1, 4), 1);
        assert_eq!(go.global_batch(7, 4), 2);
        assert_eq!(go.global_batch(10_000, 2), 128);
        assert_eq!(go.global_batch(u32::MAX, 1), 128);
    }

    #[test]
    fn half_of_the_busy_may_spin() {
        let go = Policy::default();
        assert!(go.may_spin(0, 1, 0));
        assert!(!go.may_spin(1, 2, 0));
        assert!(go.may_spin(1, 4, 1));
        assert!(!go.may_spin(0, 4, 4));
    }

    #[test]
    fn sysmon_slows_down_after_fifty_idle_rounds() {
        let go = Policy::default();
        assert_eq!(go.sysmon_delay_ns(50), 20_000);
        assert_eq!(go.sysmon_delay_ns(51), 40_000);
        assert_eq!(go.sysmon_delay_ns(1_000), 10_000_000);
    }

    #[test]
    fn a_p_is_left_in_its_system_call_while_nobody_needs_it() {
        let go = Policy::default();
        let p = RetakeView {
            queue_len: 0,
            spinning: 0,
            idle_ps: 1,
            away_ns: 50_000,
        };
        assert!(!go.retakes(p));
        assert!(go.retakes(RetakeView { queue_len: 1, ..p }));
        assert!(go.retakes(RetakeView { idle_ps: 0, ..p }));
        assert!(go.retakes(RetakeView {
            away_ns: 10_000_000,
            ..p
        }));
    }

    #[test]
    fn the_quota_has_a_floor_of_two_and_affinity_has_none() {
        assert_eq!(default_procs(8, Some(0.5)), 2);
        assert_eq!(default_procs(8, Some(2.00001)), 3);
        assert_eq!(default_procs(8, Some(16.0)), 8);
        assert_eq!(default_procs(8, None), 8);
        assert_eq!(default_procs(1, Some(4.0)), 1);
    }
}
