//! The names of things, one newtype each, so that a G is never passed where a P is meant.
//!
//! All ids are dense small integers that are unique within one process and never reused in it.
//! `0` means "none" for [`GId`], [`SiteId`], [`ObjectId`], [`StringId`] and [`SpanId`]; Ms and Ps are
//! numbered from 0, so where one may be absent the field is an `Option`.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($int:ty) $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// A G: a goroutine, the task that is scheduled. The first is 1; 0 is no G.
    GId(u64) "G";
    /// An M: an OS thread of the runtime, sysmon included. Dense; the kernel's thread id is an attribute of it.
    MId(u32) "M";
    /// A P: a scheduling context, the right to run Gs. Numbered from 0 to the P count less one.
    PId(u32) "P";
    /// A place in the program's source where a G was spawned or an object was made. 0 is unknown.
    SiteId(u32) "site";
    /// A thing a G can wait for: channel, mutex, timer, socket. 0 is none.
    ObjectId(u64) "obj";
    /// A string of the trace's string table. 0 is the empty string.
    StringId(u32) "str";
    /// A span of the `tracing` crate. 0 is none.
    SpanId(u64) "span";
    /// A writer of the spool: one emitting thread. Dense, in order of first emission.
    WriterId(u32) "W";
}

impl GId {
    /// No G: the scheduler itself, or a thread that is not running one.
    pub const NONE: GId = GId(0);

    /// Whether this names a G.
    pub fn is_some(self) -> bool {
        self.0 != 0
    }
}
