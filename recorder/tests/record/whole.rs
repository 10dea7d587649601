//! A run that nothing disturbs, and what its options ask for.

use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{Recorder, json_of};
use crate::programs::work;
use crate::rows::{differences, number};

#[test]
fn a_run_is_recorded_whole() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("whole::a_run_is_recorded_whole");
    let options = [
        "--label",
        "first",
        "--tag",
        "host=lab",
        "--procs",
        "3",
        "--policy",
        "steal=one",
        "--json",
    ];
    let output = recorder.run(&options, "work");
    assert!(output.status.success(), "{output:?}");
    let json = json_of(&output);
    let store = recorder.store();
    let run = Run::find(&store, "first").expect("the run");
    assert_eq!(json["events"], run.events);
    assert_eq!(
        (run.status.as_str(), run.ingest.as_str(), run.exit_code),
        ("ok", "done", Some(0))
    );
    assert_eq!(
        (run.lost, run.unordered, run.resynced, run.procs),
        (0, 0, 0, Some(3))
    );
    assert!(
        run.policy
            .as_deref()
            .is_some_and(|p| p.contains("steal=one"))
    );
    assert_eq!(number(&store, "SELECT count(*) FROM event"), run.events);
    assert_eq!(differences(&store), []);
    let ended = "SELECT count(*) FROM g WHERE exit_ts IS NOT NULL AND spawn_ts <= exit_ts AND site IS NOT NULL";
    assert_eq!(number(&store, ended), 301);
    let params = "SELECT count(*) FROM run_param WHERE (name, value) IN \
        (('tag.host', 'lab'), ('procs', 3), ('policy.steal', 'one'), ('policy.global_tick', 61))";
    assert_eq!(number(&store, params), 4);
    let latency = "SELECT count(*) FROM wakeup WHERE latency_ns IS NOT NULL";
    assert!(number(&store, latency) > 300);
    let ticks = "SELECT count(*) FROM clock";
    assert!(number(&store, ticks) >= 2);
    assert_eq!(recorder.spools(), 0);
}

#[test]
fn a_database_gains_a_run() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("whole::a_database_gains_a_run");
    for n in 1..=2 {
        assert!(recorder.run(&["-q"], "work").status.success());
        assert_eq!(Run::list(&recorder.store()).expect("runs").len(), n);
    }
    let store = recorder.store();
    let overlap =
        "SELECT count(*) FROM run a, run b WHERE a.run < b.run AND a.last_event >= b.first_event";
    assert_eq!(number(&store, overlap), 0);
}

#[test]
fn as_many_ps_as_were_asked_for_or_none() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("whole::as_many_ps_as_were_asked_for_or_none");
    assert!(
        recorder
            .run(&["-q", "--procs", "4096"], "work")
            .status
            .success()
    );
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!(run.procs, Some(4096));
    let refused = recorder.run(&["--procs", "100000"], "work");
    assert_eq!(refused.status.code(), Some(125));
    let stderr = program::stderr(&refused);
    assert!(stderr.contains("100000 is not in 1..=4096"), "{stderr}");
    for asked in ["100000", "0", "many"] {
        let mut command = recorder.command(&["-o", "none.db"], "work");
        let refused = command.env("GMP_PROCS", asked).output().expect("it starts");
        let stderr = program::stderr(&refused);
        let why = format!("GMP_PROCS={asked}: the number of Ps is 1 to 4096");
        assert!(stderr.contains(&why), "{stderr}");
        assert!(!recorder.path("none.db").exists());
    }
}
