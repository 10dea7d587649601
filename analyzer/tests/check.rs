//! `--report check` on real recordings: clean when they are sound, and each planted fault is found.

mod recording;

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
    assert_eq!(rules, ["causal order"]);
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
fn what_was_lost_is_no_violation() {
    let r = Recording::of(
        &["--spool-limit", "4MiB", "--on-full", "drop", "--procs", "2"],
        &["yield", "--tasks", "50", "--yields", "10000"],
    );
    assert!(r.number("SELECT lost FROM run") > 0);
    assert_eq!(check(&r), (Some(0), vec![]));
    assert!(r.text(&["--report", "check"]).contains("events were lost"));
    assert!(r.text(&[]).contains("LOST"));
}
