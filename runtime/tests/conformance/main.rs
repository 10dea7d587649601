//! What Go's own tests assert of its scheduler, asserted of this one. README.md in this folder is the table, row by row.

mod deadlock;
mod metrics;
mod procs;
mod program;
mod schedtrace;
mod threads;
