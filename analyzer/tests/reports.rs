//! The reports as a user meets them, on real recordings: their figures against the database, and what they say to mistakes.

mod recording;

use std::collections::BTreeMap;
use std::process::Command;

use recording::Recording;
use serde_json::Value;

fn imbalance() -> Recording {
    Recording::of(
        &["--procs", "4", "--label", "one"],
        &["steal-imbalance", "--tasks", "300", "--heavy", "30"],
    )
}

#[test]
fn statistics_equal_the_database() {
    let r = imbalance();
    let stats = r.json(&["--report", "stats", "--json"]);
    let process = &stats["processes"][0];
    let number = |sql: &str| r.number(sql);
    assert_eq!(process["events"], number("SELECT count(*) FROM event"));
    assert_eq!(process["gs"], number("SELECT count(*) FROM g"));
    assert_eq!(
        process["latency"]["n"],
        number("SELECT count(*) FROM event WHERE kind = 11")
    );
    let kinds = process["kinds"].as_object().expect("kinds");
    let total: i64 = kinds.values().filter_map(Value::as_i64).sum();
    assert_eq!(total, number("SELECT count(*) FROM event"));
    assert_eq!(
        kinds["start"],
        number("SELECT count(*) FROM event WHERE kind = 11")
    );
    let stolen: i64 = process["steals"]
        .as_array()
        .expect("steals")
        .iter()
        .filter_map(|s| s["gs"].as_i64())
        .sum();
    assert_eq!(stolen, number("SELECT ifnull(sum(n), 0) FROM steal"));
    let longest = number("SELECT max(latency_ns) FROM wakeup");
    let reported = process["latency"]["max_ns"].as_i64().expect("a number");
    // The histogram keeps three digits.
    assert!(
        (reported - longest).abs() as f64 <= 2e-3 * longest as f64,
        "{reported} and {longest}"
    );
    let text = r.text(&["--report", "stats"]);
    assert!(
        text.contains("scheduling latency") && text.contains("steal_imbalance.rs:"),
        "{text}"
    );
}

/// A figure of the whole run among those of a part would be taken for one of the part.
#[test]
fn a_part_of_a_run_has_no_figures_of_all_of_it() {
    let r = imbalance();
    let stats = |part: &[&str]| {
        let json = r.json(&[&["--report", "stats", "--json"], part].concat());
        (json["only"].clone(), json["processes"][0].clone())
    };
    let is_null = |value: &Value, names: &[&str]| names.iter().all(|n| value[n].is_null());
    let of_ms = ["ms_ns", "most_threads", "counters"];
    let of_ps = ["ps_ns", "utilisation"];
    let of_gs = [
        "gs",
        "latency",
        "latency_by_cause",
        "waits",
        "sites",
        "longest_gs",
        "hogs",
    ];
    let (only, all) = stats(&[]);
    assert!(only.is_null());
    for names in [&of_ms[..], &of_ps, &of_gs] {
        assert!(names.iter().all(|n| !all[n].is_null()), "{all}");
    }
    let (only, g) = stats(&["--g", "G1"]);
    assert!(
        only == "G1" && is_null(&g, &of_ms) && is_null(&g, &of_ps),
        "{g}"
    );
    // Its own figures, and none of the 300 Gs that it spawned.
    let starts = r.number("SELECT count(*) FROM event WHERE kind = 11 AND g = 1");
    assert_eq!((&g["gs"], &g["latency"]["n"]), (&1.into(), &starts.into()));
    let (only, p) = stats(&["--p", "P1"]);
    assert!(only == "P1" && is_null(&p, &of_ms), "{p}");
    let ps: Vec<_> = p["ps_ns"].as_object().expect("Ps").keys().collect();
    assert!(ps == ["P1"] && p["utilisation"].is_f64(), "{p}");
    let (only, kind) = stats(&["--kind", "exit"]);
    assert_eq!(only, "exit");
    assert!(is_null(&kind, &of_ms) && is_null(&kind, &of_ps) && is_null(&kind, &of_gs));
    assert!(kind["steals"].is_null() && kind["kinds"]["exit"] == all["kinds"]["exit"]);
    let text = r.text(&["--report", "stats", "--kind", "exit"]);
    assert!(text.contains("left out") && !text.contains("latency (") && !text.contains("\nPs"));
    let text = r.text(&["--kind", "exit"]);
    assert!(
        !text.contains("\n  switches ") && !text.contains("\n  utilisation "),
        "{text}"
    );
    let text = r.text(&["--g", "G1"]);
    assert!(
        text.contains("\n  switches ") && !text.contains("\n  threads "),
        "{text}"
    );
}

#[test]
fn the_summary_and_the_list_name_the_run() {
    let r = imbalance();
    r.again(&["--label", "two"], &["spawn-join", "--tasks", "50"]);
    let summary = r.text(&["--run", "one"]);
    assert!(
        summary.contains("steal-imbalance") && summary.contains("nothing was lost"),
        "{summary}"
    );
    let output = r.analyze(&[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("run 2 (two), the last of 2"));
    let output = r.analyze(&["--run", "one", "--intervals"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("interval tables of run 1; the file has 1 run besides"),
        "{said}"
    );
    let list = r.json(&["--list", "--json"]);
    let labels: Vec<_> = list["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|r| r["label"].clone())
        .collect();
    assert_eq!(labels, ["one", "two"]);
    assert!(r.text(&["--list"]).contains("perfetto"));
}

#[test]
fn every_report_says_what_was_lost() {
    let r = imbalance();
    let noise = |args: &[&str]| String::from_utf8_lossy(&r.analyze(args).stderr).into_owned();
    assert_eq!(noise(&["--report", "events"]), "");
    // What `--on-full drop` leaves; that it counts right is tested with `check`.
    r.tamper("UPDATE run SET lost = 3");
    let loss = "3 events were LOST";
    for kind in ["summary", "stats"] {
        let text = r.text(&["--report", kind]);
        let first = text.lines().take(5).any(|l| l.contains(loss));
        assert!(first, "{kind}: {text}");
        let json = r.json(&["--report", kind, "--json"]);
        assert_eq!(json["lost"], 3, "{kind}");
        assert!(json["quality"].to_string().contains(loss), "{kind}");
    }
    for args in [
        &["--report", "events", "--kind", "exit"][..],
        &["--report", "chrome,perfetto,flamegraph", "-o", "out"],
        &["--intervals"],
    ] {
        let said = noise(args);
        assert_eq!(said.matches(loss).count(), 1, "{args:?}: {said}");
        assert!(said.starts_with("gmp-analyze: warning: run 1: "), "{said}");
    }
    let read = |name: &str| std::fs::read_to_string(r.dir.path().join("out").join(name));
    for name in ["oncpu.svg", "offcpu.svg", "trace.json"] {
        assert!(read(name).expect("readable").contains(loss), "{name}");
    }
}

#[test]
fn events_are_told_in_sentences() {
    let r = imbalance();
    let all = r.text(&["--report", "events"]);
    assert_eq!(
        all.lines().count() as i64,
        r.number("SELECT count(*) FROM event")
    );
    let starts = r.text(&["--report", "events", "--kind", "start"]);
    assert!(starts.lines().all(|l| l.contains(" runs G")), "{starts}");
    let of_g = r.text(&["--report", "events", "--g", "G5"]);
    assert!(
        of_g.contains("G1 spawns G5 at steal_imbalance.rs:") && of_g.contains("G5 ends"),
        "{of_g}"
    );
    let jsonl = r.text(&["--report", "events", "--json", "--kind", "exit"]);
    let exits = jsonl
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .filter(|e| e["panicked"] == 0);
    assert_eq!(
        exits.count() as i64,
        r.number("SELECT count(*) FROM event WHERE kind = 16")
    );
    let middle = r.number("SELECT ts FROM event WHERE kind = 16 LIMIT 1 OFFSET 100");
    let window = format!("{}ns..{}ns", middle - 1_000, middle + 1_000);
    let within = r.text(&["--report", "events", "--window", &window]);
    let sql = format!(
        "SELECT count(*) FROM event WHERE ts BETWEEN {} AND {}",
        middle - 1_000,
        middle + 1_000
    );
    assert_eq!(within.lines().count() as i64, r.number(&sql));
    let none = r.analyze(&["--report", "events", "--g", "G5", "--kind", "procs"]);
    assert!(none.status.success() && none.stdout.is_empty());
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(said.contains("no such event: G5, procs"), "{said}");
}

/// The view and the arrows of the traces are about the same: each start, however the G had become runnable.
#[test]
fn each_start_has_its_wakeup() {
    let r = Recording::of(&["--procs", "2"], &["yield-points", "--rounds", "50"]);
    r.again(
        &["--procs", "2"],
        &["syscall-handoff", "--tasks", "20", "--rounds", "10000"],
    );
    let mut all = 0;
    for run in 1..=2 {
        let number = |sql: &str| r.number(&format!("{sql} AND run = {run}"));
        let starts = number("SELECT count(*) FROM event WHERE kind = 11");
        let started = "SELECT count(*) FROM wakeup WHERE latency_ns IS NOT NULL";
        assert_eq!(number(started), starts);
        let gave_way = number("SELECT count(*) FROM event WHERE kind IN (12, 13, 19)");
        let ways = "SELECT count(*) FROM wakeup WHERE via IN ('yield', 'preempt', 'syscall')";
        assert_eq!(number(ways), gave_way);
        all += gave_way;
    }
    assert!(all > 0);
    assert_eq!(
        r.number("SELECT count(*) FROM wakeup WHERE via IS NULL OR placed IS NULL"),
        0
    );
}

#[test]
fn interval_tables_tile_and_equal_the_events() {
    let r = imbalance();
    r.text(&["--intervals", "--index"]);
    r.text(&["--intervals"]);
    let number = |sql: &str| r.number(sql);
    let gaps = "SELECT count(*) FROM (SELECT from_ts - lag(to_ts) OVER (PARTITION BY g ORDER BY rowid) AS gap FROM g_interval) WHERE gap <> 0";
    assert_eq!(number(gaps), 0);
    let runs = "SELECT count(*) FROM g_interval WHERE state = 'running'";
    assert_eq!(
        number(runs),
        number("SELECT count(*) FROM event WHERE kind IN (11, 18)")
    );
    let negative = "SELECT count(*) FROM (SELECT from_ts, to_ts FROM g_interval UNION ALL SELECT from_ts, to_ts FROM p_interval \
        UNION ALL SELECT from_ts, to_ts FROM m_interval) WHERE to_ts < from_ts";
    assert_eq!(number(negative), 0);
    let sums = "SELECT sum(running) FROM g_summary";
    assert_eq!(
        number(sums),
        number("SELECT sum(to_ts - from_ts) FROM g_interval WHERE state = 'running'")
    );
    assert_eq!(
        number(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name LIKE 'event_by_%'"
        ),
        3
    );
    assert_eq!(
        number("SELECT length FROM queue_length WHERE p IS NULL ORDER BY rowid DESC LIMIT 1"),
        0
    );
}

/// The values of folded lines, summed.
fn folded(r: &Recording, name: &str) -> f64 {
    let text = std::fs::read_to_string(r.dir.path().join("out").join(name)).expect("readable");
    text.lines()
        .map(|l| {
            l.rsplit(' ')
                .next()
                .and_then(|n| n.parse::<f64>().ok())
                .expect("a number")
        })
        .sum()
}

#[test]
fn flamegraphs_add_up_to_the_time_that_passed() {
    let r = imbalance();
    r.text(&["--report", "flamegraph", "-o", "out"]);
    let stats = r.json(&["--report", "stats", "--json"]);
    let sum = |name: &str| -> f64 {
        let sites = stats["processes"][0]["sites"].as_array().expect("sites");
        sites.iter().filter_map(|s| s[name].as_f64()).sum::<f64>() / 1e3
    };
    let on = folded(&r, "oncpu.folded");
    let off = folded(&r, "offcpu.folded");
    let lines = 50.0;
    assert!((on - sum("running_ns")).abs() < lines, "{on}");
    let waited = sum("runnable_ns") + sum("waiting_ns") + sum("syscall_ns");
    assert!((off - waited).abs() < lines, "{off} and {waited}");
    let svg = std::fs::read_to_string(r.dir.path().join("out/offcpu.svg")).expect("readable");
    assert!(svg.contains("steal_imbalance.rs:") && svg.contains("runnable"));
}

/// The events of the Chrome trace by phase.
fn by_phase(trace: &Value) -> BTreeMap<&str, usize> {
    let mut phases = BTreeMap::new();
    for event in trace["traceEvents"].as_array().expect("events") {
        *phases
            .entry(event["ph"].as_str().expect("a phase"))
            .or_default() += 1;
    }
    phases
}

#[test]
fn chrome_traces_hold_every_interval_and_arrow() {
    let r = imbalance();
    r.text(&["--intervals"]);
    r.text(&["--report", "chrome", "-o", "trace.json"]);
    let bytes = std::fs::read(r.dir.path().join("trace.json")).expect("readable");
    let trace: Value = serde_json::from_slice(&bytes).expect("JSON");
    let phases = by_phase(&trace);
    let starts = r.number("SELECT count(*) FROM event WHERE kind = 11") as usize;
    let gs = r.number("SELECT count(*) FROM g_interval") as usize;
    let ps = r.number("SELECT count(*) FROM p_interval WHERE state <> 'idle'") as usize;
    let ms = r.number("SELECT count(*) FROM m_interval") as usize;
    assert_eq!((phases["b"], phases["e"]), (gs, gs));
    assert_eq!(phases["X"], ps + ms + starts);
    let events = trace["traceEvents"].as_array().expect("events");
    let with = |key: &str| events.iter().filter(|e| e[key] == true).count();
    assert_eq!((with("flow_in"), with("flow_out")), (starts, starts));
}

/// A real trace processor, where the machine has one: the folder of its files in `TP_DIR`, and node.
#[test]
fn perfettos_own_trace_processor_reads_both_forms() {
    let Some(processor) = std::env::var_os("TP_DIR") else {
        eprintln!("skipped: TP_DIR does not name a trace processor (`make test` fetches one)");
        return;
    };
    // The second has more Gs than get tracks of their own.
    let many = Recording::of(&["--procs", "2"], &["spawn-join", "--tasks", "5000"]);
    for (r, all_have_tracks) in [(imbalance(), true), (many, false)] {
        both_forms(&r, &processor, all_have_tracks);
    }
}

fn both_forms(r: &Recording, processor: &std::ffi::OsStr, all_have_tracks: bool) {
    r.text(&["--intervals"]);
    r.text(&["--report", "chrome,perfetto", "-o", "out"]);
    let starts = r.number("SELECT count(*) FROM event WHERE kind = 11");
    let slices = starts
        + r.number("SELECT count(*) FROM g_interval")
        + r.number("SELECT count(*) FROM p_interval WHERE state <> 'idle'")
        + r.number("SELECT count(*) FROM m_interval");
    for name in ["trace.json", "trace.pftrace"] {
        let output = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/trace_processor.mjs"))
            .arg(r.dir.path().join("out").join(name))
            .args([
                "select count(*) n from slice",
                "select count(*) n from flow",
                "select count(*) n from stats where value > 0 and severity in ('error', 'data_loss')",
                "select count(*) n from slice s join track t on s.track_id = t.id where t.name like '%, lane %'",
            ])
            .env("TP_DIR", processor)
            .output()
            .expect("node starts");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<i64> = text
            .lines()
            .filter_map(|l| l.strip_prefix("n=")?.parse().ok())
            .collect();
        let [found, flows, errors, lanes] = numbers[..] else {
            panic!("{name}: {output:?}");
        };
        assert_eq!((flows, errors), (starts, 0), "{name}: {output:?}");
        if all_have_tracks {
            assert_eq!((found, lanes), (slices, 0), "{name}");
        } else {
            assert!(found <= slices, "{name}: {found} of {slices}");
            // Chrome's async events have the lane in their name only.
            assert!(lanes > 0 || name == "trace.json", "{name}");
        }
    }
}

#[test]
fn mistakes_are_told_with_exit_code_2() {
    let r = Recording::of(&[], &["spawn-join", "--tasks", "10"]);
    let error = |args: &[&str]| {
        let output = r.analyze(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(error(&["--run", "9"]).contains("has no run 9"));
    assert!(error(&["--report", "pdf"]).contains("flamegraph"));
    assert!(error(&["--window", "5ms"]).contains("12ms..15ms"));
    assert!(
        error(&["--report", "chrome", "-o", "no/such/folder/x.json"]).contains("no/such/folder")
    );
    let analyze = |file: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_gmp-analyze"))
            .current_dir(r.dir.path())
            .arg(file)
            .output()
            .expect("it starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    std::fs::write(r.dir.path().join("notes.txt"), "some notes").expect("writable");
    assert!(
        matches!(analyze("notes.txt"), (Some(2), e) if e.contains("no trace database") || e.contains("not a trace database"))
    );
    assert!(matches!(analyze("missing.db"), (Some(2), e) if e.contains("missing.db")));
    assert!(error(&["--profile", "no/such/folder/x"]).contains("cannot write no/such"));
    assert!(error(&["--profile", "trace.db"]).contains("is a database"));
    assert!(error(&["--report", "stats", "-o", "notes.txt/"]).contains("no folder"));
    r.tamper("UPDATE run SET ingest = 'running'");
    assert!(error(&[]).contains("--recover"));
    r.tamper("UPDATE run SET ingest = 'done'; UPDATE event SET kind = 200 WHERE id = 5");
    assert!(error(&[]).contains("event 5: 200 is no kind"));
}

/// The README's queries run, and say something, on a recording with intervals.
#[test]
fn the_queries_of_the_readme_work() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md"))
        .expect("readable");
    let queries: Vec<&str> = readme
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    assert!(queries.len() >= 5);
    let r = imbalance();
    r.again(&["--procs", "2"], &["steal-imbalance"]);
    r.text(&["--run", "last", "--intervals"]);
    let store = r.store();
    for sql in queries {
        let rows = store
            .db()
            .prepare(sql)
            .and_then(|mut q| q.query_map([], |_| Ok(()))?.collect::<Result<Vec<()>, _>>())
            .unwrap_or_else(|e| panic!("{e}: {sql}"));
        assert!(!rows.is_empty(), "{sql}");
    }
}
