//! `gmp-record` as a user meets it: real processes, real kills. Each test runs this binary again as the recorded program
//! (`gmp_testing::program`).

mod disks;
mod harness;
mod kills;
mod names;
mod processes;
mod programs;
mod recovery;
mod refusals;
mod room;
mod rows;
mod whole;
