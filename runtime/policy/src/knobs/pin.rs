//! On which CPU a P's Gs run. Go: wherever the kernel puts the M.

use crate::Topology;
use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;

/// Which CPU belongs to P 0, to P 1 and so on, of those that the process may use, which come in the order of their numbers. When there are
/// more Ps than that it begins anew. None at all: no M is pinned.
pub type Pin = fn(&[u32], &Topology) -> Vec<u32>;

/// The knob.
pub const SETTING: Setting<&Choice<Pin>> = Setting {
    doc: "on which CPU an M runs while it holds a P: P i has the i-th of those that the process may use, in this order",
    default: &NONE,
    takes: Takes::OneOf(named::<Pin>),
    examples: &["core", "smt"],
};

impl Decision for Pin {
    const ALL: &'static [&'static Choice<Pin>] = &[&NONE, &CORE, &SMT];
}

/// As Go.
pub const NONE: Choice<Pin> = Choice {
    name: "none",
    doc: "none: wherever the kernel puts the M, as in Go",
    decide: |_, _| Vec::new(),
};

/// In the order of the kernel's numbers.
pub const CORE: Choice<Pin> = Choice {
    name: "core",
    doc: "hardware threads in the order of their numbers",
    decide: |cpus, _| cpus.to_vec(),
};

/// Hardware threads that share a core come last.
pub const SMT: Choice<Pin> = Choice {
    name: "smt",
    doc: "one hardware thread of each physical core first, then their siblings",
    decide: |cpus, topology| {
        // A CPU of which nothing is known is a core by itself.
        let core = |cpu: u32| {
            let known = topology.cpus.get(cpu as usize).copied().flatten();
            known.map_or(cpu, |c| c.core)
        };
        let mut order: Vec<_> = cpus
            .iter()
            .enumerate()
            .map(|(at, cpu)| {
                // How many of its core come before it.
                let rank = cpus[..at]
                    .iter()
                    .filter(|c| core(**c) == core(*cpu))
                    .count();
                (rank, core(*cpu), *cpu)
            })
            .collect();
        order.sort_unstable();
        order.iter().map(|(_, _, cpu)| *cpu).collect()
    },
};

impl Policy {
    /// Whether no M is pinned, so that nothing need be known of the CPUs.
    pub fn pins_nothing(&self) -> bool {
        *self.pin == NONE
    }

    /// Which CPU belongs to P 0, to P 1 and so on, of these that the process may use; empty: no M is pinned.
    pub fn pins(&self, cpus: &[u32], topology: &Topology) -> Vec<u32> {
        (self.pin.decide)(cpus, topology)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Cpu;

    /// The order for CPUs with these cores, of which the first ones cannot be used.
    fn order(policy: &str, cores: &[u32], unusable: u32) -> Vec<u32> {
        let place = |core: &u32| {
            Some(Cpu {
                core: *core,
                cache: 0,
                node: 0,
            })
        };
        let topology = Topology {
            cpus: cores.iter().map(place).collect(),
        };
        let cpus: Vec<u32> = (unusable..cores.len() as u32).collect();
        policy
            .parse::<Policy>()
            .expect("a policy")
            .pins(&cpus, &topology)
    }

    /// Siblings far apart, as on most machines, and side by side.
    const APART: [u32; 4] = [0, 1, 0, 1];
    const BESIDE: [u32; 4] = [0, 0, 2, 2];

    #[test]
    fn go_pins_nothing() {
        assert!(order("default", &APART, 0).is_empty());
        assert!(Policy::default().pins_nothing());
        assert!(
            !"pin=smt"
                .parse::<Policy>()
                .expect("a policy")
                .pins_nothing()
        );
    }

    #[test]
    fn hardware_threads_come_in_numerical_order() {
        assert_eq!(order("pin=core", &APART, 0), [0, 1, 2, 3]);
        assert_eq!(order("pin=core", &BESIDE, 1), [1, 2, 3]);
    }

    #[test]
    fn siblings_come_after_one_of_each_core() {
        assert_eq!(order("pin=smt", &APART, 0), [0, 1, 2, 3]);
        assert_eq!(order("pin=smt", &BESIDE, 0), [0, 2, 1, 3]);
        assert_eq!(order("pin=smt", &BESIDE, 1), [1, 2, 3]);
        // Three to a core, and one core that has only one.
        assert_eq!(order("pin=smt", &[0, 0, 0, 3, 4, 4], 0), [0, 3, 4, 1, 5, 2]);
    }

    #[test]
    fn cpus_of_which_nothing_is_known_are_cores_by_themselves() {
        let smt: Policy = "pin=smt".parse().expect("a policy");
        assert_eq!(smt.pins(&[3, 7], &Topology::default()), [3, 7]);
    }
}
