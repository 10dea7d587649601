//! Which CPUs share what, as the kernel says under `/sys/devices/system/cpu`.
//!
//! A few files with one line each, so no library: those that know more (hwloc) are larger than this runtime, and the light ones know less.
//! What cannot be read is left out: a CPU without its core, cache or node is taken to share none of it.

use std::path::Path;

use gmp_policy::{Cpu, Topology};

/// Reads it. Takes some files for each CPU, so it is done once, and only for a policy that asks.
pub(crate) fn read() -> Topology {
    read_from(Path::new("/sys/devices/system/cpu"))
}

fn read_from(root: &Path) -> Topology {
    let mut topology = Topology::default();
    for cpu in numbered(root, "cpu") {
        // A number beyond what a machine can have is none of the kernel's.
        let at = cpu as usize;
        if at >= libc::CPU_SETSIZE as usize {
            continue;
        }
        if topology.cpus.len() <= at {
            topology.cpus.resize(at + 1, None);
        }
        let folder = root.join(format!("cpu{cpu}"));
        topology.cpus[at] = Some(Cpu {
            core: lowest(&folder.join("topology/thread_siblings_list")).unwrap_or(cpu),
            cache: last_cache(&folder).unwrap_or(cpu),
            // The folder of a CPU links to that of its node.
            node: numbered(&folder, "node")
                .first()
                .and_then(|n| lowest(&folder.join(format!("node{n}/cpulist"))))
                .unwrap_or(0),
        });
    }
    topology
}

/// The lowest CPU that shares the last level of cache.
fn last_cache(cpu: &Path) -> Option<u32> {
    let caches = numbered(&cpu.join("cache"), "index").into_iter();
    let level = |index: u32| -> Option<(u32, u32)> {
        let folder = cpu.join(format!("cache/index{index}"));
        let level = std::fs::read_to_string(folder.join("level")).ok()?;
        Some((
            level.trim().parse().ok()?,
            lowest(&folder.join("shared_cpu_list"))?,
        ))
    };
    caches
        .filter_map(level)
        .max_by_key(|(level, _)| *level)
        .map(|(_, cpu)| cpu)
}

/// The lowest number of a list such as `0-3,8`.
fn lowest(file: &Path) -> Option<u32> {
    let list = std::fs::read_to_string(file).ok()?;
    let digits = list.trim().split([',', '-']).next()?;
    digits.parse().ok()
}

/// The numbers `N` of the entries `nameN` of a folder, in order.
fn numbered(folder: &Path, name: &str) -> Vec<u32> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> = entries
        .filter_map(|e| e.file_name().to_str()?.strip_prefix(name)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        std::fs::write(path, text).expect("writable");
    }

    #[test]
    fn siblings_caches_and_nodes_are_named_by_their_lowest_cpu() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (cpu, siblings, l3, node) in [(2, "2-3", "0-3", 0), (5, "4,5", "4-7", 1)] {
            let folder = dir.path().join(format!("cpu{cpu}"));
            file(&folder.join("topology/thread_siblings_list"), siblings);
            file(&folder.join("cache/index0/level"), "1\n");
            file(&folder.join("cache/index0/shared_cpu_list"), siblings);
            file(&folder.join("cache/index3/level"), "3\n");
            file(&folder.join("cache/index3/shared_cpu_list"), l3);
            file(&folder.join(format!("node{node}/cpulist")), l3);
        }
        file(&dir.path().join("cpu9/online"), "1");
        file(&dir.path().join("cpufreq/boost"), "0");
        let topology = read_from(dir.path());
        let place = |core, cache, node| Some(Cpu { core, cache, node });
        assert_eq!(topology.cpus[2], place(2, 0, 0));
        assert_eq!(topology.cpus[5], place(4, 4, 4));
        assert_eq!(
            topology.cpus[9],
            place(9, 9, 0),
            "it says nothing of itself"
        );
        assert_eq!((topology.cpus[0], topology.cpus.len()), (None, 10));
    }

    #[test]
    fn this_machine_knows_the_cpu_that_runs_this() {
        let cpu = crate::sys::affinity::current_cpu().expect("the kernel says");
        let topology = read();
        assert!(topology.cpus[cpu as usize].is_some(), "{cpu}: {topology:?}");
        assert_eq!(topology.distance(cpu, cpu), 0);
    }
}
