//! Random programs whose results are known, for a number of seeds; `examples/stress` runs them for as long as one likes.

#[path = "../examples/stress/programs/mod.rs"]
mod programs;

use programs::{Setup, run};

/// Programs: as many as take some seconds. Their seeds are fixed, so that a failure can be looked at.
const PROGRAMS: u64 = 120;

#[test]
fn random_programs_come_to_what_they_must() {
    for seed in 1..=PROGRAMS {
        let setup = Setup::of(seed, 6);
        // Read when a run hangs: the last line is the program that does.
        eprintln!("{setup:?}");
        if let Err(what) = run(&setup) {
            panic!("{what}\n(cargo run --example stress -- --seed {seed} --programs 1)");
        }
    }
}
