//! `syscall` and `syscall_after`: when the P of a G in a system call goes to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use gmp_runtime::{Tally, blocking, go, procs, set_procs, syscall};
use gmp_testing::program::{command, part, succeed};
use gmp_testing::threads::rounds_of_sysmon;

use crate::{count, run};

/// Waits until sysmon has looked so often that it would have taken a P that it may take. For a process with one runtime.
fn sysmon_looks_often() {
    let before = rounds_of_sysmon();
    while rounds_of_sysmon() < before + 60 {
        std::thread::yield_now();
    }
}

#[test]
fn sysmon_takes_the_p_of_a_call_that_others_wait_for() {
    for policy in ["default", "syscall=0us", "syscall_after=1ms"] {
        let retakes = run(1, policy, || {
            let (tx, rx) = mpsc::channel();
            let other = go(move || tx.send(()).expect("somebody receives"));
            // It ends only if the other G runs meanwhile, on the one P.
            syscall(|| rx.recv()).expect("sent");
            other.join().expect("no panic");
            count(Tally::Retakes)
        });
        assert!(retakes >= 1, "{policy}");
    }
}

#[test]
fn every_call_hands_its_p_off_at_once() {
    run(1, "syscall=at_once", || {
        (0..100).for_each(|_| syscall(|| ()));
        assert_eq!(count(Tally::SyscallEnters), 100);
        assert_eq!(count(Tally::SyscallExitsBlocked), 100);
        assert_eq!(count(Tally::Handoffs), 100);
        assert_eq!(count(Tally::Retakes), 0);
    });
}

#[test]
fn no_call_gives_its_p_away_though_others_wait() {
    const TEST: &str = "syscalls::no_call_gives_its_p_away_though_others_wait";
    let Some(policy) = part() else {
        succeed(&mut command(TEST, "syscall=never"));
        return;
    };
    run(1, &policy, || {
        let ran = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&ran);
        let other = go(move || theirs.store(true, Ordering::SeqCst));
        syscall(|| {
            sysmon_looks_often();
            assert!(!ran.load(Ordering::SeqCst));
        });
        assert_eq!(count(Tally::SyscallExits), 1);
        assert_eq!(count(Tally::Retakes) + count(Tally::Handoffs), 0);
        other.join().expect("no panic");
    });
}

#[test]
fn a_call_that_is_known_to_block_gives_its_p_away_under_every_policy() {
    for policy in ["default", "syscall=never", "syscall=at_once"] {
        run(1, policy, || {
            let (tx, rx) = mpsc::channel();
            go(move || tx.send(()).expect("somebody receives"));
            blocking(|| rx.recv()).expect("sent");
        });
    }
}

#[test]
fn a_p_that_stays_with_its_call_is_stopped_with_the_world() {
    const TEST: &str = "syscalls::a_p_that_stays_with_its_call_is_stopped_with_the_world";
    // A program of its own: the thread below means the last runtime that was started.
    let Some(policy) = part() else {
        succeed(&mut command(TEST, "syscall=never"));
        return;
    };
    run(1, &policy, || {
        // A call that waits for the world to stop, and for another G, which the stop lets run.
        let (tx, rx) = mpsc::channel();
        let other = go(move || tx.send(()).expect("somebody receives"));
        syscall(|| {
            let resizer = std::thread::spawn(|| set_procs(2));
            assert_eq!(resizer.join().expect("no panic"), 1);
            rx.recv().expect("sent");
        });
        assert_eq!(procs(), 2);
        assert_eq!(count(Tally::Retakes), 1);
        other.join().expect("no panic");
    });
}

#[test]
fn a_p_that_is_needed_stays_as_long_as_syscall_after_says() {
    const TEST: &str = "syscalls::a_p_that_is_needed_stays_as_long_as_syscall_after_says";
    let Some(policy) = part() else {
        succeed(&mut command(TEST, "syscall_after=10s"));
        return;
    };
    run(1, &policy, || {
        let ran = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&ran);
        let other = go(move || theirs.store(true, Ordering::SeqCst));
        syscall(|| {
            sysmon_looks_often();
            assert!(!ran.load(Ordering::SeqCst));
        });
        assert_eq!(count(Tally::Retakes), 0);
        other.join().expect("no panic");
    });
}
