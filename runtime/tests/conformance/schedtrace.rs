//! `GMP_DEBUG=schedtrace`: what is printed, and how it looks. The format is Go's.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use gmp_runtime::{Builder, channel, go, lock_os_thread};
use gmp_testing::program::{command, is_part};

/// Waits for ever; a locked G and another wait too. The thread that holds the sender keeps it from being a deadlock.
fn waits() {
    // SAFETY: nothing bound to a thread is held over a call into the runtime.
    unsafe { Builder::new() }.procs(2).run(|| {
        let (tx, rx) = channel::<u32>(0);
        let theirs = rx.clone();
        go(move || {
            lock_os_thread();
            theirs.recv()
        });
        std::thread::spawn(move || {
            std::thread::park();
            drop(tx);
        });
        let _ = rx.recv();
    });
}

/// The lines that the program prints, until `enough` has seen what it wants.
fn lines(test: &str, debug: &str, mut enough: impl FnMut(&str) -> bool) -> Vec<String> {
    let mut child = command(test, "waits")
        .env("GMP_DEBUG", debug)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut seen = Vec::new();
    for line in BufReader::new(child.stderr.take().expect("piped")).lines() {
        let line = line.expect("text");
        let is_enough = enough(&line);
        seen.push(line);
        if is_enough {
            break;
        }
    }
    child.kill().expect("it runs");
    child.wait().expect("a child");
    seen
}

/// However short the program, one line is there.
#[test]
fn the_first_line_is_printed_at_once() {
    let seen = lines(
        "schedtrace::a_line_every_so_often_says_the_state_of_the_scheduler",
        "schedtrace=1000000000",
        |line| line.starts_with("SCHED"),
    );
    let first = seen.last().expect("a line");
    assert!(first.contains("ms: gomaxprocs=2 "), "{seen:?}");
}

/// The values of `key=value` in a line, by their keys in order.
fn values(line: &str) -> Vec<(&str, &str)> {
    line.split_whitespace()
        .filter_map(|word| word.split_once('='))
        .collect()
}

fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let values = values(line);
    let found = values.iter().find(|(k, _)| *k == key);
    found.unwrap_or_else(|| panic!("no {key} in {line}")).1
}

#[test]
fn a_line_every_so_often_says_the_state_of_the_scheduler() {
    if is_part("waits") {
        return waits();
    }
    let mut count = 0;
    // All Ps become idle, and sysmon goes on printing.
    let seen = lines(
        "schedtrace::a_line_every_so_often_says_the_state_of_the_scheduler",
        "schedtrace=10",
        |line| {
            count += usize::from(line.contains(" idleprocs=2 "));
            count == 3
        },
    );
    let trace: Vec<_> = seen.iter().filter(|l| l.starts_with("SCHED ")).collect();
    let line = trace.last().expect("a line");
    let keys: Vec<_> = values(line).into_iter().map(|(k, _)| k).collect();
    let want = [
        "gomaxprocs",
        "idleprocs",
        "threads",
        "spinningthreads",
        "needspinning",
        "idlethreads",
        "runqueue",
        "schedticks",
    ];
    assert_eq!(keys, want, "{line}");
    assert_eq!(value(line, "gomaxprocs"), "2");
    let (time, rest) = line["SCHED ".len()..].split_once("ms: ").expect("a time");
    time.parse::<u64>().expect("milliseconds");
    assert!(rest.contains(" runqueue=0 [ 0 0 ] schedticks=[ "), "{line}");
    assert!(line.ends_with(" ]"), "{line}");
    let times: Vec<u64> = trace
        .iter()
        .map(|l| l["SCHED ".len()..].split_once("ms").expect("a time").0)
        .map(|t| t.parse().expect("milliseconds"))
        .collect();
    assert!(times.windows(2).all(|w| w[1] >= w[0] + 9), "{times:?}");
}

#[test]
fn in_detail_each_p_m_and_g_has_a_line() {
    if is_part("waits") {
        return waits();
    }
    let (mut rests, mut ends, mut waiting) = (false, false, 0);
    let seen = lines(
        "schedtrace::in_detail_each_p_m_and_g_has_a_line",
        "schedtrace=10,scheddetail=1",
        |line| {
            // Until a whole block in which both wait and all that could run has come to rest.
            if line.starts_with("SCHED ") {
                ends = rests && waiting == 2;
                rests = line.contains(" idleprocs=2 ") && line.contains(" nmidlelocked=1 ");
                waiting = 0;
            }
            waiting += usize::from(line.contains("status=4(chan receive)"));
            ends
        },
    );
    let blocks: Vec<usize> = (0..seen.len())
        .filter(|i| seen[*i].starts_with("SCHED "))
        .collect();
    let [.., from, to] = blocks[..] else {
        panic!("{seen:?}")
    };
    let block = &seen[from..to];
    for key in ["gcwaiting", "nmidlelocked", "stopwait", "sysmonwait"] {
        value(&block[0], key);
    }
    assert_eq!(value(&block[0], "nmidlelocked"), "1");
    let of = |kind: &str| -> Vec<&str> {
        let lines = block[1..].iter().map(String::as_str);
        lines
            .filter(|l| l.starts_with(&format!("  {kind}")))
            .collect()
    };
    let keys = |line: &str| -> String {
        let keys: Vec<_> = values(line)
            .into_iter()
            .map(|(k, _)| k.to_owned())
            .collect();
        keys.join(" ")
    };
    assert_eq!(of("P").len(), 2);
    for p in of("P") {
        let want = "status schedtick syscalltick m runqsize gfreecnt timerslen";
        assert_eq!(keys(p), want);
        assert_eq!((value(p, "status"), value(p, "m")), ("0", "nil"));
    }
    for m in of("M") {
        let want = "p curg mallocing throwing preemptoff locks dying spinning blocked lockedg";
        assert_eq!(keys(m), want);
    }
    let locked: Vec<_> = of("M")
        .into_iter()
        .filter(|m| value(m, "lockedg") != "nil")
        .collect();
    assert_eq!(locked.len(), 1);
    assert_eq!(value(locked[0], "blocked"), "true");
    let gs = of("G");
    assert_eq!(gs.len(), 2);
    let locked_g = value(locked[0], "lockedg");
    for g in gs {
        assert!(g.contains("status=4(chan receive) m=nil lockedm="), "{g}");
        let is_locked = g.starts_with(&format!("  G{locked_g}:"));
        assert_eq!(value(g, "lockedm") != "nil", is_locked, "{g}");
    }
}

#[test]
fn options_that_are_not_known_are_ignored_with_a_warning() {
    if is_part("waits") {
        return waits();
    }
    let seen = lines(
        "schedtrace::options_that_are_not_known_are_ignored_with_a_warning",
        "gctrace=1,schedtrace=10",
        |line| line.starts_with("SCHED "),
    );
    assert!(
        seen[0].starts_with("gmp: warning: GMP_DEBUG: ignored: no option `gctrace`"),
        "{seen:?}"
    );
}
