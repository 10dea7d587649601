//! The row of a process, and how it keeps what ticks are in time.

use gmp_store::entity::Process;
use gmp_store::run::Run;
use gmp_trace::clock::{self, Calibration};

use crate::machine::Machine;

/// The row of a process of which nothing was read: its `number` in the run, and what the name of its folder says of it
/// ([`crate::place::identity`]).
pub fn new(
    run: &Run,
    number: u32,
    (pid, started_boottime_ns): (u32, u64),
    calibration: Calibration,
    machine: &Machine,
) -> Process {
    Process {
        run: run.run,
        process: number,
        pid,
        parent: None,
        started_boottime_ns: Some(started_boottime_ns as i64),
        executable: None,
        host: machine.host.clone(),
        boot_id: machine.boot_id.clone(),
        finished: false,
        clock_kind: clock::kind().word().into(),
        base_ticks: calibration.base_ticks as i64,
        // Wrapping, here and in the inverse: damage can make any number of it.
        base_ts_ns: (calibration.base_ns as i64).wrapping_sub(run.started_monotonic_ns),
        interval_ticks: calibration.interval_ticks as i64,
        interval_ns: calibration.interval_ns as i64,
        first_event: None,
        last_event: None,
    }
}

/// The calibration that a row keeps.
pub fn calibration(process: &Process, run: &Run) -> Calibration {
    Calibration {
        base_ticks: process.base_ticks as u64,
        base_ns: process.base_ts_ns.wrapping_add(run.started_monotonic_ns) as u64,
        interval_ticks: process.interval_ticks as u64,
        interval_ns: process.interval_ns as u64,
    }
}
