//! A random start and a random step that has no factor in common with the number of Ps, as in Go: every P is visited once in each
//! pass, and different thieves go different ways.

use crate::choice::Choice;
use crate::knobs::victims::Victims;
use crate::view::StealView;

/// See the file.
pub const CHOICE: Choice<Victims> = Choice {
    name: "random",
    doc: "from a random P on in random steps, as in Go",
    decide: order,
};

/// See the file; other orders begin with this one.
pub(crate) fn order(view: &StealView<'_>, order: &mut Vec<u32>) {
    let procs = view.procs.max(1);
    let start = (view.random % u64::from(procs)) as u32;
    let wanted = (view.random / u64::from(procs)) as u32 % procs + 1;
    // At most a few tries: below any number there is a coprime close by, and 1 always is one.
    let step = (1..=wanted).rev().find(|s| coprime(*s, procs)).unwrap_or(1);
    order.extend((0..procs).scan(start, |at, _| {
        let p = *at;
        *at = (p + step) % procs;
        Some(p)
    }));
}

fn coprime(a: u32, b: u32) -> bool {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a == 1
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::knobs::victims::tests::Seen;

    #[test]
    fn successive_numbers_give_different_orders() {
        for procs in 3..=64 {
            let seen = Seen::new(&vec![0; procs]);
            let visits = |random| {
                let mut visits = Vec::new();
                order(&seen.view(0, random), &mut visits);
                visits
            };
            assert!((0..1_000).all(|random| visits(random) != visits(random + 1)));
        }
    }

    #[test]
    fn from_three_ps_on_there_are_several_orders() {
        for procs in 3..=64 {
            let seen = Seen::new(&vec![0; procs]);
            let orders: BTreeSet<Vec<u32>> = (0..10_000)
                .map(|random| {
                    let mut visits = Vec::new();
                    order(&seen.view(0, random), &mut visits);
                    visits
                })
                .collect();
            assert!(orders.len() > procs, "{procs}");
        }
    }
}
