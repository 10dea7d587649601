//! What Go's own scheduler tests assert, asserted here. `README.md` is the table of its rows and our tests.

mod preemption;
