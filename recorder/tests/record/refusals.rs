//! Exit codes and messages: what is passed on, and what is refused, before the program starts where that can be.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use gmp_store::Store;
use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{RECORD, Recorder, own};
use crate::programs::work;

#[test]
fn exit_codes_are_passed_on() {
    match part().as_deref() {
        Some("seven") => {
            work();
            std::process::exit(7);
        }
        Some("killed") => {
            work();
            // SAFETY: no preconditions.
            unsafe { libc::raise(libc::SIGTERM) };
        }
        Some("no runtime") => return,
        _ => {}
    }
    let recorder = Recorder::new("refusals::exit_codes_are_passed_on");
    assert_eq!(recorder.run(&["-q"], "seven").status.code(), Some(7));
    assert_eq!(
        recorder.run(&["-q"], "killed").status.code(),
        Some(128 + 15)
    );
    let store = recorder.store();
    let status = |run: &str| Run::find(&store, run).expect("a run").status;
    assert_eq!(
        (status("1").as_str(), status("2").as_str()),
        ("failed", "cut")
    );
    let without = recorder.run(&["-o", "none.db"], "no runtime");
    assert_eq!(without.status.code(), Some(125));
    assert!(program::stderr(&without).contains("no GMP runtime"));
    assert!(!recorder.path("none.db").exists());
    let run = |args: &[&str]| {
        Command::new(RECORD)
            .current_dir(recorder.dir.path())
            .args(args)
            .output()
            .expect("it starts")
    };
    assert_eq!(
        run(&["-o", "x.db", "./is-not-there"]).status.code(),
        Some(127)
    );
    std::fs::write(recorder.path("data"), "no program").expect("writable");
    assert_eq!(run(&["-o", "x.db", "./data"]).status.code(), Some(126));
    assert_eq!(run(&["--procs", "none"]).status.code(), Some(125));
    assert_eq!(
        run(&["--policy", "steal=all", "./data"]).status.code(),
        Some(125)
    );
    assert_eq!(
        run(&["-o", "no/such/folder.db", "./data"]).status.code(),
        Some(125)
    );
    assert!(!recorder.path("x.db").exists());
    assert_eq!(recorder.spools(), 0);
}

#[test]
fn another_file_is_refused_before_the_program_starts() {
    if part().is_some() {
        std::fs::write(own("started"), "").expect("writable");
        return work();
    }
    let recorder = Recorder::new("refusals::another_file_is_refused_before_the_program_starts");
    let notes = recorder.path("trace.db");
    std::fs::write(&notes, "my notes").expect("writable");
    let refused = recorder.run(&[], "work");
    assert_eq!(refused.status.code(), Some(125));
    assert!(program::stderr(&refused).contains("no trace database"));
    assert_eq!(std::fs::read(&notes).expect("readable"), b"my notes");
    assert!(!recorder.path("started").exists());
    assert!(recorder.run(&["-q", "--force"], "work").status.success());
    assert_eq!(Run::list(&recorder.store()).expect("runs").len(), 1);
    // A file that its user may not write is an error that names it.
    let mut mode = std::fs::metadata(&notes).expect("a file").permissions();
    mode.set_mode(0o400);
    std::fs::set_permissions(&notes, mode).expect("settable");
    // Root may write to anything.
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        let refused = recorder.run(&[], "work");
        assert_eq!(refused.status.code(), Some(125));
        assert!(program::stderr(&refused).contains("trace.db"));
    }
}

#[test]
fn an_output_that_can_hold_no_database_is_refused_before_the_program_starts() {
    if part().is_some() {
        std::fs::write(own("started"), "").expect("writable");
        return work();
    }
    let recorder = Recorder::new(
        "refusals::an_output_that_can_hold_no_database_is_refused_before_the_program_starts",
    );
    std::fs::create_dir(recorder.path("folder")).expect("a folder");
    let made = Command::new("mkfifo").arg(recorder.path("fifo")).status();
    assert!(made.expect("it starts").success());
    for (link, to) in [
        ("stdout", "/dev/stdout"),
        ("null", "/dev/null"),
        ("link", "folder"),
    ] {
        std::os::unix::fs::symlink(to, recorder.path(link)).expect("a link");
    }
    for (output, why) in [
        ("-", "a database cannot be a stream"),
        ("folder", "this is a folder"),
        ("link", "this is a folder"),
        ("fifo", "this is a stream"),
        ("null", "this is a device"),
        ("stdout", "standard output goes into this file"),
        ("printed", "standard output goes into this file"),
        ("stderr", "standard error goes into this file"),
    ] {
        for force in [&["-o", output][..], &["-o", output, "--force"]] {
            let printed = std::fs::File::create(recorder.path("printed")).expect("a file");
            let status = recorder
                .command(force, "work")
                .stdout(printed)
                .stderr(std::fs::File::create(recorder.path("stderr")).expect("a file"))
                .status()
                .expect("it starts");
            let stderr = recorder.stderr();
            assert_eq!(status.code(), Some(125), "{output}: {stderr}");
            assert!(stderr.contains(why), "{output}: {stderr}");
            let printed = std::fs::read(recorder.path("printed")).expect("readable");
            assert!(
                printed.is_empty() && !recorder.path("started").exists(),
                "{output}"
            );
        }
    }
    assert!(!recorder.path("-").exists() && recorder.path("fifo").exists());
    assert_eq!(recorder.spools(), 0);
    // Names that mean something to SQLite are names like others.
    for output in [":memory:", "file:x.db"] {
        assert!(recorder.run(&["-q", "-o", output], "work").status.success());
        let store = Store::open(&recorder.path(output)).expect("a database");
        assert_eq!(Run::list(&store).expect("runs").len(), 1);
    }
}

#[test]
fn a_full_standard_output_is_an_error_and_the_run_stays() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("refusals::a_full_standard_output_is_an_error_and_the_run_stays");
    let full = std::fs::File::options().write(true).open("/dev/full");
    // The program itself, a test, writes elsewhere.
    let quietly = "exec \"$0\" \"$@\" >/dev/null";
    let output = recorder
        .command(&["--json", "--", "sh", "-c", quietly], "work")
        .stdout(full.expect("a device"))
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| child.wait_with_output())
        .expect("it runs");
    assert_eq!(output.status.code(), Some(125));
    let stderr = program::stderr(&output);
    assert!(
        stderr.contains("cannot write to standard output"),
        "{stderr}"
    );
    let runs = Run::list(&recorder.store()).expect("readable");
    assert!(runs.len() == 1 && runs[0].ingest == "done");
}

#[test]
fn what_went_wrong_is_said_once_and_on_which_file() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("refusals::what_went_wrong_is_said_once_and_on_which_file");
    std::fs::write(recorder.path("not-a-folder"), "").expect("writable");
    std::fs::write(recorder.path("data"), "no program").expect("writable");
    let own = |args: &[&str]| {
        let mut command = Command::new(RECORD);
        let command = command.current_dir(recorder.dir.path()).args(args);
        program::stderr(&command.output().expect("it starts"))
    };
    for (stderr, expected) in [
        (
            own(&["--recover", "-o", "none.db"]),
            "cannot open none.db: No such file or directory (os error 2)",
        ),
        (
            own(&["-o", "no/such.db", "./data"]),
            "-o no/such.db: there is no folder no",
        ),
        (
            own(&["-o", "no/", "./data"]),
            "-o no/: this is the name of a folder; name a file in it",
        ),
        (
            own(&["./nowhere"]),
            "cannot run ./nowhere: No such file or directory (os error 2)",
        ),
        (
            own(&["./data"]),
            "cannot run ./data: Permission denied (os error 13)",
        ),
    ] {
        assert_eq!(stderr, format!("gmp-record: {expected}\n"));
    }
    let stderr = own(&["--spool", "not-a-folder", "./data"]);
    assert_eq!(stderr.matches("Not a directory").count(), 1, "{stderr}");
    assert!(
        stderr.contains("cannot create the spool not-a-folder/gmp-spool-"),
        "{stderr}"
    );
}
