//! Facts about the machine that a run is kept with. What cannot be found out stays unknown.

use std::fs;

/// The machine as one run saw it.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub host: Option<String>,
    pub boot_id: Option<String>,
    pub kernel: Option<String>,
    pub cpu_model: Option<String>,
    pub cpus: Option<u32>,
    pub cpu_list: Option<String>,
    pub smt: Option<String>,
}

/// Looks.
pub fn look() -> Machine {
    let cpu_list = field("/proc/self/status", "Cpus_allowed_list");
    Machine {
        host: file("/proc/sys/kernel/hostname"),
        boot_id: file("/proc/sys/kernel/random/boot_id"),
        kernel: file("/proc/sys/kernel/osrelease"),
        cpu_model: field("/proc/cpuinfo", "model name"),
        cpus: cpu_list.as_deref().and_then(count),
        cpu_list,
        smt: file("/sys/devices/system/cpu/smt/control"),
    }
}

fn file(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|t| !t.is_empty())
}

/// The value of `name: value` in a file of such lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// How many CPUs are in a list such as `0-3,8`.
fn count(list: &str) -> Option<u32> {
    list.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_counted() {
        assert_eq!(count("0-3,8"), Some(5));
        assert_eq!(count("7"), Some(1));
        assert_eq!(count("3-1"), None);
        assert_eq!(count("0-4294967295"), None);
        assert_eq!(count(""), None);
    }

    #[test]
    fn this_machine_is_known() {
        let machine = look();
        assert!(machine.cpus.is_some_and(|n| n > 0) && machine.boot_id.is_some());
    }
}
