//! The legal steps of G, M and P, one table each. Debug builds check every step; a forbidden one is a broken rule and ends the process.
//!
//! Who may take a step is said where the states are kept: `g.rs`, `m.rs`, `p.rs`. That a G is in the state that its owner believes is checked
//! in every build (`G::transition`).

use gmp_trace::event::{GState, PState};

/// What an M is doing.
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "debug builds check it")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MState {
    /// Its thread has not begun.
    New,
    /// In the scheduler: it looks for a G, with a P, or is on its way to or from a sleep, without.
    Searching,
    /// It runs a G.
    Running,
    /// Its G is in a system call.
    Syscall,
    /// It sleeps until it is given a P, or the G that is locked to it.
    Parked,
    /// It is blocked in the network poller.
    Polling,
    /// It takes part no more.
    Ended,
}

/// Whether a G may go from one state to the other.
pub(crate) fn g_may(from: GState, to: GState) -> bool {
    use GState::{Dead, Runnable, Running, Syscall, Waiting};
    matches!(
        (from, to),
        // Spawned.
        (Dead, Runnable)
            // Started.
            | (Runnable, Running)
            // Yielded or preempted; parked; entered a system call; ended.
            | (Running, Runnable | Waiting | Syscall | Dead)
            // Readied. There is no other way out of waiting.
            | (Waiting, Runnable)
            // Left the system call with its P; or without, whether another was found or not.
            | (Syscall, Running | Runnable)
    )
}

/// Whether the owner of a P may store the second state over the first. Out of a system call it goes by compare-and-swap only.
pub(crate) fn p_may(from: PState, to: PState) -> bool {
    use PState::{Dead, Idle, Running, Stopped, Syscall};
    matches!(
        (from, to),
        // Taken by an M, or stopped while nobody had it. Idle to idle: taken out of a system call, and put on the list only now.
        (Idle, Idle | Running | Stopped)
            // Given back, stopped, left for a system call. Running to running: handed from M to M.
            | (Running, Running | Idle | Stopped | Syscall)
            // The world goes on, or the P is retired.
            | (Stopped, Running | Idle | Dead)
            // Put into use: at the beginning, and when the number of Ps grows. Dead to dead: the P of who retired it.
            | (Dead, Dead | Idle | Stopped)
    )
}

/// Whether an M may go from one state to the other.
#[cfg_attr(
    not(debug_assertions),
    allow(dead_code, reason = "debug builds check it")
)]
pub(crate) fn m_may(from: MState, to: MState) -> bool {
    use MState::{Ended, New, Parked, Polling, Running, Searching, Syscall};
    matches!(
        (from, to),
        (New, Searching)
            | (Searching, Running | Parked | Polling | Ended)
            // The G suspended or ended; entered a system call.
            | (Running, Searching | Syscall)
            // The G goes on, with the old P or another; or there is none.
            | (Syscall, Running | Searching)
            | (Parked | Polling, Searching)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GS: [GState; 5] = [
        GState::Dead,
        GState::Runnable,
        GState::Running,
        GState::Waiting,
        GState::Syscall,
    ];

    #[test]
    fn a_g_is_never_readied_unless_it_waits_and_never_runs_unless_it_is_runnable() {
        for from in GS {
            let running = g_may(from, GState::Running);
            assert_eq!(running, matches!(from, GState::Runnable | GState::Syscall));
            assert_eq!(g_may(from, GState::Waiting), from == GState::Running);
            assert_eq!(g_may(from, GState::Dead), from == GState::Running);
            assert!(!g_may(from, from), "{from} is no step");
        }
    }

    #[test]
    fn a_p_in_a_system_call_is_moved_by_nobodys_store() {
        let all = [
            PState::Idle,
            PState::Running,
            PState::Syscall,
            PState::Stopped,
            PState::Dead,
        ];
        for to in all {
            assert!(!p_may(PState::Syscall, to));
            assert_eq!(p_may(to, PState::Syscall), to == PState::Running);
        }
        assert!(!p_may(PState::Dead, PState::Running));
    }

    #[test]
    fn an_m_sleeps_only_out_of_the_scheduler() {
        use MState::{Ended, New, Parked, Polling, Running, Searching, Syscall};
        for from in [New, Searching, Running, Syscall, Parked, Polling, Ended] {
            for to in [Parked, Polling, Ended] {
                assert_eq!(m_may(from, to), from == Searching, "{from:?} to {to:?}");
            }
            assert!(!m_may(Ended, from));
        }
    }
}
