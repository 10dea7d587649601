//! A `gmp-record` for one test, in a folder of its own, and the processes that it starts and waits for.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use gmp_store::Store;
use gmp_testing::program;
use gmp_trace::version::ENV_SPOOL;

pub const RECORD: &str = env!("CARGO_BIN_EXE_gmp-record");

/// Set in the recorded program: the folder of the test.
const DIR: &str = "GMP_TEST_DIR";

/// A `gmp-record` for the test with this name, in a folder of its own.
pub struct Recorder {
    pub dir: tempfile::TempDir,
    test: &'static str,
}

impl Recorder {
    pub fn new(test: &'static str) -> Recorder {
        Recorder {
            dir: tempfile::tempdir().expect("a temporary folder"),
            test,
        }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Ready to record this test's program in a part.
    pub fn command(&self, options: &[&str], part: &str) -> Command {
        self.command_in(Command::new(RECORD), options, part)
    }

    /// The same, by way of a command that runs what follows it.
    pub fn command_in(&self, mut command: Command, options: &[&str], part: &str) -> Command {
        command.current_dir(self.dir.path());
        if !options.contains(&"--spool") {
            command.args(["--spool", "."]);
        }
        command.args(options);
        // A program in the options runs the test's.
        if !options.contains(&"--") {
            command.arg("--");
        }
        let program = self.program(part);
        command
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::null());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// This test's program in a part, without a recorder.
    pub fn program(&self, part: &str) -> Command {
        let mut command = program::command(self.test, part);
        command.env(DIR, self.dir.path());
        command
    }

    /// The same, when it records by itself, into the folder `spool` of the test.
    pub fn program_into_spool(&self, part: &str) -> Command {
        let mut command = self.program(part);
        command.env(ENV_SPOOL, self.path("spool"));
        command
    }

    pub fn recover(&self, options: &[&str]) -> Output {
        Command::new(RECORD)
            .current_dir(self.dir.path())
            .arg("--recover")
            .args(options)
            .output()
            .expect("it starts")
    }

    /// Kills the recorder as soon as [`crate::programs::work_until_told`] has begun, and lets that come to its end.
    pub fn kill_recorder(&self, options: &[&str]) {
        let mut child = self.start(options, "work");
        self.wait_for("begun", &mut child);
        child.kill().expect("it runs");
        child.wait().expect("a child");
        std::fs::write(self.path("stop"), "").expect("writable");
        self.wait_for_orphan();
    }

    /// Nobody waits for the recorded program of a dead recorder but init, or whoever takes its place.
    pub fn wait_for_orphan(&self) {
        wait_for_end(self.pid("begun"));
    }

    pub fn run(&self, options: &[&str], part: &str) -> Output {
        self.command(options, part).output().expect("it starts")
    }

    pub fn start(&self, options: &[&str], part: &str) -> Child {
        let mut command = self.command(options, part);
        command
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.path("stderr")).expect("a file"));
        // *Tests in the background*: a shell without job control has its background jobs ignore interrupts, and they hand that on.
        // SAFETY: only a system call that is allowed between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::signal(libc::SIGINT, libc::SIG_DFL) {
                libc::SIG_ERR => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            })
        };
        command.spawn().expect("it starts")
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path("trace.db")).expect("a database")
    }

    /// Waits until the recorded program has come to a point.
    pub fn wait_for(&self, name: &str, recorder: &mut Child) {
        while !self.path(name).exists() {
            let ended = recorder.try_wait().expect("a child");
            assert!(ended.is_none(), "{ended:?}: {}", self.stderr());
            std::thread::yield_now();
        }
    }

    pub fn pid(&self, name: &str) -> libc::pid_t {
        // The file appears before its content.
        loop {
            let text = std::fs::read_to_string(self.path(name)).expect("readable");
            if let Some(pid) = text.strip_suffix('\n') {
                return pid.parse().expect("a number");
            }
        }
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// How many events are in the database; while the recorder commits, the file is locked.
    pub fn rows(&self) -> Option<i64> {
        let store = Store::open(&self.path("trace.db")).ok()?;
        let sql = "SELECT ifnull(max(events), 0) FROM run";
        store.db().query_row(sql, [], |r| r.get(0)).ok()
    }

    /// Waits until so many events are in the database while the program runs.
    pub fn wait_for_rows(&self, wanted: i64, recorder: &mut Child) {
        while self.rows().is_none_or(|n| n < wanted) {
            assert!(recorder.try_wait().expect("a child").is_none());
            std::thread::yield_now();
        }
    }

    /// How many spools lie in the folder.
    pub fn spools(&self) -> usize {
        folders(self.dir.path())
            .filter(|path| {
                let name = path.file_name().expect("a name");
                name.to_string_lossy().starts_with("gmp-spool-")
            })
            .count()
    }

    /// The spool of an unfinished run.
    pub fn spool(&self) -> std::path::PathBuf {
        let sql = "SELECT spool FROM ingest_cursor";
        let spool = self
            .store()
            .db()
            .query_row(sql, [], |r| r.get::<_, String>(0));
        spool.expect("a spool").into()
    }
}

pub fn folders(dir: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("readable");
    entries
        .map(|e| e.expect("readable").path())
        .filter(|path| path.is_dir())
}

/// Until a process is gone, or a zombie that somebody else has to wait for.
pub fn wait_for_end(pid: libc::pid_t) {
    let stat = format!("/proc/{pid}/stat");
    while std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z")) {
        std::thread::yield_now();
    }
}

pub fn own(name: &str) -> std::path::PathBuf {
    Path::new(&std::env::var_os(DIR).expect("the test's folder")).join(name)
}

/// The summary that `--json` asks for.
pub fn json_of(output: &Output) -> serde_json::Value {
    let stdout = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("JSON")
}
