//! When the P of a G in a system call goes to others. Go: `entersyscall`, `entersyscallblock`, `retake`.
//!
//! With a time, sysmon takes the P, as in Go: when Gs wait for one, as soon as the call was seen to last (see [`super::syscall_after`]); when none
//! does, after that time. A call that the program says will block gives its P away by itself, whatever the policy.

use std::time::Duration;

use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::{Takes, Value, ns};
use crate::view::RetakeView;

/// When the P of a G in a system call goes to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syscall {
    /// When sysmon finds that the call lasts; this long after it began if no G waits for a P.
    Sysmon(Duration),
    /// Before the call begins: every call is one that is known to block.
    AtOnce,
    /// Not before the call ends, unless the world is stopped.
    Never,
}

/// The knob.
pub const SETTING: Setting<Syscall> = Setting {
    doc: "when a P leaves a system call though no G waits for it (sysmon takes it), or that it is handed off before each call, or stays to the end",
    default: Syscall::Sysmon(Duration::from_millis(10)),
    takes: Takes::Words("a time with its unit, 0us to 10s, at_once or never"),
    examples: &["0us", "20us", "at_once", "never"],
};

const AFTER: Takes = Takes::Time {
    least: Duration::ZERO,
    most: Duration::from_secs(10),
};

impl Value for Syscall {
    fn read(text: &str, _takes: &Takes) -> Option<Syscall> {
        match text {
            "at_once" => Some(Syscall::AtOnce),
            "never" => Some(Syscall::Never),
            time => Duration::read(time, &AFTER).map(Syscall::Sysmon),
        }
    }

    fn show(&self) -> String {
        match self {
            Syscall::Sysmon(time) => time.show(),
            Syscall::AtOnce => "at_once".into(),
            Syscall::Never => "never".into(),
        }
    }
}

impl Policy {
    /// Whether a P is handed off before a system call that is not known to block.
    pub fn hands_off_at_once(&self) -> bool {
        self.syscall == Syscall::AtOnce
    }

    /// Whether sysmon takes a P that has been in the same system call for a whole round of its own.
    pub fn retakes(&self, p: RetakeView) -> bool {
        let Syscall::Sysmon(unused) = self.syscall else {
            return false;
        };
        let nothing_waits = p.queue_len == 0 && p.spinning + p.idle_ps > 0;
        let patience = if nothing_waits {
            unused.max(self.syscall_after)
        } else {
            self.syscall_after
        };
        p.away_ns >= ns(patience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: RetakeView = RetakeView {
        queue_len: 0,
        spinning: 0,
        idle_ps: 1,
        away_ns: 50_000,
    };

    const NEEDED: RetakeView = RetakeView {
        queue_len: 1,
        ..IDLE
    };

    fn policy(text: &str) -> Policy {
        text.parse().expect("a policy")
    }

    #[test]
    fn a_p_is_left_in_its_system_call_while_nobody_needs_it() {
        let go = Policy::default();
        assert!(!go.retakes(IDLE));
        assert!(go.retakes(NEEDED));
        assert!(go.retakes(RetakeView { idle_ps: 0, ..IDLE }));
        assert!(go.retakes(RetakeView {
            away_ns: 10_000_000,
            ..IDLE
        }));
    }

    #[test]
    fn a_p_that_is_needed_is_left_for_as_long_as_the_policy_says() {
        let patient = policy("syscall_after=60us");
        assert!(!patient.retakes(NEEDED));
        assert!(patient.retakes(RetakeView {
            away_ns: 60_000,
            ..NEEDED
        }));
        // What is not needed is not taken earlier than what is.
        assert!(!policy("syscall=0us,syscall_after=60us").retakes(IDLE));
        assert!(policy("syscall=0us").retakes(IDLE));
    }

    #[test]
    fn sysmon_takes_no_p_that_stays_or_that_has_gone() {
        for text in ["syscall=never", "syscall=at_once"] {
            let lasts = RetakeView {
                away_ns: u64::MAX,
                ..NEEDED
            };
            assert!(!policy(text).retakes(lasts), "{text}");
        }
        assert!(policy("syscall=at_once").hands_off_at_once());
        assert!(!policy("syscall=never").hands_off_at_once());
        assert!(!Policy::default().hands_off_at_once());
    }
}
