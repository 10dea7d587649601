//! The order in which a thief visits the other Ps. Go: `stealOrder`.
//!
//! An order is made for a pass, and must name every P that is in use, the thief's own or not, once: the last pass is also the one that
//! finds due timers and `runnext`s, which are nowhere else to be found. The test below holds every order of the registry to that.

use crate::choice::{Choice, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::StealView;

/// Puts the Ps `0..procs` into the order in which the thief visits them in this pass. The thief's own may be among them or not.
pub type Victims = fn(&StealView<'_>, &mut Vec<u32>);

/// The knob.
pub const SETTING: Setting<&Choice<Victims>> = Setting {
    doc: "the order in which a thief visits the other Ps",
    default: &random::CHOICE,
    takes: Takes::OneOf(named::<Victims>),
    examples: &["sequential", "last", "nearest"],
};

crate::registry::choices! { Victims {
    random,
    sequential,
    last,
    nearest,
} }

impl Policy {
    /// Replaces what is in `order` by the order in which the thief visits the Ps in this pass.
    pub fn victims(&self, view: &StealView<'_>, order: &mut Vec<u32>) {
        order.clear();
        (self.victims.decide)(view, order);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::choice::Decision;
    use crate::topology::{Topology, tests::machine};
    use crate::view::Ps;

    /// Ps as a test wants them: P `i` has `lens[i]` Gs and was last seen on `cpus[i]`.
    pub(crate) struct Seen {
        pub lens: Vec<u32>,
        pub cpus: Vec<Option<u32>>,
        pub topology: Topology,
    }

    impl Seen {
        pub(crate) fn new(lens: &[u32]) -> Seen {
            Seen {
                lens: lens.to_vec(),
                cpus: (0..lens.len() as u32).map(|p| Some(p % 16)).collect(),
                topology: machine(),
            }
        }

        pub(crate) fn view(&self, thief: u32, random: u64) -> StealView<'_> {
            StealView {
                thief,
                procs: self.lens.len() as u32,
                pass: 0,
                passes: 4,
                tick: 0,
                last_victim: None,
                random,
                ps: self,
            }
        }
    }

    impl Ps for Seen {
        fn queue_len(&self, p: u32) -> u32 {
            self.lens[p as usize]
        }

        fn cpu(&self, p: u32) -> Option<u32> {
            self.cpus[p as usize]
        }

        fn topology(&self) -> &Topology {
            &self.topology
        }
    }

    #[test]
    fn every_order_visits_every_other_p_once_in_each_pass() {
        for choice in Victims::ALL {
            for procs in 1..=64u32 {
                let seen = Seen::new(&(0..procs).map(|p| p * 7 % 5).collect::<Vec<_>>());
                for random in 0..20u64 {
                    let thief = random as u32 % procs;
                    for last_victim in [None, Some((thief + 1) % procs)] {
                        let mut view = seen.view(thief, random.wrapping_mul(0x9E37_79B9_7F4A_7C15));
                        view.last_victim = last_victim;
                        let mut order = Vec::new();
                        (choice.decide)(&view, &mut order);
                        order.retain(|p| *p != thief);
                        order.sort_unstable();
                        let others: Vec<u32> = (0..procs).filter(|p| *p != thief).collect();
                        assert_eq!(order, others, "{} of {procs} Ps", choice.name);
                    }
                }
            }
        }
    }

    #[test]
    fn what_was_in_the_order_before_is_gone() {
        let seen = Seen::new(&[0; 3]);
        let mut order = vec![9; 9];
        Policy::default().victims(&seen.view(0, 5), &mut order);
        assert_eq!(order.len(), 3);
    }
}
