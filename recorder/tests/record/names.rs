//! Names that find no room in the spool, though the events do.

use std::path::Path;

use gmp_runtime::{Builder, go};
use gmp_store::run::Run;
use gmp_testing::program::{self, part};
use gmp_trace::version::{ENV_SPOOL, ENV_SPOOL_LIMIT};

use crate::harness::{Recorder, folders, json_of};
use crate::rows::{differences, number};

/// The most bytes that a file may have from now on, whoever writes to it; beyond that a write fails.
fn limit_files(bytes: libc::rlim_t) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the struct is ours. Without the signal's default action the kernel tells the writer, and does not end the process.
    let rc = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit)
    };
    assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
}

/// Spawns from three places in the source. The name of the second is cut off until there is room again, and for that of the third there is
/// none meanwhile.
fn spawn_without_room_for_names() {
    let spool = std::env::var_os(ENV_SPOOL).expect("recorded");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(1).run(move || {
        go(|| ()).join().expect("no panic");
        let process = folders(Path::new(&spool)).next().expect("this process");
        let names = std::fs::metadata(process.join("tables")).expect("a file");
        limit_files(names.len() + 3);
        let second = go(|| ());
        let third = go(|| ());
        limit_files(libc::RLIM_INFINITY);
        go(|| ()).join().expect("no panic");
        second.join().expect("no panic");
        third.join().expect("no panic");
    });
}

#[test]
fn names_without_room_are_counted() {
    if part().is_some() {
        return spawn_without_room_for_names();
    }
    let recorder = Recorder::new("names::names_without_room_are_counted");
    // No other file grows while there is no room: there is one segment, and it is made before the first event.
    let small = ["--spool-limit", "4MiB", "--quiet", "--json"];
    let drop = [&small[..], &["--on-full", "drop"]].concat();
    for (options, code, words) in [
        (&small[..], 125, "gmp-record: names that were lost: 1 "),
        (&drop, 0, "gmp-record: warning: names that were lost: 1 "),
    ] {
        let output = recorder.run(options, "work");
        let stderr = program::stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert_eq!(json_of(&output)["names_lost"], 1);
    }
    std::fs::create_dir(recorder.path("spool")).expect("a folder");
    let alone = recorder
        .program_into_spool("work")
        .env(ENV_SPOOL_LIMIT, (4 << 20).to_string())
        .status();
    assert!(alone.expect("it starts").success());
    let adopted = recorder.recover(&["--spool", "spool", "--quiet", "--json"]);
    let stderr = program::stderr(&adopted);
    assert!(adopted.status.success(), "{stderr}");
    assert!(
        stderr.contains("warning: names that were lost: 1 "),
        "{stderr}"
    );
    assert_eq!(json_of(&adopted)["names_lost"], 1);
    let store = recorder.store();
    let runs = Run::list(&store).expect("readable");
    assert_eq!(runs.len(), 3);
    for run in runs {
        assert_eq!((run.lost, run.unordered), (0, 0), "{run:?}");
        let of_run = |sql: &str| number(&store, &format!("{sql} AND run = {}", run.run));
        let told = "SELECT count(*) FROM process_info WHERE key = 'names_lost' AND value = '1'";
        assert_eq!(of_run(told), 1);
        // One is unknown, and no other: what was cut off is no part of what came after.
        let unknown = "SELECT count(*) FROM g WHERE (run, process, site) NOT IN (SELECT run, process, site FROM site)";
        assert_eq!(of_run(unknown), 1);
        let here = "SELECT count(*) FROM site WHERE file LIKE '%tests/record%'";
        assert!(of_run(here) >= 3);
    }
    assert_eq!(differences(&store), []);
}
