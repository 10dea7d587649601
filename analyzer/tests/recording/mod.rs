//! Real recordings for the tests: the bundled programs, recorded by the real recorder.

#![allow(dead_code, reason = "each test program uses its own part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use gmp_store::Store;

/// The folder with the release binaries, the recorder and the programs among them: built once, beside the analyzer that is tested.
pub fn binaries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let analyzer = Path::new(env!("CARGO_BIN_EXE_gmp-analyze"));
        // …/target/PROFILE/gmp-analyze
        let target = analyzer.ancestors().nth(2).expect("a target folder");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--locked",
                "--release",
                "--package",
                "gmp-recorder",
                "--package",
                "gmp-workloads",
            ])
            .arg("--target-dir")
            .arg(target)
            .status();
        assert!(status.expect("cargo starts").success());
        target.join("release")
    })
}

/// A recorded run in a folder of its own.
pub struct Recording {
    pub dir: tempfile::TempDir,
}

impl Recording {
    /// Records a bundled program.
    pub fn of(options: &[&str], program: &[&str]) -> Recording {
        let recording = Recording::none();
        recording.again(options, program);
        recording
    }

    /// A folder without a database.
    pub fn none() -> Recording {
        Recording {
            dir: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// Adds a run.
    pub fn again(&self, options: &[&str], program: &[&str]) {
        self.record(
            Command::new(binaries().join("gmp-record")),
            options,
            program,
        );
    }

    /// Adds a run by way of a command that ends with `gmp-record`.
    pub fn record(&self, mut command: Command, options: &[&str], program: &[&str]) {
        let output = command
            .current_dir(self.dir.path())
            .args(["--quiet", "--spool", "."])
            .args(options)
            .arg("--")
            .arg(binaries().join("gmp-workloads"))
            .args(program)
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("trace.db")
    }

    pub fn store(&self) -> Store {
        Store::open(&self.path()).expect("a database")
    }

    /// One number from the database.
    pub fn number(&self, sql: &str) -> i64 {
        let store = self.store();
        store
            .db()
            .query_row(sql, [], |r| r.get(0))
            .expect("a number")
    }

    /// Changes the database behind the back of everybody.
    pub fn tamper(&self, sql: &str) {
        let store = Store::open_writable(&self.path()).expect("a database");
        store.db().execute_batch(sql).expect("changed");
    }

    /// Runs the analyzer on it.
    pub fn analyze(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gmp-analyze"))
            .current_dir(self.dir.path())
            .arg("trace.db")
            .args(args)
            .output()
            .expect("it starts")
    }

    /// Its standard output, when it succeeds.
    pub fn text(&self, args: &[&str]) -> String {
        let output = self.analyze(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Its standard output as JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.text(args)).expect("JSON")
    }
}
