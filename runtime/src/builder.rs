//! How a runtime is made: its settings, and the one unsafe constructor with the contract of the whole library.

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gmp_policy::Policy;
use gmp_trace::spool::writer::{Spool, SpoolOptions};
use gmp_trace::version::info;

use crate::context::{StackPool, overflow};
use crate::debug::Debug;
use crate::limits::{DEFAULT_STACK, MAX_MS, MAX_PROCS, MIN_STACK};
use crate::netpoll::Poller;
use crate::perf::Plan;
use crate::sched::Sched;
use crate::sched::boot::{self, Outcome};
use crate::sched::default_procs::DefaultProcs;
use crate::spawn;
use crate::tracer;

/// The settings of a runtime; [`Builder::run`] starts it.
///
/// ```
/// // SAFETY: nothing below holds anything bound to a thread over a call into the runtime.
/// let sum = unsafe { gmp_runtime::Builder::new() }.procs(2).run(|| {
///     let handles: Vec<_> = (0..10u64).map(|i| gmp_runtime::go(move || i * i)).collect();
///     handles.into_iter().map(|h| h.join().expect("no panic")).sum::<u64>()
/// });
/// assert_eq!(sum, 285);
/// ```
#[derive(Debug, Clone)]
pub struct Builder {
    procs: Option<u32>,
    stack_bytes: usize,
    policy: Policy,
    max_ms: usize,
    seed: u64,
    /// The folder that describes this process, and CPUs instead of those in its affinity mask: for tests.
    process: PathBuf,
    cpus: Option<u32>,
}

impl Builder {
    /// The default settings.
    ///
    /// # Safety
    /// A G may go on on another thread after any call into the runtime: any function of this crate, and any code that calls one.
    /// So nothing that is bound to a thread may be held over such a call: no `MutexGuard` of `std`, no reference to or borrow of a
    /// thread-local, no other value that is not [`Send`]. The compiler cannot check this; who calls this promises it for all code
    /// that the runtime will run.
    ///
    /// The mistake that breaks it: `LOCAL.with(|x| { let x = x.borrow_mut(); gmp_runtime::yield_now(); drop(x) })`.
    pub unsafe fn new() -> Builder {
        Builder {
            procs: None,
            stack_bytes: DEFAULT_STACK,
            policy: Policy::default(),
            max_ms: MAX_MS,
            seed: 1,
            process: PathBuf::from("/proc/self"),
            cpus: None,
        }
    }

    /// How many Ps: how many Gs run at the same time. Default: the CPUs this process may use, but no more than its cgroup's quota, rounded
    /// up and at least 2; a change of either is followed while the program runs, within a second or so. Neither this nor `GMP_PROCS`
    /// in the environment, which wins, is changed later but by [`crate::set_procs`]. At most [`crate::MAX_PROCS`]: more are that many.
    pub fn procs(mut self, procs: usize) -> Builder {
        self.procs = Some(
            u32::try_from(procs)
                .unwrap_or(u32::MAX)
                .clamp(1, MAX_PROCS as u32),
        );
        self
    }

    /// The size of each G's stack in bytes; it takes memory only as far as it is used. Rounded up to whole pages.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_bytes = bytes.max(MIN_STACK);
        self
    }

    /// The decisions of the scheduler. Default: Go's. `GMP_POLICY` in the environment wins.
    pub fn policy(mut self, policy: Policy) -> Builder {
        self.policy = policy;
        self
    }

    /// The most threads for Gs there may be at once before the program ends with an error. Default 10,000. [`crate::set_max_threads`]
    /// changes it later.
    pub fn max_threads(mut self, threads: usize) -> Builder {
        self.max_ms = threads.max(1);
        self
    }

    /// The seed of the scheduler's random choices. Default 1.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    /// What the default number of Ps is computed from, in place of this process and this machine.
    #[cfg(test)]
    pub(crate) fn default_procs_of(mut self, process: &Path, cpus: u32) -> Builder {
        self.process = process.to_owned();
        self.cpus = Some(cpus);
        self
    }

    /// Starts the runtime, runs `main` as its first G, and returns what that returned.
    ///
    /// Other Gs that have not ended then are abandoned: they never run again and their stacks are not unwound. Its timers are stopped, and
    /// can be set again in another runtime; its sockets answer what they need not wait for. Threads outside that wait then, for a timer or for the
    /// network, wait for ever.
    /// The runtime's memory is kept for the rest of the process, because threads in system calls may still come back to it.
    ///
    /// # Panics
    /// With `main`'s panic, if it panicked; when called by a G; when the system refuses what a runtime needs.
    ///
    /// # Blocking
    /// Blocks the calling thread until `main` returns.
    #[track_caller]
    pub fn run<T, F>(self, main: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        assert!(
            crate::sched::m::current().is_none(),
            "a runtime cannot be started by a G of another"
        );
        let location = Location::caller();
        let sched = self.make();
        let outcome = Outcome::new();
        let theirs = Arc::clone(&outcome);
        let procs = sched.1;
        let sched = sched.0;
        boot::start(sched, procs, |tracer| {
            let body = move || {
                let result = catch_unwind(AssertUnwindSafe(main));
                let panicked = result.is_err();
                // Relaxed: for the search for deadlocks, which finds this M running until it parks.
                sched.main_ended.store(true, Ordering::Relaxed);
                theirs.set(result);
                panicked
            };
            spawn::spawn_global(sched, tracer, body, location);
        });
        let result = outcome.wait();
        boot::stop(sched);
        match result {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn make(self) -> (&'static Sched, u32) {
        let debug = Debug::from_environment();
        let process = Some(self.process.as_path()).filter(|_| debug.containermaxprocs);
        let default_procs = DefaultProcs::new(process, self.cpus, debug.updatemaxprocs);
        let asked = from_environment(gmp_trace::version::ENV_PROCS)
            .map(|Procs(procs)| procs)
            .or(self.procs);
        default_procs.set_custom(asked.is_some());
        let procs = asked
            .unwrap_or_else(|| default_procs.get())
            .min(MAX_PROCS as u32);
        let policy: Policy =
            from_environment(gmp_trace::version::ENV_POLICY).unwrap_or(self.policy);
        let stacks = StackPool::new(self.stack_bytes);
        overflow::install(describe_overflow);
        let poller = match Poller::new() {
            Ok(poller) => poller,
            Err(e) => panic!("cannot make the network poller: {e}"),
        };
        let spool = spool(procs, &policy, self.stack_bytes);
        let counters = spool.as_deref().and_then(counters);
        let mut sched = Sched::new(
            policy,
            stacks,
            poller,
            spool,
            counters,
            self.max_ms,
            self.seed,
        );
        if let Some(spool) = &sched.spool {
            sched.pins.state(spool);
        }
        sched.default_procs = default_procs;
        sched.debug = debug;
        (Box::leak(Box::new(sched)), procs)
    }
}

/// A number of Ps as the environment may ask for it.
struct Procs(u32);

impl std::str::FromStr for Procs {
    type Err = String;

    fn from_str(text: &str) -> Result<Procs, String> {
        let procs = text.parse().ok();
        procs
            .filter(|n| (1..=MAX_PROCS as u32).contains(n))
            .map(Procs)
            .ok_or_else(|| format!("the number of Ps is 1 to {MAX_PROCS}"))
    }
}

/// A setting from the environment. One that cannot be understood ends the program: the run would not be what was asked for.
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T>
where
    T::Err: std::fmt::Display,
{
    let value = std::env::var(name).ok()?;
    match value.parse() {
        Ok(value) => Some(value),
        Err(e) => crate::fatal::exit(format_args!("{name}={value}: {e}")),
    }
}

/// Opens this process's part of the recording, if it is being recorded and no earlier runtime of it is.
fn spool(procs: u32, policy: &Policy, stack_bytes: usize) -> Option<Arc<Spool>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let dir = std::env::var_os(gmp_trace::version::ENV_SPOOL)?;
    if TAKEN.swap(true, Ordering::Relaxed) {
        eprintln!(
            "gmp: warning: only the first runtime of a process is recorded; this one runs unrecorded"
        );
        return None;
    }
    let spool = match Spool::create(Path::new(&dir), &SpoolOptions::from_environment()) {
        Ok(spool) => spool,
        Err(e) => {
            eprintln!("gmp: warning: not recorded: {e}");
            return None;
        }
    };
    spool.info(
        info::RUNTIME,
        concat!("gmp-runtime ", env!("CARGO_PKG_VERSION")),
    );
    if let Ok(executable) = std::env::current_exe() {
        spool.info(info::EXECUTABLE, &executable.to_string_lossy());
    }
    spool.info(info::PROCS, &procs.to_string());
    spool.info(info::POLICY, &policy.to_string());
    spool.info(info::STACK_BYTES, &stack_bytes.to_string());
    spool.info(
        info::EVENT_COST_NS,
        &format!("{:.1}", gmp_trace::spool::event_cost_ns()),
    );
    tracer::start_recording();
    Some(spool)
}

/// The performance counters that the recorder asks for; all there are, if it says nothing.
fn counters(spool: &Spool) -> Option<Arc<Plan>> {
    let wanted = from_environment(gmp_trace::version::ENV_COUNTERS).unwrap_or_default();
    let every = from_environment(gmp_trace::version::ENV_COUNTERS_EVERY).unwrap_or_default();
    Plan::make(spool, &wanted, every)
}

/// Says what is known of the G whose stack overflowed. Async-signal-safe.
fn describe_overflow(out: &mut overflow::Line<'_>) {
    if let Some(g) = crate::sched::m::current_anywhere().and_then(|m| m.g.get()) {
        out.text(" in G");
        out.number(g.id().0);
        if let Some(site) = g.site() {
            out.text(", spawned at ");
            out.text(site.file());
            out.text(":");
            out.number(u64::from(site.line()));
        }
    }
}
