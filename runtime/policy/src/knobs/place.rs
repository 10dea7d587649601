//! Where a new G goes. Go: `newproc` (always local).
//!
//! A thread without a P puts new Gs on the global queue, whatever the policy.

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::{Place, PlaceView};

/// Where a new G goes.
pub type PlaceNew = fn(&PlaceView) -> Place;

/// The knob.
pub const SETTING: Setting<&Choice<PlaceNew>> = Setting {
    doc: "where a new G goes",
    default: &LOCAL,
    takes: Takes::OneOf(named::<PlaceNew>),
    examples: &["global", "round_robin"],
};

impl Decision for PlaceNew {
    const ALL: &'static [&'static Choice<PlaceNew>] = &[&LOCAL, &GLOBAL, &ROUND_ROBIN];
}

/// As Go.
pub const LOCAL: Choice<PlaceNew> = Choice {
    name: "local",
    doc: "to the P that spawns it, into runnext, as in Go",
    decide: |_| Place::Local,
};

/// Shared at once.
pub const GLOBAL: Choice<PlaceNew> = Choice {
    name: "global",
    doc: "to the tail of the global queue",
    decide: |_| Place::Global,
};

/// Dealt out like cards.
pub const ROUND_ROBIN: Choice<PlaceNew> = Choice {
    name: "round_robin",
    doc: "to the Ps in turn; others take it from the global queue when they have nothing else",
    decide: |view| {
        let procs = view.procs.max(1);
        match (view.p % procs + 1 + view.spawned % procs) % procs {
            own if own == view.p => Place::Local,
            other => Place::For(other),
        }
    },
};

impl Policy {
    /// Where a new G goes.
    pub fn places(&self, view: &PlaceView) -> Place {
        (self.place.decide)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(policy: &str, procs: u32, spawned: u32) -> Place {
        let policy: Policy = policy.parse().expect("a policy");
        policy.places(&PlaceView {
            p: 1,
            procs,
            spawned,
            queue_len: 0,
            idle_ps: 0,
        })
    }

    #[test]
    fn round_robin_deals_to_every_p_in_turn_its_own_last() {
        let dealt: Vec<Place> = (0..4).map(|n| places("place=round_robin", 3, n)).collect();
        let expected = [Place::For(2), Place::For(0), Place::Local, Place::For(2)];
        assert_eq!(dealt, expected);
        assert_eq!(
            places("place=round_robin", 1, 7),
            Place::For(0),
            "P 1 is being retired"
        );
    }

    #[test]
    fn local_and_global_are_that() {
        assert_eq!(places("default", 3, 0), Place::Local);
        assert_eq!(places("place=global", 3, 0), Place::Global);
    }
}
