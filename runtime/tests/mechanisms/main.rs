//! The policies that are mechanisms of the runtime, each on a real runtime: what a knob says is what happens.
//!
//! What needs a process of its own, or is to be read from events, is run as another program (`gmp_testing`), whose part is the policy.

mod monitor;
mod netpoll;
mod pinning;
mod queues;
mod runnext;
mod syscalls;
mod timers;

/// Runs `main` on `procs` Ps under a policy.
fn run<T: Send + 'static>(
    procs: usize,
    policy: &str,
    main: impl FnOnce() -> T + Send + 'static,
) -> T {
    let policy = policy.parse().expect("a policy");
    // SAFETY: the tests hold nothing bound to a thread over a call into the runtime.
    unsafe { gmp_runtime::Builder::new() }
        .procs(procs)
        .policy(policy)
        .run(main)
}

/// The present value of one of the runtime's own counters.
fn count(tally: gmp_runtime::Tally) -> u64 {
    gmp_runtime::stats().get(tally)
}
