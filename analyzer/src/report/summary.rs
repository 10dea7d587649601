//! `gmp-analyze DB`: what happened, on one screen; and `--list`.

use std::io::Write;

use gmp_store::Store;
use gmp_store::run::Run;
use gmp_trace::event::Kind;
use serde_json::{Value, json};

use super::stats::{self, Latency, Part, Stats};
use super::{Output, Subject, counters};
use crate::cli::ReportKind;
use crate::time::human;
use crate::words::{agree, count};
use clap::ValueEnum;

/// Prints the summary.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let parts = Part::all(subject)?;
    if subject.json {
        let times = subject.selection.has_times();
        let processes: Vec<_> = parts
            .iter()
            .map(|part| {
                let Part {
                    process,
                    stats,
                    passed,
                    ..
                } = part;
                json!({
                    "process": process.process,
                    "pid": process.pid,
                    "events": passed.events,
                    "span_ns": passed.last_ts - passed.first_ts,
                    "gs": times.then_some(stats.gs.len()),
                    "switches": stats.counted(Kind::Start),
                    "steals": stats.counted(Kind::Steal),
                    "handoffs": stats.counted(Kind::Handoff),
                    "utilisation": stats.utilisation(),
                    "most_threads": stats.most_threads(),
                    "latency": times.then(|| stats::latency_json(&stats.latency)),
                    "hogs": times.then(|| json!({"n": stats.hogs.n, "ran_on_ns": stats.hogs.ran_on})),
                })
            })
            .collect();
        let value = json_head(subject, processes);
        return output.text("summary.json", |out| Ok(writeln!(out, "{value}")?));
    }
    output.text("summary.txt", |out| {
        head(subject.run, out)?;
        for part in &parts {
            let Part {
                process,
                stats,
                passed,
                names,
                sites,
            } = part;
            if parts.len() > 1 {
                writeln!(out, "\nprocess {} (pid {})", process.process, process.pid)?;
            }
            writeln!(
                out,
                "\n{} in {}",
                count(passed.events, "event"),
                human(passed.last_ts - passed.first_ts)
            )?;
            if let Some(words) = subject.selection.words() {
                writeln!(out, "of them only {words}")?;
            }
            body(stats, out)?;
            if let Some(hog) = stats.hogs.longest.first() {
                writeln!(out, "  {:<26}{}", "hogs", stats.hogs.sentence())?;
                writeln!(out, "  {:<26}{}", "longest hog", hog.sentence(names))?;
            }
            for [name, total, interval, n, _] in known_counters(stats) {
                writeln!(
                    out,
                    "  {name:<26}{total} ({interval}; read in {n} run intervals)"
                )?;
            }
            if let Some(counters) = &stats.counters {
                for note in counters::notes(counters) {
                    writeln!(out, "    {note}")?;
                }
            }
            for s in sites.iter().take(5) {
                writeln!(
                    out,
                    "  {:<26}{} ran {} and {} runnable for {}",
                    names.site(s.site),
                    count(s.gs, "G"),
                    human(s.running),
                    agree(s.gs, "was", "were"),
                    human(s.runnable)
                )?;
            }
        }
        Ok(())
    })
}

/// The perf counters that have a total.
fn known_counters(stats: &Stats) -> Vec<[String; 5]> {
    let counters = stats.counters.as_ref();
    let mut lines = counters.map_or(Vec::new(), |c| counters::lines(c, &c.all));
    lines.retain(|[.., n, _]| !n.is_empty());
    lines
}

/// What of a report in JSON is of the whole run, around what it says of each process.
pub fn json_head(subject: &Subject<'_>, processes: Vec<Value>) -> Value {
    let run = subject.run;
    json!({
        "run": run.run, "quality": quality(run), "lost": run.lost, "only": subject.selection.words(), "processes": processes,
    })
}

/// What the run was, and how far its figures can be trusted.
///
/// # Errors
/// When it cannot be written.
pub fn head(run: &Run, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "run {}: {}", run.run, run.command)?;
    let known = |v: &Option<String>| v.clone().unwrap_or_else(|| "unknown".into());
    writeln!(
        out,
        "  {}, policy {}, on {} ({}, {})",
        run.procs.map_or("? Ps".into(), |n| count(n, "P")),
        known(&run.policy),
        known(&run.cpu_model),
        run.cpus.map_or("? CPUs".into(), |n| count(n, "CPU")),
        smt(run)
    )?;
    for note in quality(run) {
        writeln!(out, "  {note}")?;
    }
    Ok(())
}

/// Whether the cores of the machine had a second hardware thread in use: what the kernel's `smt/control` said, in words.
pub fn smt(run: &Run) -> String {
    match run.smt.as_deref() {
        Some("on") => "SMT on".into(),
        Some("off" | "forceoff") => "SMT off".into(),
        Some("notsupported" | "notimplemented") => "no SMT".into(),
        Some(other) => format!("SMT {other}"),
        None => "SMT unknown".into(),
    }
}

/// Of what a reader must know about the data, that the trace is not what happened, or not what would have happened without it. Also what is
/// read by programs must come with it.
pub fn doubts(run: &Run) -> Vec<String> {
    let mut doubts = Vec::new();
    if run.lost > 0 {
        doubts.push(format!(
            "{} {} LOST: what happened meanwhile is unknown, and in no sum",
            count(run.lost, "event"),
            agree(run.lost, "was", "were")
        ));
    }
    if run.unordered > 0 {
        doubts.push(format!(
            "{} {} the others: see --report check",
            count(run.unordered, "event"),
            agree(run.unordered, "contradicts", "contradict")
        ));
    }
    if run.blocked_ns > 0 {
        doubts.push(format!(
            "threads waited {} for room in the spool",
            human(run.blocked_ns)
        ));
    }
    doubts
}

/// What a reader must know about the data before any figure.
pub fn quality(run: &Run) -> Vec<String> {
    let mut notes = Vec::new();
    let code = match (run.exit_code, run.signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("the program failed with exit code {code}")),
        (None, Some(signal)) => Some(format!("signal {signal} killed the program")),
        (None, None) => None,
    };
    notes.extend(code);
    if run.recovered {
        notes.push("recovered after gmp-record died".into());
    }
    if run.lost <= 0 {
        notes.push("nothing was lost".into());
    }
    notes.extend(doubts(run));
    if let (Some(cost), Some(duration)) = (run.event_cost_ns, run.duration_ns) {
        let share = 100.0 * cost * run.events as f64 / duration.max(1) as f64;
        notes.push(format!(
            "recording cost about {cost:.1} ns an event, {share:.2} % of the time if one thread had paid for all"
        ));
    }
    match run.counters.as_deref() {
        None | Some("none" | "") => notes.push("perf counters: none".into()),
        // How many intervals were read is a fact of each process: its totals say so.
        Some(counters) => notes.push(format!("perf counters: {counters}")),
    }
    let reasons = run.counters_reason.as_deref().unwrap_or_default();
    let (in_part, missing) = limited(reasons);
    if !missing.is_empty() {
        notes.push(format!("missing counters: {missing}"));
    }
    if !in_part.is_empty() {
        notes.push(format!("counters in part: {in_part}"));
    }
    if run.clock_kind.as_deref() == Some("monotonic") {
        notes.push(
            "no invariant time stamp counter here: times are those of CLOCK_MONOTONIC".into(),
        );
    }
    notes
}

/// Of the reasons that a recording gives for its counters, those of the ones that leave the kernel out, and those of the ones that are
/// missing.
fn limited(reasons: &str) -> (String, String) {
    let (in_part, missing): (Vec<_>, Vec<_>) = reasons
        .split("; ")
        .filter(|part| {
            !part.is_empty()
                && !part.ends_with(": counted by the kernel")
                && !part.ends_with(": counted by the processor")
        })
        .partition(|part| part.contains(": user code only"));
    (in_part.join("; "), missing.join("; "))
}

fn body(stats: &Stats, out: &mut dyn Write) -> anyhow::Result<()> {
    let line = |out: &mut dyn Write, name: &str, text: String| -> anyhow::Result<()> {
        Ok(writeln!(out, "  {name:<26}{text}")?)
    };
    let latency = |l: &Latency| {
        let mut parts = Vec::new();
        for p in stats::PERCENTILES {
            parts.extend(
                l.percentile(*p)
                    .map(|v| format!("p{p} {}", human(v as i64))),
            );
        }
        parts.push(format!("max {}", human(l.max() as i64)));
        parts.join(", ")
    };
    // What the selection says nothing of is left out.
    if stats.selection.has_times() {
        line(out, "Gs", format!("{}", stats.gs.len()))?;
    }
    if let Some(most) = stats.most_threads() {
        line(out, "threads", format!("at most {most} at once"))?;
    }
    if let Some(share) = stats.utilisation() {
        line(
            out,
            "utilisation",
            format!("{:.1} % of the Ps' time ran Gs", 100.0 * share),
        )?;
    }
    if let Some(switches) = stats.counted(Kind::Start) {
        line(out, "switches", format!("{switches}"))?;
    }
    if !stats.latency.is_empty() {
        line(out, "scheduling latency", latency(&stats.latency))?;
    }
    let stolen: u64 = stats.steals.values().map(|(_, gs)| gs).sum();
    if let Some(steals) = stats.counted(Kind::Steal) {
        let stolen = count(stolen, "G");
        line(out, "steals", format!("{steals}, which took {stolen}"))?;
    }
    if let Some(overflows) = stats.counted(Kind::Overflow) {
        line(out, "queue overflows", format!("{overflows}"))?;
    }
    let calls = [
        (stats.counted(Kind::SyscallEnter)).map(|n| format!("{n} entered")),
        (stats.counted(Kind::Retake)).map(|n| format!("{} retaken", count(n, "P"))),
        (stats.counted(Kind::Handoff)).map(|n| format!("{n} handed off")),
    ];
    let calls: Vec<String> = calls.into_iter().flatten().collect();
    if !calls.is_empty() {
        line(out, "system calls", calls.join(", "))?;
    }
    let has_line = [
        Kind::Start,
        Kind::Steal,
        Kind::Overflow,
        Kind::SyscallEnter,
        Kind::Retake,
        Kind::Handoff,
    ];
    for kind in &stats.selection.kinds {
        if !has_line.contains(kind) {
            line(out, kind.name(), format!("{}", stats.count(*kind)))?;
        }
    }
    let mut waits: Vec<_> = stats.waits.iter().collect();
    waits.sort_by_key(|(_, (_, ns))| std::cmp::Reverse(*ns));
    let waits: Vec<String> = waits
        .iter()
        .take(4)
        .map(|(reason, (n, ns))| format!("{reason} {}, {}", count(*n, "time"), human(*ns)))
        .collect();
    if !waits.is_empty() {
        line(out, "waits", waits.join("; "))?;
    }
    if let Some(w) = stats.slowest.first() {
        line(
            out,
            "longest latency",
            format!(
                "{} waited {} for a P from {} on ({})",
                w.g,
                human(w.latency()),
                crate::time::at(w.ready_ts),
                w.cause.word()
            ),
        )?;
    }
    Ok(())
}

/// Prints the runs of the database and the kinds of reports.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn list(store: &Store, as_json: bool) -> anyhow::Result<()> {
    let runs = Run::list(store)?;
    let mut out = anstream::AutoStream::auto(std::io::stdout());
    if as_json {
        let runs: Vec<_> = runs
            .iter()
            .map(|r| {
                json!({
                    "run": r.run, "label": r.label, "command": r.command, "status": r.status, "procs": r.procs,
                    "policy": r.policy, "events": r.events, "lost": r.lost, "duration_ns": r.duration_ns,
                    "started_realtime_ns": r.started_realtime_ns,
                })
            })
            .collect();
        writeln!(out, "{}", json!({ "runs": runs }))?;
        return Ok(());
    }
    writeln!(
        out,
        "{:>4}  {:<10}{:>4}{:>12}{:>12}  command",
        "run", "status", "Ps", "events", "time"
    )?;
    for r in &runs {
        let label = r
            .label
            .as_ref()
            .map(|l| format!("[{l}] "))
            .unwrap_or_default();
        writeln!(
            out,
            "{:>4}  {:<10}{:>4}{:>12}{:>12}  {label}{}",
            r.run,
            r.status,
            r.procs.map_or("?".into(), |p| p.to_string()),
            r.events,
            r.duration_ns.map_or("?".into(), human),
            r.command
        )?;
    }
    writeln!(out, "\nreports:")?;
    for kind in ReportKind::value_variants() {
        if let Some(value) = kind.to_possible_value() {
            let help = value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            writeln!(out, "  {:<12}{help}", value.get_name())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_not_missing() {
        let none = "cycles, instructions: no such counter";
        let counted = "task-clock: counted by the kernel";
        let reasons = format!("{none}; page-faults: user code only: why; {counted}");
        let in_part = "page-faults: user code only: why";
        assert_eq!(limited(&reasons), (in_part.into(), none.into()));
        assert_eq!(limited(counted), Default::default());
        assert_eq!(
            limited("not asked for"),
            (String::new(), "not asked for".into())
        );
    }
}
