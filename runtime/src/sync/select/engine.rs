//! The way of a select: try, wait, sort out.
//!
//! # Protocol
//! 1. Timers' channels are looked at, and the cases are put into a random order.
//! 2. All distinct channels are locked, in the order of their addresses, so that two selects cannot wait for each other.
//! 3. The first case in the random order that can be done is done. All locks are released, then its partner is woken.
//! 4. If there is none and the select may not wait, that is the result.
//! 5. A record of each case goes into its channel's queue, all with the same claim. The select parks; the commit releases the locks.
//! 6. Whoever woke it has won the claim and marked one record. All channels are locked again, the records that lost are taken out, and
//!    the marked one says which case was done. If none is marked, the deadline has won.
//!
//! So the outcome is one moment's: a select of which one case can be done at all times never takes its default.
//!
//! This file knows no threads and no stacks, so the model checker runs it as it is (`sync/select/models.rs`).

use std::sync::Arc;

use gmp_trace::event::ParkReason;

use super::case::Operation;
use crate::sched::park::{self, Claim, Object, Unparker};
use crate::shim::MutexGuard;
use crate::sync::chan::core::Patience;

/// Room for what the engine keeps: each slice is as long as the list of cases.
pub(super) struct Scratch<'s, 'a> {
    /// Indices of cases, in the order of the attempts.
    pub(super) poll: &'s mut [usize],
    /// Indices of cases, in the order of the locks.
    pub(super) lock: &'s mut [usize],
    /// The locks of the channels, in that order; none where the case before has the same channel.
    pub(super) guards: &'s mut [Option<MutexGuard<'a, ()>>],
}

/// Does one of the operations; its index, or none if none was done in time. `random` gives numbers below its argument.
/// Go: `selectgo`.
pub(super) fn run<'a>(
    object: &Object,
    cases: &[&'a dyn Operation],
    scratch: Scratch<'_, 'a>,
    patience: Patience,
    mut random: impl FnMut(usize) -> usize,
) -> Option<usize> {
    let mut n = 0;
    for (i, case) in cases.iter().enumerate() {
        if case.is_nil() {
            continue;
        }
        case.look();
        // A shuffle that grows with its input: each order is as likely as any other (Fisher and Yates, inside out).
        let to = random(n + 1);
        scratch.poll[n] = scratch.poll[to];
        scratch.poll[to] = i;
        n += 1;
    }
    let (poll, lock) = (&scratch.poll[..n], &mut scratch.lock[..n]);
    // From the random order and stable, so that cases with the same channel are queued in a random order too.
    lock.copy_from_slice(poll);
    lock.sort_by_key(|i| cases[*i].address());
    let (lock, guards) = (&*lock, &mut scratch.guards[..n]);

    lock_all(cases, lock, guards);
    // SAFETY: all channels are locked by us.
    let done = poll
        .iter()
        .copied()
        .find(|i| unsafe { cases[*i].attempt() });
    if let Some(i) = done {
        unlock_all(guards);
        cases[i].finish();
        return done;
    }
    if patience == Patience::None {
        unlock_all(guards);
        return None;
    }

    // Before the first record is in a queue, because this may panic.
    lock.iter().for_each(|i| cases[*i].prepare());
    let claim = Claim::new(Unparker::current());
    for i in lock {
        // SAFETY: the channel is locked by us, and the case stays where it is until `dequeue` below.
        unsafe { cases[*i].enqueue(&claim) };
    }
    wait(object, guards, patience, &claim);
    for i in lock {
        cases[*i].no_longer_waits();
    }
    lock_all(cases, lock, guards);
    let mut fired = None;
    for i in lock {
        // SAFETY: the channel is locked by us again.
        if unsafe { cases[*i].dequeue() } {
            fired = Some(*i);
        }
    }
    unlock_all(guards);
    fired
}

/// Parks; the commit releases the locks, each channel's once.
fn wait(
    object: &Object,
    guards: &mut [Option<MutexGuard<'_, ()>>],
    patience: Patience,
    claim: &Arc<Claim>,
) {
    let reason = if guards.is_empty() && patience == Patience::Forever {
        ParkReason::Forever
    } else {
        ParkReason::Select
    };
    let mut commit = || {
        // Once the first lock is released a waker can win the claim and ready this G, which then uses its list of locks again while the
        // others are still being released here. So they are moved out of its frames first.
        let released: Vec<_> = guards.iter_mut().filter_map(Option::take).collect();
        drop(released);
        true
    };
    match patience {
        Patience::Until(deadline) => {
            park::park_until(reason, object, deadline, claim, &mut commit);
        }
        Patience::Forever | Patience::None => park::park(reason, object, &mut commit),
    }
}

fn lock_all<'a>(
    cases: &[&'a dyn Operation],
    order: &[usize],
    guards: &mut [Option<MutexGuard<'a, ()>>],
) {
    let mut before = None;
    for (i, guard) in order.iter().zip(guards) {
        let case = cases[*i];
        if before != Some(case.address()) {
            *guard = Some(case.lock());
            before = Some(case.address());
        }
    }
}

/// In the reverse order, as Go does it.
fn unlock_all(guards: &mut [Option<MutexGuard<'_, ()>>]) {
    guards.iter_mut().rev().for_each(|guard| *guard = None);
}
