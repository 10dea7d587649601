//! How much of a full ring goes to the global queue. Go: `runqputslow`.

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "which part of a full ring goes to the global queue",
    default: 50,
    takes: Takes::Number {
        least: 1,
        most: 100,
        unit: "percent",
    },
    examples: &["1", "100"],
};

impl Policy {
    /// How many Gs of a full ring of this length go to the global queue: at least one.
    pub fn overflow_amount(&self, len: u32) -> u32 {
        (len * self.overflow / 100).clamp(1, len.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_one_g_and_at_most_all_leave_a_full_ring() {
        let share = |percent| Policy {
            overflow: percent,
            ..Policy::default()
        };
        assert_eq!(share(50).overflow_amount(256), 128);
        assert_eq!(share(1).overflow_amount(1), 1);
        assert_eq!(share(1).overflow_amount(256), 2);
        assert_eq!(share(100).overflow_amount(256), 256);
    }
}
