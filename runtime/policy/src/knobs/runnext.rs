//! Whether a G that was readied or spawned runs next.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<bool> = Setting {
    doc: "whether a readied or spawned G goes into the runnext slot",
    default: true,
    takes: Takes::Switch,
    examples: &["off"],
};
