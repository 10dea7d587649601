//! Who asks the kernel which sockets are ready. Go: `findRunnable`, steps 8 and 15, and sysmon.

use crate::registry::Setting;
use crate::value::{Takes, Value};

/// Who asks the kernel which sockets are ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netpoll {
    /// The Ms while they look for work, one that has found none, and sysmon if nobody has for long.
    Loop,
    /// A thread that does nothing else. It also waits for the next timer.
    Thread,
}

/// The knob.
pub const SETTING: Setting<Netpoll> = Setting {
    doc: "who polls the network: the Ms when they look for work (loop, as in Go), or a thread of its own, which also waits for timers (thread)",
    default: Netpoll::Loop,
    takes: Takes::Words("loop or thread"),
    examples: &["thread"],
};

impl Value for Netpoll {
    fn read(text: &str, _takes: &Takes) -> Option<Netpoll> {
        match text {
            "loop" => Some(Netpoll::Loop),
            "thread" => Some(Netpoll::Thread),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Netpoll::Loop => "loop".into(),
            Netpoll::Thread => "thread".into(),
        }
    }
}
