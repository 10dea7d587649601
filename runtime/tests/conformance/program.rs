//! Tests whose subject is a whole program: they run this binary again as that program.
//!
//! [`as_test`] runs one test of it, which plays the part, in the harness. [`alone`] runs a part before `main`: there the process has one
//! thread, so that the deadlock detector knows that nobody else could wake a G. The harness has threads of its own.

use std::process::Command;

/// Set in the program that a test runs: which part it is to play.
const PART: &str = "GMP_TEST_PART";
/// As [`PART`], for a part that is played before `main`.
const ALONE: &str = "GMP_TEST_ALONE";

/// Whether this process is the program of a test.
pub fn is_part(part: &str) -> bool {
    std::env::var(PART).is_ok_and(|p| p == part)
}

/// This binary as the program of a test, `module::name`, that plays a part.
pub fn as_test(test: &str, part: &str) -> Command {
    let mut command = this();
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(PART, part);
    command
}

/// This binary as a program that plays a part with one thread.
pub fn alone(part: &str) -> Command {
    let mut command = this();
    command.env(ALONE, part);
    command
}

fn this() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command
        .env_remove("GMP_PROCS")
        .env_remove("GMP_POLICY")
        .env_remove("GMP_DEBUG")
        .env_remove("GMP_SPOOL");
    command
}

extern "C" fn before_main() {
    if let Ok(part) = std::env::var(ALONE) {
        crate::deadlock::play(&part);
        std::process::exit(0);
    }
}

// SAFETY: the loader calls the functions in this section, which take nothing that this one needs, when the libraries are ready;
// what of `std` it uses needs no start of its own on Linux.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = before_main;
