//! How many Gs a thief takes from a victim's ring. Go: `runqgrab`.

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, Value};

/// How many Gs a thief takes from a victim's ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steal {
    /// Half, rounded up.
    Half,
    /// This many, at most half of the largest ring.
    Count(u32),
}

/// The knob.
pub const SETTING: Setting<Steal> = Setting {
    doc: "how many Gs a thief takes from a ring",
    default: Steal::Half,
    takes: Takes::Words("half, one or a number up to 128"),
    examples: &["one", "7"],
};

/// The most that a thief takes: half of the largest ring, so that its own has room.
const COUNT: Takes = Takes::Number {
    least: 1,
    most: 128,
    unit: "Gs",
};

impl Value for Steal {
    fn read(text: &str, _takes: &Takes) -> Option<Steal> {
        match text {
            "half" => Some(Steal::Half),
            "one" => Some(Steal::Count(1)),
            number => u32::read(number, &COUNT).map(Steal::Count),
        }
    }

    fn show(&self) -> String {
        match self {
            Steal::Half => "half".into(),
            Steal::Count(1) => "one".into(),
            Steal::Count(n) => n.show(),
        }
    }
}

impl Policy {
    /// How many Gs to take from a victim's ring of this length, which is not 0.
    pub fn steal_amount(&self, len: u32) -> u32 {
        match self.steal {
            Steal::Half => len - len / 2,
            Steal::Count(n) => n.min(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_half_rounds_up() {
        let go = Policy::default();
        assert_eq!(
            [1, 2, 3, 4, 255, 256].map(|n| go.steal_amount(n)),
            [1, 1, 2, 2, 128, 128]
        );
    }

    #[test]
    fn a_fixed_number_takes_no_more_than_there_is() {
        let seven: Policy = "steal=7".parse().expect("a policy");
        assert_eq!([1, 7, 256].map(|n| seven.steal_amount(n)), [1, 7, 7]);
    }
}
