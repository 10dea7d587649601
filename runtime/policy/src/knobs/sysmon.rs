//! How long the monitor thread pauses. Go: `sysmon`.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, ns};

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "the shortest pause of the monitor thread",
    default: Duration::from_micros(20),
    takes: Takes::Time {
        least: Duration::from_micros(1),
        most: Duration::from_secs(10),
    },
    examples: &["100us"],
};

impl Policy {
    /// How long sysmon pauses after this many rounds in which it took no P: doubled each round after the 50th (`sysmon_patience`), up to
    /// `sysmon_max`.
    pub fn sysmon_delay_ns(&self, idle_rounds: u32) -> u64 {
        let doublings = idle_rounds.saturating_sub(self.sysmon_patience).min(32);
        ns(self.sysmon)
            .saturating_mul(1 << doublings)
            .min(ns(self.sysmon_max.max(self.sysmon)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impatience_doubles_from_the_first_round_on() {
        let policy: Policy = "sysmon_patience=0".parse().expect("a policy");
        assert_eq!(
            [0, 1, 2].map(|n| policy.sysmon_delay_ns(n)),
            [20_000, 40_000, 80_000]
        );
    }

    #[test]
    fn sysmon_slows_down_after_fifty_idle_rounds() {
        let go = Policy::default();
        assert_eq!(go.sysmon_delay_ns(50), 20_000);
        assert_eq!(go.sysmon_delay_ns(51), 40_000);
        assert_eq!(go.sysmon_delay_ns(1_000), 10_000_000);
    }

    #[test]
    fn a_cap_below_the_shortest_pause_is_that_pause() {
        let steady: Policy = "sysmon=1ms,sysmon_max=20us".parse().expect("a policy");
        assert_eq!(steady.sysmon_delay_ns(0), 1_000_000);
        assert_eq!(steady.sysmon_delay_ns(1_000), 1_000_000);
    }
}
