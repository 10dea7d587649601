//! How long nobody polls the network before sysmon does. Go: `sysmon`, 10 ms.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, ns};

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long no M polls the network before sysmon does",
    default: Duration::from_millis(10),
    takes: Takes::Time {
        least: Duration::from_micros(1),
        most: Duration::from_secs(10),
    },
    examples: &["100us"],
};

impl Policy {
    /// Whether sysmon polls the network that was polled this long ago.
    pub fn sysmon_polls(&self, since_ns: u64) -> bool {
        since_ns >= ns(self.netpoll_period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysmon_polls_when_nobody_has_for_10_ms() {
        let go = Policy::default();
        assert!(!go.sysmon_polls(9_999_999));
        assert!(go.sysmon_polls(10_000_000));
        let often: Policy = "netpoll_period=100us".parse().expect("a policy");
        assert!(often.sysmon_polls(100_000));
    }
}
