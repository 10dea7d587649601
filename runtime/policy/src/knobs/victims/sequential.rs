//! From the thief's right-hand neighbour on, one by one.
//!
//! No random number, and the same way each time: thieves whose Ps are neighbours meet at the same victims.

use crate::choice::Choice;
use crate::knobs::victims::Victims;

/// See the file.
pub const CHOICE: Choice<Victims> = Choice {
    name: "sequential",
    doc: "from the next P on, one by one",
    decide: |view, order| {
        order.extend((1..view.procs).map(|i| (view.thief + i) % view.procs));
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knobs::victims::tests::Seen;

    #[test]
    fn the_next_p_comes_first_and_the_one_before_last() {
        let (seen, mut order) = (Seen::new(&[0; 4]), Vec::new());
        (CHOICE.decide)(&seen.view(2, 99), &mut order);
        assert_eq!(order, [3, 0, 1]);
    }
}
