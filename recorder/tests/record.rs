//! `gmp-record` as a user meets it: real processes, real kills. Each test runs itself again as the recorded program.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use gmp_runtime::{Builder, go, time, yield_now};
use gmp_store::Store;
use gmp_store::run::Run;

const RECORD: &str = env!("CARGO_BIN_EXE_gmp-record");
/// Set in the recorded program: which part it is to play.
const PART: &str = "GMP_TEST_PART";
/// Set in the recorded program: the folder of the test.
const DIR: &str = "GMP_TEST_DIR";

/// A `gmp-record` for the test with this name, in a folder of its own.
struct Recorder {
    dir: tempfile::TempDir,
    test: &'static str,
}

impl Recorder {
    fn new(test: &'static str) -> Recorder {
        Recorder {
            dir: tempfile::tempdir().expect("a temporary folder"),
            test,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Ready to record this test's program in a part.
    fn command(&self, options: &[&str], part: &str) -> Command {
        self.command_in(Command::new(RECORD), options, part)
    }

    /// The same, by way of a command that runs what follows it.
    fn command_in(&self, mut command: Command, options: &[&str], part: &str) -> Command {
        command.current_dir(self.dir.path());
        if !options.contains(&"--spool") {
            command.args(["--spool", "."]);
        }
        command.args(options);
        // A program in the options runs the test's.
        if !options.contains(&"--") {
            command.arg("--");
        }
        command
            .arg(std::env::current_exe().expect("this program"))
            .args([self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(DIR, self.dir.path())
            .stdin(Stdio::null());
        command
    }

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

    fn recover(&self, options: &[&str]) -> Output {
        Command::new(RECORD)
            .current_dir(self.dir.path())
            .arg("--recover")
            .args(options)
            .output()
            .expect("it starts")
    }

    /// Kills the recorder as soon as [`work_until_told`] has begun, and lets that come to its end.
    fn kill_recorder(&self, options: &[&str]) {
        let mut child = self.start(options, "work");
        self.wait_for("begun", &mut child);
        child.kill().expect("it runs");
        child.wait().expect("a child");
        std::fs::write(self.path("stop"), "").expect("writable");
        self.wait_for_orphan();
    }

    /// Nobody waits for the recorded program of a dead recorder but init, or whoever takes its place.
    fn wait_for_orphan(&self) {
        wait_for_end(self.pid("begun"));
    }

    fn run(&self, options: &[&str], part: &str) -> Output {
        self.command(options, part).output().expect("it starts")
    }

    fn start(&self, options: &[&str], part: &str) -> Child {
        self.command(options, part)
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("stderr")).expect("a file"))
            .spawn()
            .expect("it starts")
    }

    fn store(&self) -> Store {
        Store::open(&self.path("trace.db")).expect("a database")
    }

    /// Waits until the recorded program has come to a point.
    fn wait_for(&self, name: &str, recorder: &mut Child) {
        while !self.path(name).exists() {
            let ended = recorder.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?}: {}", self.stderr());
            std::thread::yield_now();
        }
    }

    fn pid(&self, name: &str) -> libc::pid_t {
        // The file appears before its content.
        loop {
            let text = std::fs::read_to_string(self.path(name)).expect("readable");
            if let Some(pid) = text.strip_suffix('\n') {
                return pid.parse().expect("a number");
            }
        }
    }

    fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// How many events are in the database; while the recorder commits, the file is locked.
    fn rows(&self) -> Option<i64> {
        let store = Store::open(&self.path("trace.db")).ok()?;
        let sql = "SELECT ifnull(max(events), 0) FROM run";
        store.db().query_row(sql, [], |r| r.get(0)).ok()
    }

    /// Waits until so many events are in the database while the program runs.
    fn wait_for_rows(&self, wanted: i64, recorder: &mut Child) {
        while self.rows().is_none_or(|n| n < wanted) {
            assert!(recorder.try_wait().expect("a child").is_none());
            std::thread::yield_now();
        }
    }

    /// How many spools lie in the folder.
    fn spools(&self) -> usize {
        folders(self.dir.path())
            .filter(|path| {
                let name = path.file_name().expect("a name");
                name.to_string_lossy().starts_with("gmp-spool-")
            })
            .count()
    }

    /// The spool of an unfinished run.
    fn spool(&self) -> std::path::PathBuf {
        let sql = "SELECT spool FROM ingest_cursor";
        let spool = self
            .store()
            .db()
            .query_row(sql, [], |r| r.get::<_, String>(0));
        spool.expect("a spool").into()
    }
}

fn folders(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("readable");
    entries
        .map(|e| e.expect("readable").path())
        .filter(|path| path.is_dir())
}

/// Until a process is gone, or a zombie that somebody else has to wait for.
fn wait_for_end(pid: libc::pid_t) {
    let stat = format!("/proc/{pid}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z")) {
        std::thread::yield_now();
    }
}

fn part() -> Option<String> {
    std::env::var(PART).ok()
}

fn own(name: &str) -> std::path::PathBuf {
    Path::new(&std::env::var_os(DIR).expect("the test's folder")).join(name)
}

/// A few hundred Gs that yield and sleep.
fn work() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let gs: Vec<_> = (0..300_u64)
            .map(|i| {
                go(move || {
                    yield_now();
                    if i % 10 == 0 {
                        time::sleep(std::time::Duration::from_micros(50));
                    }
                })
            })
            .collect();
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

/// Works until a file appears, and says when it has begun.
fn work_until_told() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let mut rounds = 0_u64;
        while !own("stop").exists() {
            go(yield_now).join().expect("no panic");
            rounds += 1;
            if rounds == 1_000 {
                std::fs::write(own("begun"), format!("{}\n", std::process::id()))
                    .expect("writable");
            }
        }
    });
}

fn number(store: &Store, sql: &str) -> i64 {
    store
        .db()
        .query_row(sql, [], |r| r.get(0))
        .expect("a number")
}

/// Each counter of the runtime with the number of its events, where they differ.
fn differences(store: &Store) -> Vec<(String, i64, i64)> {
    use gmp_trace::tally::{Equals, Tally};
    let mut found = Vec::new();
    for tally in Tally::ALL {
        let Equals::Count(kind) = tally.equals() else {
            continue;
        };
        let recorded = number(
            store,
            &format!("SELECT count(*) FROM event WHERE kind = {}", kind as u8),
        );
        let counted = number(
            store,
            &format!(
                "SELECT sum(value) FROM own_counter WHERE name = '{}'",
                tally.name()
            ),
        );
        if recorded != counted {
            found.push((tally.name().to_owned(), recorded, counted));
        }
    }
    found
}

#[test]
fn a_run_is_recorded_whole() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("a_run_is_recorded_whole");
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
    let recorder = Recorder::new("a_database_gains_a_run");
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
    let recorder = Recorder::new("exit_codes_are_passed_on");
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
    assert!(String::from_utf8_lossy(&without.stderr).contains("no GMP runtime"));
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
    let recorder = Recorder::new("another_file_is_refused_before_the_program_starts");
    let notes = recorder.path("trace.db");
    std::fs::write(&notes, "my notes").expect("writable");
    let refused = recorder.run(&[], "work");
    assert_eq!(refused.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no trace database"));
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
        assert!(String::from_utf8_lossy(&refused.stderr).contains("trace.db"));
    }
}

#[test]
fn a_killed_program_leaves_what_it_published() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("a_killed_program_leaves_what_it_published");
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
    let recorder = Recorder::new("a_killed_recorder_loses_nothing");
    let mut child = recorder.start(&["--tag", "a=b"], "work");
    recorder.wait_for("begun", &mut child);
    let pid = recorder.pid("begun");
    child.kill().expect("it runs");
    assert_eq!(child.wait().expect("a child").signal(), Some(9));
    let recover = || recorder.recover(&[]);
    let refused = recover();
    assert_eq!(refused.status.code(), Some(125));
    let stderr = String::from_utf8_lossy(&refused.stderr);
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
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to recover"));
}

#[test]
fn an_interrupt_ends_the_program_and_finishes_the_trace() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("an_interrupt_ends_the_program_and_finishes_the_trace");
    let mut child = recorder.start(&["-q"], "work");
    recorder.wait_for("begun", &mut child);
    // SAFETY: the process is our child, which has not been waited for.
    unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGINT) };
    assert_eq!(child.wait().expect("a child").code(), Some(128 + 2));
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!((run.ingest.as_str(), run.signal), ("done", Some(2)));
    assert!(run.events > 4_000);
}

#[test]
fn every_process_of_a_run_is_kept_apart() {
    match part().as_deref() {
        Some("parent") => {
            work();
            let test = "every_process_of_a_run_is_kept_apart";
            let status = Command::new(std::env::current_exe().expect("this program"))
                .args([test, "--exact", "--nocapture"])
                .env(PART, "child")
                .status();
            assert!(status.expect("it starts").success());
            return;
        }
        Some(_) => return work(),
        None => {}
    }
    let recorder = Recorder::new("every_process_of_a_run_is_kept_apart");
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

/// Many events, as soon as the test says so.
fn work_hard_when_told(yields: u32) {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(move || {
        std::fs::write(own("begun"), format!("{}\n", std::process::id())).expect("writable");
        while !own("go").exists() {
            std::thread::yield_now();
        }
        (0..yields).for_each(|_| yield_now());
    });
    std::fs::write(own("done"), "").expect("writable");
}

#[test]
fn what_does_not_fit_the_spool_is_counted() {
    if part().is_some() {
        return work_hard_when_told(400_000);
    }
    let recorder = Recorder::new("what_does_not_fit_the_spool_is_counted");
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

/// Every number of every stream is an event, a reading of counters, or lost.
fn assert_all_accounted_for(store: &Store) {
    let given = number(
        store,
        "SELECT sum(n) FROM (SELECT max(m_seq) + 1 AS n FROM
           (SELECT process, m, m_seq FROM event UNION ALL SELECT process, m, m_seq FROM counter)
         GROUP BY process, m)",
    );
    let kept = number(
        store,
        "SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM counter)
           + (SELECT ifnull(sum(n), 0) FROM lost WHERE before_m_seq IS NOT NULL)",
    );
    assert_eq!(kept, given);
    let twice = "SELECT count(*) - count(DISTINCT process || ' ' || m || ' ' || m_seq) FROM event";
    assert_eq!(number(store, twice), 0);
}

#[test]
fn a_run_much_longer_than_its_spool_is_whole() {
    if part().is_some() {
        std::fs::write(own("go"), "").expect("writable");
        return work_hard_when_told(1_200_000);
    }
    let recorder = Recorder::new("a_run_much_longer_than_its_spool_is_whole");
    let output = recorder.run(&["--spool-limit", "8MiB", "--json"], "work");
    assert!(output.status.success(), "{output:?}");
    let store = recorder.store();
    let run = Run::find(&store, "last").expect("a run");
    assert_eq!((run.lost, run.unordered, run.resynced), (0, 0, 0));
    assert!(run.events > 2_400_000 && run.blocked_ns > 0, "{run:?}");
    assert!(run.spool_bytes.is_some_and(|b| b < 12 << 20), "{run:?}");
    assert_eq!(differences(&store), []);
    assert_all_accounted_for(&store);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("waiting for room"), "{stderr}");
}

#[test]
fn processes_that_outgrow_their_spools_together_take_turns() {
    let test = "processes_that_outgrow_their_spools_together_take_turns";
    match part().as_deref() {
        Some("parent") => {
            let mut child = Command::new(std::env::current_exe().expect("this program"))
                .args([test, "--exact", "--nocapture"])
                .env(PART, "child")
                .spawn()
                .expect("it starts");
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
fn a_recorder_killed_while_it_makes_room_loses_nothing_that_it_had() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("a_recorder_killed_while_it_makes_room_loses_nothing_that_it_had");
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
fn recorders_that_begin_together_share_one_file() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("recorders_that_begin_together_share_one_file");
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

#[test]
fn a_spool_without_room_for_events_is_refused_and_nothing_stays() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("a_spool_without_room_for_events_is_refused_and_nothing_stays");
    let refused = recorder.run(&["--spool-limit", "1MiB"], "work");
    assert_eq!(refused.status.code(), Some(125));
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(
        stderr.contains("--spool-limit 1.0 MiB is too little"),
        "{stderr}"
    );
    assert_eq!(recorder.spools(), 0);
    assert!(!recorder.path("trace.db").exists());
}

#[test]
fn a_full_standard_output_is_an_error_and_the_run_stays() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("a_full_standard_output_is_an_error_and_the_run_stays");
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
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("cannot write to standard output"),
        "{stderr}"
    );
    let runs = Run::list(&recorder.store()).expect("readable");
    assert!(runs.len() == 1 && runs[0].ingest == "done");
}

/// The summary that `--json` asks for.
fn json_of(output: &Output) -> serde_json::Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("JSON")
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// It once took the room for something of its own, kept nothing of the program and called that "ok".
#[test]
fn on_a_small_disk_a_recording_is_whole_or_refused() {
    if part().is_some() {
        std::fs::write(own("go"), "").expect("writable");
        return work_hard_when_told(40_000);
    }
    let recorder = Recorder::new("on_a_small_disk_a_recording_is_whole_or_refused");
    for (mib, fits) in [(4, false), (5, false), (6, true), (8, true), (12, true)] {
        let script = format!(
            "mount -t tmpfs -o size={mib}m none small && \"$@\"; code=$?; ls small; exit $code"
        );
        let options = ["--spool", "small", "--quiet"];
        let Some(output) = recorder.run_mounting(&script, &options, "work") else {
            return;
        };
        let stderr = stderr_of(&output);
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
    let test = "a_process_without_room_for_a_spool_fails_the_recording";
    match part().as_deref() {
        Some("parent") => {
            // SAFETY: nothing bound to a thread is held over a call into the runtime.
            unsafe { Builder::new() }.procs(1).run(move || {
                go(yield_now).join().expect("no panic");
                let child = Command::new(std::env::current_exe().expect("this program"))
                    .args([test, "--exact", "--nocapture"])
                    .env(PART, "child")
                    .status();
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
    let stderr = stderr_of(&output);
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
    let recorder =
        Recorder::new("a_full_disk_under_the_database_is_an_error_and_recovery_needs_only_room");
    let script = "mount -t tmpfs -o size=1m none small || exit 99
        \"$@\"; [ $? = 125 ] || exit 98
        mount -o remount,size=1g small || exit 99
        \"$1\" --recover -o small/trace.db || exit 97
        cp small/trace.db .";
    let options = ["-o", "small/trace.db"];
    let Some(output) = recorder.run_mounting(script, &options, "work") else {
        return;
    };
    let stderr = stderr_of(&output);
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

#[test]
fn a_recovery_ends_whatever_lies_in_the_spool() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("a_recovery_ends_whatever_lies_in_the_spool");
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
    let stderr = stderr_of(&recovered);
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
    assert!(stderr_of(&recorder.recover(&[])).contains("nothing to recover"));
}

#[test]
fn a_run_whose_spool_is_gone_ends_with_what_the_database_has() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("a_run_whose_spool_is_gone_ends_with_what_the_database_has");
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
    let refused = stderr_of(&recorder.recover(&[]));
    assert!(
        refused.contains("it was recorded on elsewhere"),
        "{refused}"
    );
    set_host(&host);
    let recovered = recorder.recover(&[]);
    let stderr = stderr_of(&recovered);
    assert_eq!(recovered.status.code(), Some(125), "{stderr}");
    assert!(stderr.contains("is gone (one in memory"), "{stderr}");
    let run = Run::find(&recorder.store(), "last").expect("a run");
    assert_eq!(
        (run.ingest.as_str(), run.status.as_str(), run.events),
        ("done", "cut", 0)
    );
}

#[test]
fn an_output_that_can_hold_no_database_is_refused_before_the_program_starts() {
    if part().is_some() {
        std::fs::write(own("started"), "").expect("writable");
        return work();
    }
    let recorder =
        Recorder::new("an_output_that_can_hold_no_database_is_refused_before_the_program_starts");
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
fn as_many_ps_as_were_asked_for_or_none() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("as_many_ps_as_were_asked_for_or_none");
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
    let stderr = stderr_of(&refused);
    assert!(stderr.contains("100000 is not in 1..=4096"), "{stderr}");
    for asked in ["100000", "0", "many"] {
        let mut command = recorder.command(&["-o", "none.db"], "work");
        let refused = command.env("GMP_PROCS", asked).output().expect("it starts");
        let stderr = stderr_of(&refused);
        let why = format!("GMP_PROCS={asked}: the number of Ps is 1 to 4096");
        assert!(stderr.contains(&why), "{stderr}");
        assert!(!recorder.path("none.db").exists());
    }
}

#[test]
fn what_went_wrong_is_said_once_and_on_which_file() {
    if part().is_some() {
        return work();
    }
    let recorder = Recorder::new("what_went_wrong_is_said_once_and_on_which_file");
    std::fs::write(recorder.path("not-a-folder"), "").expect("writable");
    std::fs::write(recorder.path("data"), "no program").expect("writable");
    let own = |args: &[&str]| {
        let mut command = Command::new(RECORD);
        let command = command.current_dir(recorder.dir.path()).args(args);
        stderr_of(&command.output().expect("it starts"))
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

#[test]
fn a_recorder_that_is_a_zombie_records_nothing_any_more() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("a_recorder_that_is_a_zombie_records_nothing_any_more");
    let mut child = recorder.start(&[], "work");
    recorder.wait_for("begun", &mut child);
    let living = stderr_of(&recorder.recover(&[]));
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
fn a_spool_that_no_recorder_made_becomes_a_run() {
    match part().as_deref() {
        Some("long") => return work_until_told(),
        Some(_) => return work(),
        None => {}
    }
    let test = "a_spool_that_no_recorder_made_becomes_a_run";
    let recorder = Recorder::new(test);
    let program = |part: &str| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .args([test, "--exact", "--nocapture"])
            .env(PART, part)
            .env(DIR, recorder.dir.path())
            .env("GMP_SPOOL", recorder.path("spool"));
        command
    };
    let options = ["--spool", "spool"];
    let missing = recorder.recover(&options);
    assert_eq!(missing.status.code(), Some(125));
    assert!(stderr_of(&missing).contains("cannot read the spool spool: No such file"));
    std::fs::create_dir_all(recorder.path("spool/notes")).expect("a folder");
    let none = recorder.recover(&options);
    assert_eq!(none.status.code(), Some(125));
    assert!(stderr_of(&none).contains("spool is no spool"), "{none:?}");
    let mut long = program("long").spawn().expect("it starts");
    recorder.wait_for("begun", &mut long);
    let refused = stderr_of(&recorder.recover(&options));
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

#[test]
fn what_is_in_the_database_is_complete_though_the_spool_is_not() {
    if part().is_some() {
        return work_until_told();
    }
    let recorder = Recorder::new("what_is_in_the_database_is_complete_though_the_spool_is_not");
    let mut child = recorder.start(&["--spool-limit", "4MiB"], "work");
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
    let stderr = stderr_of(&recovered);
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
    let spool = std::env::var_os(gmp_trace::version::ENV_SPOOL).expect("recorded");
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
    let test = "names_without_room_are_counted";
    let recorder = Recorder::new(test);
    // No other file grows while there is no room: there is one segment, and it is made before the first event.
    let small = ["--spool-limit", "4MiB", "--quiet", "--json"];
    let drop = [&small[..], &["--on-full", "drop"]].concat();
    for (options, code, words) in [
        (&small[..], 125, "gmp-record: names that were lost: 1 "),
        (&drop, 0, "gmp-record: warning: names that were lost: 1 "),
    ] {
        let output = recorder.run(options, "work");
        let stderr = stderr_of(&output);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert_eq!(json_of(&output)["names_lost"], 1);
    }
    std::fs::create_dir(recorder.path("spool")).expect("a folder");
    let alone = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env(PART, "work")
        .env("GMP_SPOOL", recorder.path("spool"))
        .env("GMP_SPOOL_LIMIT", (4 << 20).to_string())
        .status();
    assert!(alone.expect("it starts").success());
    let adopted = recorder.recover(&["--spool", "spool", "--quiet", "--json"]);
    let stderr = stderr_of(&adopted);
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
