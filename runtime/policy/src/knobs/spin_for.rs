//! How long a spinning M looks before it gives up. Go: until it has passed over all Ps four times, once.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, ns};

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long a spinning M goes on looking that finds nothing; 0us is steal_rounds passes, once",
    default: Duration::ZERO,
    takes: Takes::Time {
        least: Duration::ZERO,
        most: Duration::from_secs(1),
    },
    examples: &["50us", "1ms"],
};

impl Policy {
    /// Whether a spinning M that has found nothing for this long looks once more before it lets its P go.
    pub fn spins_on(&self, spun_ns: u64) -> bool {
        spun_ns < ns(self.spin_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_looks_once_and_a_patient_m_until_its_time_is_up() {
        let patient: Policy = "spin_for=50us".parse().expect("a policy");
        assert!(!Policy::default().spins_on(0));
        assert!(patient.spins_on(0) && patient.spins_on(49_999));
        assert!(!patient.spins_on(50_000));
    }
}
