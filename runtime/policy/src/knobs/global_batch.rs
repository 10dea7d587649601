//! The most Gs that a P takes from the global queue at once; the decision is in [`super::global_tick`]. Go: half of a ring.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<u32> = Setting {
    doc: "the most Gs that a P takes from the global queue at once; its fair share and half of its ring are limits too",
    default: 128,
    takes: Takes::Number {
        least: 1,
        most: 128,
        unit: "Gs",
    },
    examples: &["1", "16"],
};
