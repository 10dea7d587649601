//! The table in `README.md` is complete, and every test that it names exists.

use std::collections::BTreeSet;
use std::path::Path;

/// Go's tests of its scheduler, channels, timers, locks and network. A star stands for a family, of which one row is enough.
const GO: &[&str] = &[
    "StopTheWorldDeadlock",
    "YieldProgress",
    "YieldLockedProgress",
    "YieldLocked",
    "GoroutineParallelism",
    "GoroutineParallelism2",
    "BlockLocked",
    "TimerFairness",
    "TimerFairness2",
    "Preemption",
    "PreemptionGC",
    "PreemptSplitBig",
    "AsyncPreempt",
    "GCFairness",
    "GCFairness2",
    "NumGoroutine",
    "PingPongHog",
    "SchedLocalQueue",
    "SchedLocalQueueSteal",
    "SchedLocalQueueEmpty",
    "StealOrder",
    "LockOSThreadNesting",
    "LockOSThreadExit",
    "LockOSThreadAvoidsStatePropagation",
    "TemplateThreadRace",
    "Vgetrandom",
    "PreemptionAfterSyscall",
    "NetpollBreak",
    "BigGOMAXPROCS",
    "TraceSTW",
    "TraceGCSTW",
    "MexitSTW",
    "SimpleDeadlock",
    "InitDeadlock",
    "LockedDeadlock",
    "GoexitDeadlock",
    "ThreadExhaustion",
    "NetpollDeadlock",
    "NetpollWaiters",
    "SemaHandoff",
    "ReadMetricsSched",
    "SchedPauseMetrics",
    "CgroupGOMAXPROCS*",
    "Chan",
    "NonblockRecvRace",
    "NonblockSelectRace",
    "NonblockSelectRace2",
    "SelfSelect",
    "SelectStress",
    "SelectFairness",
    "PseudoRandomSend",
    "MultiConsumer",
    "SelectDuplicateChannel",
    "ChanSendInterface",
    "ShrinkStackDuringBlockedSend",
    "NoShrinkStackWhileParking",
    "SelectStackAdjust",
    "Sleep",
    "AfterFunc",
    "AfterFuncStarvation",
    "TickerStress",
    "TickerConcurrentStress",
    "MultiWakeupTicker",
    "MultiWakeupTimer",
    "AfterQueuing",
    "TimerStopStress",
    "SleepZeroDeadlock",
    "Reset",
    "StopResult",
    "ResetResult",
    "OverflowSleep",
    "OverflowPeriodRuntimeTimer",
    "ZeroTimer",
    "TimerModifiedEarlier",
    "AdjustTimers",
    "LongAdjustTimers",
    "time.Chan",
    "TimerGC",
    "AfterTimes",
    "TickTimes",
    "NewTickerLtZero",
    "TickerResetLtZero",
    "ZeroTimerStopPanics",
    "ZeroTimerResetPanics",
    "Tick(-1)",
    "AcceptTimeout",
    "ReadTimeout",
    "WriteTimeout",
    "ReadFromTimeout",
    "WriteToTimeout",
    "AcceptTimeoutMustReturn",
    "ReadTimeoutMustReturn",
    "WriteTimeoutMustReturn",
    "AcceptTimeoutMustNotReturn",
    "ReadTimeoutMustNotReturn",
    "WriteTimeoutMustNotReturn",
    "AcceptTimeoutFluctuation",
    "ReadTimeoutFluctuation",
    "WriteTimeoutFluctuation",
    "VariousDeadlines1Proc",
    "VariousDeadlines4Proc",
    "ReadWriteProlongedTimeout",
    "ReadWriteDeadlineRace",
    "ConcurrentSetDeadline",
    "NonpollableDeadline",
    "RacyRead",
    "RacyWrite",
    "FifoEOF",
    "NonPollable",
    "NewFileNonBlocking",
    "Mutex",
    "MutexFairness",
    "MutexMisuse",
    "Semaphore",
    "WaitGroup*",
    "Cond*",
    "RWMutex*",
    "CPUMetricsSleep",
    "MutexWaitTimeMetric",
];

/// One row: Go's tests, and ours or the reason why there is none.
struct Row {
    go: BTreeSet<String>,
    ours: String,
}

fn rows(table: &str) -> Vec<Row> {
    table
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [go, _, ours] = cells[..] else {
                panic!("a row has three cells: {line}");
            };
            let is_head = go == "Go's test" || go.starts_with("---");
            (!is_head).then(|| Row {
                go: go
                    .split([',', ' ', '/'])
                    .filter(|name| !name.is_empty())
                    .map(str::to_owned)
                    .collect(),
                ours: ours.to_owned(),
            })
        })
        .collect()
}

fn table() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/README.md");
    rows(&std::fs::read_to_string(path).expect("the table"))
}

/// Whether a row of the table is about this test. Long names may be said with what Go puts before them, or with a star for what comes after.
fn names(row: &Row, go: &str) -> bool {
    row.go.iter().any(|name| {
        let beginning = name.trim_end_matches('*');
        match go.strip_suffix('*') {
            Some(family) => beginning.starts_with(family),
            None => {
                name == go
                    || (go.len() > 8 && name.ends_with(go))
                    || (name.ends_with('*') && go.starts_with(beginning))
            }
        }
    })
}

#[test]
fn every_test_of_gos_has_a_row() {
    let table = table();
    let missing: Vec<_> = GO
        .iter()
        .filter(|go| !table.iter().any(|row| names(row, go)))
        .collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn every_row_names_tests_that_exist_or_a_reason() {
    for row in table() {
        let named: Vec<_> = row.ours.split('`').skip(1).step_by(2).collect();
        if row.ours.starts_with("no meaning here: ") {
            continue;
        }
        assert!(!named.is_empty(), "{:?}: neither test nor reason", row.go);
        for test in named {
            assert!(exists(test), "{:?}: there is no test `{test}`", row.go);
        }
    }
}

/// `module::name` of this crate, `../file.rs` beside it, `path::tests::name` of the runtime or `gmp_policy::path::tests::name`. The path of a unit
/// test is looked for in the names of folders and files, wherever a file keeps its tests.
fn exists(test: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(file) = test.strip_prefix("../") {
        return root.join("tests").join(file).is_file();
    }
    let Some((path, name)) = test.rsplit_once("::") else {
        return false;
    };
    let candidates = match (path.split_once("::"), path.strip_suffix("::tests")) {
        (None, _) => vec![root.join("tests/conformance").join(format!("{path}.rs"))],
        (Some(_), Some(path)) => {
            let (folder, path) = match path.strip_prefix("gmp_policy::") {
                Some(path) => (root.join("policy/src"), path),
                None => (root.join("src"), path),
            };
            let mut files = sources(&[folder]);
            files.retain(|file| path.split("::").all(|part| has_part(file, part)));
            files
        }
        (Some(_), None) => return false,
    };
    let function = format!("fn {name}(");
    candidates
        .iter()
        .any(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains(&function)))
}

/// Whether a folder or the file itself is called so.
fn has_part(file: &Path, part: &str) -> bool {
    file.with_extension("").iter().any(|name| name == part)
}

fn sources(folders: &[std::path::PathBuf]) -> Vec<std::path::PathBuf> {
    let (mut found, mut left) = (Vec::new(), folders.to_vec());
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found
}
