//! Which CPUs share what: plain data, which the runtime reads from the system and a simulator makes up.

/// What a CPU is part of. Each group is named by the lowest number of a CPU in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The core; CPUs that share one are SMT siblings.
    pub core: u32,
    /// Those that share the last level of cache.
    pub cache: u32,
    /// The NUMA node.
    pub node: u32,
}

/// The CPUs of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// What each CPU is part of, by its number; `None` for numbers that are no CPU or of which nothing is known.
    pub cpus: Vec<Option<Cpu>>,
}

impl Topology {
    /// The distance of two CPUs of which one is not known.
    pub const UNKNOWN: u32 = 4;

    /// How far apart two CPUs are: 0 the same CPU or SMT siblings, 1 the same last level of cache, 2 the same node, 3 the same machine.
    pub fn distance(&self, a: u32, b: u32) -> u32 {
        let place = |cpu: u32| self.cpus.get(cpu as usize).copied().flatten();
        if a == b {
            return 0;
        }
        match (place(a), place(b)) {
            (Some(a), Some(b)) if a.core == b.core => 0,
            (Some(a), Some(b)) if a.cache == b.cache => 1,
            (Some(a), Some(b)) if a.node == b.node => 2,
            (Some(_), Some(_)) => 3,
            _ => Topology::UNKNOWN,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two nodes of two caches of two cores of two CPUs: 16 CPUs.
    pub(crate) fn machine() -> Topology {
        let cpu = |n: u32| Cpu {
            core: n & !1,
            cache: n & !3,
            node: n & !7,
        };
        Topology {
            cpus: (0..16).map(|n| Some(cpu(n))).collect(),
        }
    }

    #[test]
    fn what_is_shared_says_how_far_cpus_are_apart() {
        let m = machine();
        let from_0 = [0, 1, 2, 4, 8, 16].map(|cpu| m.distance(0, cpu));
        assert_eq!(from_0, [0, 0, 1, 2, 3, Topology::UNKNOWN]);
        assert_eq!(m.distance(99, 99), 0);
    }
}
