//! Which end of its ring a P takes from.
//!
//! Thieves always take the oldest, so under `lifo` owner and thieves work on different ends, as in Cilk.
//! The owner cannot put a G at the oldest end. So under any order but `fifo` a G that yields goes to the global queue, whatever `yield_to`
//! says: at the youngest end it would be the next again, and a loop that yields until something happens would never end.

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::{End, TakeView};

/// Which end of its ring a P takes from.
pub type LocalOrder = fn(&TakeView) -> End;

/// The knob.
pub const SETTING: Setting<&Choice<LocalOrder>> = Setting {
    doc: "which G of its ring a P runs next",
    default: &FIFO,
    takes: Takes::OneOf(named::<LocalOrder>),
    examples: &["lifo"],
};

impl Decision for LocalOrder {
    const ALL: &'static [&'static Choice<LocalOrder>] = &[&FIFO, &LIFO];
}

/// As Go.
pub const FIFO: Choice<LocalOrder> = Choice {
    name: "fifo",
    doc: "the oldest, as in Go",
    decide: |_| End::Oldest,
};

/// How often `lifo` takes the oldest: as often as Go looks at the global queue.
const FAIR_TICK: u32 = 61;

/// Newest first.
pub const LIFO: Choice<LocalOrder> = Choice {
    name: "lifo",
    doc: "the youngest; every 61st time slice the oldest, so that none waits for ever",
    // Not at tick 0 of 61, where the global queue comes first.
    decide: |view| {
        if view.tick % FAIR_TICK == FAIR_TICK / 2 {
            End::Oldest
        } else {
            End::Youngest
        }
    },
};

impl Policy {
    /// Which end of its ring a P takes from.
    pub fn takes_from(&self, view: &TakeView) -> End {
        (self.local_order.decide)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifo_takes_the_oldest_once_in_61_slices() {
        let lifo: Policy = "local_order=lifo".parse().expect("a policy");
        let oldest = |policy: &Policy| {
            let takes = (0..610).map(|tick| policy.takes_from(&TakeView { tick }));
            takes.filter(|end| *end == End::Oldest).count()
        };
        assert_eq!(oldest(&lifo), 10);
        assert_eq!(oldest(&Policy::default()), 610);
    }
}
