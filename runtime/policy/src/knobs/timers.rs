//! In which P's heap a timer is put. Go: the current P's (`maybeAdd`).

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::TimerView;

/// Which P's heap takes a timer, by its number.
pub type Timers = fn(&TimerView) -> u32;

/// The knob.
pub const SETTING: Setting<&Choice<Timers>> = Setting {
    doc: "in which P's heap a timer is put that a G starts",
    default: &CURRENT,
    takes: Takes::OneOf(named::<Timers>),
    examples: &["one", "spread"],
};

impl Decision for Timers {
    const ALL: &'static [&'static Choice<Timers>] = &[&CURRENT, &ONE, &SPREAD];
}

/// As Go.
pub const CURRENT: Choice<Timers> = Choice {
    name: "current",
    doc: "that of the P that starts it, as in Go",
    decide: |view| view.current,
};

/// As a runtime with one timer heap for all.
pub const ONE: Choice<Timers> = Choice {
    name: "one",
    doc: "that of P 0: one heap for all",
    decide: |_| 0,
};

/// As many heaps as Ps, equally full whoever starts the timers.
pub const SPREAD: Choice<Timers> = Choice {
    name: "spread",
    doc: "those of all Ps, round robin from its own on",
    // From its own on: so that the Ps do not all begin at the same one.
    decide: |view| ((u64::from(view.current) + view.nth) % u64::from(view.procs.max(1))) as u32,
};

impl Policy {
    /// Which P's heap takes a timer that a G starts.
    pub fn timer_heap(&self, view: &TimerView) -> u32 {
        (self.timers.decide)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_goes_to_the_heap_that_the_policy_says() {
        let heaps = |policy: &str| {
            let policy: Policy = policy.parse().expect("a policy");
            let view = |nth| TimerView {
                current: 2,
                procs: 3,
                nth,
            };
            (0..6)
                .map(|nth| policy.timer_heap(&view(nth)))
                .collect::<Vec<_>>()
        };
        assert_eq!(heaps("default"), [2; 6]);
        assert_eq!(heaps("timers=one"), [0; 6]);
        assert_eq!(heaps("timers=spread"), [2, 0, 1, 2, 0, 1]);
    }
}
