//! How long a thief leaves a running victim its `runnext`. Go: `runqgrab`, 3 us.

use std::time::Duration;

use crate::registry::Setting;
use crate::value::Takes;

/// The knob.
pub const SETTING: Setting<Duration> = Setting {
    doc: "how long a thief waits before it takes the runnext of a P that runs a G; 0us is not at all",
    default: Duration::from_micros(3),
    takes: Takes::Time {
        least: Duration::ZERO,
        most: Duration::from_millis(10),
    },
    examples: &["0us", "50us"],
};
