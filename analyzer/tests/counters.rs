//! Perf counters through the real programs: exact totals, estimates, and values of single intervals.

mod recording;

use std::process::Command;

use recording::{Recording, binaries};
use serde_json::Value;

/// A program whose Gs compute, so that run intervals have something to count.
const PROGRAM: &[&str] = &["fork-join"];

fn recorded(every: &str) -> Recording {
    Recording::of(&["--procs", "2", "--counters-every", every], PROGRAM)
}

fn counters(r: &Recording) -> Value {
    r.json(&["--report", "stats", "--json"])["processes"][0]["counters"].clone()
}

/// A counter by its name, if this machine has it.
fn counter<'a>(counters: &'a Value, name: &str) -> Option<&'a Value> {
    let all = counters["counters"].as_array()?;
    all.iter()
        .find(|c| c["name"] == name && c["available"] == true)
}

#[test]
fn every_switch_is_exact_and_agrees_with_the_time_that_gs_ran() {
    let r = recorded("switch");
    let counters = counters(&r);
    let Some(clock) = counter(&counters, "task-clock") else {
        return says_why(&r);
    };
    assert_eq!(clock["exact"], true, "{clock}");
    assert_eq!(clock["n"], counters["intervals"]);
    // A G has a CPU for no more than the time that it runs; what the readings cost is not in it, and is known from a few null readings only.
    let number = |field: &str| clock[field].as_f64().expect("a number");
    let total = number("total");
    assert!(number("low") < total && total <= number("high"), "{clock}");
    let running = counters["running_ns"].as_f64().expect("a number");
    assert!(
        0.0 < total && total <= running + 1.0,
        "{total} of {running}"
    );
    let all_ms = clock["all_ms"].as_f64().expect("every M ended");
    assert!(total <= all_ms, "{total} of {all_ms}");
    assert!(clock["null_readings"].as_f64().is_some_and(|n| n > 1.0));
    assert!(counters["reading_ns"].as_f64().is_some_and(|ns| ns > 0.0));
    let sites = counters["sites"].as_array().expect("sites");
    let by_site: f64 = sites
        .iter()
        .filter_map(|s| counter(s, "task-clock")?["total"].as_f64())
        .sum();
    assert!((by_site / total - 1.0).abs() < 1e-9);
    // The single intervals say the same, but for those with a system call in them.
    r.text(&["--intervals"]);
    let index = r.number("SELECT counter FROM counter_def WHERE name = 'task-clock'");
    let single = r.number(&format!(
        "SELECT CAST(sum(c{index}) AS INTEGER) FROM g_interval WHERE state = 'running'"
    ));
    assert!(
        single > 0 && single as f64 <= total + 1.0,
        "{single} of {total}"
    );
    let calls = r.number("SELECT count(*) FROM g_interval WHERE state = 'syscall'");
    let unread = r.number(&format!(
        "SELECT count(*) FROM g_interval WHERE state = 'running' AND c{index} IS NULL"
    ));
    assert!(
        unread <= 2 * calls + 2,
        "{unread} without a value, {calls} calls"
    );
}

/// Half a million intervals of some hundred ns, each read at a cost of a microsecond or more.
#[test]
fn a_sample_of_short_intervals_holds_no_readings() {
    let r = Recording::of(&["--procs", "2"], &["yield"]);
    let counters = counters(&r);
    let Some(clock) = counter(&counters, "task-clock") else {
        return says_why(&r);
    };
    let number = |of: &Value| of.as_f64().expect("a number");
    assert_eq!(clock["exact"], false);
    assert!(number(&clock["n"]) < 0.1 * number(&counters["intervals"]));
    let (low, high) = (number(&clock["low"]), number(&clock["high"]));
    let running = number(&counters["running_ns"]);
    assert!(0.0 <= low && low <= high, "{clock}");
    // On a busy machine most of the time may be in a few intervals that wait for a CPU: then there are limits only.
    if let Some(total) = clock["total"].as_f64() {
        assert!(low <= total && total <= high, "{clock}");
    }
    // How much less it is than the time that passed depends on what else the machine does; it is never more.
    assert!(high <= running + 1.0, "{clock} of {running}");
    assert!(high <= number(&clock["all_ms"]));
    // What is left of the readings after that is what they would have added.
    assert!(number(&counters["reading_ns"]) > 0.0);
}

/// What a main G does in one interval, no sample shows; all Ms together do.
#[test]
fn page_faults_are_estimated_or_bounded_and_all_of_them_are_known() {
    let r = Recording::of(&["--procs", "2"], &["steal-imbalance"]);
    let counters = counters(&r);
    let Some(faults) = counter(&counters, "page-faults") else {
        return says_why(&r);
    };
    let number = |of: &Value| of.as_f64().expect("a number");
    let (low, high) = (number(&faults["low"]), number(&faults["high"]));
    let all_ms = number(&faults["all_ms"]);
    assert!(low <= high && high <= all_ms && all_ms > 0.0, "{faults}");
    if faults["total"].is_null() {
        assert!(high == all_ms && faults["why"].is_string(), "{faults}");
    }
    // The same from the readings themselves, null readings and the last ones included.
    let index = r.number("SELECT counter FROM counter_def WHERE name = 'page-faults'");
    let sum = r.number(&format!("SELECT sum(c{index}) FROM counter"));
    assert!((all_ms - sum as f64).abs() < 0.5, "{all_ms}, {sum}");
    let text = r.text(&[]);
    assert!(text.contains("all Ms in their whole lives"), "{text}");
    assert!(!text.contains("counted by the kernel"), "{text}");
}

#[test]
fn a_sample_is_an_estimate_with_its_interval() {
    let r = recorded("auto");
    let counters = counters(&r);
    let Some(clock) = counter(&counters, "task-clock") else {
        return says_why(&r);
    };
    let number = |of: &Value| of.as_f64().expect("a number");
    assert!(number(&clock["n"]) <= number(&counters["intervals"]));
    let (low, high) = (number(&clock["low"]), number(&clock["high"]));
    let total = clock["total"].as_f64().unwrap_or(low);
    assert!(low <= total && total <= high);
    let text = r.text(&["--report", "stats"]);
    assert!(
        text.contains("perf counters") && text.contains("task-clock"),
        "{text}"
    );
    assert!(r.text(&[]).contains("task-clock"));
}

#[test]
fn a_counter_that_is_not_there_is_unavailable_with_the_reason() {
    let r = recorded("auto");
    // As on a machine that has none.
    r.tamper("UPDATE counter_def SET available = 0, reason = 'the machine has none'");
    let text = r.text(&["--report", "stats"]);
    let defs = r.number("SELECT count(*) FROM counter_def");
    assert_eq!(text.matches("unavailable").count() as i64, defs, "{text}");
    assert!(defs == 0 || text.contains("the machine has none"));
    assert!(!r.text(&[]).contains("; read in "));
}

/// Whoever has no privileges may count user code only: what leaves the kernel out says so, and the recording is as sound as any.
#[test]
fn an_unprivileged_user_counts_what_is_permitted_and_is_told_the_rest() {
    // In a namespace of its own even root has none. Where that is not permitted, this test's own user records.
    let apart = Command::new("unshare").args(["-U", "true"]).output();
    let apart = apart.is_ok_and(|o| o.status.success());
    let mut command = Command::new(if apart { "unshare" } else { "env" });
    command.args(apart.then_some("-U"));
    command.arg(binaries().join("gmp-record"));
    let r = Recording::none();
    r.record(command, &["--procs", "2"], PROGRAM);
    assert!(r.text(&["--report", "check"]).contains("no violation"));
    let said = r.text(&[]);
    let in_part = "SELECT count(*) FROM counter_def WHERE available = 1 AND reason IS NOT NULL";
    if r.number(in_part) > 0 {
        let told =
            "counters in part: page-faults: user code only: this user may not count the kernel";
        assert!(said.contains(told), "{said}");
        r.tamper("UPDATE counter_def SET available = 0, reason = NULL WHERE reason IS NOT NULL");
        assert_eq!(r.analyze(&["--report", "check"]).status.code(), Some(1));
    }
}

/// A machine on which nothing can be counted.
fn says_why(r: &Recording) {
    let reason = "SELECT count(*) FROM run WHERE counters_reason IS NOT NULL";
    assert_eq!(r.number(reason), 1);
}
