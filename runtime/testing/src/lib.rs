//! For tests of the runtime and the recorder whose subject is a whole process: the test binary run again as a program, and what that
//! program recorded.
//!
//! Such a test has two halves in one function: in the process that plays its part it is the program, else it starts that process and
//! asserts on what it did.
//!
//! ```no_run
//! use gmp_testing::{Recording, program};
//!
//! fn nothing_is_lost() {
//!     if program::is_part("busy") {
//!         return; // after it was busy
//!     }
//!     let recording = Recording::whole(&mut program::command("nothing_is_lost", "busy"));
//!     assert!(!recording.history().is_empty());
//! }
//! ```

pub mod program;
pub mod recording;
pub mod threads;

pub use recording::Recording;
