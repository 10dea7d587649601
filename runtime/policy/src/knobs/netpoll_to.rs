//! Where the Gs go that the network poller readies. Go: `injectglist`.

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::InjectView;

/// How many of the Gs go to the global queue; the others go to the ring of the P that polled.
pub type NetpollTo = fn(&InjectView) -> u32;

/// The knob.
pub const SETTING: Setting<&Choice<NetpollTo>> = Setting {
    doc: "where the Gs go that an M with a P polled from the network, except the first, which it runs",
    default: &IDLE,
    takes: Takes::OneOf(named::<NetpollTo>),
    examples: &["local", "global"],
};

impl Decision for NetpollTo {
    const ALL: &'static [&'static Choice<NetpollTo>] = &[&IDLE, &LOCAL, &GLOBAL];
}

/// As Go.
pub const IDLE: Choice<NetpollTo> = Choice {
    name: "idle",
    doc: "one for each idle P to the global queue, the rest to the P's own ring, as in Go",
    decide: |view| view.idle_ps,
};

/// Thieves must come for them.
pub const LOCAL: Choice<NetpollTo> = Choice {
    name: "local",
    doc: "all to the P's own ring",
    decide: |_| 0,
};

/// First come, first served by all Ps.
pub const GLOBAL: Choice<NetpollTo> = Choice {
    name: "global",
    doc: "all to the global queue",
    decide: |view| view.gs,
};

impl Policy {
    /// How many Gs that an M with a P polled from the network go to the global queue; for as many idle Ps an M is started. An M without a
    /// P has no choice.
    pub fn inject_global(&self, view: &InjectView) -> u32 {
        (self.netpoll_to.decide)(view).min(view.gs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polled_gs_go_where_the_policy_says() {
        let to_global = |policy: &str, gs| {
            let policy: Policy = policy.parse().expect("a policy");
            policy.inject_global(&InjectView { gs, idle_ps: 2 })
        };
        assert_eq!(to_global("default", 5), 2);
        assert_eq!(to_global("default", 1), 1);
        assert_eq!(to_global("netpoll_to=local", 5), 0);
        assert_eq!(to_global("netpoll_to=global", 5), 5);
    }
}
