//! Whether a G that became runnable wakes an M. Go: `ready`, `wakep`.
//!
//! The program goes on under every policy, because two things are not for it to decide ([`Policy::wakes`]): nobody is woken where no P is
//! idle, and a thread without a P, which will not look at any queue itself, wakes an M if none spins. Who holds a P looks at its own queue and
//! at the global one before it lets the P go, so what it made runnable is found, only later and by fewer Ms.

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::WakeView;

/// Whether a G that became runnable wakes an M.
pub type Wake = fn(&WakeView) -> bool;

/// The knob.
pub const SETTING: Setting<&Choice<Wake>> = Setting {
    doc: "whether a G that became runnable wakes an M for an idle P",
    default: &IDLE,
    takes: Takes::OneOf(named::<Wake>),
    examples: &["always", "never"],
};

impl Decision for Wake {
    const ALL: &'static [&'static Choice<Wake>] = &[&IDLE, &ALWAYS, &NEVER];
}

/// As Go.
pub const IDLE: Choice<Wake> = Choice {
    name: "if_none_spins",
    doc: "if no M spins already, as in Go",
    decide: |view| view.spinning == 0,
};

/// One M for each G, as long as there are idle Ps.
pub const ALWAYS: Choice<Wake> = Choice {
    name: "always",
    doc: "one more M each time, whoever spins",
    decide: |_| true,
};

/// Only who must.
pub const NEVER: Choice<Wake> = Choice {
    name: "never",
    doc: "not by an M that holds a P: parallelism comes only from Ms that look by themselves",
    decide: |_| false,
};

impl Policy {
    /// Whether an M that may not spin can leave everything to those that do: there is one whenever there has to be, and one that finds a G
    /// wakes the next, so that in the end one of them has looked at every queue and every timer. Under a policy without spinners, or
    /// one that may not wake the next, each M looks itself before it sleeps.
    pub fn trusts_spinners(&self) -> bool {
        self.spin > 0 && [&IDLE, &ALWAYS].contains(&self.wake)
    }

    /// Whether to wake one more M, which begins by spinning. See the file for what no policy can decide.
    pub fn wakes(&self, view: &WakeView) -> bool {
        if view.idle_ps == 0 {
            return false;
        }
        (self.wake.decide)(view) || (!view.holds_p && view.spinning == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakes(policy: &str, holds_p: bool, spinning: u32, idle_ps: u32) -> bool {
        let policy: Policy = policy.parse().expect("a policy");
        policy.wakes(&WakeView {
            holds_p,
            spinning,
            idle_ps,
        })
    }

    #[test]
    fn go_wakes_one_m_at_a_time() {
        assert!(wakes("default", true, 0, 3));
        assert!(!wakes("default", true, 1, 3));
    }

    #[test]
    fn always_and_never_do_not_look_at_spinners() {
        assert!(wakes("wake=always", true, 2, 1));
        assert!(!wakes("wake=never", true, 0, 3));
    }

    #[test]
    fn spinners_are_trusted_only_where_each_wakes_the_next() {
        let trusts = |policy: &str| {
            policy
                .parse::<Policy>()
                .expect("a policy")
                .trusts_spinners()
        };
        assert!(trusts("default") && trusts("wake=always") && trusts("spin=1"));
        assert!(!trusts("spin=0") && !trusts("wake=never"));
    }

    #[test]
    fn a_thread_without_a_p_wakes_somebody_under_every_policy() {
        for choice in Wake::ALL {
            let policy = format!("wake={}", choice.name);
            assert!(wakes(&policy, false, 0, 1), "{policy}");
            assert!(
                !wakes(&policy, false, 0, 0),
                "{policy}: there is no P for it"
            );
        }
    }
}
