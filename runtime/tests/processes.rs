//! What forked and executed processes leave of a recorded program: the tests run themselves again as that program.

use std::collections::BTreeMap;

use gmp_runtime::{Builder, go, syscall, yield_now};
use gmp_testing::program::{command, is_part, part, succeed};
use gmp_testing::recording::{counters, events, spools};
use gmp_trace::event::{Event, Kind};
use gmp_trace::spool::reader::Recorded;
use gmp_trace::spool::tables::Entry;
use gmp_trace::tally::Tally;
use gmp_trace::version::ENV_SPOOL;

fn count(events: &[Recorded], kind: Kind) -> usize {
    events.iter().filter(|r| r.event.kind() == kind).count()
}

/// The line of the spawn below, which the child alone comes to.
const CHILD_SPAWNS: u32 = line!() + 5;

/// What the child does that would be recorded, counted and named, were it not a child.
fn busy() {
    for _ in 0..5_000 {
        go(|| ());
        yield_now();
    }
    gmp_runtime::checkpoint();
}

#[test]
fn a_forked_child_writes_nothing_into_its_parents_recording() {
    if is_part("forks") {
        // One P, so that the child, which has one thread, needs no other M.
        // SAFETY: nothing bound to a thread is held over a call into the runtime.
        unsafe { Builder::new() }.procs(1).run(|| {
            (0..10).for_each(|_| go(|| ()).join().expect("no panic"));
            // SAFETY: the child ends by `_exit`, before any code that needs the parent's other threads.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "{}", std::io::Error::last_os_error());
            if child == 0 {
                busy();
                // SAFETY: no preconditions.
                unsafe { libc::_exit(7) };
            }
            let mut status = 0;
            // SAFETY: the status is ours.
            let waited = syscall(|| unsafe { libc::waitpid(child, &raw mut status, 0) });
            assert_eq!((waited, libc::WEXITSTATUS(status)), (child, 7));
            (0..10).for_each(|_| go(|| ()).join().expect("no panic"));
        });
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let test = "a_forked_child_writes_nothing_into_its_parents_recording";
    succeed(command(test, "forks").env(ENV_SPOOL, dir.path()));
    let [spool] = &spools(dir.path())[..] else {
        panic!("a recording of the child");
    };
    assert!(spool.finished && spool.lost == 0);
    let all = events(spool);
    assert_eq!(count(&all, Kind::Spawn), 21);
    assert_eq!(count(&all, Kind::Yield), 0);
    let counters = counters(spool);
    let counted = [Tally::Spawns, Tally::Yields].map(|tally| counters[&tally]);
    assert_eq!(counted, [21, 0]);
    let starts: Vec<_> = all
        .iter()
        .filter_map(|r| match r.event {
            Event::Start { g, seq, .. } => Some((g, seq)),
            _ => None,
        })
        .collect();
    let mut distinct = starts.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), starts.len());
    let sites = spool.entries.iter().filter_map(|e| match e {
        Entry::Site { line, .. } => Some(*line),
        _ => None,
    });
    let lines: Vec<_> = sites.collect();
    assert!(!lines.is_empty() && !lines.contains(&CHILD_SPAWNS));
}

#[test]
fn an_executed_program_has_a_recording_of_its_own() {
    match part().as_deref() {
        Some("outer") => {
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            unsafe { Builder::new() }.procs(2).run(|| {
                (0..3).for_each(|_| go(|| ()).join().expect("no panic"));
                let status = syscall(|| {
                    command("an_executed_program_has_a_recording_of_its_own", "inner").status()
                });
                assert!(status.expect("it starts").success());
            });
            return;
        }
        Some("inner") => {
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            unsafe { Builder::new() }.procs(2).run(|| {
                (0..5).for_each(|_| go(|| ()).join().expect("no panic"));
            });
            return;
        }
        _ => {}
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let test = "an_executed_program_has_a_recording_of_its_own";
    succeed(command(test, "outer").env(ENV_SPOOL, dir.path()));
    let spools: BTreeMap<_, _> = spools(dir.path()).into_iter().map(|s| (s.pid, s)).collect();
    let mut spawned: Vec<_> = spools
        .values()
        .map(|s| {
            let spawns = count(&events(s), Kind::Spawn);
            (spawns, spools.contains_key(&s.parent), s.finished)
        })
        .collect();
    spawned.sort_unstable();
    assert_eq!(spawned, [(4, false, true), (6, true, true)]);
}
