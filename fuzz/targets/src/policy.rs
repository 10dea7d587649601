//! The string of a policy: [`gmp_policy::Policy`].

use gmp_policy::Policy;

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
    }
}
