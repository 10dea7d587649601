//! `--report html`: one self-contained file with the figures, the charts and a zoomable timeline of a run.
//!
//! Two passes: the first gives the statistics and says which moments are worth a window of single switches; the second fills bins of
//! equal length over the whole run, the windows and the flamegraphs (`collect.rs`). What is embedded is bounded, whatever the run's
//! length: bins, top lists, and at most `MOST_INTERVALS` single intervals.

mod collect;
mod findings;

use anyhow::Context;
use gmp_store::entity::Process;
use gmp_store::run::Run;
use gmp_trace::event::Kind;
use minijinja::{AutoEscape, Environment};
use serde_json::{Value, json};

use super::flamegraph::{self, Folded};
use super::stats::{self, Part, Stats};
use super::summary::{quality, smt};
use super::{Output, Subject, counters};
use crate::frame::SiteTimes;
use crate::model::{Sink, Wakeup};
use crate::names::Names;
use crate::pass::{self, Passed};
use crate::select::{Clip, Window};
use crate::time::{at, human};
use crate::words::{agree, count};
use collect::Collected;

const TEMPLATE: &str = include_str!("../../../assets/report.html");
const CSS: &str = include_str!("../../../assets/report.css");
const JS: &str = include_str!("../../../assets/report.js");
const UPLOT_JS: &str = include_str!("../../../assets/vendor/uplot/uPlot.iife.min.js");
const UPLOT_CSS: &str = include_str!("../../../assets/vendor/uplot/uPlot.min.css");
const UPLOT_LICENCE: &str = include_str!("../../../assets/vendor/uplot/LICENSE");

/// Writes the report.
///
/// # Errors
/// When the database cannot be read or the file not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    // The largest, if there are several: a program that only starts another has little to show.
    let events = |p: &&Process| {
        p.last_event
            .zip(p.first_event)
            .map(|(last, first)| last - first)
    };
    let process = subject
        .processes
        .iter()
        .rev()
        .max_by_key(events)
        .with_context(|| format!("run {} has no process", subject.run.run))?;
    let page = page(subject, process)?;
    output.file("report.html", |out| Ok(out.write_all(page.as_bytes())?))?;
    Ok(())
}

fn page(subject: &Subject<'_>, process: &Process) -> anyhow::Result<String> {
    let Part {
        stats,
        passed,
        names,
        sites,
        ..
    } = Part::of(subject, process)?;
    let range = Window {
        from: subject.selection.window.from.max(passed.first_ts),
        to: subject.selection.window.to.min(passed.last_ts),
    };
    let mut collected = Collected::new(range, &stats, &sites, names);
    let mut folded = Folded::default();
    folded.names(Names::of(subject.store, subject.run.run, process.process)?);
    {
        let mut both: Vec<&mut dyn Sink> = vec![&mut collected, &mut folded];
        let mut clip = Clip::new(subject.selection.clone(), &mut both);
        pass::pass(subject.store, subject.run, process, &mut clip)?;
    }
    let page = context(
        subject, process, &stats, &passed, &sites, &collected, &folded,
    )?;
    render(&page, &collected.data())
}

/// `</script>` in a name must not end the script.
fn embed(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

fn render(page: &Value, data: &Value) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("report.html", TEMPLATE)?;
    let sections: Vec<Value> = [
        ("quality", "Data quality"),
        ("findings", "Findings"),
        ("summary", "Summary"),
        ("utilisation", "Utilisation"),
        ("latency", "Scheduling latency"),
        ("queues", "Run queues"),
        ("steals", "Steals"),
        ("threads", "Threads"),
        ("waits", "Slowest waits"),
        ("sites", "Spawn sites"),
        ("counters", "Perf counters"),
        ("flamegraphs", "Flamegraphs"),
        ("timeline", "Timeline"),
    ]
    .iter()
    .filter(|(id, _)| *id != "counters" || page["counters"].is_array())
    .map(|(id, title)| json!({"id": id, "title": title}))
    .collect();
    let text = environment
        .get_template("report.html")?
        .render(minijinja::value::Serde(json!({
            "page": page,
            "sections": sections,
            "version": env!("CARGO_PKG_VERSION"),
            "css": CSS,
            "js": JS,
            "uplot_js": UPLOT_JS,
            "uplot_css": UPLOT_CSS,
            "uplot_licence": UPLOT_LICENCE,
            "data": embed(data),
        })))?;
    Ok(text)
}

/// Everything that the template shows.
fn context(
    subject: &Subject<'_>,
    process: &Process,
    stats: &Stats,
    passed: &Passed,
    sites: &[SiteTimes],
    collected: &Collected,
    folded: &Folded,
) -> anyhow::Result<Value> {
    let run = subject.run;
    let known = |v: &Option<String>| v.clone().unwrap_or_else(|| "unknown".into());
    let facts = vec![
        ("Ps", run.procs.map_or("?".into(), |p| p.to_string())),
        ("Policy", known(&run.policy)),
        ("Lasted", human(passed.last_ts - passed.first_ts)),
        ("Events", passed.events.to_string()),
        (
            "CPUs",
            format!(
                "{}, {}",
                run.cpus.map_or("?".into(), |c| c.to_string()),
                smt(run)
            ),
        ),
        ("Processor", known(&run.cpu_model)),
    ];
    let mut notes: Vec<Value> = quality(run)
        .iter()
        .map(|text| json!({"level": level(text), "text": text}))
        .collect();
    if passed.clamped.n > 0 {
        let text = format!(
            "{} {} moved so that intervals tile, by at most {}: clocks of two threads",
            count(passed.clamped.n, "time"),
            agree(passed.clamped.n, "was", "were"),
            human(passed.clamped.max_ns)
        );
        notes.push(json!({"level": "note", "text": text}));
    }
    if let Some(counters) = &stats.counters {
        let text = counters::notes(counters).join("; ");
        notes.push(
            json!({"level": "note", "text": format!("perf counters of this process: {text}")}),
        );
    }
    if !subject.selection.is_all() {
        notes.push(json!({"level": "warn", "text": "Only the selected part of the run is shown."}));
    }
    if subject.processes.len() > 1 {
        let text = format!(
            "The run has {} processes; this page shows process {} (pid {}), the largest. The summary lists them all.",
            subject.processes.len(),
            process.process,
            process.pid
        );
        notes.push(json!({"level": "note", "text": text}));
    }
    let mut percentiles: Vec<Value> = stats::PERCENTILES
        .iter()
        .map(|p| match stats.latency.percentile(*p) {
            Some(v) => json!({"name": format!("p{p}"), "key": format!("latency_p{p}_ns"), "value": v, "text": human(v as i64)}),
            None => json!({"name": format!("p{p}"), "key": "", "value": "", "text": "too few waits"}),
        })
        .collect();
    let max = stats.latency.max();
    percentiles.push(json!({"name": "longest", "key": "latency_max_ns", "value": max, "text": human(max as i64)}));
    let runs: Vec<Value> = Run::list(subject.store)?
        .iter()
        .map(|r| {
            json!({
                "run": r.run, "current": r.run == run.run, "label": r.label.clone().unwrap_or_default(), "command": r.command,
                "procs": r.procs.map_or("?".into(), |p| p.to_string()), "policy": r.policy.clone().unwrap_or_default(),
                "duration": r.duration_ns.map_or("?".into(), human), "events": r.events, "lost": r.lost, "status": r.status,
            })
        })
        .collect();
    let processes: Vec<Value> = subject
        .processes
        .iter()
        .map(|p| {
            let count = |table: &str| -> anyhow::Result<i64> {
                let sql = format!("SELECT count(*) FROM {table} WHERE run = ? AND process = ?");
                let key = [p.run, p.process];
                Ok(subject
                    .store
                    .db()
                    .query_row(&sql, key, |r| r.get(0))
                    .map_err(subject.store.sql())?)
            };
            let executable = p.executable.as_deref().unwrap_or("?");
            Ok(json!({
                "process": p.process, "current": p.process == process.process, "pid": p.pid,
                "executable": executable.rsplit('/').next(), "gs": count("g")?, "ms": count("m")?,
                "end": if p.finished { "ended" } else { "was cut off" },
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let rows: Vec<Value> = sites
        .iter()
        .take(20)
        .map(|s| {
            json!({
                "site": collected.names().site(s.site), "gs": s.gs, "starts": s.starts, "running": human(s.running),
                "runnable": human(s.runnable), "waiting": human(s.waiting), "syscall": human(s.syscall),
                "worst": human(s.worst_latency),
            })
        })
        .collect();
    let title = match &run.label {
        Some(label) => label.clone(),
        None => short_command(&run.command),
    };
    let waits: Vec<Value> = stats.slowest.iter().map(|w| wait(w, collected)).collect();
    Ok(json!({
        "title": title,
        "label": format!("run {}", run.run),
        "command": run.command,
        "facts": facts,
        "notes": notes,
        "findings": findings::find(run, stats, collected, sites),
        "summary": summary(stats, passed),
        "runs": runs,
        "processes": processes,
        "bin": human(collected.bin_ns()),
        "percentiles": percentiles,
        "latency_count": stats.latency.len(),
        "waits": waits,
        "sites": rows,
        "counters": stats.counters.as_ref().map(|c| counters::lines(c, &c.all)),
        "flamegraphs": flamegraphs(folded)?,
        "database": subject.store.path().display().to_string(),
    }))
}

/// How serious a note on the data is.
fn level(text: &str) -> &'static str {
    if text == "nothing was lost" {
        "good"
    } else if [
        "LOST",
        "contradict",
        "failed",
        "killed",
        "waited",
        "missing",
        "in part",
    ]
    .iter()
    .any(|w| text.contains(w))
    {
        "warn"
    } else {
        "note"
    }
}

/// The command without the folders of its program.
fn short_command(command: &str) -> String {
    let (program, rest) = command.split_once(' ').unwrap_or((command, ""));
    let program = program.rsplit('/').next().unwrap_or(program);
    format!("{program} {rest}").trim().to_owned()
}

fn wait(w: &Wakeup, collected: &Collected) -> Value {
    let names = collected.names();
    let before = collected.waited_for(w);
    let waker = if w.by.is_some() {
        w.by.to_string()
    } else {
        w.cause.word().to_owned()
    };
    let source = format!("{:?}", w.source).to_lowercase();
    // The wait with a tenth of it on either side.
    let margin = (w.latency() / 10).max(1_000);
    json!({
        "delay_ns": w.latency(),
        "delay": human(w.latency()),
        "g": w.g.0,
        "site": names.site(collected.site_of(w.g)),
        "reason": before.map_or(w.cause.word(), |b| b.0),
        "object_site": before.map_or(String::new(), |b| b.1.clone()),
        "waker": waker,
        "waker_site": if w.by.is_some() { names.site(collected.site_of(w.by)) } else { "" },
        "at": at(w.ready_ts),
        "p": w.p.map_or("?".into(), |p| p.0.to_string()),
        "source": source,
        "from": w.ready_ts - margin,
        "to": w.start_ts + margin,
    })
}

fn summary(stats: &Stats, passed: &Passed) -> Value {
    let row = |name: &str, key: &str, value: Value, text: String| json!({"name": name, "key": key, "value": value, "text": text});
    let counted = |name: &str, key: &str, kind: Kind| {
        let n = stats.counted(kind);
        row(name, key, json!(n), n.map_or("?".into(), |n| n.to_string()))
    };
    let stolen: u64 = stats.steals.values().map(|(_, gs)| gs).sum();
    let utilisation = stats.utilisation();
    let threads = stats.most_threads();
    let percent = utilisation.map_or("?".into(), |u| format!("{:.1} %", 100.0 * u));
    let waits: Vec<Value> = stats
        .waits
        .iter()
        .map(|(reason, (n, ns))| {
            row(
                reason,
                "",
                json!(n),
                format!("{}, {}", count(*n, "time"), human(*ns)),
            )
        })
        .collect();
    json!([
        {"group": "Work", "rows": [
            row("Gs", "gs", json!(stats.gs.len()), stats.gs.len().to_string()),
            counted("switches", "starts", Kind::Start),
            row("utilisation of the Ps", "utilisation", json!(utilisation), percent),
            row("events", "events", json!(passed.events), passed.events.to_string()),
        ]},
        {"group": "Scheduling", "rows": [
            counted("steals", "steals", Kind::Steal),
            row("Gs stolen", "stolen", json!(stolen), stolen.to_string()),
            counted("queue overflows", "overflows", Kind::Overflow),
            counted("preemptions", "preempts", Kind::Preempt),
        ]},
        {"group": "System calls and threads", "rows": [
            counted("system calls", "syscalls", Kind::SyscallEnter),
            counted("Ps retaken", "retakes", Kind::Retake),
            counted("Ps handed off", "handoffs", Kind::Handoff),
            row("most threads at once", "threads", json!(threads), threads.map_or("?".into(), |n| n.to_string())),
        ]},
        {"group": "Waits", "rows": waits},
    ])
}

fn flamegraphs(folded: &Folded) -> anyhow::Result<Vec<Value>> {
    let graphs = [
        (
            "oncpu",
            "On the Ps",
            "Time that Gs ran, by the chain of places where they and their ancestors were spawned. Wider is longer.",
            folded.on_cpu(),
        ),
        (
            "offcpu",
            "Off the Ps",
            "Time that Gs did not run, by the same chains; the last frames say why: runnable, in a system call, or waiting and for what.",
            folded.off_cpu(),
        ),
    ];
    let mut out = Vec::new();
    for (id, title, how, lines) in graphs {
        let mut document = None;
        if !lines.is_empty() {
            let mut svg = Vec::new();
            // The page itself begins with what must be known.
            flamegraph::draw(&lines, title, &[], &mut svg)?;
            let svg = String::from_utf8(svg).context("the flamegraph is no text")?;
            // In a page, the declaration of XML is an error.
            let body = svg.find("<svg").map_or(svg.as_str(), |from| &svg[from..]);
            document = Some(format!(
                "<!doctype html><style>body{{margin:0}}svg{{width:100%;height:auto}}</style>{body}"
            ));
        }
        let depth = lines
            .iter()
            .map(|l| l.matches(';').count() + 1)
            .max()
            .unwrap_or(0);
        out.push(json!({"id": id, "title": title, "how": how, "document": document, "height": 120 + 17 * depth}));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_the_trace_cannot_leave_their_place() {
        let data = json!({"name": "</script><script>alert(1)</script>"});
        assert!(!embed(&data).contains('<'));
        let back: Value = serde_json::from_str(&embed(&data)).expect("JSON");
        assert_eq!(back, data);
    }

    #[test]
    fn the_program_of_a_command_loses_its_folders() {
        assert_eq!(short_command("/a/b/prog x --y"), "prog x --y");
        assert_eq!(short_command("prog"), "prog");
    }
}
