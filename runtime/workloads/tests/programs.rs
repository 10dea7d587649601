//! Every program at small size and several P counts: it must find its own results right and report figures.

use std::process::{Command, Output};

/// A size for each program that takes a moment even without optimisation.
const SIZES: &[(&str, &str)] = &[
    ("parallel-sum", "--numbers 100000"),
    ("worker-pool", "--jobs 500 --rounds 100"),
    ("io-workers", "--tasks 20 --rounds 3"),
    ("sleepers", "--tasks 2000 --sleep-ms 20"),
    ("threads-vs-tasks", "--tasks 50 --trips 200"),
    ("yield-points", "--rounds 20"),
    ("steal-imbalance", "--tasks 300 --heavy 30 --rounds 200"),
    ("syscall-handoff", "--blocked 5 --tasks 20 --rounds 10000"),
    ("netpoll", "--requests 200"),
    ("mixed-io", "--requests 100 --files 5 --bytes 10000"),
    ("hog", "--ms 20"),
    ("queue-overflow", "--tasks 1500"),
    (
        "web-unlimited",
        "--rate 40 --duration-ms 300 --service-ms 5 --service fixed",
    ),
    (
        "web-rate-limited",
        "--rate 100 --duration-ms 300 --service-ms 200 --limit 20",
    ),
    (
        "web-worker-pool",
        "--rate 40 --duration-ms 300 --service-ms 5 --service bimodal --closed 2",
    ),
    ("db-pool", "--requests 100"),
    ("spawn-join", "--tasks 1000"),
    ("yield", "--tasks 20 --yields 50"),
    ("ping-pong", "--trips 500 --pairs 3"),
    ("skynet", "--leaves 1000"),
    ("fork-join", "--n 16 --cutoff 5"),
    ("tcp-echo", "--connections 20 --trips 10"),
];

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gmp-workloads"))
        .args(args)
        .output()
        .expect("it starts")
}

/// The JSON that a program prints.
fn figures(name: &str, size: &str, procs: &str) -> serde_json::Value {
    let mut args = vec![name, "--json", "--procs", procs];
    args.extend(size.split_whitespace());
    let output = run(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} at {procs} Ps: {stderr}");
    assert!(stderr.is_empty(), "{name} at {procs} Ps: {stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn every_program_is_right_at_any_number_of_ps() {
    let list = run(&["--list"]);
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    let mut listed: Vec<_> = list
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    let mut sized: Vec<_> = SIZES.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    sized.sort_unstable();
    assert_eq!(listed, sized);
    for (name, size) in SIZES {
        for procs in ["1", "2", "4"] {
            let value = figures(name, size, procs);
            assert_eq!(value["program"], *name);
            assert!(
                value["figures"].as_object().is_some_and(|f| f.len() >= 3),
                "{value}"
            );
        }
    }
}

#[test]
fn a_full_queue_gives_half_to_the_global_queue() {
    let value = figures("queue-overflow", "--tasks 2000", "1");
    assert_eq!(value["figures"]["Gs per overflow"]["value"], 128.0);
}

#[test]
fn loops_that_may_be_stopped_are_and_compute_the_same() {
    // Four slices for each of two loops on one P: the program itself checks what they compute.
    let value = figures("hog", "--hogs 2 --ms 40 --with preemptible", "1");
    let stopped = value["figures"]["async_preempts"]["value"].as_f64();
    assert!(stopped.is_some_and(|n| n >= 1.0), "{value}");
    let value = figures("hog", "--hogs 2 --ms 40 --with checkpoint", "1");
    assert_eq!(value["figures"]["async_preempts"]["value"], 0.0);
}

#[test]
fn a_limit_in_flight_rejects() {
    let size = "--rate 100 --duration-ms 500 --service-ms 500 --service fixed --limit 10";
    let value = figures("web-rate-limited", size, "2");
    let figure = |name: &str| value["figures"][name]["value"].as_f64().expect("a number");
    assert!(figure("extreme: rejected") > 0.0, "{value}");
    assert!(figure("normal: offered") > 0.0);
}

#[test]
fn percentiles_beyond_the_sample_are_refused() {
    let size = "--rate 40 --duration-ms 300 --service-ms 5 --service fixed";
    let value = figures("web-unlimited", size, "2");
    assert!(value["figures"]["normal: p99.9"].is_null(), "{value}");
    assert!(
        value["remarks"]
            .to_string()
            .contains("too few answers for a p99.9")
    );
}

#[test]
fn mistakes_are_told() {
    let wrong = run(&["skynet", "--leaves", "30"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("no power of ten"));
    assert_eq!(run(&["no-such-program"]).status.code(), Some(2));
}

/// Clients once waited for ever for a server that could not accept them.
#[test]
fn a_server_that_may_open_too_few_files_says_so_and_ends() {
    for name in [
        "io-workers",
        "netpoll",
        "mixed-io",
        "tcp-echo",
        "web-unlimited",
    ] {
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 40; exec \"$@\"", "sh"])
            .args([env!("CARGO_BIN_EXE_gmp-workloads"), name])
            .output()
            .expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
        assert!(stderr.contains("Too many open files"), "{name}: {stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
    }
}
