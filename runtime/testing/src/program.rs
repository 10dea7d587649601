//! A test binary as the program of one of its tests.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// Set in the program that a test runs: which part it is to play.
const PART: &str = "GMP_TEST_PART";

/// The part that this process is to play; `None` in the test itself.
pub fn part() -> Option<String> {
    std::env::var(PART).ok()
}

/// Whether this process is to play that part.
pub fn is_part(part: &str) -> bool {
    self::part().is_some_and(|p| p == part)
}

/// This binary, not yet started, without the settings of a runtime that whoever runs the tests may have made. The program of a test
/// passes on what the test gave it.
pub fn this() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    if part().is_none() {
        let names = std::env::vars_os().map(|(name, _)| name);
        for name in names.filter(|n| n.as_encoded_bytes().starts_with(b"GMP_")) {
            command.env_remove(name);
        }
    }
    command
}

/// This binary as the program of a test, which plays a part. `test` is the test's whole name: `module::function`, or the function alone
/// in the root.
pub fn command(test: &str, part: &str) -> Command {
    let mut command = this();
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part);
    command
}

/// What a program said on its standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs the program of a test to its end.
///
/// # Panics
/// With what the program said, when it fails, or when it was none: no test has that name.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("it starts");
    let played = String::from_utf8_lossy(&output.stdout).contains("1 passed");
    assert!(output.status.success() && played, "{output:?}");
    output
}

/// Runs a program until it has said this on its standard error, and ends it; what it said, to the end of that line.
///
/// # Panics
/// When it ends without having said it.
pub fn says(command: &mut Command, text: &str) -> String {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped"));
    let mut said = String::new();
    while !said.contains(text) {
        assert!(lines.read_line(&mut said).expect("text") > 0, "{said}");
    }
    child.kill().expect("it can be killed");
    child.wait().expect("a child");
    said
}
