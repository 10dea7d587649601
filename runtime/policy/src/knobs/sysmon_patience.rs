//! When the pauses of the monitor thread become longer; the decision is in [`super::sysmon`]. Go: after 50 rounds.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "rounds of the monitor thread in which it took no P, after which each pause is twice as long as the one before",
    default: 50,
    takes: Takes::Number {
        least: 0,
        most: 1_000_000,
        unit: "rounds",
    },
    examples: &["0", "1000"],
};
