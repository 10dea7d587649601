//! The limit of the spool: what fits, what waits, what is lost.

use gmp_store::run::Run;
use gmp_testing::program::{self, part};

use crate::harness::{Recorder, own};
use crate::programs::{work, work_hard_when_told};
use crate::rows::{assert_all_accounted_for, differences, number};

#[test]
fn what_does_not_fit_the_spool_is_counted() {
    if part().is_some() {
        return work_hard_when_told(400_000);
    }
    let recorder = Recorder::new("room::what_does_not_fit_the_spool_is_counted");
    let mut child = recorder.start(&["--spool-limit", "4MiB", "--on-full", "drop"], "work");
    recorder.wait_for("begun", &mut child);
    // A recorder that stands still makes no room.
    let signal = |signal| {
        // SAFETY: the process is our child, which has not been waited for.
        unsafe { libc::kill(child.id() as libc::pid_t, signal) }
    };
    signal(libc::SIGSTOP);
    std::fs::write(recorder.path("go"), "").expect("writable");
    while !recorder.path("done").exists() {
        std::thread::yield_now();
    }
    signal(libc::SIGCONT);
    assert!(child.wait().expect("a child").success());
    let stderr = recorder.stderr();
    assert!(stderr.contains("lost"), "{stderr}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert!(run.lost > 0 && run.unordered == 0, "{run:?}");
    assert_eq!(number(&store, "SELECT sum(n) FROM lost"), run.lost);
    let missing: i64 = differences(&store)
        .iter()
        .map(|(_, recorded, counted)| counted - recorded)
        .sum();
    // Counters beside the events are not kept for every kind, so that the loss can only be larger.
    assert!(
        missing > 0 && missing <= run.lost,
        "{missing} of {}",
        run.lost
    );
}

#[test]
fn a_run_much_longer_than_its_spool_is_whole() {
    if part().is_some() {
        std::fs::write(own("go"), "").expect("writable");
        return work_hard_when_told(1_200_000);
    }
    let recorder = Recorder::new("room::a_run_much_longer_than_its_spool_is_whole");
    let output = recorder.run(&["--spool-limit", "8MiB", "--json"], "work");
    assert!(output.status.success(), "{output:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!((run.lost, run.unordered, run.resynced), (0, 0, 0));
    assert!(run.events > 2_400_000 && run.blocked_ns > 0, "{run:?}");
    assert!(run.spool_bytes.is_some_and(|b| b < 12 << 20), "{run:?}");
    assert_eq!(differences(&store), []);
    assert_all_accounted_for(&store);
    let stderr = program::stderr(&output);
    assert!(stderr.contains("waiting for room"), "{stderr}");
}

#[test]
fn a_spool_without_room_for_events_is_refused_and_nothing_stays() {
    if part().is_some() {
        return work();
    }
    let recorder =
        Recorder::new("room::a_spool_without_room_for_events_is_refused_and_nothing_stays");
    let refused = recorder.run(&["--spool-limit", "1MiB"], "work");
    assert_eq!(refused.status.code(), Some(125));
    let stderr = program::stderr(&refused);
    assert!(
        stderr.contains("--spool-limit 1.0 MiB is too little"),
        "{stderr}"
    );
    assert_eq!(recorder.spools(), 0);
    assert!(!recorder.path("trace.db").exists());
}
