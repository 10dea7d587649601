//! Code that declares itself preemptible: it is stopped anywhere, goes on on other threads, and notices nothing.

use std::collections::BTreeMap;
#[cfg(debug_assertions)]
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gmp_runtime::{Builder, Policy, Tally, checkpoint, go, preemptible, set_procs, stats};
#[cfg(debug_assertions)]
use gmp_testing::program::stderr;
use gmp_testing::program::{command, is_part, succeed};

/// How long a test waits for what must come before it says that it does not.
const HANG: Duration = Duration::from_secs(120);

fn runtime(procs: usize, policy: &str) -> Builder {
    let policy: Policy = policy.parse().expect("a policy");
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(procs).policy(policy)
}

fn tid() -> i32 {
    // SAFETY: no preconditions.
    unsafe { libc::gettid() }
}

fn alternate_stack() -> usize {
    // SAFETY: an all-zero stack_t is valid and the call fills it in.
    unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(std::ptr::null(), &raw mut stack), 0);
        stack.ss_sp as usize
    }
}

fn mask() -> u64 {
    // SAFETY: an all-zero set is valid; the kernel's part of it is the first 64 bits.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask);
        (&raw const mask).cast::<u64>().read()
    }
}

/// Integers in a chain, doubles in a chain, and an array of floats that the compiler makes vectors of. Touches nothing but its arguments.
#[inline(never)]
fn compute(seed: u64, rounds: u32, floats: &mut [f32; 64]) -> (u64, f64) {
    let (mut x, mut y) = (seed | 1, seed as f64 + 0.5);
    for _ in 0..rounds {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        y = (y * 1.000_000_1 + (x >> 40) as f64) * 0.5;
        let z = (x >> 50) as f32;
        for f in floats.iter_mut() {
            *f = *f * 0.75 + z;
        }
    }
    (x, y)
}

/// What a G computes, bit by bit.
type Result = (u64, u64, Vec<u32>);

fn bits((x, y): (u64, f64), floats: &[f32; 64]) -> Result {
    (x, y.to_bits(), floats.iter().map(|f| f.to_bits()).collect())
}

/// Many Gs compute on few Ps with short slices until hundreds of them were stopped by a signal and many went on on another thread.
#[test]
fn loops_are_stopped_anywhere_move_between_threads_and_compute_the_same() {
    const GS: u64 = 12;
    let rounds = if cfg!(debug_assertions) {
        4_000
    } else {
        100_000
    };
    let expected: Vec<Result> = (0..GS)
        .map(|seed| {
            let mut floats = [0.5; 64];
            bits(compute(seed, rounds, &mut floats), &floats)
        })
        .collect();
    let expected = Arc::new(expected);
    let (stopped, moved) = runtime(2, "time_slice=100us,sysmon_max=200us").run(move || {
        let enough = Arc::new(AtomicBool::new(false));
        let moved = Arc::new(AtomicU32::new(0));
        // The alternate stack of each thread, as it was when it was first seen.
        let stacks = Arc::new(Mutex::new(BTreeMap::new()));
        let gs: Vec<_> = (0..GS)
            .map(|seed| {
                let (enough, moved) = (Arc::clone(&enough), Arc::clone(&moved));
                let (expected, stacks) = (Arc::clone(&expected), Arc::clone(&stacks));
                go(move || {
                    let usual = mask();
                    while !enough.load(Ordering::Relaxed) {
                        let mut floats = [0.5; 64];
                        let before = tid();
                        // SAFETY: it computes on its own variables.
                        let result = unsafe { preemptible(|| compute(seed, rounds, &mut floats)) };
                        let after = tid();
                        moved.fetch_add(u32::from(before != after), Ordering::Relaxed);
                        assert_eq!(
                            bits(result, &floats),
                            expected[seed as usize],
                            "G of {seed}"
                        );
                        let stack = alternate_stack();
                        let first = *stacks
                            .lock()
                            .expect("no panic")
                            .entry(after)
                            .or_insert(stack);
                        assert_eq!(first, stack, "thread {after} has another alternate stack");
                        assert_eq!(mask(), usual);
                        checkpoint();
                    }
                })
            })
            .collect();
        let began = Instant::now();
        while stats().get(Tally::AsyncPreempts) < 500 || moved.load(Ordering::Relaxed) < 50 {
            assert!(began.elapsed() < HANG, "{:?}", stats());
            assert!(!gs.iter().any(|g| g.is_finished()), "one panicked");
            gmp_runtime::time::sleep(Duration::from_millis(5));
        }
        enough.store(true, Ordering::Relaxed);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
        (
            stats().get(Tally::AsyncPreempts),
            moved.load(Ordering::Relaxed),
        )
    });
    eprintln!("stopped {stopped} times; {moved} sections ended on another thread");
}

/// The world is stopped again and again, the number of Ps changes, while Gs are in endless loops.
#[test]
fn endless_loops_do_not_hold_up_changes_of_the_number_of_ps() {
    runtime(3, "time_slice=10s").run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Vec<_> = (0..4).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let gs: Vec<_> = rounds
            .iter()
            .map(|rounds| {
                let (rounds, stop) = (Arc::clone(rounds), Arc::clone(&stop));
                // SAFETY: atomics only.
                go(move || unsafe {
                    preemptible(|| {
                        while !stop.load(Ordering::Relaxed) {
                            rounds.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                })
            })
            .collect();
        // With a slice of 10 s nothing but the stops of the world ever stops a loop; each loop runs as soon as there are Ps for all.
        let began = Instant::now();
        set_procs(5);
        while rounds.iter().any(|r| r.load(Ordering::Relaxed) == 0) {
            assert!(began.elapsed() < HANG, "a loop does not run");
            gmp_runtime::yield_now();
        }
        for n in [1, 5, 2, 4, 3, 5] {
            set_procs(n);
            assert!(began.elapsed() < HANG);
        }
        assert!(stats().get(Tally::AsyncPreempts) > 0);
        stop.store(true, Ordering::Relaxed);
        gs.into_iter().for_each(|g| g.join().expect("no panic"));
    });
}

#[test]
fn a_value_comes_out_and_outside_a_runtime_it_is_a_call() {
    // SAFETY: it moves a value.
    assert_eq!(unsafe { preemptible(|| 7) }, 7);
    let word = runtime(1, "").run(|| {
        let word = String::from("moved");
        // SAFETY: it moves a value.
        unsafe { preemptible(move || word) }
    });
    assert_eq!(word, "moved");
}

static FOREIGN: AtomicU32 = AtomicU32::new(0);

extern "C" fn count_foreign(_signal: libc::c_int) {
    // SAFETY: the address of this thread's errno is valid.
    unsafe { *libc::__errno_location() = libc::EXDEV };
    FOREIGN.fetch_add(1, Ordering::Relaxed);
}

/// A program that has a handler of its own for SIGURG gets its signals, and none of ours.
#[test]
fn signals_of_others_reach_the_handler_that_was_there_before() {
    const NAME: &str = "signals_of_others_reach_the_handler_that_was_there_before";
    if !is_part(NAME) {
        succeed(&mut command(NAME, NAME));
        return;
    }
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(libc::SIGURG, count_foreign as *const () as usize) };
    runtime(1, "time_slice=1ms").run(|| {
        let stop = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stop);
        // SAFETY: an atomic only.
        let hog = go(move || unsafe {
            preemptible(|| while !theirs.load(Ordering::Relaxed) {});
        });
        let began = Instant::now();
        while stats().get(Tally::AsyncPreempts) < 3 {
            assert!(began.elapsed() < HANG, "{:?}", stats());
            gmp_runtime::yield_now();
        }
        assert_eq!(FOREIGN.load(Ordering::Relaxed), 0, "one of ours");
        // To this thread, to the process, and to the kernel's choice: each is waited for, because a second one would be merged with it.
        for send in [
            // SAFETY: no memory is passed, and the address of this thread's errno is valid.
            || unsafe {
                *libc::__errno_location() = libc::EDOM;
                let sent = libc::raise(libc::SIGURG);
                // It arrives before `raise` returns, and a careless handler leaves no trace.
                assert_eq!(*libc::__errno_location(), libc::EDOM);
                sent
            },
            // SAFETY: as above.
            || unsafe { libc::kill(libc::getpid(), libc::SIGURG) },
        ] {
            let before = FOREIGN.load(Ordering::Relaxed);
            assert_eq!(send(), 0);
            while FOREIGN.load(Ordering::Relaxed) == before {
                assert!(began.elapsed() < HANG, "it does not arrive");
                gmp_runtime::yield_now();
            }
        }
        assert_eq!(FOREIGN.load(Ordering::Relaxed), 2);
        stop.store(true, Ordering::Relaxed);
        hog.join().expect("no panic");
    });
}

/// Another signal's handler that runs on top of the section is not suspended, although the section is to be stopped.
#[test]
fn a_handler_of_another_signal_is_left_alone() {
    const NAME: &str = "a_handler_of_another_signal_is_left_alone";
    if !is_part(NAME) {
        succeed(&mut command(NAME, NAME));
        return;
    }
    static INSIDE: AtomicU32 = AtomicU32::new(0);
    static LEAVE: AtomicBool = AtomicBool::new(false);
    static LEFT_ON: AtomicU32 = AtomicU32::new(0);
    extern "C" fn stays(_signal: libc::c_int) {
        INSIDE.store(tid() as u32, Ordering::Release);
        while !LEAVE.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
        LEFT_ON.store(tid() as u32, Ordering::Release);
    }
    static ON: AtomicU32 = AtomicU32::new(0);
    static STOP: AtomicBool = AtomicBool::new(false);
    let wait = |what: &str, until: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !until() {
            assert!(began.elapsed() < HANG, "{what}: {:?}", stats());
            std::thread::yield_now();
        }
    };
    // SAFETY: the handler touches atomics only.
    unsafe { libc::signal(libc::SIGUSR1, stays as *const () as usize) };
    // No slice ends, so the loop stays on its thread until the world is stopped.
    let runs = std::thread::spawn(|| {
        runtime(2, "time_slice=10s").run(|| {
            let g = go(|| {
                // SAFETY: atomics and a system call that the kernel answers at once.
                unsafe {
                    preemptible(|| {
                        // In the section: the other signal must find it there.
                        ON.store(tid() as u32, Ordering::Release);
                        while !STOP.load(Ordering::Relaxed) {
                            std::hint::spin_loop();
                        }
                    });
                }
            });
            g.join().expect("no panic");
        });
    });
    wait("the loop", &|| ON.load(Ordering::Acquire) != 0);
    let on = ON.load(Ordering::Relaxed);
    // SAFETY: no memory is passed.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), on, libc::SIGUSR1) };
    wait("the handler", &|| INSIDE.load(Ordering::Acquire) == on);
    let resizes = std::thread::spawn(|| set_procs(3));
    // The third is sent when the second has arrived, and each found the other handler.
    wait("signals", &|| stats().get(Tally::PreemptSignals) >= 3);
    assert!(!resizes.is_finished());
    LEAVE.store(true, Ordering::Release);
    wait("its end", &|| LEFT_ON.load(Ordering::Acquire) == on);
    resizes.join().expect("no panic");
    assert_eq!(stats().get(Tally::AsyncPreempts), 1);
    STOP.store(true, Ordering::Relaxed);
    runs.join().expect("no panic");
}

/// The end of a runtime does not wait for a loop that never ends.
#[test]
fn a_runtime_ends_although_a_g_loops_for_ever() {
    const NAME: &str = "a_runtime_ends_although_a_g_loops_for_ever";
    if !is_part(NAME) {
        succeed(&mut command(NAME, NAME));
        return;
    }
    runtime(2, "").run(|| {
        let began = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&began);
        go(move || {
            theirs.store(true, Ordering::Relaxed);
            // SAFETY: it does nothing.
            unsafe {
                preemptible(|| {
                    #[allow(clippy::empty_loop, reason = "that is the point")]
                    loop {}
                })
            }
        });
        while !began.load(Ordering::Relaxed) {
            gmp_runtime::yield_now();
        }
    });
}

/// A debug build ends the program when the contract is broken in a way that it can see.
#[cfg(debug_assertions)]
#[test]
fn a_call_into_the_runtime_from_inside_ends_a_debug_build() {
    const NAME: &str = "a_call_into_the_runtime_from_inside_ends_a_debug_build";
    if is_part(NAME) {
        // SAFETY: it is not; that is the point.
        runtime(1, "").run(|| unsafe { preemptible(checkpoint) });
        return;
    }
    let output = command(NAME, NAME).output().expect("it starts");
    let said = stderr(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
    assert!(
        said.contains("G1 calls into the runtime from inside of `preemptible`"),
        "{said}"
    );
}
