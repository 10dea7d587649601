//! The string of a policy: [`gmp_policy::Policy`].

use gmp_policy::Policy;
use gmp_policy::view::{Place, PlaceView, TakeView, WakeView};

/// Reads a policy. One that is accepted is printed and read again as the same, and its decisions can be made.
pub fn policy(data: &[u8]) {
    let Ok(policy) = String::from_utf8_lossy(data).parse::<Policy>() else {
        return;
    };
    assert_eq!(policy.to_string().parse(), Ok(policy.clone()));
    for len in [0, 1, 2, 3, 255, 256, u32::MAX] {
        policy.look_global_first(len);
        assert!(policy.global_batch(len, 1) <= len);
        assert!(policy.steal_amount(len) <= len);
        policy.takes_from(&TakeView { tick: len });
        let wake = WakeView {
            holds_p: false,
            spinning: 0,
            idle_ps: 1,
        };
        assert!(policy.wakes(&wake), "nobody would look");
        let place = policy.places(&PlaceView {
            p: 0,
            procs: 3,
            spawned: len,
            queue_len: len,
            idle_ps: 0,
        });
        assert!(
            !matches!(place, Place::For(p) if p >= 3),
            "there is no such P"
        );
    }
}
