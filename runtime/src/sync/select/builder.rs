//! A select whose operations are known only when the program runs.

use std::fmt;
use std::time::Duration;

use super::case::{Case, Operation};
use super::engine::{self, Scratch};
use super::macros::{Site, random_below};
use crate::sched::preempt;
use crate::sync::chan::core::{Direction, Patience, Slot};
use crate::sync::chan::{Receiver, RecvError, SendError, Sender};

/// A list of channel operations, of which one is done; each has a function for its result. Go: `reflect.Select`.
///
/// ```
/// use gmp_runtime::{channel, go, sync::Select};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let (senders, receivers): (Vec<_>, Vec<_>) = (0..5).map(|_| channel::<u32>(0)).unzip();
///     let workers: Vec<_> = senders.into_iter().map(|tx| go(move || tx.send(1))).collect();
///     let (mut open, mut sum) = (vec![true; 5], 0);
///     while open.contains(&true) {
///         let mut select = Select::new();
///         for (i, rx) in receivers.iter().enumerate().filter(|(i, _)| open[*i]) {
///             select.recv(rx, move |value| (i, value));
///         }
///         match select.wait() {
///             (_, Ok(value)) => sum += value,
///             (i, Err(_)) => open[i] = false,
///         }
///     }
///     assert_eq!(sum, 5);
/// });
/// ```
pub struct Select<'a, R> {
    arms: Vec<Box<dyn Arm<R> + 'a>>,
    site: Site,
}

/// An operation with what becomes of its result.
trait Arm<R> {
    fn operation(&self) -> &dyn Operation;
    /// What its function makes of the result, if this arm was selected.
    fn result(self: Box<Self>) -> Option<R>;
}

struct With<'a, T, F> {
    case: Case<'a, T>,
    then: F,
}

impl<T, R, F: FnOnce(Slot<T>) -> R> Arm<R> for With<'_, T, F> {
    fn operation(&self) -> &dyn Operation {
        &self.case
    }

    fn result(self: Box<Self>) -> Option<R> {
        let With { case, then } = *self;
        case.into_slot().map(then)
    }
}

impl<'a, R> Select<'a, R> {
    /// No operation yet.
    #[track_caller]
    #[allow(
        clippy::new_without_default,
        reason = "the caller's place in the source is part of it"
    )]
    pub fn new() -> Select<'a, R> {
        Select {
            arms: Vec::new(),
            site: Site::new(),
        }
    }

    /// Adds a receive. `then` gets what [`Receiver::recv`] would return, if this operation is done.
    pub fn recv<T>(
        &mut self,
        receiver: &'a Receiver<T>,
        then: impl FnOnce(Result<T, RecvError>) -> R + 'a,
    ) {
        self.arms.push(Box::new(With {
            case: Case::new(receiver.chan(), Direction::Recv, None),
            then: |slot: Slot<T>| then(slot.ok_or(RecvError)),
        }));
    }

    /// Adds a send. `then` gets what [`Sender::send`] would return, if this operation is done; else the value is dropped.
    pub fn send<T: 'a>(
        &mut self,
        sender: &'a Sender<T>,
        value: T,
        then: impl FnOnce(Result<(), SendError<T>>) -> R + 'a,
    ) {
        self.arms.push(Box::new(With {
            case: Case::new(sender.chan(), Direction::Send, Some(value)),
            then: |slot: Slot<T>| then(slot.map_or(Ok(()), |value| Err(SendError(value)))),
        }));
    }

    /// How many operations there are.
    pub fn len(&self) -> usize {
        self.arms.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.arms.is_empty()
    }

    /// Does one of the operations, and waits until that is possible; for ever, if there is none.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn wait(self) -> R {
        match self.run(Patience::Forever) {
            Some(result) => result,
            None => unreachable!("a select without a deadline does one of its operations"),
        }
    }

    /// Does one of the operations, if that is possible within `d`.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn wait_timeout(self, d: Duration) -> Option<R> {
        self.run(Patience::Until(crate::time::after_ns(d)))
    }

    /// Does one of the operations, if that is possible at once. Go: a `select` with `default`.
    pub fn try_now(self) -> Option<R> {
        self.run(Patience::None)
    }

    fn run(mut self, patience: Patience) -> Option<R> {
        preempt::checkpoint();
        let selected = {
            let cases: Vec<_> = self.arms.iter().map(|arm| arm.operation()).collect();
            let mut guards = Vec::new();
            guards.resize_with(cases.len(), || None);
            let scratch = Scratch {
                poll: &mut vec![0; cases.len()],
                lock: &mut vec![0; cases.len()],
                guards: &mut guards,
            };
            engine::run(self.site.object(), &cases, scratch, patience, random_below)?
        };
        let arm = self.arms.swap_remove(selected);
        // The values that were not sent are dropped before the function runs.
        drop(self.arms);
        arm.result()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("operations", &self.arms.len())
            .finish_non_exhaustive()
    }
}
