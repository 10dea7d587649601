//! `select!`, and what it expands to.

use std::time::Duration;

use gmp_trace::event::ObjectKind;

use super::case::{Case, Operation};
use super::engine::{self, Scratch};
use crate::sched::park::{self, Object};
use crate::sched::{m, preempt};
use crate::sync::chan::core::{Direction, Patience};
use crate::sync::chan::{Receiver, RecvError, SendError, Sender};
use gmp_trace::event::ParkReason;

/// Does one of several channel operations, the first that is possible; of several, a random one. Go: `select`.
///
/// Arms, in any number and order, also with the same channel several times:
/// - `recv(receiver) -> result => body`: `result` is what [`Receiver::recv`] would return;
/// - `send(sender, value) -> result => body`: `result` is what [`Sender::send`] would return;
/// - at most one of `default => body`, taken if nothing is possible at once, and `default(duration) => body`, taken if nothing was
///   possible for so long.
///
/// Channels and values are evaluated once, in the order of the arms, before anything is done. A value that is not sent, because another arm
/// was taken, is dropped before the body runs. `result` is a pattern that always matches. The whole is an expression: all bodies
/// have the same type. `select! {}` waits for ever.
///
/// ```
/// use std::time::Duration;
/// use gmp_runtime::{channel, go, select};
///
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let (jobs, work) = channel::<u32>(0);
///     let (quit, stop) = channel::<()>(0);
///     go(move || {
///         for job in 0..3 {
///             jobs.send(job).expect("somebody works");
///         }
///         drop(quit);
///         // Not closed: only `stop` ends the loop below.
///         std::mem::forget(jobs);
///     });
///     let mut sum = 0;
///     loop {
///         select! {
///             recv(work) -> job => sum += job.expect("open"),
///             recv(stop) -> _ => break,
///             default(Duration::from_secs(60)) => panic!("nobody came"),
///         }
///     }
///     assert_eq!(sum, 3);
/// });
/// ```
///
/// # Blocking
/// Parks the G, or blocks the thread if it runs none; not with `default => …`.
#[macro_export]
macro_rules! select {
    () => { $crate::sync::select::forever() };
    ($($arms:tt)+) => { $crate::__select!(@arm [] [] $($arms)+) };
}

/// The parts of [`select!`]: `@arm [arms so far] [default] rest`. Each step names the variables of its arm anew, which hygiene keeps apart.
#[doc(hidden)]
#[macro_export]
macro_rules! __select {
    // Receiving. A block needs no comma; the last arm needs none either.
    (@arm [$($arms:tt)*] [$($default:tt)*] recv($rx:expr) -> $result:pat => $body:block , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::recv(&$rx)) ($result) $body}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] recv($rx:expr) -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::recv(&$rx)) ($result) $body}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] recv($rx:expr) -> $result:pat => $body:expr , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::recv(&$rx)) ($result) {$body}}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] recv($rx:expr) -> $result:pat => $body:expr) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::recv(&$rx)) ($result) {$body}}] [$($default)*])
    };
    // Sending.
    (@arm [$($arms:tt)*] [$($default:tt)*] send($tx:expr, $value:expr $(,)?) -> $result:pat => $body:block , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::send(&$tx, $value)) ($result) $body}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] send($tx:expr, $value:expr $(,)?) -> $result:pat => $body:block $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::send(&$tx, $value)) ($result) $body}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] send($tx:expr, $value:expr $(,)?) -> $result:pat => $body:expr , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::send(&$tx, $value)) ($result) {$body}}] [$($default)*] $($rest)*)
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] send($tx:expr, $value:expr $(,)?) -> $result:pat => $body:expr) => {
        $crate::__select!(@arm [$($arms)* {case outcome ($crate::sync::select::send(&$tx, $value)) ($result) {$body}}] [$($default)*])
    };
    // Neither.
    (@arm [$($arms:tt)*] [] default $(($timeout:expr))? => $body:block , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)*] [($crate::sync::select::Deadline::after_or_now(($($timeout)?))) $body] $($rest)*)
    };
    (@arm [$($arms:tt)*] [] default $(($timeout:expr))? => $body:block $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)*] [($crate::sync::select::Deadline::after_or_now(($($timeout)?))) $body] $($rest)*)
    };
    (@arm [$($arms:tt)*] [] default $(($timeout:expr))? => $body:expr , $($rest:tt)*) => {
        $crate::__select!(@arm [$($arms)*] [($crate::sync::select::Deadline::after_or_now(($($timeout)?))) {$body}] $($rest)*)
    };
    (@arm [$($arms:tt)*] [] default $(($timeout:expr))? => $body:expr) => {
        $crate::__select!(@arm [$($arms)*] [($crate::sync::select::Deadline::after_or_now(($($timeout)?))) {$body}])
    };
    (@arm [$($arms:tt)*] [$($default:tt)+] default $($rest:tt)*) => {
        compile_error!("a `select!` has one `default` at most")
    };
    // All arms are known.
    (@arm [$($arms:tt)*] []) => {
        $crate::__select!(@all [$($arms)*] [($crate::sync::select::Deadline::NEVER) {
            ::core::unreachable!("a select without a default does one of its operations")
        }])
    };
    (@arm [$($arms:tt)*] [$($default:tt)+]) => {
        $crate::__select!(@all [$($arms)*] [$($default)+])
    };
    (@arm [$($arms:tt)*] [$($default:tt)*] $($rest:tt)+) => {
        compile_error!(concat!(
            "expected `recv(receiver) -> result => body`, `send(sender, value) -> result => body` or `default => body` at `",
            stringify!($($rest)+), "`"
        ))
    };
    // The channels are borrowed until the outcome is known, and no longer: a body may move them.
    (@all [$({$case:ident $outcome:ident ($new:expr) ($result:pat) $body:block})*] [($deadline:expr) $default:block]) => {{
        static SITE: $crate::sync::select::Site = $crate::sync::select::Site::new();
        let ($($outcome,)*) = match ($($new,)*) {
            ($($case,)*) => {
                $crate::sync::select::run(&SITE, [$($case.op()),*], $deadline);
                ($($case.into_result(),)*)
            }
        };
        $crate::__select!(@body [$($outcome ($result) $body)*] $default)
    }};
    (@body [$outcome:ident ($result:pat) $body:block $($rest:tt)*] $default:block) => {
        if let ::core::option::Option::Some(result) = $outcome {
            let $result = result;
            $body
        } else {
            $crate::__select!(@body [$($rest)*] $default)
        }
    };
    (@body [] $default:block) => { $default };
}

/// Where a `select!` is in the source: what the trace says it waited at.
#[doc(hidden)]
pub struct Site(Object);

impl Site {
    #[track_caller]
    #[allow(
        clippy::new_without_default,
        reason = "the caller's place in the source is part of it"
    )]
    pub const fn new() -> Site {
        Site(Object::new(ObjectKind::Select))
    }

    pub(super) fn object(&self) -> &Object {
        &self.0
    }
}

/// How long a `select!` waits.
#[doc(hidden)]
pub struct Deadline(pub(super) Patience);

/// What stands in the brackets of `default`: a duration, or nothing.
#[doc(hidden)]
pub trait Timeout {
    fn deadline(self) -> Deadline;
}

impl Timeout for () {
    fn deadline(self) -> Deadline {
        Deadline(Patience::None)
    }
}

impl Timeout for Duration {
    fn deadline(self) -> Deadline {
        Deadline(Patience::Until(crate::time::after_ns(self)))
    }
}

impl Deadline {
    pub const NEVER: Deadline = Deadline(Patience::Forever);

    pub fn after_or_now(timeout: impl Timeout) -> Deadline {
        timeout.deadline()
    }
}

/// An operation of a `select!`, of whatever type.
#[doc(hidden)]
pub struct Op<'a>(pub(super) &'a dyn Operation);

#[doc(hidden)]
pub struct RecvCase<'a, T>(Case<'a, T>);

#[doc(hidden)]
pub struct SendCase<'a, T>(Case<'a, T>);

#[doc(hidden)]
pub fn recv<T>(receiver: &Receiver<T>) -> RecvCase<'_, T> {
    RecvCase(Case::new(receiver.chan(), Direction::Recv, None))
}

#[doc(hidden)]
pub fn send<T>(sender: &Sender<T>, value: T) -> SendCase<'_, T> {
    SendCase(Case::new(sender.chan(), Direction::Send, Some(value)))
}

impl<T> RecvCase<'_, T> {
    pub fn op(&self) -> Op<'_> {
        Op(&self.0)
    }

    /// `None` if it was not selected.
    pub fn into_result(self) -> Option<Result<T, RecvError>> {
        Some(self.0.into_slot()?.ok_or(RecvError))
    }
}

impl<T> SendCase<'_, T> {
    pub fn op(&self) -> Op<'_> {
        Op(&self.0)
    }

    /// `None` if it was not selected; the value is dropped then.
    pub fn into_result(self) -> Option<Result<(), SendError<T>>> {
        match self.0.into_slot()? {
            None => Some(Ok(())),
            Some(value) => Some(Err(SendError(value))),
        }
    }
}

/// Does one of the operations, which says so itself, or none if the deadline comes first.
#[doc(hidden)]
pub fn run<const N: usize>(site: &Site, ops: [Op<'_>; N], deadline: Deadline) {
    preempt::checkpoint();
    let mut guards = [const { None }; N];
    engine::run(
        site.object(),
        &ops.map(|op| op.0),
        Scratch {
            poll: &mut [0; N],
            lock: &mut [0; N],
            guards: &mut guards,
        },
        deadline.0,
        random_below,
    );
}

/// A random number below `n`: of the M's, or of this thread's own, if it is none.
pub(super) fn random_below(n: usize) -> usize {
    use std::sync::atomic::{AtomicU64, Ordering};
    // The golden ratio in 64 bits, and the two multiplications that make a good number of each multiple of it (splitmix64).
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    static NEXT: AtomicU64 = AtomicU64::new(STEP);
    let x = match m::current() {
        Some(m) => m.next_random(),
        None => {
            // Relaxed: any number will do, if only no two threads get the same.
            let mut x = NEXT.fetch_add(STEP, Ordering::Relaxed);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^ (x >> 31)
        }
    };
    // The high half of a product is fair to within n/2^64, and needs no division.
    ((u128::from(x) * n as u128) >> 64) as usize
}

/// Waits for ever. Go: `select {}`.
///
/// # Blocking
/// Parks the G, or blocks the thread if it runs none; nothing ends it.
#[doc(hidden)]
#[track_caller]
pub fn forever() -> ! {
    preempt::checkpoint();
    let object = Object::new(ObjectKind::Select);
    loop {
        park::park(ParkReason::Forever, &object, &mut || true);
    }
}
