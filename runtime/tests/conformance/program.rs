//! This binary as a program with one thread, so that the deadlock detector knows that nobody else could wake a G: it plays its part before
//! `main`, since the harness has threads of its own. Programs that may have these are run by `gmp_testing::program`.

use std::process::Command;

use gmp_testing::program::this;

/// Set in the program: which part it is to play.
const ALONE: &str = "GMP_TEST_ALONE";

/// This binary as a program that plays a part with one thread.
pub fn alone(part: &str) -> Command {
    let mut command = this();
    command.env(ALONE, part);
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
