//! Where a G goes that yields. Go: `goschedImpl` (global), `goyield_m` (local).

use crate::choice::{Choice, Decision, named};
use crate::knobs::{Policy, local_order};
use crate::registry::Setting;
use crate::value::Takes;
use crate::view::{Queue, YieldView};

/// Where a G goes that yields.
pub type YieldTo = fn(&YieldView) -> Queue;

/// The knob.
pub const SETTING: Setting<&Choice<YieldTo>> = Setting {
    doc: "where a G goes that yields",
    default: &GLOBAL,
    takes: Takes::OneOf(named::<YieldTo>),
    examples: &["local"],
};

impl Decision for YieldTo {
    const ALL: &'static [&'static Choice<YieldTo>] = &[&GLOBAL, &LOCAL];
}

/// As Go's `Gosched`.
pub const GLOBAL: Choice<YieldTo> = Choice {
    name: "global",
    doc: "to the tail of the global queue, as in Go",
    decide: |_| Queue::Global,
};

/// As Go's `goyield`.
pub const LOCAL: Choice<YieldTo> = Choice {
    name: "local",
    doc: "to the tail of the P's own ring",
    decide: |_| Queue::Local,
};

impl Policy {
    /// Where a G goes that yields. See [`local_order`] for why only a `fifo` ring can take it.
    pub fn yields_to(&self, view: &YieldView) -> Queue {
        if *self.local_order != local_order::FIFO {
            return Queue::Global;
        }
        (self.yield_to.decide)(view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yielding_g_goes_where_the_policy_says() {
        let view = YieldView {
            queue_len: 3,
            global_len: 0,
            tick: 7,
        };
        let local: Policy = "yield_to=local".parse().expect("a policy");
        assert_eq!(Policy::default().yields_to(&view), Queue::Global);
        assert_eq!(local.yields_to(&view), Queue::Local);
        let lifo: Policy = "yield_to=local,local_order=lifo".parse().expect("a policy");
        assert_eq!(lifo.yields_to(&view), Queue::Global);
    }
}
