//! `--recover`: of spools that are damaged, gone, or that no recorder made.

use std::path::Path;

use gmp_store::Store;
use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{Recorder, folders};
use crate::programs::{work, work_until_told};
use crate::rows::{differences, number};

#[test]
fn a_recovery_ends_whatever_lies_in_the_spool() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("recovery::a_recovery_ends_whatever_lies_in_the_spool");
    recorder.kill_recorder(&[]);
    let spool = recorder.spool();
    let whole = folders(&spool).next().expect("a process");
    // A process that found no room, one that was killed when its spool was half made, one whose table of segments is gone.
    for (name, without) in [
        ("11-1", "segments"),
        ("12-2", "control"),
        ("13-3", "segments"),
    ] {
        std::fs::create_dir(spool.join(name)).expect("a folder");
        for file in std::fs::read_dir(&whole).expect("readable") {
            let file = file.expect("readable");
            if file.file_name() != without {
                std::fs::copy(file.path(), spool.join(name).join(file.file_name()))
                    .expect("copied");
            }
        }
    }
    std::fs::write(spool.join("11-1/control"), [0; 4096]).expect("writable");
    std::fs::remove_file(spool.join("clocks")).expect("removed");
    let recovered = recorder.recover(&[]);
    let stderr = program::stderr(&recovered);
    assert_eq!(recovered.status.code(), Some(125), "{stderr}");
    for words in [
        "process 11 was not recorded",
        "process 12 was not recorded",
        "process 13 could not be read",
        "the times of run 1 are guessed",
        "what could not be read stays in",
    ] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!((run.ingest.as_str(), run.status.as_str()), ("done", "cut"));
    assert!(run.events > 4_000 && run.unordered == 0, "{run:?}");
    assert!(run.duration_ns > Some(0), "{run:?}");
    assert_eq!(differences(&store), []);
    let missing = "SELECT count(*) FROM lost JOIN process USING (run, process) WHERE n IS NULL AND NOT finished AND pid IN (11, 12, 13)";
    assert_eq!(number(&store, missing), 3);
    assert!(spool.join("13-3/segment-0000").exists());
    assert!(program::stderr(&recorder.recover(&[])).contains("nothing to recover"));
}

#[test]
fn a_run_whose_spool_is_gone_ends_with_what_the_database_has() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder =
        Recorder::new("recovery::a_run_whose_spool_is_gone_ends_with_what_the_database_has");
    recorder.kill_recorder(&[]);
    let spool = recorder.spool();
    let moved = recorder.path("elsewhere");
    std::fs::rename(&spool, &moved).expect("moved");
    let set_host = |host: &str| {
        let store = Store::open_writable(&recorder.path("trace.db")).expect("a database");
        let old = store
            .db()
            .query_row("SELECT host FROM run", [], |r| r.get::<_, String>(0));
        store
            .db()
            .execute("UPDATE run SET host = ?", [host])
            .expect("written");
        old.expect("a host")
    };
    // It may be where the run was recorded.
    let host = set_host("elsewhere");
    let refused = program::stderr(&recorder.recover(&[]));
    assert!(
        refused.contains("it was recorded on elsewhere"),
        "{refused}"
    );
    set_host(&host);
    let recovered = recorder.recover(&[]);
    let stderr = program::stderr(&recovered);
    assert_eq!(recovered.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("is gone (one in memory"), "{stderr}");
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!(
        (run.ingest.as_str(), run.status.as_str(), run.events),
        ("done", "cut", 0)
    );
}

#[test]
fn what_is_in_the_database_is_complete_though_the_spool_is_not() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder =
        Recorder::new("recovery::what_is_in_the_database_is_complete_though_the_spool_is_not");
    let mut child = recorder.start(&["--spool-limit", "4MiB"], "work");
    recorder.wait_for("begun", &mut child);
    recorder.wait_for_rows(1, &mut child);
    child.kill().expect("it runs");
    child.wait().expect("a child");
    std::fs::write(recorder.path("stop"), "").expect("writable");
    recorder.wait_for_orphan();
    let before = recorder.rows().expect("a whole database");
    let spool = recorder.spool();
    let process = folders(&spool).next().expect("a process");
    std::fs::remove_file(process.join("segment-0000")).expect("removed");
    let recovered = recorder.recover(&[]);
    let stderr = program::stderr(&recovered);
    assert_eq!(recovered.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("segment-0000: No such file"), "{stderr}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!((run.ingest.as_str(), run.events), ("done", before));
    for id in ["m", "g"] {
        let sql = format!(
            "SELECT count(*) FROM event e LEFT JOIN {id} t USING (run, process, {id}) WHERE e.{id} > 0 AND t.run IS NULL"
        );
        assert_eq!(number(&store, &sql), 0, "{id}");
    }
    let why = "SELECT count(*) FROM lost WHERE why LIKE 'damaged: %segment-0000%'";
    assert_eq!(number(&store, why), 1);
    assert!(process.join("segments").exists());
}

#[test]
fn a_spool_that_no_recorder_made_becomes_a_run() {
    match part().as_deref() {
        Some("long") => return work_until_told(),
        Some(_) => return work(),
        None => {}
    }
    let recorder = Recorder::new("recovery::a_spool_that_no_recorder_made_becomes_a_run");
    let program = |part: &str| recorder.program_into_spool(part);
    let options = ["--spool", "spool"];
    let missing = recorder.recover(&options);
    assert_eq!(missing.status.code(), Some(125));
    assert!(program::stderr(&missing).contains("cannot read the spool spool: No such file"));
    std::fs::create_dir_all(recorder.path("spool/notes")).expect("a folder");
    let none = recorder.recover(&options);
    assert_eq!(none.status.code(), Some(125));
    assert!(
        program::stderr(&none).contains("spool is no spool"),
        "{none:?}"
    );
    let mut long = program("long").spawn().expect("it starts");
    recorder.wait_for("begun", &mut long);
    let refused = program::stderr(&recorder.recover(&options));
    let words = format!("process {} still writes", long.id());
    assert!(refused.contains(&words), "{refused}");
    assert!(!recorder.path("trace.db").exists());
    std::fs::write(recorder.path("stop"), "").expect("writable");
    assert!(long.wait().expect("a child").success());
    assert!(program("short").status().expect("it starts").success());
    let adopted = recorder.recover(&options);
    assert!(adopted.status.success(), "{adopted:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!(
        (
            run.ingest.as_str(),
            run.status.as_str(),
            run.lost,
            run.unordered,
            run.procs
        ),
        ("done", "ok", 0, 0, Some(2))
    );
    assert_eq!(differences(&store), []);
    assert_eq!(
        number(&store, "SELECT count(*) FROM process WHERE finished"),
        2
    );
    let exe = std::env::current_exe().expect("this program");
    assert_eq!(Path::new(&run.command), exe);
    // The times are guessed, but not far from the truth.
    let boottime_ns = number(&store, "SELECT min(started_boottime_ns) FROM process");
    let first_ns = number(&store, "SELECT min(ts) FROM event") + run.started_boottime_ns;
    let off_ns = first_ns.abs_diff(boottime_ns);
    assert!(off_ns < 1_000_000_000, "{off_ns} ns");
    // It is not the recorder's to remove.
    assert!(recorder.path("spool/notes").exists());
    assert_eq!(folders(&recorder.path("spool")).count(), 3);
}
