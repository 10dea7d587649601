//! How long a P stays with a system call though Gs wait for a P; the decision is in [`super::syscall`].

use std::time::Duration;

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long a system call must have lasted before sysmon takes its P though Gs wait; sysmon sees it one or two pauses late",
    default: Duration::ZERO,
    takes: Takes::Time {
        least: Duration::ZERO,
        most: Duration::from_secs(10),
    },
    examples: &["1ms"],
};
