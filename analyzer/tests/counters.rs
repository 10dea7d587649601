//! Perf counters through the real programs: exact totals, estimates, and values of single intervals.

mod recording;

use recording::Recording;
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
    assert_eq!(clock["low"], clock["high"]);
    // A G is charged by the kernel for no more than the time it had a thread, and for the readings themselves.
    let total = clock["total"].as_f64().expect("a number");
    let running = counters["running_ns"].as_f64().expect("a number");
    assert!(total > 0.0, "{total} of {running}");
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

#[test]
fn a_sample_is_an_estimate_with_its_interval() {
    let r = recorded("auto");
    let counters = counters(&r);
    let Some(clock) = counter(&counters, "task-clock") else {
        return says_why(&r);
    };
    let number = |of: &Value| of.as_f64().expect("a number");
    assert!(number(&clock["n"]) <= number(&counters["intervals"]));
    if clock["exact"] == false && number(&clock["n"]) > 1.0 {
        let (low, total, high) = (
            number(&clock["low"]),
            number(&clock["total"]),
            number(&clock["high"]),
        );
        assert!(low <= total && total <= high && low < high);
    }
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

/// A machine on which nothing can be counted.
fn says_why(r: &Recording) {
    let reason = "SELECT count(*) FROM run WHERE counters_reason IS NOT NULL";
    assert_eq!(r.number(reason), 1);
}
