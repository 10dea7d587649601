//! Ps on near CPUs come first: SMT siblings, then those that share the last level of cache, then the same node, then the others.
//!
//! What a thief takes is still in a cache of its victim, so the nearer that is, the cheaper the first touches are. Within a distance the
//! order is that of `random`. A P of which no CPU is known comes last; see [`crate::view::Ps::cpu`] for what a P's CPU is.

use crate::choice::Choice;
use crate::knobs::victims::{Victims, random};
use crate::topology::Topology;

/// See the file.
pub const CHOICE: Choice<Victims> = Choice {
    name: "nearest",
    doc: "SMT siblings first, then the same cache, the same node, the others",
    decide: |view, order| {
        random::order(view, order);
        let distance = |p: u32| match (view.ps.cpu(view.thief), view.ps.cpu(p)) {
            (Some(mine), Some(theirs)) => view.ps.topology().distance(mine, theirs),
            _ => Topology::UNKNOWN,
        };
        // The sort is stable: within a distance the order stays random.
        order.sort_by_cached_key(|p| distance(*p));
    },
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::knobs::victims::tests::Seen;

    #[test]
    fn siblings_come_before_the_cache_the_node_and_the_machine() {
        let mut seen = Seen::new(&[0; 6]);
        seen.cpus = [5, 8, 4, 0, 7, 6].map(Some).to_vec();
        let orders: BTreeSet<Vec<u32>> = (0..500)
            .map(|random| {
                let mut order = Vec::new();
                (CHOICE.decide)(&seen.view(0, random), &mut order);
                order.retain(|p| *p != 0);
                order
            })
            .collect();
        // P 2 is the sibling, 4 and 5 share the cache, 3 the node; 1 is on the other node.
        let expected = [vec![2, 4, 5, 3, 1], vec![2, 5, 4, 3, 1]];
        assert_eq!(orders, BTreeSet::from(expected));
    }

    #[test]
    fn a_p_without_a_cpu_comes_last() {
        let mut seen = Seen::new(&[0; 4]);
        seen.cpus = vec![Some(0), None, Some(15), Some(2)];
        let mut order = Vec::new();
        (CHOICE.decide)(&seen.view(0, 7), &mut order);
        order.retain(|p| *p != 0);
        assert_eq!(order, [3, 2, 1]);
    }
}
