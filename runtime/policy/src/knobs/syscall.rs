//! How long a P stays with a system call. Go: `retake`.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, ns};
use crate::view::RetakeView;

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long a P stays with a system call though no G waits for it",
    default: Duration::from_millis(10),
    takes: Takes::Time {
        least: Duration::ZERO,
        most: Duration::from_secs(10),
    },
    examples: &["0us", "20us"],
};

impl Policy {
    /// Whether sysmon takes a P that has been in the same system call for a whole round of its own.
    pub fn retakes(&self, p: RetakeView) -> bool {
        let nothing_waits = p.queue_len == 0 && p.spinning + p.idle_ps > 0;
        !nothing_waits || p.away_ns >= ns(self.syscall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
