//! The P that was stolen from last comes first, then the others as in Go: who had too much once may have so again.

use crate::choice::Choice;
use crate::knobs::victims::{Victims, random};

/// See the file.
pub const CHOICE: Choice<Victims> = Choice {
    name: "last",
    doc: "the P that was stolen from last, then the others as random does",
    decide: |view, order| {
        random::order(view, order);
        if let Some(at) = order.iter().position(|p| Some(*p) == view.last_victim) {
            order[..=at].rotate_right(1);
        }
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knobs::victims::tests::Seen;

    #[test]
    fn the_last_victim_comes_first_and_the_others_in_their_order() {
        let seen = Seen::new(&[0; 5]);
        for random in 0..100 {
            let mut view = seen.view(0, random);
            let (mut plain, mut order) = (Vec::new(), Vec::new());
            random::order(&view, &mut plain);
            (CHOICE.decide)(&view, &mut order);
            assert_eq!(order, plain, "without a last victim");
            view.last_victim = Some(3);
            order.clear();
            (CHOICE.decide)(&view, &mut order);
            assert_eq!(order[0], 3);
            plain.retain(|p| *p != 3);
            assert_eq!(order[1..], plain);
        }
    }
}
