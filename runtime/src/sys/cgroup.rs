//! The CPU quota of this process's cgroup, version 1 or 2, as Go reads it: the leaf group only, any error means none.
//!
//! The group's path in `/proc/self/cgroup` says where it lies in its hierarchy; where the hierarchy is mounted, and from which of
//! its groups on, is in `/proc/self/mountinfo`. A container without a cgroup namespace of its own sees the path from the host's
//! root and a mount that begins at the container's group, so the one must be taken off the other.
//!
//! The files of the group are opened once and read again from their beginning: a process that is moved to another group later keeps the
//! limit of its first, as in Go.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Which interface a group has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The longest file of a group that is read: two numbers and a blank are at most 41 bytes.
const LONGEST: usize = 64;

/// The open files of the group that limits this process's CPU time.
#[derive(Debug)]
pub(crate) enum CpuQuota {
    /// `cpu.cfs_quota_us` and `cpu.cfs_period_us`.
    V1(File, File),
    /// `cpu.max`.
    V2(File),
}

impl CpuQuota {
    /// Of the process whose `cgroup` and `mountinfo` are in this folder (`/proc/self`), if it has a group that can be read.
    pub(crate) fn open(process: &Path) -> Option<CpuQuota> {
        let groups = fs::read_to_string(process.join("cgroup")).ok()?;
        let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
        let (version, dir) = directory(&groups, &mounts)?;
        let open = |name| File::open(dir.join(name)).ok();
        Some(match version {
            Version::V1 => CpuQuota::V1(open("cpu.cfs_quota_us")?, open("cpu.cfs_period_us")?),
            Version::V2 => CpuQuota::V2(open("cpu.max")?),
        })
    }

    /// The quota in CPUs as of now, if there is one.
    pub(crate) fn cpus(&self) -> Option<f64> {
        match self {
            CpuQuota::V1(quota, period) => v1_quota(&content(quota)?, &content(period)?),
            CpuQuota::V2(max) => v2_quota(&content(max)?),
        }
    }
}

/// What a short file holds now; none if it is not short, or not text.
fn content(file: &File) -> Option<String> {
    let mut buffer = [0; LONGEST];
    let n = file.read_at(&mut buffer, 0).ok()?;
    let text = std::str::from_utf8(&buffer[..n]).ok()?;
    (n < LONGEST).then(|| text.to_owned())
}

/// The folder with the files of the group that limits this process's CPU time.
fn directory(groups: &str, mounts: &str) -> Option<(Version, PathBuf)> {
    let (version, group) = group(groups)?;
    let dir = mounts
        .lines()
        .filter_map(|line| mount(line, version))
        .find_map(|(root, point)| {
            let below = Path::new(group).strip_prefix(&root).ok()?;
            Some(Path::new(&point).join(below))
        })?;
    Some((version, dir))
}

/// The path of the group in its hierarchy: version 1's if that has the `cpu` controller, else version 2's.
fn group(groups: &str) -> Option<(Version, &str)> {
    let v1 = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next()?;
        let path = parts.next()?;
        controllers.split(',').any(|c| c == "cpu").then_some(path)
    });
    match v1 {
        Some(path) => Some((Version::V1, path)),
        None => groups
            .lines()
            .find_map(|line| line.strip_prefix("0::"))
            .map(|path| (Version::V2, path)),
    }
}

/// Root within the hierarchy and mount point, if a line of mountinfo is a mount of the hierarchy looked for.
///
/// `36 35 98:0 /root /point rw,noatime shared:1 - type source options`: before the dash there is any number of fields.
fn mount(line: &str, version: Version) -> Option<(String, String)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (fs_type, options) = (kind.next()?, kind.nth(1)?);
    let fits = match version {
        Version::V1 => fs_type == "cgroup" && options.split(',').any(|o| o == "cpu"),
        Version::V2 => fs_type == "cgroup2",
    };
    let mut place = place.split(' ').skip(3);
    let (root, point) = (place.next()?, place.next()?);
    fits.then(|| (unescape(root), unescape(point)))
}

/// mountinfo writes blanks, newlines and backslashes as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let octal = part.get(..3).and_then(|d| u8::from_str_radix(d, 8).ok());
        match octal {
            Some(meant) => {
                out.push(char::from(meant));
                out.push_str(&part[3..]);
            }
            None => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
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

    fn dir(groups: &str, mounts: &str) -> Option<(Version, String)> {
        directory(groups, mounts).map(|(v, d)| (v, d.to_string_lossy().into_owned()))
    }

    #[test]
    fn version_1_is_found_by_its_controller() {
        let groups = "9:cpuset:/\n4:cpu,cpuacct:/docker/abc\n0::/\n";
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
            33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n\
            34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let want = "/sys/fs/cgroup/cpu,cpuacct/docker/abc".to_owned();
        assert_eq!(dir(groups, mounts), Some((Version::V1, want)));
    }

    #[test]
    fn a_mount_that_begins_at_the_group_itself_is_not_descended_into() {
        let groups = "4:cpu,cpuacct:/docker/abc\n";
        let mounts = "34 31 0:31 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu,cpuacct";
        let want = "/sys/fs/cgroup/cpu/".to_owned();
        assert_eq!(dir(groups, mounts), Some((Version::V1, want)));
    }

    #[test]
    fn version_2_is_found_wherever_it_is_mounted() {
        let groups = "0::/user.slice/a b\n";
        let mounts = "41 31 0:38 /user.slice /mnt/my\\040groups rw - cgroup2 none rw\n";
        let want = "/mnt/my groups/a b".to_owned();
        assert_eq!(dir(groups, mounts), Some((Version::V2, want)));
    }

    #[test]
    fn a_group_outside_of_every_mount_has_no_known_limit() {
        let mounts = "41 31 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(dir("0::/docker/abcd\n", mounts), None);
        assert_eq!(dir("0::/\n", ""), None);
        assert_eq!(dir("nonsense", "nonsense - cgroup2"), None);
        assert_eq!(dir("", mounts), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(
            groups in "([0-9]{1,2}:[a-z,]{0,9}:/?.{0,20}\n){0,3}|0::/?.{0,20}",
            mounts in "([0-9 :]{0,20} / /[a-z\\\\0-7é]{0,12} .{0,9} - cgroup2? [a-z]{0,4} (cpu|rw)\n|.{0,60}\n){0,4}",
            quota in ".{0,30}|-?[0-9]{1,25}",
            period in "[0-9]{1,25}",
        ) {
            let _ = directory(&groups, &mounts);
            let _ = unescape(&mounts);
            let _ = v2_quota(&format!("{quota} {period}"));
            if let Some(cpus) = v1_quota(&quota, &period) {
                proptest::prop_assert!(cpus > 0.0 && cpus.is_finite());
            }
        }
    }

    #[test]
    fn octal_escapes_are_undone_and_others_kept() {
        assert_eq!(unescape("a\\040b\\134c"), "a b\\c");
        assert_eq!(unescape("a\\9x\\"), "a\\9x\\");
    }

    #[test]
    fn a_quota_is_a_ratio_and_absence_is_none() {
        assert_eq!(v1_quota("150000\n", "100000\n"), Some(1.5));
        assert_eq!(v1_quota("-1\n", "100000\n"), None);
        assert_eq!(v2_quota("50000 100000\n"), Some(0.5));
        assert_eq!(v2_quota("max 100000\n"), None);
        assert_eq!(v2_quota("nonsense"), None);
        assert_eq!(v2_quota("1 0"), None);
    }
}
