//! How many Gs a P's ring holds.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "Gs that a P's ring holds, without runnext",
    default: 256,
    takes: Takes::Number {
        least: 1,
        most: 256,
        unit: "Gs",
    },
    examples: &["1", "64"],
};
