//! What becomes of a program whose G needs more stack than it has, and of one that faults for another reason.
//!
//! Each case ends its process, so it is run by this test binary executing itself.

use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use gmp_runtime::{Builder, go};
use gmp_testing::program::{command, is_part, stderr};

/// Runs one test of this binary in a process of its own, as the case of that name.
fn run_case(case: &str) -> Output {
    let mut command = command(case, case);
    command.env("RUST_BACKTRACE", "full");
    command.output().expect("it starts")
}

/// 512 bytes of stack a call at least.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    match depth {
        0 => 0,
        _ => recurse(depth - 1).wrapping_add(frame[(depth % 64) as usize]),
    }
}

#[test]
fn endless_recursion_names_the_g_and_aborts() {
    if is_part("endless_recursion_names_the_g_and_aborts") {
        // SAFETY: nothing bound to a thread is held.
        unsafe { Builder::new() }.procs(2).run(|| {
            let _ = go(|| recurse(u64::MAX)).join();
        });
        return;
    }
    let output = run_case("endless_recursion_names_the_g_and_aborts");
    let said = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains("gmp: fatal: stack overflow in G2"), "{said}");
    assert!(said.contains("stack_overflow.rs:"), "{said}");
    assert!(said.contains("64 KiB"), "{said}");
}

#[test]
fn a_frame_larger_than_the_stack_does_not_jump_over_the_guard() {
    if is_part("a_frame_larger_than_the_stack_does_not_jump_over_the_guard") {
        // SAFETY: nothing bound to a thread is held.
        unsafe { Builder::new() }.procs(1).run(|| {
            let _ = go(|| std::hint::black_box([1u8; 1 << 20])[77]).join();
        });
        return;
    }
    let output = run_case("a_frame_larger_than_the_stack_does_not_jump_over_the_guard");
    let said = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains("gmp: fatal: stack overflow in G2"), "{said}");
}

#[test]
fn the_smallest_stack_holds_a_panic_with_its_backtrace() {
    if is_part("the_smallest_stack_holds_a_panic_with_its_backtrace") {
        // SAFETY: nothing bound to a thread is held.
        let panicked = unsafe { Builder::new() }
            .procs(1)
            .stack_size(0)
            .run(|| go(|| -> () { panic!("on a small stack") }).join().is_err());
        assert!(panicked);
        return;
    }
    let output = run_case("the_smallest_stack_holds_a_panic_with_its_backtrace");
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("on a small stack"), "{said}");
    assert!(said.contains("stack backtrace"), "{said}");
}

/// A handler of the old kind, without `SA_SIGINFO`.
extern "C" fn earlier_handler(_signal: libc::c_int) {
    // SAFETY: async-signal-safe.
    unsafe { libc::_exit(42) };
}

#[test]
fn another_fault_goes_to_the_handler_that_was_there_before() {
    if is_part("another_fault_goes_to_the_handler_that_was_there_before") {
        let handler = earlier_handler as extern "C" fn(libc::c_int) as usize;
        // SAFETY: the handler has the signature that `signal` asks for.
        unsafe { libc::signal(libc::SIGSEGV, handler) };
        // SAFETY: nothing bound to a thread is held.
        unsafe { Builder::new() }.procs(1).run(|| {
            // SAFETY: none: the address is never mapped, and the fault is what is tested.
            unsafe { std::ptr::without_provenance_mut::<u8>(64).write_volatile(1) };
        });
        return;
    }
    let output = run_case("another_fault_goes_to_the_handler_that_was_there_before");
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
}

#[test]
fn without_memory_for_a_stack_the_program_ends_and_says_so() {
    const NAME: &str = "without_memory_for_a_stack_the_program_ends_and_says_so";
    if is_part(NAME) {
        // Stacks so large that few fit into what is mapped for them at a time; one P, so that no thread is started meanwhile.
        // SAFETY: nothing bound to a thread is held.
        let builder = unsafe { Builder::new() };
        builder.procs(1).stack_size(16 << 20).run(|| {
            // What is mapped stays, nothing is added.
            let mut limit = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: a plain struct is written.
            let read = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
            limit.rlim_cur = 0;
            // SAFETY: a plain struct is read.
            let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
            assert_eq!((read, set), (0, 0));
            for _ in 0..100 {
                go(|| ());
            }
        });
        return;
    }
    let output = run_case(NAME);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("fatal error: out of memory (stack allocation)\n\ncannot map "),
        "{said}"
    );
    assert!(!said.contains("panicked"), "{said}");
}
