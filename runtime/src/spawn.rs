//! Spawning Gs and waiting for them.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gmp_trace::event::{Event, GKind, ObjectKind, ParkReason};
use gmp_trace::ids::{GId, SiteId};
use gmp_trace::tally::Tally;

use crate::context::Coroutine;
use crate::sched::g::{GRef, Request};
use crate::sched::m;
use crate::sched::park::{self, Object, Unparker};
use crate::sched::wake::{self, Put};
use crate::sched::{Sched, lock, preempt, run};
use crate::spans;
use crate::tracer::{Tracer, foreign};

/// What a G leaves for who joins it: the word is 0 while it runs, [`DONE`] when the result is there, else the joiner.
struct Packet<T> {
    state: AtomicUsize,
    result: UnsafeCell<Option<std::thread::Result<T>>>,
    object: Object,
}

const RUNNING: usize = 0;
/// No unparker is 2: they are aligned addresses, tagged with 1 at most.
const DONE: usize = 2;

// SAFETY: the result is written by the G before DONE is stored with release, and read by the joiner, of which there is one,
// after it loaded DONE with acquire.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    fn complete(&self, result: std::thread::Result<T>) {
        // SAFETY: the G is the only writer, and the joiner does not read before DONE.
        unsafe { *self.result.get() = Some(result) };
        // AcqRel: release publishes the result, acquire sees the joiner that was stored.
        let joiner = self.state.swap(DONE, Ordering::AcqRel);
        if joiner != RUNNING {
            // SAFETY: a joiner stored its unparker in the commit of its park; the swap took it out, so it is used once.
            unsafe { Unparker::from_raw(joiner) }.unpark();
        }
    }
}

/// The right to wait for a G's end. Dropping it lets the G go on by itself.
pub struct JoinHandle<T> {
    packet: Arc<Packet<T>>,
    g: GId,
}

impl<T> std::fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinHandle").field("g", &self.g).finish()
    }
}

impl<T> JoinHandle<T> {
    /// The number of the G.
    pub fn id(&self) -> GId {
        self.g
    }

    /// Whether the G has ended.
    pub fn is_finished(&self) -> bool {
        preempt::checkpoint();
        self.packet.state.load(Ordering::Acquire) == DONE
    }

    /// Waits for the G to end and returns its result.
    ///
    /// # Errors
    /// The payload of the panic by which it ended.
    ///
    /// # Blocking
    /// Parks the G, or blocks the thread if it runs none.
    pub fn join(self) -> std::thread::Result<T> {
        preempt::checkpoint();
        let state = &self.packet.state;
        // Acquire pairs with the release in `complete`.
        if state.load(Ordering::Acquire) != DONE {
            let me = Unparker::current().into_raw();
            park::park(ParkReason::Join, &self.packet.object, &mut || {
                // Release: whoever completes may use the unparker, so the park must be over before it. Failure = DONE.
                state
                    .compare_exchange(RUNNING, me, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
            });
            debug_assert_eq!(state.load(Ordering::Acquire), DONE);
        }
        // SAFETY: DONE was loaded with acquire (by the commit that failed, or by the waker that readied us), and this handle,
        // which is consumed, is the only reader.
        let result = unsafe { (*self.packet.result.get()).take() };
        match result {
            Some(result) => result,
            None => unreachable!("a G that is done has left its result"),
        }
    }
}

/// Spawns a G that runs `f`. It may run at once on another M; the caller goes on.
///
/// The stack is the runtime's [`crate::Builder::stack_size`]. A panic in `f` is reported as a thread's is and reaches whoever
/// joins the G.
///
/// When memory for a stack cannot be had the program ends with a message and status 2, as Go's does.
///
/// # Panics
/// Outside a runtime.
#[track_caller]
pub fn go<T, F>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let location = Location::caller();
    preempt::checkpoint();
    let packet = Arc::new(Packet {
        state: AtomicUsize::new(RUNNING),
        result: UnsafeCell::new(None),
        object: Object::new(ObjectKind::Join),
    });
    let theirs = Arc::clone(&packet);
    let body = move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        let panicked = result.is_err();
        theirs.complete(result);
        panicked
    };
    let g = spawn(body, location);
    JoinHandle { packet, g }
}

/// Spawns a G whose body says whether it panicked; a panic that leaves it is caught.
pub(crate) fn spawn(
    body: impl FnOnce() -> bool + Send + 'static,
    location: &'static Location<'static>,
) -> GId {
    match m::in_service() {
        Some(m) if m.p.get().is_some() => {
            let p = m.held_p();
            let g = run::get_free(m);
            let id = GId(p.next_gid(|n| m.sched.next_gid.fetch_add(n, Ordering::Relaxed)));
            prepare(g, id, body, location);
            let ticks = m.tracer().now();
            let site = m.tracer().site(location);
            let put = wake::place(m, p, g, id, ticks);
            note_spawn(m.tracer(), ticks, id, site, put);
            wake::wake_for_work(m.sched, m.tracer(), true);
            id
        }
        Some(m) => spawn_global(m.sched, m.tracer(), body, location),
        None => spawn_from_thread(body, location).unwrap_or_else(|_| {
            panic!("no gmp runtime runs in this process, so nothing would run this G")
        }),
    }
}

/// Spawns a G from a thread that is no M in service.
///
/// # Errors
/// The body, if no runtime runs.
pub(crate) fn spawn_from_thread<F: FnOnce() -> bool + Send + 'static>(
    body: F,
    location: &'static Location<'static>,
) -> Result<GId, F> {
    match crate::sched::home() {
        Some(sched) => Ok(foreign::with(sched, |tracer| {
            spawn_global(sched, tracer, body, location)
        })),
        None => Err(body),
    }
}

/// Spawns a G from a thread without a P: it goes to the global queue.
pub(crate) fn spawn_global(
    sched: &'static Sched,
    tracer: &mut Tracer,
    body: impl FnOnce() -> bool + Send + 'static,
    location: &'static Location<'static>,
) -> GId {
    let g = take_free(sched);
    spawn_there(sched, tracer, g, body, location)
}

/// Spawns a G of the runtime's own, which is not counted and which no deadlock is about.
#[track_caller]
pub(crate) fn spawn_system(
    sched: &'static Sched,
    tracer: &mut Tracer,
    body: impl FnOnce() -> bool + Send + 'static,
) {
    let g = take_free(sched);
    g.system.set(true);
    spawn_there(sched, tracer, g, body, Location::caller());
}

fn take_free(sched: &'static Sched) -> GRef {
    let free = sched.lock().free.pop();
    free.unwrap_or_else(|| run::new_g(sched))
}

fn spawn_there(
    sched: &'static Sched,
    tracer: &mut Tracer,
    g: GRef,
    body: impl FnOnce() -> bool + Send + 'static,
    location: &'static Location<'static>,
) -> GId {
    let id = GId(sched.next_gid.fetch_add(1, Ordering::Relaxed));
    prepare(g, id, body, location);
    let ticks = tracer.now();
    let site = tracer.site(location);
    let put = wake::global_put(sched, g);
    note_spawn(tracer, ticks, id, site, put);
    wake::wake_for_work(sched, tracer, false);
    id
}

fn note_spawn(tracer: &mut Tracer, ticks: u64, g: GId, site: SiteId, put: Put) {
    tracer.count(Tally::Spawns);
    let event = Event::Spawn {
        g,
        kind: GKind::Stackful,
        site,
        placed: put.placed,
        kicked: put.kicked,
        gq: put.gq,
    };
    tracer.emit(ticks, event);
}

/// Gives a dead G a body, a stack and a number.
fn prepare(
    g: GRef,
    id: GId,
    body: impl FnOnce() -> bool + Send + 'static,
    location: &'static Location<'static>,
) {
    let stack = match g.stack.take().map_or_else(|| g.sched.stacks.get(), Ok) {
        Ok(stack) => stack,
        // Not a panic: to unwind takes memory, too.
        Err(e) => crate::fatal::throw(
            format_args!(""),
            format_args!("out of memory (stack allocation)\n\n{e}"),
        ),
    };
    if !g.system.get() {
        g.sched.live_gs.fetch_add(1, Ordering::Relaxed);
    }
    g.stack_range.set(stack.range());
    let coroutine = Coroutine::new(stack, move |suspender| {
        g.suspender.set(suspender);
        // What the body holds is dropped in it. Its panic has no place to go: whoever could join the G has its result, or left.
        let panicked = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                // Reported, as the first; its payload is not tried.
                std::mem::forget(again);
            }
            true
        });
        lock::unwound();
        spans::forget(g);
        g.panicked.store(panicked, Ordering::Relaxed);
    });
    // SAFETY: the G is dead and owned by the caller.
    unsafe { *g.coroutine.get() = Some(coroutine) };
    g.born(id, GKind::Stackful, location);
}

/// Lets other Gs run: the calling G goes to the tail of the global queue, as in Go. Outside a runtime it yields the thread.
///
/// # Blocking
/// Suspends the G, which stays runnable.
pub fn yield_now() {
    match m::running() {
        Some((m, g)) => park::suspend(m, g, Request::Yield),
        None => std::thread::yield_now(),
    }
}

/// The number of the calling G, if the caller is one.
pub fn current_g() -> Option<GId> {
    preempt::checkpoint();
    m::current().and_then(|m| m.g.get()).map(|g| g.id())
}
