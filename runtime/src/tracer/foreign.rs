//! The tracer of a thread that is not an M but readies a G.
//!
//! It is made at the thread's first emission for a runtime, and ends with the thread.

use std::cell::RefCell;

use gmp_trace::event::MKind;
use gmp_trace::ids::MId;

use crate::sched::Sched;
use crate::tracer::Tracer;

thread_local! {
    // By the address of the runtime: a thread may serve several, in tests for example.
    static FOREIGN: RefCell<Vec<(usize, Tracer)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with this thread's tracer for a runtime. Not called from within itself.
#[inline(never)]
pub(crate) fn with<T>(sched: &'static Sched, f: impl FnOnce(&mut Tracer) -> T) -> T {
    let key = std::ptr::from_ref(sched) as usize;
    let known = FOREIGN.try_with(|tracers| {
        let mut tracers = tracers.borrow_mut();
        let at = tracers.iter().position(|(s, _)| *s == key)?;
        Some(tracers.swap_remove(at).1)
    });
    // The thread's own locals may be gone already: then a tracer for this one event.
    let mut tracer = known.ok().flatten().unwrap_or_else(|| start(sched));
    tracer.awake();
    let result = f(&mut tracer);
    // Nobody knows whether this thread will ever come again.
    tracer.quiet(tracer.now());
    let _ = FOREIGN.try_with(|tracers| tracers.borrow_mut().push((key, tracer)));
    result
}

fn start(sched: &'static Sched) -> Tracer {
    let id = {
        let mut locked = sched.lock();
        let id = MId(locked.next_mid);
        locked.next_mid += 1;
        id
    };
    let name = std::thread::current()
        .name()
        .unwrap_or("foreign")
        .to_owned();
    let tracer = Tracer::start(sched.spool.as_ref(), id, MKind::Foreign, &name);
    sched.keep_tally(&tracer);
    tracer
}

/// Ends this thread's stream for a runtime.
pub(crate) fn forget(sched: &'static Sched) {
    let key = std::ptr::from_ref(sched) as usize;
    let _ = FOREIGN.try_with(|tracers| tracers.borrow_mut().retain(|(s, _)| *s != key));
}
