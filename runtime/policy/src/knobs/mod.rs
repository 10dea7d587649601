//! The registry: every knob, one line each, in the order in which they are printed.
//!
//! A line `name: type` names the file `name.rs` beside this one. Its constant `SETTING` says what the knob means, takes and is by default;
//! beside it stands the decision that the knob is for, a method of [`Policy`]. From the line alone the policy string, `--policy help`, the
//! recorded run and every comparison know it. A decision that is one of several named functions has a registry of its own in its folder.
//!
//! `cargo fmt` does not see files that a macro names: `make lint` names them to it.

crate::registry::knobs! {
    local_queue: u32,
    local_order: &'static Choice<local_order::LocalOrder>,
    runnext: bool,
    runnext_inherits: bool,
    runnext_delay: Duration,
    overflow: u32,
    global_tick: u32,
    global_batch: u32,
    steal: steal::Steal,
    victims: &'static Choice<victims::Victims>,
    steal_rounds: u32,
    spin: u32,
    spin_for: Duration,
    wake: &'static Choice<wake::Wake>,
    time_slice: Duration,
    sysmon: Duration,
    sysmon_max: Duration,
    sysmon_patience: u32,
    place: &'static Choice<place::PlaceNew>,
    yield_to: &'static Choice<yield_to::YieldTo>,
    preempt_to: &'static Choice<preempt_to::PreemptTo>,
    syscall: syscall::Syscall,
    syscall_after: Duration,
    netpoll: netpoll::Netpoll,
    netpoll_period: Duration,
    netpoll_to: &'static Choice<netpoll_to::NetpollTo>,
    timers: &'static Choice<timers::Timers>,
    pin: &'static Choice<pin::Pin>,
}

use std::time::Duration;

use crate::choice::Choice;
