//! The end of the program when the scheduler finds its own rules broken, or when it cannot go on.
//!
//! A broken invariant is never limped on from: what is known is printed in one line and the process aborts.

use std::fmt;
use std::io::Write;

/// Prints the message and aborts: for broken invariants of the scheduler.
#[cold]
#[inline(never)]
pub(crate) fn fatal(what: fmt::Arguments<'_>) -> ! {
    // Nothing can be done about a closed stderr.
    let _ = writeln!(std::io::stderr(), "gmp: fatal: {what}");
    std::process::abort();
}

/// Prints the message and exits with status 2, as Go does: for ends that the program brought about.
#[cold]
#[inline(never)]
pub(crate) fn exit(what: fmt::Arguments<'_>) -> ! {
    let _ = writeln!(std::io::stderr(), "gmp: fatal: {what}");
    // No destructors: other Ms are still running Gs.
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(2) }
}

/// Prints the message, and what goes before it, as Go's runtime does and exits with status 2: for ends that Go's programs come to as well, in its words.
#[cold]
#[inline(never)]
pub(crate) fn throw(before: fmt::Arguments<'_>, what: fmt::Arguments<'_>) -> ! {
    // One write, so that nothing gets in between.
    let text = format!("{before}fatal error: {what}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
    // No destructors: other Ms are still running Gs.
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(2) }
}
