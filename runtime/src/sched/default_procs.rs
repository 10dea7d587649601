//! The default number of Ps: what it is now, and who looks whether it changes. Go: `defaultGOMAXPROCS`, `sysmonUpdateGOMAXPROCS`.
//!
//! It is the CPUs in the affinity mask, but no more than the cgroup's quota. A number that somebody asked for, by the builder, the
//! environment or `set_procs`, sets the `custom` flag, and nothing is updated from then on; `set_default_procs` clears it.
//!
//! # Protocol
//! Sysmon, at most once a second and only while the flag is clear: computes the default; if it is not the number of Ps, spawns a G that
//! stops the world and resizes. Sysmon does not do it itself, because it must go on taking Ps from system calls while the world stops.
//! There is one such G at a time. The flag is written, and looked at by that G, in the turn to stop the world: a number that was
//! asked for is never overwritten by a default that was computed before.
//!
//! The mask is that of sysmon's own thread, as in Go: a change for all threads is noticed, and the Ms may have masks of their own.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::sched::{Sched, stw};
use crate::spawn;
use crate::sys::affinity;
use crate::sys::cgroup::CpuQuota;
use crate::tracer::Tracer;

/// How often sysmon looks at most, in ns.
const LOOKS_EVERY_NS: u64 = 1_000_000_000;

/// Where the default comes from.
#[derive(Debug)]
pub(crate) struct DefaultProcs {
    quota: Option<CpuQuota>,
    /// CPUs instead of those in the affinity mask: for tests of quotas beyond the CPUs at hand.
    cpus: Option<u32>,
    /// Whether a change is followed at all.
    updates: bool,
    /// Whether the number of Ps is one that somebody asked for.
    custom: AtomicBool,
    /// Whether a G is on its way to change the number.
    updating: AtomicBool,
    /// The thread whose mask counts; 0 until sysmon runs.
    tid: AtomicU32,
}

impl DefaultProcs {
    /// Of the process that is described in a folder like `/proc/self`; without one the quota is ignored.
    pub(crate) fn new(process: Option<&Path>, cpus: Option<u32>, updates: bool) -> DefaultProcs {
        DefaultProcs {
            quota: process.and_then(CpuQuota::open),
            cpus,
            updates,
            custom: AtomicBool::new(false),
            updating: AtomicBool::new(false),
            tid: AtomicU32::new(0),
        }
    }

    /// The default as of now.
    pub(crate) fn get(&self) -> u32 {
        // Relaxed: a number, set before sysmon looks.
        let cpus = self
            .cpus
            .unwrap_or_else(|| affinity::cpus(self.tid.load(Ordering::Relaxed)));
        gmp_policy::default_procs(cpus, self.quota.as_ref().and_then(CpuQuota::cpus))
    }

    /// The calling thread's mask counts from now on.
    pub(crate) fn watch_this_thread(&self) {
        self.tid
            .store(crate::sys::thread::gettid(), Ordering::Relaxed);
    }

    /// Somebody asked for a number, or for the default again. In the turn to stop the world, or before the runtime starts.
    pub(crate) fn set_custom(&self, custom: bool) {
        // Relaxed: the turn orders it; sysmon's look without a turn is only to save work.
        self.custom.store(custom, Ordering::Relaxed);
    }

    fn is_custom(&self) -> bool {
        self.custom.load(Ordering::Relaxed)
    }
}

/// Sysmon's part; `last` is when it looked last.
pub(crate) fn look(sched: &'static Sched, tracer: &mut Tracer, last: &mut u64, now: u64) {
    let default = &sched.default_procs;
    if !default.updates || default.is_custom() || now < last.saturating_add(LOOKS_EVERY_NS) {
        return;
    }
    *last = now;
    // AcqRel: a try-lock, released by the G when it is done.
    if default.get() == sched.procs() || default.updating.swap(true, Ordering::AcqRel) {
        return;
    }
    spawn::spawn_system(sched, tracer, move || {
        stw::set_procs(sched, || {
            let default = &sched.default_procs;
            (!default.is_custom()).then(|| default.get())
        });
        default.updating.store(false, Ordering::Release);
        false
    });
}

/// A number that somebody asked for. Returns the number before.
pub(crate) fn set_custom(sched: &'static Sched, n: u32) -> u32 {
    stw::set_procs(sched, || {
        sched.default_procs.set_custom(true);
        Some(n)
    })
}

/// The default again, at once and from now on.
pub(crate) fn set_default(sched: &'static Sched) {
    stw::set_procs(sched, || {
        sched.default_procs.set_custom(false);
        Some(sched.default_procs.get())
    });
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use gmp_testing::program;

    use crate::debug::ENV_DEBUG;
    use crate::{Builder, procs, set_default_procs, set_procs, yield_now};

    /// A process in a group of version 2, as files of its own: not the kernel's, but read by the same code.
    struct Group(tempfile::TempDir);

    impl Group {
        fn new(quota: &str) -> Group {
            let dir = tempfile::tempdir().expect("a temporary folder");
            let group = dir.path().join("groups/box");
            std::fs::create_dir_all(&group).expect("a folder");
            let mount = format!(
                "41 31 0:38 / {}/groups rw - cgroup2 cgroup2 rw\n",
                dir.path().display()
            );
            std::fs::write(dir.path().join("mountinfo"), mount).expect("written");
            std::fs::write(dir.path().join("cgroup"), "0::/box\n").expect("written");
            let made = Group(dir);
            made.limit(quota);
            made
        }

        /// Within the file that is open, as the kernel changes it.
        fn limit(&self, quota: &str) {
            std::fs::write(self.0.path().join("groups/box/cpu.max"), quota).expect("written");
        }

        fn builder(&self, cpus: u32) -> Builder {
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            unsafe { Builder::new() }.default_procs_of(self.0.path(), cpus)
        }
    }

    fn procs_with(quota: &str, cpus: u32) -> usize {
        Group::new(quota).builder(cpus).run(procs)
    }

    /// Waits as a busy program, so that sysmon is awake.
    fn until_procs(n: usize) {
        let began = Instant::now();
        while procs() != n {
            assert!(began.elapsed() < Duration::from_secs(60), "{}", procs());
            yield_now();
        }
    }

    /// Whether this process is the program of a test; else runs it as that, with the variable set.
    fn is_program(test: &str, variable: &str, value: &str) -> bool {
        if program::part().is_some() {
            return true;
        }
        let (_crate, module) = module_path!().split_once("::").expect("in a crate");
        let mut command = program::command(&format!("{module}::{test}"), "program");
        program::succeed(command.env(variable, value));
        false
    }

    #[test]
    fn the_quota_is_the_default() {
        assert_eq!(procs_with("300000 100000\n", 8), 3);
    }

    #[test]
    fn a_switch_ignores_the_quota() {
        if is_program(
            "a_switch_ignores_the_quota",
            ENV_DEBUG,
            "containermaxprocs=0",
        ) {
            assert_eq!(procs_with("300000 100000\n", 8), 8);
        }
    }

    #[test]
    fn no_quota_is_no_limit() {
        assert_eq!(procs_with("max 100000\n", 8), 8);
    }

    #[test]
    fn a_quota_beyond_the_cpus_is_no_limit() {
        assert_eq!(procs_with("1600000 100000\n", 8), 8);
    }

    #[test]
    fn a_quota_is_rounded_up_and_at_least_2() {
        let got = ["50000", "100000", "150000", "200001", "250000"]
            .map(|quota| procs_with(&format!("{quota} 100000\n"), 8));
        assert_eq!(got, [2, 2, 2, 3, 3]);
    }

    #[test]
    fn the_environment_wins_and_is_never_updated() {
        let test = "the_environment_wins_and_is_never_updated";
        if is_program(test, gmp_trace::version::ENV_PROCS, "5") {
            let group = Group::new("300000 100000\n");
            let builder = group.builder(8);
            builder.run(move || {
                assert_eq!(procs(), 5);
                group.limit("400000 100000\n");
                busy_for_two_looks();
                assert_eq!(procs(), 5);
            });
        }
    }

    #[test]
    fn fewer_cpus_than_the_quota_win() {
        assert_eq!(procs_with("300000 100000\n", 1), 1);
    }

    #[test]
    fn the_quota_is_followed_up_and_down() {
        let group = Group::new("300000 100000\n");
        group.builder(8).run(move || {
            assert_eq!(procs(), 3);
            group.limit("600000 100000\n");
            until_procs(6);
            group.limit("max 100000\n");
            until_procs(8);
            group.limit("200000 100000\n");
            until_procs(2);
        });
    }

    #[test]
    fn a_number_that_was_asked_for_stays_until_the_default_is_asked_for() {
        let group = Group::new("300000 100000\n");
        group.builder(8).run(move || {
            assert_eq!(set_procs(3), 3);
            group.limit("600000 100000\n");
            busy_for_two_looks();
            assert_eq!(procs(), 3);
            set_default_procs();
            assert_eq!(procs(), 6);
            group.limit("400000 100000\n");
            until_procs(4);
        });
    }

    #[test]
    fn a_switch_keeps_the_number_of_the_start() {
        if is_program(
            "a_switch_keeps_the_number_of_the_start",
            ENV_DEBUG,
            "updatemaxprocs=0",
        ) {
            let group = Group::new("300000 100000\n");
            group.builder(8).run(move || {
                group.limit("600000 100000\n");
                busy_for_two_looks();
                assert_eq!(procs(), 3);
                set_default_procs();
                assert_eq!(procs(), 6);
            });
        }
    }

    /// That nothing happens can only be seen by waiting: for longer than two looks of sysmon are apart.
    fn busy_for_two_looks() {
        let began = Instant::now();
        while began.elapsed() < Duration::from_nanos(2 * super::LOOKS_EVERY_NS + 200_000_000) {
            yield_now();
        }
    }

    /// A group of the kernel's own, where this process may make one; its quota is real, and the CPUs are said to be 8.
    struct RealGroup(PathBuf);

    impl RealGroup {
        fn new() -> Option<RealGroup> {
            let name = format!("gmp-test-{}", std::process::id());
            let dir = PathBuf::from("/sys/fs/cgroup/cpu").join(name);
            std::fs::create_dir(&dir).ok()?;
            let group = RealGroup(dir);
            group.set("cpu.cfs_period_us", "100000").ok()?;
            Some(group)
        }

        fn set(&self, file: &str, value: &str) -> std::io::Result<()> {
            std::fs::write(self.0.join(file), value)
        }
    }

    impl Drop for RealGroup {
        fn drop(&mut self) {
            // It is empty when the program that was in it has ended.
            let _ = std::fs::remove_dir(&self.0);
        }
    }

    #[test]
    fn a_real_group_is_followed() {
        const GROUP: &str = "GMP_TEST_GROUP";
        if let Some(dir) = std::env::var_os(GROUP) {
            let group = std::mem::ManuallyDrop::new(RealGroup(dir.into()));
            let of_itself = PathBuf::from("/proc/self");
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            let builder = unsafe { Builder::new() }.default_procs_of(&of_itself, 8);
            return builder.run(move || {
                assert_eq!(procs(), 3);
                group.set("cpu.cfs_quota_us", "450000").expect("allowed");
                until_procs(5);
                group.set("cpu.cfs_quota_us", "-1").expect("allowed");
                until_procs(8);
            });
        }
        let Some(group) = RealGroup::new() else {
            eprintln!("not tested: this process may make no cgroup of version 1");
            return;
        };
        group.set("cpu.cfs_quota_us", "300000").expect("allowed");
        // The program joins the group by itself, before it reads which one it is in.
        let program = std::env::current_exe().expect("this binary");
        let test = "sched::default_procs::tests::a_real_group_is_followed";
        let output = Command::new("sh")
            .args([
                "-c",
                "echo $$ > \"$0/cgroup.procs\" && exec \"$1\" \"$2\" --exact",
            ])
            .args([group.0.as_os_str(), program.as_os_str(), test.as_ref()])
            .env(GROUP, &group.0)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
    }
}
