//! How often a thief passes over all Ps. Go: `stealWork`.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "how often a thief passes over all Ps; the last pass also takes timers and runnext",
    default: 4,
    takes: Takes::Number {
        least: 1,
        most: 64,
        unit: "passes",
    },
    examples: &["1", "8"],
};
