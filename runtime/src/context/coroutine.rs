//! A body on a stack of its own, resumed and suspended.

use corosensei::{CoroutineResult, Yielder};

use super::Stack;

type Inner = corosensei::Coroutine<(), (), (), Stack>;

/// What a resumed body came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resumed {
    /// It suspended itself and can be resumed.
    Suspended,
    /// It returned; the stack can be had back.
    Done,
}

/// A body on a stack of its own.
pub(crate) struct Coroutine(std::mem::ManuallyDrop<Inner>);

// SAFETY: a suspended coroutine is plain memory (see the module's header); what its stack holds may move to another thread by
// the contract of `Builder::new`.
unsafe impl Send for Coroutine {}

/// The body's end of the switch; valid while the body runs.
#[repr(transparent)]
pub(crate) struct Suspender(Yielder<(), ()>);

impl Suspender {
    /// Back to whoever resumed the body; returns when it is resumed again, perhaps on another thread.
    #[inline]
    pub(crate) fn suspend(&self) {
        self.0.suspend(());
    }
}

impl Coroutine {
    /// Puts a body on a stack; nothing of it runs yet. The closure lives on the stack itself.
    pub(crate) fn new(
        stack: Stack,
        body: impl FnOnce(*const Suspender) + Send + 'static,
    ) -> Coroutine {
        let inner = Inner::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            body(std::ptr::from_ref(yielder).cast::<Suspender>());
        });
        Coroutine(std::mem::ManuallyDrop::new(inner))
    }

    /// Runs the body until it suspends itself or returns.
    #[inline]
    pub(crate) fn resume(&mut self) -> Resumed {
        match self.0.resume(()) {
            CoroutineResult::Yield(()) => Resumed::Suspended,
            CoroutineResult::Return(()) => Resumed::Done,
        }
    }

    /// The stack of a body that has returned.
    pub(crate) fn into_stack(self) -> Stack {
        std::mem::ManuallyDrop::into_inner(self.0).into_stack()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::StackPool;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn counter(pool: &StackPool, n: u32) -> (Coroutine, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let theirs = Arc::clone(&count);
        let coroutine = Coroutine::new(pool.get().expect("memory"), move |suspender| {
            for _ in 0..n {
                theirs.fetch_add(1, Ordering::Relaxed);
                // SAFETY: the body is running.
                unsafe { (*suspender).suspend() };
            }
        });
        (coroutine, count)
    }

    #[test]
    fn a_body_runs_step_by_step_and_gives_its_stack_back() {
        let pool = StackPool::new(16 << 10);
        let (mut coroutine, count) = counter(&pool, 3);
        for i in 1..=3 {
            assert_eq!(coroutine.resume(), Resumed::Suspended);
            assert_eq!(count.load(Ordering::Relaxed), i);
        }
        assert_eq!(coroutine.resume(), Resumed::Done);
        pool.put(coroutine.into_stack());
    }

    #[test]
    fn a_suspended_body_goes_on_on_another_thread() {
        let pool = StackPool::new(16 << 10);
        let (mut coroutine, count) = counter(&pool, 2);
        coroutine.resume();
        let mut coroutine = std::thread::spawn(move || {
            coroutine.resume();
            coroutine
        })
        .join()
        .expect("no panic");
        assert_eq!(coroutine.resume(), Resumed::Done);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        pool.put(coroutine.into_stack());
    }

    #[test]
    fn as_many_suspended_bodies_fit_as_may_be_guarded() {
        let pool = StackPool::new(16 << 10);
        let first = pool.get().expect("memory");
        // Before Linux 6.13 each takes two of the 65,530 mappings of a process.
        let bodies = if pool.guards_are_light() {
            100_000
        } else {
            20_000
        };
        pool.put(first);
        let mut all: Vec<_> = (0..bodies).map(|_| counter(&pool, 1).0).collect();
        assert!(all.iter_mut().all(|c| c.resume() == Resumed::Suspended));
        assert!(all.iter_mut().all(|c| c.resume() == Resumed::Done));
        all.into_iter().for_each(|c| pool.put(c.into_stack()));
    }
}
