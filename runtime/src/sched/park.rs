//! Parking: how a G waits, and what wakes it.
//!
//! # Protocol
//! 1. The waiter puts its [`Unparker`] where a waker will find it, under a lock of its own (a channel's, say).
//! 2. [`park`] suspends the G. Its M, on its own stack, sets the state to waiting, records the park, and only then calls the
//!    commit, which releases that lock. So nobody can find the waiter before it may be woken.
//! 3. A waker takes the unparker out under the lock, which gives it the sole right to wake, and calls [`Unparker::unpark`].
//!
//! After the last unlock in the commit the G may already run on another M: the commit must not touch the G's stack after
//! it, and nor does the scheduler.
//!
//! A thread that runs no G can wait in the same way: its unparker names a word that it sleeps on.

use std::cell::Cell;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gmp_trace::event::{Event, ObjectKind, ParkReason, Via};
use gmp_trace::ids::ObjectId;

use crate::sched::claim::Race;
pub(crate) use crate::sched::claim::Winner;
use crate::sched::g::{G, GRef, Request};
use crate::sched::m;
use crate::sched::timers::{self, TimerAction, TimerHandle};
use crate::sched::wake;
use crate::spans;
use crate::sys::futex;

/// What runs on the scheduler's stack once a G's state is waiting: a borrowed closure whose lifetime the park outlives.
#[derive(Clone, Copy)]
pub(crate) struct Commit(*mut (dyn FnMut() -> bool + 'static));

impl Commit {
    fn new(commit: &mut dyn FnMut() -> bool) -> Commit {
        let short: *mut (dyn FnMut() -> bool + '_) = commit;
        // SAFETY: only the lifetime is erased. The pointer is used once, by the M that ran the G, before that G is resumed or
        // woken, while the frame that owns the closure is suspended below it.
        Commit(unsafe {
            std::mem::transmute::<
                *mut (dyn FnMut() -> bool + '_),
                *mut (dyn FnMut() -> bool + 'static),
            >(short)
        })
    }

    /// Runs it; `false` means that the G is not to wait after all.
    ///
    /// # Safety
    /// Called once, by the M that ran the G, after it suspended and before anything else may resume it.
    pub(crate) unsafe fn call(self) -> bool {
        // SAFETY: the caller's contract; see `new`.
        unsafe { (*self.0)() }
    }
}

/// A G that waits, or a thread that does. One wake for one wait.
#[derive(Clone, Copy)]
pub(crate) struct Unparker(NonNull<()>);

// SAFETY: it points to a G, which is Sync and never freed, or to a thread's parker, which outlives the wait it is given out for.
unsafe impl Send for Unparker {}
// SAFETY: as above.
unsafe impl Sync for Unparker {}

/// The tag of an unparker that names a thread; both pointees are aligned to more than 2.
const THREAD: usize = 1;

/// What a thread that runs no G sleeps on.
#[repr(align(8))]
struct ThreadParker {
    /// 0 = nobody woke it, 1 = somebody did.
    token: AtomicU32,
}

thread_local! {
    // Leaked, one word for each thread that ever waits without a G: a waker may still touch it right after the thread went on,
    // and even ended.
    static PARKER: Cell<Option<&'static ThreadParker>> = const { Cell::new(None) };
}

#[inline(never)]
fn thread_parker() -> &'static ThreadParker {
    PARKER.with(|p| match p.get() {
        Some(parker) => parker,
        None => {
            let parker: &'static ThreadParker = Box::leak(Box::new(ThreadParker {
                token: AtomicU32::new(0),
            }));
            p.set(Some(parker));
            parker
        }
    })
}

impl Unparker {
    /// Of the running G, or of this thread if it runs none.
    pub(crate) fn current() -> Unparker {
        match m::running() {
            Some((_, g)) => Unparker::of(g),
            None => {
                let address = NonNull::from(thread_parker()).cast::<()>();
                Unparker(address.map_addr(|a| a | THREAD))
            }
        }
    }

    /// Of a G.
    pub(crate) fn of(g: GRef) -> Unparker {
        match NonNull::new(g.as_ptr().cast::<()>()) {
            Some(p) => Unparker(p),
            None => unreachable!("a GRef is never null"),
        }
    }

    /// The word that holds it, never 0.
    pub(crate) fn into_raw(self) -> usize {
        self.0.as_ptr() as usize
    }

    /// The inverse of [`Unparker::into_raw`].
    ///
    /// # Safety
    /// `raw` came from [`Unparker::into_raw`], and the wait it was given out for is not over.
    pub(crate) unsafe fn from_raw(raw: usize) -> Unparker {
        // SAFETY: the caller's contract: never null.
        Unparker(unsafe { NonNull::new_unchecked(raw as *mut ()) })
    }

    /// The G it names, if it names one.
    pub(crate) fn g(self) -> Option<GRef> {
        if self.into_raw() & THREAD != 0 {
            return None;
        }
        // SAFETY: an untagged unparker was made of a GRef.
        unsafe { GRef::from_ptr(self.0.as_ptr().cast::<G>()) }
    }

    /// Ends the wait. The caller holds the sole right to do so.
    pub(crate) fn unpark(self) {
        match self.g() {
            Some(g) => wake::ready_from_anywhere(g, Via::G),
            None => self.unpark_thread(),
        }
    }

    /// Ends the wait of a thread.
    pub(crate) fn unpark_thread(self) {
        let parker = self
            .0
            .as_ptr()
            .map_addr(|a| a & !THREAD)
            .cast::<ThreadParker>();
        // SAFETY: a tagged unparker was made of a leaked ThreadParker.
        let parker: &'static ThreadParker = unsafe { &*parker };
        // Release pairs with the acquire in `wait_thread`: the waiter sees what the waker did.
        parker.token.store(1, Ordering::Release);
        futex::wake_one(&parker.token);
    }
}

/// Sleeps until the token is given, or the timeout passes; `false` on a timeout.
fn wait_thread(parker: &ThreadParker, timeout: Option<Duration>) -> bool {
    let start = std::time::Instant::now();
    loop {
        // Acquire pairs with the release in `unpark_thread`.
        if parker.token.swap(0, Ordering::Acquire) == 1 {
            return true;
        }
        let left = match timeout {
            None => None,
            Some(t) => match t.checked_sub(start.elapsed()) {
                Some(left) => Some(left),
                None => return false,
            },
        };
        futex::wait(&parker.token, 0, left);
    }
}

/// A thing that Gs wait for, named in traces by an id that it gets at its first recorded wait.
pub(crate) struct Object {
    /// 0 = not named yet.
    id: AtomicU64,
    kind: ObjectKind,
    site: &'static Location<'static>,
}

impl Object {
    /// An object made at the caller's place in the source.
    #[track_caller]
    pub(crate) const fn new(kind: ObjectKind) -> Object {
        Object {
            id: AtomicU64::new(0),
            kind,
            site: Location::caller(),
        }
    }

    /// Its id in the trace; named now if it has none and something is recorded. Called by the M about to park a G on it.
    pub(crate) fn id(&self, m: &m::M) -> ObjectId {
        // Relaxed: the id is a name; the object it names is reached by other means.
        let id = self.id.load(Ordering::Relaxed);
        if id != 0 || !m.tracer().is_on() {
            return ObjectId(id);
        }
        let new = m.sched.next_object.fetch_add(1, Ordering::Relaxed) + 1;
        match self
            .id
            .compare_exchange(0, new, Ordering::Relaxed, Ordering::Relaxed)
        {
            Ok(_) => {
                let ticks = m.tracer().now();
                let site = m.tracer().site(self.site);
                m.tracer().emit(
                    ticks,
                    Event::Object {
                        object: ObjectId(new),
                        kind: self.kind,
                        site,
                    },
                );
                ObjectId(new)
            }
            // Another M named it in between; its record says so.
            Err(named) => ObjectId(named),
        }
    }
}

/// Parks the running G, or blocks this thread if it runs none, until its unparker is used. See the module for the protocol.
///
/// If `commit` returns false nobody else has the unparker, and the G goes on at once.
pub(crate) fn park(reason: ParkReason, object: &Object, commit: &mut dyn FnMut() -> bool) {
    match m::running() {
        Some((m, g)) => {
            let id = object.id(m);
            // Relaxed: read by reports and by this M after the suspension.
            g.object.store(id.0, Ordering::Relaxed);
            suspend(m, g, Request::Park(reason, Commit::new(commit)));
        }
        None => {
            if commit() {
                wait_thread(thread_parker(), None);
            }
        }
    }
}

/// The race between a waker and a deadline for the right to wake.
pub(crate) struct Claim {
    race: Race,
    unparker: Unparker,
    deadline: Mutex<Deadline>,
}

/// The timer of a wait: it is started after the wait began, so the wait may be over before it is.
enum Deadline {
    NotStarted,
    Running(TimerHandle),
    Over,
}

impl Claim {
    /// An undecided one.
    pub(crate) fn new(unparker: Unparker) -> Arc<Claim> {
        Arc::new(Claim {
            race: Race::new(),
            unparker,
            deadline: Mutex::new(Deadline::NotStarted),
        })
    }

    /// Tries to win; the winner alone may, and must, unpark.
    pub(crate) fn claim(&self, by: Winner) -> bool {
        self.race.claim(by)
    }

    /// Who won.
    pub(crate) fn winner(&self) -> Winner {
        self.race.winner()
    }

    /// The waiter. The winner alone may unpark it.
    pub(crate) fn unparker(&self) -> Unparker {
        self.unparker
    }

    /// Starts the timer of the wait, unless that is over already. Runs on the scheduler's stack.
    fn start_deadline(self: Arc<Claim>, deadline_ns: u64) {
        let handle = timers::start_timer(deadline_ns, TimerAction::Claim(Arc::clone(&self)));
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        match *deadline {
            Deadline::Over => {
                drop(deadline);
                handle.stop();
            }
            Deadline::NotStarted | Deadline::Running(_) => *deadline = Deadline::Running(handle),
        }
    }

    /// Says that the wait is over: its timer is of no use any more.
    fn end_deadline(&self) {
        let deadline = {
            let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *deadline, Deadline::Over)
        };
        if let Deadline::Running(handle) = deadline {
            handle.stop();
        }
    }
}

/// As [`park`], but a timer ends the wait at `deadline_ns` (the clock of [`crate::time::now_ns`]) if nobody else did.
pub(crate) fn park_until(
    reason: ParkReason,
    object: &Object,
    deadline_ns: u64,
    claim: &Arc<Claim>,
    commit: &mut dyn FnMut() -> bool,
) {
    if m::running().is_some() {
        // The timer is started after the commit, when the G may be woken: before it, the timer could ready a G that still runs.
        // From the commit on the G's frames may be gone, so what is needed after it is moved to this closure's own frame first.
        park(reason, object, &mut || {
            let (claim, deadline_ns) = (Arc::clone(claim), deadline_ns);
            let waits = commit();
            if waits {
                claim.start_deadline(deadline_ns);
            }
            waits
        });
        claim.end_deadline();
        return;
    }
    if !commit() {
        return;
    }
    let left = deadline_ns.saturating_sub(crate::time::now_ns());
    if !wait_thread(thread_parker(), Some(Duration::from_nanos(left)))
        && !claim.claim(Winner::Timer)
    {
        // A waker won in the last moment: its token is on the way and must not be left for the next wait.
        wait_thread(thread_parker(), None);
    }
}

/// Suspends the running G with a request to its M. When this returns the G may be on another M.
///
/// A G that suspends while it unwinds is locked to its M until the unwinding is over, because the count of panics is the
/// thread's.
pub(crate) fn suspend(m: &'static m::M, g: GRef, request: Request) {
    if std::thread::panicking() {
        crate::sched::lock::pin_while_unwinding(m, g);
    }
    let spans = spans::leave_thread(m, g);
    g.request.set(request);
    // SAFETY: the suspender is valid while the G runs, and this is the G itself, on its own stack.
    unsafe { (*g.suspender.get()).suspend() };
    if let Some(spans) = spans {
        spans::enter_thread(g, spans);
    }
}
