//! Programs and recorders that are killed or interrupted, at any moment.

use std::os::unix::process::ExitStatusExt;

use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{Recorder, wait_for_end};
use crate::programs::work_until_told;
use crate::rows::{assert_all_accounted_for, differences, number};

#[test]
fn a_killed_program_leaves_what_it_published() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("kills::a_killed_program_leaves_what_it_published");
    let mut child = recorder.start(&[], "work");
    recorder.wait_for("begun", &mut child);
    // SAFETY: the process is the recorder's child, which is not waited for before it has ended.
    unsafe { libc::kill(recorder.pid("begun"), libc::SIGKILL) };
    assert_eq!(child.wait().expect("a child").code(), Some(128 + 9));
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!(
        (run.status.as_str(), run.signal, run.unordered),
        ("cut", Some(9), 0)
    );
    assert_eq!(number(&store, "SELECT finished FROM process"), 0);
    assert!(run.events > 4_000);
    let writers = number(&store, "SELECT count(*) FROM m");
    for (name, recorded, counted) in differences(&store) {
        assert!(
            (recorded - counted).abs() <= writers,
            "{name}: {recorded} recorded, {counted} counted"
        );
    }
    assert!(
        recorder.stderr().contains("cut off"),
        "{}",
        recorder.stderr()
    );
}

#[test]
fn a_killed_recorder_loses_nothing() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("kills::a_killed_recorder_loses_nothing");
    let mut child = recorder.start(&["--tag", "a=b"], "work");
    recorder.wait_for("begun", &mut child);
    let pid = recorder.pid("begun");
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("a child").signal(), Some(9));
    let recover = || recorder.recover(&[]);
    let refused = recover();
    assert_eq!(refused.status.code(), Some(125));
    let stderr = program::stderr(&refused);
    assert!(
        stderr.contains(&format!("process {pid} still writes")),
        "{stderr}"
    );
    std::fs::write(recorder.path("stop"), "").expect("writable");
    recorder.wait_for_orphan();
    let recovered = recover();
    assert!(recovered.status.success(), "{recovered:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert!(run.recovered && run.ingest == "done" && run.unordered == 0 && run.lost == 0);
    // The program came to its end, though nobody saw with which exit code.
    assert_eq!((run.status.as_str(), run.exit_code), ("ok", None));
    assert!(run.duration_ns > Some(0), "{run:?}");
    assert_eq!(differences(&store), []);
    assert_eq!(
        number(
            &store,
            "SELECT count(*) FROM run_param WHERE name = 'tag.a'"
        ),
        1
    );
    assert_eq!(recorder.spools(), 0);
    let again = recover();
    assert!(again.status.success());
    assert!(program::stderr(&again).contains("nothing to recover"));
}

#[test]
fn a_recorder_killed_while_it_makes_room_loses_nothing_that_it_had() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder =
        Recorder::new("kills::a_recorder_killed_while_it_makes_room_loses_nothing_that_it_had");
    let mut child = recorder.start(&["--spool-limit", "8MiB"], "work");
    recorder.wait_for("begun", &mut child);
    // More than the spool holds, so that chunks were used again.
    let rows = || recorder.rows();
    recorder.wait_for_rows(1_200_000, &mut child);
    child.kill().expect("it runs");
    child.wait().expect("a child");
    std::fs::write(recorder.path("stop"), "").expect("writable");
    recorder.wait_for_orphan();
    let before = rows().expect("a whole database");
    let recovered = recorder.recover(&[]);
    assert!(recovered.status.success(), "{recovered:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert!(run.recovered && run.ingest == "done", "{run:?}");
    // What the program wrote after the kill may not have fitted; no place in the order is in doubt before that.
    assert!(run.events > before && run.unordered == 0, "{run:?}");
    assert_eq!(run.events, number(&store, "SELECT count(*) FROM event"));
    assert!(run.lost > 0 || differences(&store).is_empty());
    assert_all_accounted_for(&store);
    let early = format!("SELECT count(*) FROM event_note WHERE event <= {before}");
    assert_eq!(number(&store, &early), 0);
}

#[test]
fn a_recorder_that_is_a_zombie_records_nothing_any_more() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("kills::a_recorder_that_is_a_zombie_records_nothing_any_more");
    let mut child = recorder.start(&[], "work");
    recorder.wait_for("begun", &mut child);
    let living = program::stderr(&recorder.recover(&[]));
    let words = format!("gmp-record (process {}) is still recording it", child.id());
    assert!(living.contains(&words), "{living}");
    child.kill().expect("it runs");
    std::fs::write(recorder.path("stop"), "").expect("writable");
    recorder.wait_for_orphan();
    // Nobody has waited for it yet.
    wait_for_end(child.id() as libc::pid_t);
    let recovered = recorder.recover(&[]);
    child.wait().expect("a child");
    assert!(recovered.status.success(), "{recovered:?}");
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!((run.ingest.as_str(), run.status.as_str()), ("done", "ok"));
}

#[test]
fn an_interrupt_ends_the_program_and_finishes_the_trace() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("kills::an_interrupt_ends_the_program_and_finishes_the_trace");
    let mut child = recorder.start(&["-q"], "work");
    recorder.wait_for("begun", &mut child);
    // SAFETY: the process is our child, which has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(child.wait().expect("a child").code(), Some(128 + 2));
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!((run.ingest.as_str(), run.signal), ("done", Some(2)));
    assert!(run.events > 4_000);
}
