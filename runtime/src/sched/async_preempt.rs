//! Asynchronous preemption: a G in code that declared itself preemptible is stopped between any two instructions, by a signal.
//!
//! Go stops any code at an instruction that its compiler knows to be safe. No compiler tells that of Rust code, so here the code itself says
//! so, with [`preemptible`]. All unsafe code of this is in this file; who may send when is `preempt_signal.rs`.
//!
//! # Protocol
//! 1. The G enters the section: its M's `signal` says which G, the G's `preemptible` says that it may be stopped.
//! 2. Whoever wants it to give way (`preempt::request`) sets the flag of every cooperative preemption, and sends the M a SIGURG if that is in a
//!    section.
//! 3. The handler runs on the G's stack, on top of the interrupted code. If the request stands and the G may be stopped there, it suspends the
//!    G as a checkpoint would. The frame of the signal, with all registers, stays on the G's stack.
//! 4. Whoever resumes the G returns into the handler, perhaps on another M. That makes the frame fit this thread and returns; the kernel puts
//!    the registers back.
//!
//! # Why the G may go on on another thread
//! Interrupted code that touches nothing of its thread (the contract) is its registers, its stack and memory. The kernel saved all registers in
//! the frame, those of the floating-point and vector unit with their control words (`XSAVE` on x86-64, the FPSIMD and SVE records on aarch64),
//! and `rt_sigreturn` loads what it finds in the frame into the thread that calls it: nothing in there names a thread. What it also restores
//! is set right in step 4: the alternate signal stack (else a thread would get another's, and two could use one at once)
//! and the signal mask. The base of the thread-locals (`fs`, `tpidr_el0`) is not in the frame and stays this thread's own.
//! `errno` is put back by hand: a signal that is not ours may interrupt anything.
//!
//! # What the handler demands, and why
//! - **A section that is open.** In the runtime, the allocator, a lock or a thread-local the code is not where it may be stopped: a G that is
//!   suspended inside of `malloc` leaves its lock to a thread that calls `malloc` next. (A prototype without this flag hung in 2 of 3 runs.)
//!   It also means that the handler itself may do what is forbidden to handlers, because it is known what it interrupts.
//! - **A stack pointer in the G's own stack, with room**: for the suspension and one more signal. So it has no `SA_ONSTACK`: an
//!   alternate stack is the thread's and cannot wait with the G.
//! - **The M's usual signal mask in the frame.** Another means that the handler of some other signal runs between the section and us: that one
//!   has a frame of its own, made for this thread, and may hold anything.
//! - **No second SIGURG in between.** It is blocked while the handler runs (no `SA_NODEFER`) and let through only for the time in which the G is
//!   suspended. A handler that was itself suspended before its return would return with a frame made for another thread.
//!
//! # Other users of the signal
//! SIGURG is ignored unless somebody asks for it, which is why Go chose it too. The handler is installed when the first section is entered; a
//! signal that is not ours goes to the handler that was there before. If somebody replaces ours, or blocks the signal, sections run as
//! any other code does.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, compiler_fence};

use crate::sched::g::{G, GRef, Request};
use crate::sched::m::{self, M};
use crate::sched::{park, preempt};

/// Whether this file knows the machine's signal frame.
const SUPPORTED: bool = cfg!(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

/// Bytes that suspending a G takes at most below the handler, spans of `tracing` included.
const SUSPEND_ROOM: usize = 8 << 10;

/// Bytes that the kernel's frame of a signal takes; 0 until the handler is installed.
static FRAME: AtomicUsize = AtomicUsize::new(0);

/// What was done with SIGURG before us: a `sigaction` that is never freed.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(std::ptr::null_mut());

/// Runs `f`, which may be stopped at any instruction: other Gs get their turn, and the world can be stopped, even if `f` is a loop that
/// never calls into the runtime. It goes on where it was stopped, perhaps on another thread. Outside a G it just calls `f`.
///
/// It costs some 10 ns, so it belongs around the loop and not into it. Meant for inner loops that compute; Go's asynchronous
/// preemption.
///
/// ```
/// // SAFETY: nothing bound to a thread is held over a call into the runtime.
/// unsafe { gmp_runtime::Builder::new() }.procs(1).run(|| {
///     let numbers: Vec<u64> = (0..1000).collect();
///     // SAFETY: it reads a slice and adds: no allocation, no lock, no thread-local, no call into the runtime, and it cannot panic.
///     let sum = unsafe { gmp_runtime::preemptible(|| numbers.iter().fold(0u64, |a, b| a.wrapping_add(*b))) };
///     assert_eq!(sum, 499_500);
/// });
/// ```
///
/// # Safety
/// `f`, and all that it calls, must not
/// - allocate or free memory, in Rust or in C;
/// - take a lock, or wait for one in any way;
/// - use a thread-local (`errno`, and so most of libc, among them), or anything else that is bound to a thread;
/// - call into this crate, [`crate::checkpoint`] and [`preemptible`] included, or into `tracing`; a debug build ends the program when it does, unless it
///   only drops something of this crate's;
/// - panic: that does all of the above;
/// - make a system call, but for the vDSO's.
///
/// Arithmetic, slices (with indices that are in bounds), atomics, and memory that was allocated before are all right. Its control words
/// of the floating-point unit must be as it found them when it returns.
///
/// The G may be on another thread afterwards, as after any call into the runtime.
///
/// # Where it does not take effect
/// Then `f` runs as any other code does, and can make others wait: on other systems than Linux on x86-64 and aarch64; if less than two signal
/// frames and 8 KiB are left of the stack (15 to 30 KiB in all, by the machine's vector registers); while SIGURG is blocked on the runtime's
/// threads; inside of [`crate::syscall`] and [`crate::blocking`], where other Gs do not wait for it.
///
/// # Blocking
/// May suspend the G, which stays runnable.
pub unsafe fn preemptible<T>(f: impl FnOnce() -> T) -> T {
    preempt::checkpoint();
    match m::running().and_then(|(m, g)| Section::enter(m, g)) {
        // The section ends before the value is moved on.
        Some(section) => {
            let value = f();
            drop(section);
            value
        }
        None => f(),
    }
}

/// The running G may be stopped at any instruction while this lives.
struct Section(GRef);

impl Section {
    /// `None` where it cannot be: see [`preemptible`].
    #[inline]
    fn enter(m: &'static M, g: GRef) -> Option<Section> {
        if !SUPPORTED || m.signal.section() != 0 {
            return None;
        }
        let here = 0u8;
        let here = (&raw const here).addr();
        if !g.has_room(here, 2 * frame_bytes() + SUSPEND_ROOM) {
            return None;
        }
        m.signal.enter(g.as_ptr() as usize);
        // Relaxed: read by the handler, on the same thread.
        g.preemptible.store(true, Ordering::Relaxed);
        // What is inside the section stays inside: the handler must not find what came before half done.
        compiler_fence(Ordering::SeqCst);
        Some(Section(g))
    }
}

impl Drop for Section {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        let g = self.0;
        // From here on the G is not stopped, so that it stays on its M and may ask which that is. Relaxed: as above.
        g.preemptible.store(false, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        m_of(g).signal.leave(enter_kernel);
    }
}

/// The M that runs the calling G, which cannot be stopped now. Without a thread-local: its address may be one of the thread before.
#[inline]
fn m_of(g: GRef) -> &'static M {
    // Relaxed: written by this very M before it resumed the G.
    let m = g.m.load(Ordering::Relaxed);
    // SAFETY: a running G has an M, and an M is never freed.
    unsafe { &*m }
}

/// Asks an M to stop the G in its section, if it is in one; whether a signal was sent. Any thread may call it.
pub(crate) fn signal(m: &M) -> bool {
    SUPPORTED
        && m.signal.send(|| {
            let tid = m.tid.load(Ordering::Relaxed);
            // SAFETY: no memory is passed. The thread cannot end while a signal is sent into its section; a wrong number would be
            // refused, or would reach a thread of this process that ignores it or takes it for another's.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), tid, libc::SIGURG) == 0 }
        })
}

/// In debug builds: ends the program if the M is in a section, where the runtime must not be called. Not for the handler.
#[cfg(debug_assertions)]
pub(crate) fn assert_outside(m: &'static M) {
    // SAFETY: an M's section is a G or null.
    let inside = unsafe { GRef::from_ptr(m.signal.section() as *mut G) };
    if let Some(g) = inside.filter(|g| g.preemptible.load(Ordering::Relaxed)) {
        // The message takes a lock.
        g.preemptible.store(false, Ordering::Relaxed);
        crate::fatal::fatal(format_args!(
            "{} calls into the runtime from inside of `preemptible`, whose contract forbids it",
            g.id()
        ));
    }
}

/// Any system call: on the way back from it the kernel delivers what waits.
fn enter_kernel() {
    std::thread::yield_now();
}

/// Bytes of a signal's frame. Installs the handler when it is first asked.
#[inline]
fn frame_bytes() -> usize {
    // Acquire pairs with the release in `install`: the handler is there.
    match FRAME.load(Ordering::Acquire) {
        0 => install(),
        bytes => bytes,
    }
}

#[cold]
fn install() -> usize {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: no memory is passed.
        let known = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
        // SAFETY: an all-zero sigaction is valid and means "nothing", the handler has the signature that SA_SIGINFO asks for, and what was
        // there before is kept for ever, because the handler may need it at any time.
        unsafe {
            let previous: *mut libc::sigaction = Box::leak(Box::new(std::mem::zeroed()));
            // Known before ours is in place: a signal may come in between.
            libc::sigaction(libc::SIGURG, std::ptr::null(), previous);
            PREVIOUS.store(previous, Ordering::Release);
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            // SA_RESTART: a call of ours may be interrupted on its way out of a section, and another's SIGURG may hit any.
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            if libc::sigaction(libc::SIGURG, &raw const action, std::ptr::null_mut()) != 0 {
                crate::fatal::fatal(format_args!("the kernel refuses a handler for SIGURG"));
            }
        }
        FRAME.store(known.max(LEAST_FRAME), Ordering::Release);
    });
    FRAME.load(Ordering::Acquire)
}

/// In the auxiliary vector: bytes of the largest signal frame of this machine. Linux 5.14 on x86-64, 4.18 on aarch64.
const AT_MINSIGSTKSZ: libc::c_ulong = 51;

/// Of a kernel that does not say: AVX-512's and some.
const LEAST_FRAME: usize = 4 << 10;

/// The handler. See the module header.
extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let errno = errno();
    // SAFETY: the kernel passes a valid one, and the field is there for every code.
    let by_thread = unsafe { (*info).si_code } == SI_TKILL;
    // Only for what may be ours: on a thread that is no M it could be the first use of the thread-local.
    let m = by_thread.then(m::current_anywhere).flatten();
    match m.filter(|m| m.signal.arrived()) {
        // SAFETY: the kernel passes the frame of this signal.
        Some(m) => unsafe { suspend_here(m, context.cast()) },
        None => chain(signal, info, context),
    }
    // Perhaps another thread's by now: `set_errno` is never inlined.
    set_errno(errno);
}

/// Sent by a thread to a thread.
const SI_TKILL: libc::c_int = -6;

/// Suspends the interrupted G, if its request stands and it may be stopped where it is; returns when it is to go on.
///
/// # Safety
/// Called by the handler, with the frame of its signal.
unsafe fn suspend_here(m: &'static M, frame: *mut libc::ucontext_t) {
    // Relaxed: a hint, as everywhere.
    if !m.preempt.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: an M's section is a G or null.
    let Some(g) = (unsafe { GRef::from_ptr(m.signal.section() as *mut G) }) else {
        return;
    };
    // Relaxed: written by the code that was interrupted, on this thread.
    if !g.preemptible.load(Ordering::Relaxed) {
        return;
    }
    // SAFETY: the caller's contract.
    let (sp, mask) = unsafe { (stack_pointer(frame), *mask_of(frame)) };
    let here = (&raw const sp).addr();
    let stoppable =
        mask == m.mask.get() && g.has_room(sp, 0) && g.has_room(here, frame_bytes() + SUSPEND_ROOM);
    if !stoppable {
        return;
    }
    // First: a SIGURG that comes from now on finds nothing to stop.
    g.preemptible.store(false, Ordering::Relaxed);
    change_mask(libc::SIG_UNBLOCK);
    m.signal.leave(enter_kernel);
    park::suspend(m, g, Request::PreemptAsync);
    // Perhaps on another M. SIGURG stays out until the kernel has read the frame, which sets the mask in the same step.
    let m = m_of(g);
    let mask = change_mask(libc::SIG_BLOCK);
    // SAFETY: the frame is on the G's stack below which we are; the kernel reads it when the handler returns.
    unsafe {
        *mask_of(frame) = mask;
        (*frame).uc_stack = alternate_stack();
    }
    m.signal.enter(g.as_ptr() as usize);
    g.preemptible.store(true, Ordering::Relaxed);
}

/// Not ours: what was there before us. SIGURG's default is to do nothing.
fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // Acquire pairs with the release in `install`.
    let previous = PREVIOUS.load(Ordering::Acquire);
    // SAFETY: a leaked sigaction that `install` filled in, or null; a handler in it has the signature that its flags say.
    unsafe {
        let Some(previous) = previous.as_ref() else {
            return;
        };
        match previous.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {}
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// This thread's mask of signals, as the kernel has it: bit 0 is signal 1.
pub(crate) fn mask_of_thread() -> u64 {
    // SAFETY: an all-zero set is valid; the kernel's part of one is its first 64 bits.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        (&raw const mask).cast::<u64>().read()
    }
}

/// Blocks or unblocks SIGURG on this thread; the mask before. Never inlined: it may run on another thread than the code around it did.
#[inline(never)]
fn change_mask(how: libc::c_int) -> u64 {
    // SAFETY: as in `mask_of_thread`.
    unsafe {
        let mut urgent: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut urgent, libc::SIGURG);
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(how, &raw const urgent, &raw mut before);
        (&raw const before).cast::<u64>().read()
    }
}

/// The stack on which this thread takes signals that ask for one.
#[inline(never)]
fn alternate_stack() -> libc::stack_t {
    // SAFETY: an all-zero stack_t is valid and the call fills it in.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        libc::sigaltstack(std::ptr::null(), &raw mut stack);
        stack
    }
}

/// The mask in a frame. Only 64 bits: the kernel's set is shorter than libc's, and what follows it is not libc's idea.
///
/// # Safety
/// `frame` is a signal's.
unsafe fn mask_of(frame: *mut libc::ucontext_t) -> *mut u64 {
    // SAFETY: the caller's contract.
    unsafe { (&raw mut (*frame).uc_sigmask).cast() }
}

/// The stack pointer of the interrupted code.
///
/// # Safety
/// `frame` is a signal's.
#[cfg(target_arch = "x86_64")]
unsafe fn stack_pointer(frame: *const libc::ucontext_t) -> usize {
    // SAFETY: the caller's contract.
    unsafe { (*frame).uc_mcontext.gregs[libc::REG_RSP as usize] as usize }
}

/// The stack pointer of the interrupted code.
///
/// # Safety
/// `frame` is a signal's.
#[cfg(target_arch = "aarch64")]
unsafe fn stack_pointer(frame: *const libc::ucontext_t) -> usize {
    // SAFETY: the caller's contract.
    unsafe { (*frame).uc_mcontext.sp as usize }
}

/// Nothing is ever interrupted here.
///
/// # Safety
/// None.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn stack_pointer(_frame: *const libc::ucontext_t) -> usize {
    0
}

#[inline(never)]
fn errno() -> libc::c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

#[inline(never)]
fn set_errno(to: libc::c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = to }
}
