//! Whether a G taken from runnext goes on with the time slice of the one before it.
//!
//! With it, two Gs that ready each other share one slice and cannot keep the P from the others; that is why Go has it.

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<bool> = Setting {
    doc: "whether a G taken from runnext goes on with the time slice of the one before it",
    default: true,
    takes: Takes::Switch,
    examples: &["off"],
};
