//! The order in which a thief visits other Ps.
//!
//! A random start and a random step that has no factor in common with the number of Ps: every P is visited once in each
//! pass, and different thieves go different ways (Go: `stealOrder`).

use crate::knobs::Policy;

impl Policy {
    /// The order in which a thief visits `0..procs`, itself included, for one random number.
    pub fn victims(&self, procs: u32, random: u64) -> Victims {
        Victims::new(procs, random)
    }
}

/// One pass over `0..procs`.
#[derive(Clone, Debug)]
pub struct Victims {
    procs: u32,
    at: u32,
    step: u32,
    left: u32,
}

impl Victims {
    /// The pass that a random number selects.
    pub fn new(procs: u32, random: u64) -> Victims {
        let procs = procs.max(1);
        let at = (random % u64::from(procs)) as u32;
        let wanted = (random / u64::from(procs)) as u32 % procs + 1;
        // At most a few tries: below any number there is a coprime close by, and 1 always is one.
        let step = (1..=wanted).rev().find(|s| coprime(*s, procs)).unwrap_or(1);
        Victims {
            procs,
            at,
            step,
            left: procs,
        }
    }
}

impl Iterator for Victims {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        self.at = (self.at + self.step) % self.procs;
        Some(at)
    }
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
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_pass_visits_every_p_once() {
        for procs in 1..=64 {
            for random in 0..500u64 {
                let visited: Vec<u32> =
                    Victims::new(procs, random.wrapping_mul(0x9E37_79B9)).collect();
                let distinct: BTreeSet<u32> = visited.iter().copied().collect();
                assert_eq!(
                    (visited.len(), distinct.len()),
                    (procs as usize, procs as usize)
                );
            }
        }
    }

    #[test]
    fn from_three_ps_on_there_are_several_orders() {
        for procs in 3..=64 {
            let orders: BTreeSet<Vec<u32>> = (0..10_000)
                .map(|r| Victims::new(procs, r).collect())
                .collect();
            assert!(orders.len() > procs as usize, "{procs}");
        }
    }
}
