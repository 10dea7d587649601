//! Several processes: of one run, and recorders that share a database.

use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{Recorder, own};
use crate::programs::{work, work_hard_when_told};
use crate::rows::{assert_all_accounted_for, differences, number};

#[test]
fn every_process_of_a_run_is_kept_apart() {
    let test = "processes::every_process_of_a_run_is_kept_apart";
    match part().as_deref() {
        Some("parent") => {
            work();
            let status = program::command(test, "child").status();
            assert!(status.expect("it starts").success());
            return;
        }
        Some(_) => return work(),
        None => {}
    }
    let recorder = Recorder::new(test);
    assert!(recorder.run(&["-q"], "parent").status.success());
    let store = recorder.store();
    assert_eq!(
        number(
            &store,
            "SELECT count(DISTINCT pid) FROM process WHERE finished"
        ),
        2
    );
    assert_eq!(
        number(
            &store,
            "SELECT count(*) FROM process c JOIN process p ON c.parent = p.pid"
        ),
        1
    );
    assert_eq!(number(&store, "SELECT count(*) FROM g WHERE g = 1"), 2);
    assert_eq!(differences(&store), []);
}

#[test]
fn processes_that_outgrow_their_spools_together_take_turns() {
    let test = "processes::processes_that_outgrow_their_spools_together_take_turns";
    match part().as_deref() {
        Some("parent") => {
            let mut child = program::command(test, "child").spawn().expect("it starts");
            work_hard_when_told(600_000);
            assert!(child.wait().expect("a child").success());
            return;
        }
        Some(_) => {
            // Neither begins before the other is there.
            std::fs::write(own("go"), "").expect("writable");
            return work_hard_when_told(600_000);
        }
        None => {}
    }
    let recorder = Recorder::new(test);
    let output = recorder.run(&["--spool-limit", "4MiB", "--on-full", "drop"], "parent");
    assert!(output.status.success(), "{output:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!(run.unordered, 0);
    assert_eq!(
        number(&store, "SELECT count(*) FROM process WHERE finished"),
        2
    );
    assert_eq!(run.events, number(&store, "SELECT count(*) FROM event"));
    assert_all_accounted_for(&store);
}

#[test]
fn recorders_that_begin_together_share_one_file() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("processes::recorders_that_begin_together_share_one_file");
    let mut children: Vec<_> = (0..3)
        .map(|_| recorder.start(&["--quiet"], "work"))
        .collect();
    for child in &mut children {
        let status = child.wait().expect("a child");
        assert!(status.success(), "{status:?}: {}", recorder.stderr());
    }
    let runs = Run::list(&recorder.store()).expect("readable");
    assert_eq!(runs.len(), 3);
    assert!(runs.iter().all(|r| r.ingest == "done" && r.lost == 0));
    assert_eq!(recorder.spools(), 0);
}
