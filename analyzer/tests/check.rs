//! `--report check` on real recordings: clean when they are sound, and each planted fault is found.

mod recording;

use std::path::Path;
use std::process::{Command, Stdio};

use recording::Recording;

/// The rules that `check` finds broken, and its exit code.
fn check(r: &Recording) -> (Option<i32>, Vec<String>) {
    let output = r.analyze(&["--report", "check", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rules = value["violations"]
        .as_object()
        .expect("rules")
        .keys()
        .cloned()
        .collect();
    (output.status.code(), rules)
}

#[test]
fn programs_of_all_sorts_are_clean() {
    for (procs, program) in [
        ("1", &["queue-overflow", "--tasks", "1500"][..]),
        ("2", &["yield-points", "--rounds", "50"]),
        ("4", &["steal-imbalance"]),
        (
            "3",
            &["syscall-handoff", "--tasks", "20", "--rounds", "10000"],
        ),
        ("2", &["netpoll", "--requests", "100"]),
        ("4", &["skynet", "--leaves", "1000"]),
    ] {
        let r = Recording::of(&["--procs", procs], program);
        assert_eq!(check(&r), (Some(0), vec![]), "{program:?}");
        assert!(r.text(&["--report", "check"]).contains("no violation"));
    }
}

#[test]
fn a_policy_is_checked_like_the_default() {
    for policy in [
        "runnext=off",
        "steal=one,global_tick=3",
        "local_queue=4",
        "yield_to=local",
        "steal_rounds=1",
    ] {
        let r = Recording::of(
            &["--policy", policy, "--procs", "3"],
            &["worker-pool", "--jobs", "500", "--rounds", "50"],
        );
        assert_eq!(check(&r), (Some(0), vec![]), "{policy}");
    }
}

#[test]
fn each_planted_fault_is_found() {
    let sound = Recording::of(&["--procs", "2"], &["ping-pong", "--trips", "300"]);
    let bytes = std::fs::read(sound.path()).expect("readable");
    let broken = |sql: &str| {
        sound.tamper(sql);
        let found = check(&sound);
        std::fs::write(sound.path(), &bytes).expect("writable");
        assert_eq!(found.0, Some(1), "{sql}");
        found.1
    };
    let has = |rules: &[String], rule: &str| rules.iter().any(|r| r == rule);
    // A lost wake-up: the G starts although nothing readied it, and the counters say so too.
    let rules = broken(
        "DELETE FROM event WHERE id = (SELECT id FROM event WHERE kind = 15 LIMIT 1 OFFSET 20)",
    );
    assert!(
        has(&rules, "g states") && has(&rules, "recorded = counted"),
        "{rules:?}"
    );
    // The runtime counted something that is not there.
    let rules = broken("UPDATE own_counter SET value = value + 1 WHERE name = 'steals' AND m = 1");
    assert_eq!(rules, ["recorded = counted"]);
    // Two Ms hold one P.
    let rules = broken(
        "INSERT INTO event (id, run, process, ts, m, m_seq, kind, p, seq) \
         SELECT max(id) + 1, 1, 1, max(ts), 77, 0, 25, 0, 999 FROM event; \
         INSERT INTO event (id, run, process, ts, m, m_seq, kind, p, seq) \
         SELECT max(id) + 1, 1, 1, max(ts), 78, 0, 25, 0, 1000 FROM event; \
         UPDATE process SET last_event = (SELECT max(id) FROM event)",
    );
    assert!(has(&rules, "one m per p"), "{rules:?}");
    // A G runs that another M started.
    let rules = broken(
        "UPDATE event SET m = 55 WHERE id = (SELECT id FROM event WHERE kind = 14 LIMIT 1 OFFSET 30)",
    );
    assert!(has(&rules, "one m per g"), "{rules:?}");
    // Another G than the one at the head of the queue starts.
    let rules = broken(
        "UPDATE event SET g = 999 WHERE id = (SELECT id FROM event WHERE kind = 11 AND a1 = 1 LIMIT 1)",
    );
    assert!(
        has(&rules, "run queues") && has(&rules, "g states"),
        "{rules:?}"
    );
    // The recorder could not find a place for an event.
    let rules = broken("INSERT INTO event_note VALUES (9, 'unordered')");
    assert_eq!(rules, ["causal order", "the run"]);
}

#[test]
fn the_offending_event_is_named() {
    let r = Recording::of(&["--procs", "2"], &["spawn-join", "--tasks", "100"]);
    let id = r.number("SELECT id FROM event WHERE kind = 16 LIMIT 1 OFFSET 50");
    r.tamper(&format!(
        "UPDATE event SET kind = 14, a1 = 4 WHERE id = {id}"
    ));
    let output = r.analyze(&["--report", "check"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("parks: ") || text.contains("recorded = counted: exits"),
        "{text}"
    );
}

/// A change of a good database, and a rule that finds it.
const FAULTS: &[(&str, &str)] = &[
    // Rows that the recorder would not write: most of them make no event at all.
    ("UPDATE event SET kind = 200 WHERE id = 500", "vocabulary"),
    ("UPDATE event SET m = -1 WHERE id = 500", "vocabulary"),
    ("UPDATE event SET ts = 'noon' WHERE id = 500", "vocabulary"),
    ("UPDATE event SET by = 0 WHERE id = 500", "vocabulary"),
    (
        "UPDATE event SET a1 = 77 WHERE id = (SELECT max(id) FROM event WHERE kind = 14)",
        "vocabulary",
    ),
    (
        "UPDATE event SET a7 = 0 WHERE id = (SELECT max(id) FROM event WHERE kind = 14)",
        "vocabulary",
    ),
    // What two tables, two Ms or two events say.
    (
        "UPDATE event SET p = p + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 14)",
        "the columns p, g and by",
    ),
    (
        "UPDATE g SET site = site + 1 WHERE g = 7",
        "tables = events",
    ),
    (
        "INSERT INTO g (run, process, g, spawn_ts) VALUES (1, 1, 99999999, 5)",
        "tables = events",
    ),
    ("INSERT INTO g (run, process, g) VALUES (1, 2, 3)", "rows"),
    (
        "UPDATE m SET exit_ts = exit_ts + 1 WHERE m = 2",
        "tables = events",
    ),
    ("INSERT INTO p VALUES (1, 1, 9)", "tables = events"),
    (
        "UPDATE event SET a2 = a2 + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 33)",
        "what two Ms say",
    ),
    (
        "UPDATE event SET a1 = 1 - a1 WHERE id = (SELECT max(id) FROM event WHERE kind = 36)",
        "acts of an M",
    ),
    ("UPDATE clock SET ticks = ticks + 1000000000", "clocks"),
    ("UPDATE run SET procs = procs + 1", "the run"),
    ("UPDATE run SET policy = 'steal=one'", "the run"),
    // Times.
    (
        "UPDATE event SET ts = ts + 1000000000 WHERE id = 500",
        "times",
    ),
    (
        "UPDATE event SET ts = 9223372036854775807 WHERE id = 500",
        "times",
    ),
    (
        "UPDATE event SET ts = -9223372036854775808 WHERE id = 500",
        "times",
    ),
    (
        "UPDATE event SET ts = ts + 3600000000000 WHERE id >= 1500",
        "times",
    ),
    (
        "UPDATE event SET ts = 9223372036854775807 WHERE id = (SELECT max(id) FROM event)",
        "times",
    ),
    // Numbers.
    (
        "UPDATE event SET seq = seq + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 11)",
        "g numbers",
    ),
    (
        "UPDATE event SET seq = seq + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 25)",
        "p numbers",
    ),
    (
        "UPDATE event SET m_seq = m_seq + 1 WHERE id = 500",
        "numbers in the stream",
    ),
    (
        "UPDATE event SET a3 = a3 + 1 WHERE id = (SELECT min(id) FROM event WHERE kind = 11 AND a1 = 1)",
        "run queues",
    ),
    (
        "UPDATE event SET a2 = a2 + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 42)",
        "run queues",
    ),
    // Ends.
    (
        "DELETE FROM event WHERE id = (SELECT max(id) FROM event WHERE kind = 34); UPDATE run SET events = events - 1",
        "start and end",
    ),
    (
        "DELETE FROM event WHERE id = (SELECT max(id) FROM event WHERE kind = 34)",
        "rows",
    ),
    // Steals: the length of the victim's queue, and how many victims were tried.
    (
        "UPDATE event SET a3 = a3 + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 40 AND a7 = 0)",
        "recorded = counted",
    ),
    (
        "UPDATE event SET a6 = a6 + 1 WHERE id = (SELECT max(id) FROM event WHERE kind = 40)",
        "searches",
    ),
    // Tables.
    ("DELETE FROM process", "rows"),
    ("UPDATE run SET events = 5", "rows"),
    ("UPDATE run SET lost = 5", "rows"),
    ("DELETE FROM m", "what events refer to"),
    ("DELETE FROM site", "what events refer to"),
    ("DELETE FROM g WHERE g = 7", "what events refer to"),
    ("DELETE FROM p", "what events refer to"),
    ("DELETE FROM object", "what events refer to"),
    ("UPDATE process SET first_event = first_event + 1", "rows"),
];

/// What a run that lost nothing and ended properly must show, on one with steals, overflows and waits.
fn imbalance() -> Recording {
    let r = Recording::of(&["--procs", "4"], &["steal-imbalance"]);
    assert!(r.number("SELECT count(*) FROM event WHERE kind = 40 AND a7 = 0") > 0);
    assert_eq!(check(&r), (Some(0), vec![]));
    r
}

#[test]
fn a_hog_is_named_and_is_no_violation() {
    let r = Recording::of(
        &["--procs", "1", "--policy", "time_slice=2ms"],
        &["hog", "--hogs", "1", "--ms", "200"],
    );
    assert_eq!(check(&r), (Some(0), vec![]));
    let text = r.text(&["--report", "check"]);
    assert!(text.contains("has hogs, which are no violation"), "{text}");
    let stats = r.json(&["--report", "stats", "--json"]);
    let hogs = &stats["processes"][0]["hogs"];
    assert_eq!(hogs["time_slice_ns"], 2_000_000);
    let hog = &hogs["longest"][0];
    // The one that computes, not the one that spawned it or the one that gives way all the time.
    let site = hog["site"].as_str().expect("a site");
    let times = |name: &str| hog[name].as_i64().expect("a time");
    assert!(site.starts_with("hog.rs:"), "{hog}");
    assert!(times("ran_ns") > 100_000_000, "{hog}");
    assert!(
        times("ran_on_ns") > 100_000_000 && times("requests") >= 2,
        "{hog}"
    );
    assert_eq!(
        (&hog["cause"], &hog["signal"], &hog["over"]),
        (&"slice".into(), &false.into(), &true.into())
    );
    let g = hog["g"].as_i64().expect("a number");
    let exit = r.number(&format!("SELECT exit_ts FROM g WHERE g = {g}"));
    assert_eq!(times("to_ns"), exit, "it ran to its end");
    let name = format!("G{g}, spawned at {site}, ran on P0");
    assert!(text.contains(&format!("note: hog: {name}")), "{text}");
    assert!(r.text(&["--report", "stats"]).contains(&name));
    assert!(r.text(&[]).contains(&name));
    r.text(&["--report", "html", "--output", "."]);
    let page = std::fs::read_to_string(r.dir.path().join("report.html")).expect("a page");
    assert!(page.contains("ran on after it was asked to give way"));
}

#[test]
fn preemptions_by_a_signal_are_clean() {
    let r = Recording::of(
        &["--procs", "2", "--policy", "time_slice=1ms"],
        &["hog", "--hogs", "4", "--ms", "30", "--with", "preemptible"],
    );
    assert_eq!(check(&r), (Some(0), vec![]));
    let stopped = r.number("SELECT count(*) FROM event WHERE kind = 13 AND a1 IN (2, 3)");
    assert!(stopped > 0);
    let counted = "SELECT sum(value) FROM own_counter WHERE name = 'async_preempts'";
    assert_eq!(r.number(counted), stopped);
    let text = r.text(&["--report", "events"]);
    assert!(text.contains("its time slice is over (a signal stopped it)"));
    assert!(text.contains("is asked to give way, by a signal"));
}

#[test]
fn a_recording_of_an_older_runtime_is_clean() {
    let r = Recording {
        dir: tempfile::tempdir().expect("a temporary folder"),
    };
    let golden = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../recorder/store/tests/golden/v1.db"
    );
    std::fs::copy(golden, r.path()).expect("copied");
    assert_eq!(check(&r), (Some(0), vec![]));
}

#[test]
fn each_change_of_a_good_database_is_found() {
    let sound = imbalance();
    let bytes = std::fs::read(sound.path()).expect("readable");
    for (sql, rule) in FAULTS {
        sound.tamper(sql);
        let found = check(&sound);
        std::fs::write(sound.path(), &bytes).expect("writable");
        assert_eq!(found.0, Some(1), "{sql}");
        assert!(found.1.iter().any(|r| r == rule), "{sql}: {:?}", found.1);
    }
}

#[test]
fn each_counter_is_compared() {
    let sound = imbalance();
    let bytes = std::fs::read(sound.path()).expect("readable");
    for tally in gmp_trace::tally::Tally::ALL {
        if tally.equals() == gmp_trace::tally::Equals::Nothing {
            continue;
        }
        let name = tally.name();
        sound.tamper(&format!(
            "UPDATE own_counter SET value = value + 1 WHERE name = '{name}' AND m = 1"
        ));
        let found = check(&sound);
        std::fs::write(sound.path(), &bytes).expect("writable");
        assert_eq!(
            found,
            (Some(1), vec!["recorded = counted".into()]),
            "{name}"
        );
        sound.tamper(&format!("DELETE FROM own_counter WHERE name = '{name}'"));
        let found = check(&sound);
        std::fs::write(sound.path(), &bytes).expect("writable");
        assert_eq!(found.0, Some(1), "{name}");
    }
}

#[test]
fn what_is_wrong_is_told_in_plain_words() {
    let r = imbalance();
    r.tamper("UPDATE event SET g = 9999 WHERE id = (SELECT id FROM event WHERE kind = 11 AND a1 = 1 LIMIT 1)");
    let output = r.analyze(&["--report", "check"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("G9999 is taken from the ring of P"), "{text}");
    assert!(!text.contains("Some(") && !text.contains("None"), "{text}");
}

#[test]
fn a_run_without_events_is_not_sound() {
    let r = imbalance();
    r.tamper(
        "DELETE FROM event; DELETE FROM process; DELETE FROM own_counter; UPDATE run SET events = 0",
    );
    let output = r.analyze(&["--report", "check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to check"));
}

/// The verdict is about the whole run; what is listed, about the selected events.
#[test]
fn a_selection_chooses_what_is_listed_and_not_what_is_checked() {
    let r = imbalance();
    let check = |part: &[&str]| {
        let output = r.analyze(&[&["--report", "check", "--json"], part].concat());
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), value)
    };
    let clean = r.text(&["--report", "check", "--g", "G1"]);
    assert!(clean.contains("only G1: 0 of 0 violations listed") && clean.contains("no violation"));
    // Two Gs go on that never started, and the counters say of the run as a whole that two starts are missing.
    let start = "SELECT id FROM event WHERE kind = 11 AND g > 1 ORDER BY id LIMIT 1 OFFSET 20";
    for _ in 0..2 {
        r.tamper(&format!("DELETE FROM event WHERE id = ({start})"));
    }
    let (code, all) = check(&[]);
    assert_eq!(code, Some(1));
    let total: u64 = (all["violations"].as_object().expect("rules").values())
        .filter_map(serde_json::Value::as_u64)
        .sum();
    assert_eq!(
        (&all["only"], &all["selected"]),
        (&serde_json::Value::Null, &total.into())
    );
    let of_event = |v: &&serde_json::Value| v["event"] != 0;
    let shown = all["shown"].as_array().expect("violations");
    // Of an event that has a G, a P and its own time; a reading of counters, which may come first, has another.
    let one = shown.iter().find(|v| v["rule"] == "g states");
    let one = one.expect("a G that goes on");
    let (id, ts) = (&one["event"], one["ts_ns"].as_i64().expect("a time"));
    let column = |name: &str| r.number(&format!("SELECT {name} FROM event WHERE id = {id}"));
    let (g, p) = (column("g").to_string(), column("p").to_string());
    let kind = "SELECT name FROM vocabulary WHERE field = '' AND kind = (SELECT kind FROM event WHERE id = ?)";
    let kind: String =
        (r.store().db().query_row(kind, [id.as_i64()], |r| r.get(0))).expect("a kind");
    let (window, before) = (format!("{ts}ns..{ts}ns"), format!("..{}ns", ts - 1));
    let around = format!("G{g}@{ts}ns");
    for part in [
        ["--g", &g],
        ["--p", &p],
        ["--kind", &kind],
        ["--window", &window],
        ["--around", &around],
    ] {
        let (code, some) = check(&part);
        assert_eq!(
            (code, &some["violations"]),
            (Some(1), &all["violations"]),
            "{part:?}"
        );
        let selected = some["selected"].as_u64().expect("a number");
        assert!(selected > 0 && selected < total, "{part:?}: {some}");
        let shown = some["shown"].as_array().expect("violations");
        assert!(
            shown.contains(one) && shown.iter().all(|v| of_event(&v)),
            "{part:?}: {some}"
        );
    }
    let (code, none) = check(&["--window", &before, "--g", &g]);
    assert_eq!((code, &none["shown"]), (Some(1), &serde_json::json!([])));
    let output = r.analyze(&["--report", "check", "--window", &before, "--g", &g]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(&format!("0 of {total} violations listed")),
        "{text}"
    );
}

/// A reading of counters tells which event precedes it; that may be gone.
#[test]
fn what_is_said_of_a_reading_names_an_event_that_is_there() {
    let r = Recording::of(
        &["--procs", "2", "--counters", "none"],
        &["spawn-join", "--tasks", "100"],
    );
    let id = r.number("SELECT id FROM event WHERE kind = 11 LIMIT 1 OFFSET 20");
    r.tamper(&format!(
        "INSERT INTO counter (event, run, process, ts, m, m_seq, enabled_ns, running_ns)
         SELECT id, run, process, ts, m, m_seq + 7, 0, 0 FROM event WHERE id = {id};
         DELETE FROM event WHERE id = {id}"
    ));
    let value = r.analyze(&["--report", "check", "--json"]);
    assert_eq!(value.status.code(), Some(1));
    let value: serde_json::Value = serde_json::from_slice(&value.stdout).expect("JSON");
    let shown = value["shown"].as_array().expect("violations");
    let is_here = |v: &serde_json::Value| {
        let sql = format!("SELECT count(*) FROM event WHERE id = {}", v["event"]);
        v["event"] == 0 || r.number(&sql) == 1
    };
    let before = r.number(&format!("SELECT max(id) FROM event WHERE id < {id}"));
    let gap = |v: &serde_json::Value| v["rule"] == "numbers in the stream" && v["event"] == before;
    assert!(shown.iter().any(gap), "{value}");
    assert!(shown.iter().all(is_here), "{value}");
}

/// A run that lost events, after many that are there.
fn lossy() -> Recording {
    let r = Recording::of(
        &["--spool-limit", "4MiB", "--on-full", "drop", "--procs", "2"],
        &["yield", "--tasks", "50", "--yields", "20000"],
    );
    assert!(r.number("SELECT lost FROM run") > 0);
    r
}

#[test]
fn what_was_lost_is_no_violation() {
    let r = lossy();
    assert_eq!(check(&r), (Some(0), vec![]));
    assert!(r.text(&["--report", "check"]).contains("events were lost"));
    assert!(r.text(&[]).contains("LOST"));
}

#[test]
fn names_that_were_lost_are_no_violation_and_others_are() {
    let r = Recording::of(&["--procs", "1"], &["ping-pong", "--trips", "10"]);
    let fault = (Some(1), vec!["what events refer to".to_owned()]);
    r.tamper("DELETE FROM site WHERE site = 1");
    assert_eq!(check(&r), fault);
    r.tamper("INSERT INTO process_info VALUES (1, 1, 'names_lost', '1')");
    assert_eq!(check(&r), (Some(0), vec![]));
    let text = r.text(&["--report", "check"]);
    assert!(text.contains("no room for 1 names"), "{text}");
    r.tamper("DELETE FROM site WHERE site = 2");
    assert_eq!(check(&r), fault);
    // As many as were lost, of whatever kind.
    let of_threads = (Some(1), vec!["tables = events".to_owned()]);
    r.tamper("UPDATE process_info SET value = '2' WHERE key = 'names_lost'");
    assert_eq!(check(&r), (Some(0), vec![]));
    r.tamper("UPDATE m SET name = NULL WHERE m = (SELECT min(m) FROM m WHERE kind = 'worker')");
    assert_eq!(check(&r), of_threads);
    r.tamper("UPDATE process_info SET value = '3' WHERE key = 'names_lost'");
    assert_eq!(check(&r), (Some(0), vec![]));
    r.tamper(
        "UPDATE m SET name = 'another' WHERE m = (SELECT min(m) FROM m WHERE kind = 'worker')",
    );
    assert_eq!(check(&r), of_threads);
}

#[test]
fn counters_are_those_that_the_process_names_unless_names_were_lost() {
    let r = Recording::of(&["--procs", "1"], &["ping-pong", "--trips", "10"]);
    assert_eq!(check(&r), (Some(0), vec![]));
    r.tamper("INSERT OR REPLACE INTO process_info VALUES (1, 1, 'counters', 'another')");
    r.tamper("UPDATE run SET counters = 'another'");
    assert_eq!(check(&r), (Some(1), vec!["the run".to_owned()]));
    r.tamper("INSERT INTO process_info VALUES (1, 1, 'names_lost', '1')");
    assert_eq!(check(&r), (Some(0), vec![]));
}

#[test]
fn losses_are_counted_by_m_and_by_kind() {
    let r = lossy();
    assert_eq!(r.number("SELECT count(*) FROM lost WHERE m IS NULL"), 0);
    let lost = r.number("SELECT lost FROM run");
    assert_eq!(r.number("SELECT sum(n) FROM lost"), lost);
    let by_kind = "SELECT sum(value) FROM own_counter WHERE name LIKE 'lost.%'";
    assert_eq!(r.number(by_kind), lost);
    // Of each M: the events that are there, and those that are not.
    let counted = "SELECT count(*) FROM own_counter c WHERE name = 'yields' AND value != \
        (SELECT count(*) FROM event e WHERE e.m = c.m AND kind = 12) + \
        ifnull((SELECT value FROM own_counter l WHERE l.m = c.m AND l.name = 'lost.yield'), 0)";
    assert_eq!(r.number(counted), 0);
}

#[test]
fn a_loss_hides_nothing_but_what_it_may_have_changed() {
    let r = lossy();
    let bytes = std::fs::read(r.path()).expect("readable");
    for (sql, rule) in [
        // Before the gap.
        (
            "UPDATE event SET m = 55 WHERE id IN (SELECT id FROM event WHERE kind = 11 LIMIT 10 OFFSET 1000)",
            "numbers in the stream",
        ),
        (
            "UPDATE event SET g = g + 1 WHERE id = (SELECT id FROM event WHERE kind = 11 LIMIT 1 OFFSET 1000)",
            "g states",
        ),
        (
            "UPDATE event SET seq = seq + 1 WHERE id = (SELECT id FROM event WHERE kind = 11 LIMIT 1 OFFSET 1000)",
            "g numbers",
        ),
        // Counts.
        (
            "UPDATE own_counter SET value = value + 1 WHERE name = 'yields' AND m = (SELECT m FROM event WHERE kind = 12 LIMIT 1)",
            "recorded = counted",
        ),
        (
            "UPDATE own_counter SET value = value + 1000 WHERE name = 'spawns' AND m = 1",
            "recorded = counted",
        ),
        ("UPDATE lost SET n = n + 1", "lost = counted"),
        ("DELETE FROM lost", "rows"),
    ] {
        r.tamper(sql);
        let found = check(&r);
        std::fs::write(r.path(), &bytes).expect("writable");
        assert_eq!(found.0, Some(1), "{sql}");
        assert!(found.1.iter().any(|f| f == rule), "{sql}: {:?}", found.1);
    }
}

/// The process whose spool lies somewhere in `dir` and has events. The recorder has one of its own for a moment, to measure what events cost.
fn recorded_process(dir: &Path, recorder: u32) -> Option<u32> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        // The first word is the number of chunks that writers took.
        let words = std::fs::read(path.join("segments")).unwrap_or_default();
        let taken = words
            .first_chunk()
            .map_or(0, |word| u64::from_le_bytes(*word));
        let name = entry.file_name().into_string().unwrap_or_default();
        let pid = name.split_once('-').and_then(|(pid, _)| pid.parse().ok());
        if taken >= 8 && pid != Some(recorder) {
            return pid;
        }
        if path.is_dir()
            && let Some(found) = recorded_process(&path, recorder)
        {
            return Some(found);
        }
    }
    None
}

#[test]
fn a_killed_program_is_checked_up_to_its_last_steps() {
    let r = Recording {
        dir: tempfile::tempdir().expect("a temporary folder"),
    };
    let spool = r.dir.path().join("spool");
    std::fs::create_dir(&spool).expect("made");
    let mut recorder = Command::new(recording::binaries().join("gmp-record"))
        .current_dir(r.dir.path())
        .args(["--quiet", "--procs", "2", "--spool", "spool", "--"])
        .arg(recording::binaries().join("gmp-workloads"))
        .args(["ping-pong", "--trips", "100000000"])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let pid = loop {
        if let Some(pid) = recorded_process(&spool, recorder.id()) {
            break pid;
        }
        assert!(recorder.try_wait().expect("a child").is_none());
        std::thread::yield_now();
    };
    let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
    assert!(killed.expect("it starts").success());
    assert_eq!(recorder.wait().expect("a child").code(), Some(137));
    let start = "(SELECT id FROM event WHERE kind = 11 LIMIT 1 OFFSET 1)";
    assert_eq!(check(&r), (Some(0), vec![]));
    let bytes = std::fs::read(r.path()).expect("readable");
    for (sql, rule) in [
        (
            format!("UPDATE event SET seq = seq + 1 WHERE id = {start}"),
            "g numbers",
        ),
        (
            "UPDATE own_counter SET value = value + 2 WHERE name = 'parks' AND m = (SELECT m FROM event WHERE kind = 14 LIMIT 1)".to_owned(),
            "recorded = counted",
        ),
        (
            "UPDATE event SET ts = ts + 1000000000000 WHERE id = 20".to_owned(),
            "times",
        ),
    ] {
        r.tamper(&sql);
        let found = check(&r);
        std::fs::write(r.path(), &bytes).expect("writable");
        assert_eq!(found.0, Some(1), "{sql}");
        assert!(found.1.iter().any(|f| f == rule), "{sql}: {:?}", found.1);
    }
}
