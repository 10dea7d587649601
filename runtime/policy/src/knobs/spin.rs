//! How many Ms may spin at once. Go: `findRunnable`, `wakep`.

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "spinning Ms allowed, in percent of the busy Ps; 0 is none",
    default: 50,
    takes: Takes::Number {
        least: 0,
        most: 100,
        unit: "percent",
    },
    examples: &["0", "100"],
};

impl Policy {
    /// Whether one more M may begin to spin.
    pub fn may_spin(&self, spinning: u32, procs: u32, idle_ps: u32) -> bool {
        let busy = procs.saturating_sub(idle_ps);
        u64::from(spinning) * 100 < u64::from(self.spin) * u64::from(busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_busy_may_spin() {
        let go = Policy::default();
        assert!(go.may_spin(0, 1, 0));
        assert!(!go.may_spin(1, 2, 0));
        assert!(go.may_spin(1, 4, 1));
        assert!(!go.may_spin(0, 4, 4));
    }
}
