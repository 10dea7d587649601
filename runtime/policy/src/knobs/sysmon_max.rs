//! The cap of the monitor thread's pauses; the decision is in [`super::sysmon`].

use std::time::Duration;

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "the longest pause of the monitor thread",
    default: Duration::from_millis(10),
    takes: Takes::Time {
        least: Duration::from_micros(1),
        most: Duration::from_secs(10),
    },
    examples: &["1ms"],
};
