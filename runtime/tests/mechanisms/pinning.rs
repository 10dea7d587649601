//! `pin`: on which CPU an M runs while it holds a P, as `/proc` says it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gmp_runtime::{Tally, blocking, go};
use gmp_testing::Recording;
use gmp_testing::program::{command, part, stderr, succeed};
use gmp_trace::spool::tables::Entry;
use gmp_trace::version::info;

use crate::{count, run};

/// The CPUs that the calling thread may use, as the kernel lists them: `0-3,8`.
fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("readable");
    let list = status
        .lines()
        .find_map(|l| l.strip_prefix("Cpus_allowed_list:"));
    list.expect("a list").trim().to_owned()
}

/// The numbers of such a list.
fn cpus(list: &str) -> Vec<u32> {
    let number = |text: &str| text.parse::<u32>().expect("a number");
    list.split(',')
        .flat_map(|part| match part.split_once('-') {
            Some((first, last)) => number(first)..=number(last),
            None => number(part)..=number(part),
        })
        .collect()
}

/// What as many Gs as Ps may use, all of them running at the same time.
fn all_at_once(procs: usize) -> Vec<String> {
    let there = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = |there: Arc<AtomicUsize>, seen: Arc<Mutex<Vec<String>>>| {
        move || {
            // No call into the runtime, so that no two of them share a P.
            there.fetch_add(1, Ordering::SeqCst);
            while there.load(Ordering::SeqCst) < procs {
                std::thread::yield_now();
            }
            seen.lock().expect("no panic").push(allowed());
        }
    };
    let others: Vec<_> = (1..procs)
        .map(|_| go(look(Arc::clone(&there), Arc::clone(&seen))))
        .collect();
    look(there, Arc::clone(&seen))();
    others.into_iter().for_each(|g| g.join().expect("no panic"));
    let mut seen = seen.lock().expect("no panic");
    std::mem::take(&mut *seen)
}

#[test]
fn without_the_policy_an_m_may_use_every_cpu_of_the_process() {
    let ours = allowed();
    let seen = run(2, "default", || all_at_once(2));
    assert_eq!(seen, [ours.clone(), ours]);
}

#[test]
fn ps_that_are_busy_at_once_have_cpus_of_their_own() {
    let ours = cpus(&allowed());
    for policy in ["pin=core", "pin=smt"] {
        for procs in 1..=ours.len().min(4) {
            let seen = run(procs, policy, move || all_at_once(procs));
            let used: BTreeSet<u32> = seen
                .iter()
                .map(|s| s.parse().expect("one CPU, not a list"))
                .collect();
            assert_eq!(used.len(), procs, "{policy} with {procs} Ps: {seen:?}");
            if policy == "pin=core" {
                assert!(used.iter().eq(&ours[..procs]), "{used:?} of {ours:?}");
            }
        }
    }
}

#[test]
fn more_ps_than_cpus_share_them_evenly() {
    let ours = cpus(&allowed()).len();
    // On a larger machine this many threads that wait for one another in a loop are no test.
    if ours > 8 {
        return;
    }
    let seen = run(2 * ours, "pin=core", move || all_at_once(2 * ours));
    let used: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(used.len(), ours);
    for cpu in used {
        assert_eq!(seen.iter().filter(|s| *s == cpu).count(), 2, "{seen:?}");
    }
}

#[test]
fn an_m_that_takes_another_p_goes_to_its_cpu() {
    let ours = cpus(&allowed());
    let procs = ours.len().min(2);
    run(procs, "pin=core", move || {
        for _ in 0..50 {
            // Each call loses its P, and takes the one that is idle when it comes back; several Ms are made for that.
            let gs: Vec<_> = (0..6)
                .map(|_| go(|| (0..3).for_each(|_| blocking(std::thread::yield_now))))
                .collect();
            gs.into_iter().for_each(|g| g.join().expect("no panic"));
            let mut used = all_at_once(procs);
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), procs, "{used:?}");
        }
        assert!(count(Tally::Handoffs) > 0);
    });
}

#[test]
fn the_recording_says_which_cpus_they_are() {
    const TEST: &str = "pinning::the_recording_says_which_cpus_they_are";
    if let Some(policy) = part() {
        return run(2, &policy, || ());
    }
    let stated = |policy| {
        let recording = Recording::whole(&mut command(TEST, policy));
        recording.spool.entries.iter().find_map(|e| match e {
            Entry::Info { key, value } if key == info::PINNED_CPUS => Some(value.clone()),
            _ => None,
        })
    };
    assert_eq!(stated("default"), None);
    let ours: Vec<_> = cpus(&allowed()).iter().map(u32::to_string).collect();
    assert_eq!(stated("pin=core"), Some(ours.join(",")));
}

/// Makes the kernel refuse to bind a thread of this process from now on.
fn refuse_affinity() {
    let op = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    let mut code = [
        // The number of the system call is the first word of what the filter sees.
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_sched_setaffinity as u32,
        ),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, refused),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: code.len() as u16,
        filter: code.as_mut_ptr(),
    };
    // SAFETY: the program is valid for the call, which copies it.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const program,
            ) == 0
    };
    assert!(done, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_kernel_that_refuses_is_reported_once_and_the_program_goes_on() {
    const TEST: &str = "pinning::a_kernel_that_refuses_is_reported_once_and_the_program_goes_on";
    let Some(policy) = part() else {
        let said = stderr(&succeed(&mut command(TEST, "pin=core")));
        assert_eq!(said.matches("cannot be pinned").count(), 1, "{said}");
        return;
    };
    let ours = allowed();
    refuse_affinity();
    let seen = run(3, &policy, || all_at_once(3));
    assert_eq!(seen, [ours.clone(), ours.clone(), ours]);
}
