//! The CPU quota of this process's cgroup, version 1 or 2, as Go reads it: the leaf group only, any error means none.

use std::fs;
use std::path::PathBuf;

/// The quota in CPUs, if there is one.
pub(crate) fn cpu_quota() -> Option<f64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    if let Some(path) = v1_path(&groups) {
        for root in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
            let dir = PathBuf::from(root).join(path.trim_start_matches('/'));
            let read = |name| fs::read_to_string(dir.join(name)).ok();
            if let (Some(quota), Some(period)) =
                (read("cpu.cfs_quota_us"), read("cpu.cfs_period_us"))
            {
                return v1_quota(&quota, &period);
            }
        }
    }
    let dir = PathBuf::from("/sys/fs/cgroup").join(v2_path(&groups)?.trim_start_matches('/'));
    v2_quota(&fs::read_to_string(dir.join("cpu.max")).ok()?)
}

/// The path of the `cpu` controller in `/proc/self/cgroup`.
fn v1_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let path = parts.next()?;
        controllers.split(',').any(|c| c == "cpu").then_some(path)
    })
}

/// The path of the unified hierarchy in `/proc/self/cgroup`.
fn v2_path(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

fn v1_quota(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim().parse().ok()?, period.trim().parse().ok()?)
}

fn v2_quota(cpu_max: &str) -> Option<f64> {
    let (quota, period) = cpu_max.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.trim().parse().ok()?)
}

fn ratio(quota: i64, period: i64) -> Option<f64> {
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_is_found_by_its_controller() {
        let groups = "9:cpuset:/\n4:cpu,cpuacct:/docker/abc\n0::/\n";
        assert_eq!(v1_path(groups), Some("/docker/abc"));
        assert_eq!(v1_quota("150000\n", "100000\n"), Some(1.5));
        assert_eq!(v1_quota("-1\n", "100000\n"), None);
    }

    #[test]
    fn version_2_is_the_unified_line() {
        assert_eq!(v2_path("0::/user.slice/a\n"), Some("/user.slice/a"));
        assert_eq!(v2_quota("50000 100000\n"), Some(0.5));
        assert_eq!(v2_quota("max 100000\n"), None);
        assert_eq!(v2_quota("nonsense"), None);
    }
}
