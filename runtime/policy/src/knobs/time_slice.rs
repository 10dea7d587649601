//! How long a G may run before it is asked to give way. Go: `forcePreemptNS`.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, ns};

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long a G may run before it is asked to give way",
    default: Duration::from_millis(10),
    takes: Takes::Time {
        least: Duration::from_micros(10),
        most: Duration::from_secs(10),
    },
    examples: &["1ms", "250us"],
};

impl Policy {
    /// Whether a P that sysmon has seen in the same time slice for this long is to be asked to give way.
    pub fn slice_is_over(&self, seen_ns: u64) -> bool {
        seen_ns >= ns(self.time_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_is_over_when_it_is_used_up() {
        let go = Policy::default();
        assert!(!go.slice_is_over(9_999_999));
        assert!(go.slice_is_over(10_000_000));
    }
}
