//! Disks that are too small, for the spool or for the database; skipped where mounting one is not permitted.

use std::process::{Command, Output};

use gmp_runtime::{Builder, go, yield_now};
use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{RECORD, Recorder, own};
use crate::programs::{work, work_hard_when_told};
use crate::rows::{differences, number};

impl Recorder {
    /// Runs a script that can mount in the test's folder what goes away with it; `"$@"` in it records the program in a part. Nothing,
    /// said aloud, where mounting is not permitted.
    fn run_mounting(&self, script: &str, options: &[&str], part: &str) -> Option<Output> {
        // SAFETY: no preconditions.
        let is_root = unsafe { libc::geteuid() } == 0;
        let namespaces = if is_root { "-m" } else { "-rm" };
        let shell = |script: &str| {
            let mut command = Command::new("unshare");
            command
                .current_dir(self.dir.path())
                .args([namespaces, "sh", "-c", script, "sh"]);
            command
        };
        std::fs::create_dir_all(self.path("small")).expect("a folder");
        let may = shell("mount -t tmpfs none small").output();
        if !may.as_ref().is_ok_and(|o| o.status.success()) {
            eprintln!("skipped: mounting a small disk is not permitted here: {may:?}");
            return None;
        }
        let mut command = shell(script);
        command.arg(RECORD);
        let output = self.command_in(command, options, part).output();
        Some(output.expect("it starts"))
    }
}

/// It once took the room for something of its own, kept nothing of the program and called that "ok".
#[test]
fn on_a_small_disk_a_recording_is_whole_or_refused() {
    if part().is_some() {
        std::fs::write(own("go"), "").expect("writable");
        return work_hard_when_told(40_000);
    }
    let recorder = Recorder::new("disks::on_a_small_disk_a_recording_is_whole_or_refused");
    for (mib, fits) in [(4, false), (5, false), (6, true), (8, true), (12, true)] {
        let script = format!(
            "mount -t tmpfs -o size={mib}m none small && \"$@\"; code=$?; ls small; exit $code"
        );
        let options = ["--spool", "small", "--quiet"];
        let Some(output) = recorder.run_mounting(&script, &options, "work") else {
            return;
        };
        let stderr = program::stderr(&output);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("gmp-spool-"));
        if !fits {
            assert_eq!(output.status.code(), Some(125), "{mib} MiB: {stderr}");
            let why = "are free and 6.0 MiB are needed; --spool names another folder";
            assert!(stderr.contains(why), "{mib} MiB: {stderr}");
            assert!(!recorder.path("trace.db").exists() && !recorder.path("begun").exists());
            continue;
        }
        assert!(output.status.success(), "{mib} MiB: {stderr}");
        let store = recorder.store();
        let run = Run::find(&store, "last").expect("a run");
        assert_eq!((run.lost, run.unordered), (0, 0), "{mib} MiB: {stderr}");
        assert!(run.events > 80_000, "{mib} MiB: {run:?}");
    }
}

/// Two programs at the same time, of which the second finds no room.
#[test]
fn a_process_without_room_for_a_spool_fails_the_recording() {
    let test = "disks::a_process_without_room_for_a_spool_fails_the_recording";
    match part().as_deref() {
        Some("parent") => {
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            unsafe { Builder::new() }.procs(1).run(move || {
                go(yield_now).join().expect("no panic");
                let child = program::command(test, "child").status();
                assert!(child.expect("it starts").success());
            });
            return;
        }
        Some(_) => return work(),
        None => {}
    }
    let recorder = Recorder::new(test);
    let script = "mount -t tmpfs -o size=6m none small && \"$@\"";
    let options = ["--spool", "small"];
    let Some(output) = recorder.run_mounting(script, &options, "parent") else {
        return;
    };
    let stderr = program::stderr(&output);
    assert_eq!(output.status.code(), Some(125), "{stderr}");
    assert!(
        stderr.contains("were lost, though") || stderr.contains("was not recorded"),
        "{stderr}"
    );
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert!(run.ingest == "done" && run.events > 0, "{run:?}");
    assert_eq!(number(&store, "SELECT count(*) FROM process"), 2);
    assert!(number(&store, "SELECT count(*) FROM lost WHERE process = 2") > 0);
}

#[test]
fn a_full_disk_under_the_database_is_an_error_and_recovery_needs_only_room() {
    if part().is_some() {
        std::fs::write(own("go"), "").expect("writable");
        return work_hard_when_told(20_000);
    }
    let recorder = Recorder::new(
        "disks::a_full_disk_under_the_database_is_an_error_and_recovery_needs_only_room",
    );
    let script = "mount -t tmpfs -o size=64m none small && fallocate -l 63m small/filler || exit 99
        \"$@\"; [ $? = 125 ] || exit 98
        rm small/filler
        \"$1\" --recover -o small/trace.db || exit 97
        cp small/trace.db .";
    let options = ["-o", "small/trace.db"];
    let Some(output) = recorder.run_mounting(script, &options, "work") else {
        return;
    };
    let stderr = program::stderr(&output);
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    assert!(stderr.contains("what was recorded is safe in"), "{stderr}");
    let told = stderr.matches("database or disk is full").count();
    assert_eq!(told, 1, "{stderr}");
    assert!(
        stderr.contains("`gmp-record --recover -o small/trace.db`"),
        "{stderr}"
    );
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert!(
        run.recovered && run.ingest == "done" && run.lost == 0,
        "{run:?}"
    );
    assert_eq!(differences(&store), []);
    assert_eq!(recorder.spools(), 0);
}
