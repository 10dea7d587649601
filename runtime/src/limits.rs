//! Bounds, and the relations between them.

use std::time::Duration;

/// The most Ps. Their slots are reserved when a runtime is made: 8 bytes each.
pub(crate) const MAX_PROCS: usize = gmp_policy::MAX_PROCS as usize;

/// The most Ms, unless the builder says otherwise. Go's `SetMaxThreads`.
pub(crate) const MAX_MS: usize = 10_000;

/// The size of a G's stack unless the builder says otherwise.
pub(crate) const DEFAULT_STACK: usize = 64 << 10;

/// The smallest stack. A panic that prints its backtrace overflows 16 KiB, which ends the program instead of the G; 24 KiB hold it.
pub(crate) const MIN_STACK: usize = 32 << 10;

/// Dead Gs that a P keeps before it gives half of them away.
pub(crate) const FREE_GS_PER_P: usize = 64;

/// How often the stopper of the world asks again.
pub(crate) const STW_RETRY: Duration = Duration::from_micros(100);

/// How long the end of a runtime waits for Gs that do not come to a safe point.
pub(crate) const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(200);

/// How long a waiter for a mutex puts up with others being faster. Go: `starvationThresholdNs`.
pub(crate) const MUTEX_STARVES_NS: u64 = 1_000_000;

/// How often a G looks again at a mutex that is held before it parks. Go: `active_spin`.
pub(crate) const MUTEX_SPINS: u32 = 4;

/// Pauses between two looks. Go: `active_spin_cnt`.
pub(crate) const MUTEX_PAUSES: u32 = 30;

/// Threads that ended which are remembered, because the kernel may list them for a moment more.
pub(crate) const ENDED_TIDS: usize = 64;

const _: () = assert!(MIN_STACK <= DEFAULT_STACK);
const _: () = assert!(FREE_GS_PER_P >= 2);
