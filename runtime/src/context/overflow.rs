//! What happens when a G's stack overflows: a message that names the G and the size, and the end of the program.
//!
//! The fault is taken on the thread's alternate stack, which `std` gives every thread it starts. Everything here is
//! async-signal-safe: no allocation, no lock, one `write`. A fault that is not in one of our guards goes to the handler that
//! was there before, `std`'s in most programs.

use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::stack_pool::guarded_stack;

/// A line of text of bounded length, put together without allocation.
pub(crate) struct Line<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl Line<'_> {
    /// Appends text, as much as fits.
    pub(crate) fn text(&mut self, text: &str) {
        for byte in text.bytes() {
            if let Some(slot) = self.buffer.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
    }

    /// Appends a number.
    pub(crate) fn number(&mut self, number: u64) {
        let mut digits = [0u8; 20];
        let mut left = number;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
            if left == 0 {
                break;
            }
        }
        for digit in &digits[at..] {
            if let Some(slot) = self.buffer.get_mut(self.len) {
                *slot = *digit;
                self.len += 1;
            }
        }
    }
}

/// Adds what is known of the G that overflowed; async-signal-safe.
type Describe = fn(&mut Line<'_>);

static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());
static OLD_SEGV: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Installs the handler, once for the process.
pub(crate) fn install(describe: Describe) {
    static ONCE: Once = Once::new();
    // Release pairs with the acquire in the handler.
    DESCRIBE.store(describe as *mut (), Ordering::Release);
    ONCE.call_once(|| {
        for (signal, old) in [(libc::SIGSEGV, &OLD_SEGV[0]), (libc::SIGBUS, &OLD_SEGV[1])] {
            // SAFETY: an all-zero sigaction is valid, the handler has the signature that SA_SIGINFO asks for, and the old action is
            // kept for ever, because the handler may need it at any time.
            unsafe {
                let previous: *mut libc::sigaction = Box::leak(Box::new(std::mem::zeroed()));
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_fault as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                // Known before ours is in place: a fault on another thread may come in between.
                libc::sigaction(signal, std::ptr::null(), previous);
                // Release pairs with the acquire in `chain`.
                old.store(previous as usize, Ordering::Release);
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    });
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel gives a valid siginfo for a fault.
    let address = unsafe { (*info).si_addr() } as usize;
    let Some(stack) = guarded_stack(address) else {
        return chain(signal, info, context);
    };
    let mut buffer = [0u8; 512];
    let mut line = Line {
        buffer: &mut buffer,
        len: 0,
    };
    line.text("gmp: fatal: stack overflow");
    let describe = DESCRIBE.load(Ordering::Acquire);
    if !describe.is_null() {
        // SAFETY: `install` stored a function of this type.
        let describe: Describe = unsafe { std::mem::transmute::<*mut (), Describe>(describe) };
        describe(&mut line);
    }
    line.text(": its stack has ");
    line.number(stack as u64 / 1024);
    line.text(" KiB; Builder::stack_size sets the size\n");
    let len = line.len;
    // SAFETY: the buffer holds `len` bytes; nothing can be done about a failure. `abort` is async-signal-safe.
    unsafe {
        libc::write(2, buffer.as_ptr().cast(), len);
        libc::abort();
    }
}

/// Not ours: the handler that was there before.
fn chain(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let old = OLD_SEGV[usize::from(signal == libc::SIGBUS)].load(Ordering::Acquire)
        as *const libc::sigaction;
    // SAFETY: a leaked sigaction that `install` filled in, or null; a handler in it has the signature its flags say.
    unsafe {
        match old.as_ref() {
            Some(old) if old.sa_sigaction > libc::SIG_IGN => {
                if old.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(
                        libc::c_int,
                        *mut libc::siginfo_t,
                        *mut libc::c_void,
                    ) = std::mem::transmute(old.sa_sigaction);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(libc::c_int) = std::mem::transmute(old.sa_sigaction);
                    handler(signal);
                }
            }
            // The default action: returning to the fault with it in place ends the process as if we had not been there.
            _ => {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
}
