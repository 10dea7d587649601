//! Where a G goes whose time slice is over. Go: `gopreempt_m` (global).

use crate::choice::{Choice, Decision, named};
use crate::knobs::Policy;
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::{PreemptView, Queue};

/// Where a G goes whose time slice is over.
pub type PreemptTo = fn(&PreemptView) -> Queue;

/// The knob.
pub const SETTING: Setting<&Choice<PreemptTo>> = Setting {
    doc: "where a G goes whose time slice is over",
    default: &GLOBAL,
    takes: Takes::OneOf(named::<PreemptTo>),
    examples: &["local"],
};

impl Decision for PreemptTo {
    const ALL: &'static [&'static Choice<PreemptTo>] = &[&GLOBAL, &LOCAL];
}

/// As Go.
pub const GLOBAL: Choice<PreemptTo> = Choice {
    name: "global",
    doc: "to the tail of the global queue, as in Go",
    decide: |_| Queue::Global,
};

/// It stays with its P, unless it is stolen.
pub const LOCAL: Choice<PreemptTo> = Choice {
    name: "local",
    doc: "to the tail of the P's own ring",
    decide: |_| Queue::Local,
};

impl Policy {
    /// Where a G goes whose time slice is over.
    pub fn preempts_to(&self, view: &PreemptView) -> Queue {
        (self.preempt_to.decide)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preempted_g_goes_where_the_policy_says() {
        let view = PreemptView {
            queue_len: 3,
            global_len: 0,
            tick: 7,
        };
        let local: Policy = "preempt_to=local".parse().expect("a policy");
        assert_eq!(Policy::default().preempts_to(&view), Queue::Global);
        assert_eq!(local.preempts_to(&view), Queue::Local);
    }
}
