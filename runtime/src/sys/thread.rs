//! Facts about the calling thread.

/// The kernel's number of the calling thread.
pub(crate) fn gettid() -> u32 {
    // SAFETY: no preconditions.
    let tid = unsafe { libc::gettid() };
    u32::try_from(tid).unwrap_or(0)
}
