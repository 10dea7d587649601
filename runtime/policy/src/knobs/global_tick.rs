//! The global queue: how often a P looks there first, and how much it takes. Go: `schedtick%61`, `globrunqget`.

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "every how many time slices a P looks at the global queue first; 0 is never",
    default: 61,
    takes: Takes::Number {
        least: 0,
        most: 1_000_000,
        unit: "time slices",
    },
    examples: &["0", "31"],
};

impl Policy {
    /// Whether a P looks at the global queue first at this tick (the time slices that it began). Tick 0 counts, as in Go.
    pub fn look_global_first(&self, tick: u32) -> bool {
        self.global_tick != 0 && tick.is_multiple_of(self.global_tick)
    }

    /// How many Gs to take from a global queue of this length: a fair share, at most half of the ring and what [`mod@super::global_batch`]
    /// says. Go: `globrunqget`.
    pub fn global_batch(&self, len: u32, procs: u32) -> u32 {
        (len / procs.max(1))
            .saturating_add(1)
            .min(len)
            .min(self.global_batch)
            .min((self.local_queue / 2).max(1))
    }
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
    fn tick_0_is_never() {
        let never: Policy = "global_tick=0".parse().expect("a policy");
        assert!(!(0..200).any(|t| never.look_global_first(t)));
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
    fn a_batch_is_no_larger_than_the_policy_says() {
        let few: Policy = "global_batch=3".parse().expect("a policy");
        assert_eq!(
            [2, 10, 10_000].map(|len| few.global_batch(len, 1)),
            [2, 3, 3]
        );
    }

    #[test]
    fn a_batch_has_room_in_the_ring() {
        let small: Policy = "local_queue=1".parse().expect("a policy");
        assert_eq!(small.global_batch(10_000, 1), 1);
    }
}
