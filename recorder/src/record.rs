//! A recording from end to end.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use gmp_store::Store;
use gmp_store::entity::{ProcessInfo, RunMetric, RunParam};
use gmp_store::run::Run;
use gmp_store::rusqlite::types::Value;
use gmp_trace::clock::Snapshot;
use gmp_trace::spool::{control, event_cost_ns};
use gmp_trace::version::info;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::child;
use crate::cli::Args;
use crate::clocks::Clocks;
use crate::ingest::{Ingest, Unread};
use crate::live::{self, Watch};
use crate::machine::{self, Machine};
use crate::place::{self, Place};
use crate::{FAILED, attend, begin, output, summary};

/// Records what the command line asks for; the exit code.
pub fn record(args: &Args) -> anyhow::Result<u8> {
    check_policy(args)?;
    output::prepare(&args.output, args.force)?;
    let store = Store::create_or_open(&args.output)?;
    let place = match place::choose(
        &args.output,
        args.spool.as_deref(),
        args.spool_limit.map(|s| s.as_u64()),
    ) {
        Ok(place) => place,
        Err(e) => {
            forget(&store, None, args);
            return Err(e);
        }
    };
    let machine = machine::look();
    let first = Snapshot::take();
    let begun = Clocks::create(&place.dir, &first).and_then(|clocks| {
        let run = begin(&store, args, &place, &machine, &first)?;
        Ok((run, clocks))
    });
    let (mut run, clocks) = match begun {
        Ok(begun) => begun,
        Err(e) => {
            place::remove(&place.dir);
            forget(&store, None, args);
            return Err(e);
        }
    };
    let child = match child::start(args, &place) {
        Ok(child) => child,
        Err(not_started) => {
            let (child::NotStarted::NotFound(text) | child::NotStarted::NotRunnable(text)) =
                &not_started;
            eprintln!("gmp-record: {text}");
            place::remove(&place.dir);
            forget(&store, Some(run.run), args);
            return Ok(not_started.code());
        }
    };
    let interrupts = child::pass_signals(&child)?;
    let program = Path::new(&args.program[0]).to_owned();
    let watch = Watch::start(place.dir.clone(), clocks, first, program.clone())?;
    let attended = attend::attend(
        child,
        &interrupts,
        &store,
        &mut run,
        &place.dir,
        &machine,
        &first,
    )?;
    let status = attended.status;
    let last = Snapshot::take();
    let clocks = watch.finish();
    let code = child::exit_code(status);
    run.exit_code = status.code();
    run.signal = std::os::unix::process::ExitStatusExt::signal(&status);
    run.duration_ns = Some(last.monotonic_ns as i64 - run.started_monotonic_ns);
    run.status = match (status.code(), run.signal) {
        (Some(0), _) => "ok",
        (_, Some(_)) => "cut",
        _ => "failed",
    }
    .into();
    let processes = place::processes(&place.dir)?;
    if !processes.iter().any(|process| control::has_begun(process)) {
        let why = if processes.is_empty() {
            format!("because no GMP runtime started: {}", live::advice(&program))
        } else {
            format!(
                "because the program's runtime found no room for its spool in {}, or was killed before it began; --spool names another folder",
                place.dir.parent().unwrap_or(&place.dir).display()
            )
        };
        eprintln!("gmp-record: nothing was recorded, {why}");
        place::remove(&place.dir);
        forget(&store, Some(run.run), args);
        return Ok(FAILED);
    }
    let whole = finish(args, &mut run, attended.ingest, &clocks, &store, &place.dir)?;
    Ok(if whole { code } else { FAILED })
}

/// The second half of a recording: what is left of the spool into the database; whether all is there that was to be: every process could be
/// read, left an event if it had any, and lost nothing if it was to wait for room. Shared with `--recover`.
pub fn finish(
    args: &Args,
    run: &mut Run,
    ingest: Ingest<'_>,
    clocks: &[Snapshot],
    store: &Store,
    dir: &Path,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    run.spool_bytes = Some(size_of(dir) as i64);
    let bar = progress(args);
    let unread = ingest.finish(run, clocks, &bar, |run| describe(store, run, args)).with_context(|| {
        format!(
            "what was recorded is safe in {}; when the cause is gone, `gmp-record --recover -o {}` finishes it",
            dir.display(),
            args.output.display()
        )
    })?;
    bar.finish_and_clear();
    for process in &unread {
        eprintln!("gmp-record: {process}");
    }
    if unread.iter().any(Unread::is_damaged) {
        eprintln!(
            "gmp-record: what could not be read stays in {}",
            dir.display()
        );
    } else {
        place::remove(dir);
    }
    let names_lost = names_lost(store, run.run)?;
    summary::print(args, run, names_lost, began.elapsed())?;
    let lost_nothing = run.lost == 0 && names_lost == 0;
    Ok(unread.is_empty()
        && (run.events > 0 || run.lost == 0)
        && (lost_nothing || summary::may_lose(args, run)))
}

/// How many names the processes of a run had no room for, by their own word.
fn names_lost(store: &Store, run: u32) -> anyhow::Result<u64> {
    let stated = ProcessInfo::all(store, run)?.into_iter();
    Ok(stated
        .filter(|stated| stated.key == info::NAMES_LOST)
        .filter_map(|stated| stated.value.parse().ok())
        .fold(0, u64::saturating_add))
}

/// Refuses a policy that the program would refuse later.
fn check_policy(args: &Args) -> anyhow::Result<()> {
    if let Some(policy) = &args.policy {
        policy.parse::<gmp_policy::Policy>().map_err(|e| {
            anyhow::anyhow!("--policy {policy}: {e}; `--policy help` lists the knobs")
        })?;
    }
    Ok(())
}

/// Writes the run's row, so that the database knows of the recording from its first moment.
fn begin(
    store: &Store,
    args: &Args,
    place: &Place,
    machine: &Machine,
    first: &Snapshot,
) -> anyhow::Result<Run> {
    let words: Vec<String> = args
        .program
        .iter()
        .map(|w| w.to_string_lossy().into_owned())
        .collect();
    let command =
        shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    let run = Run {
        label: args.label.clone(),
        cwd: std::env::current_dir()
            .ok()
            .map(|d| d.to_string_lossy().into_owned()),
        cpus: machine.cpus,
        cpu_list: machine.cpu_list.clone(),
        smt: machine.smt.clone(),
        event_cost_ns: Some(event_cost_ns()),
        ..begin::row(command, &words, first, machine)
    };
    store.transaction(|| -> anyhow::Result<Run> {
        let run = begin::insert(store, run, &place.dir)?;
        for (key, value) in &args.tag {
            param(store, run.run, &format!("tag.{key}"), value)?;
        }
        Ok(run)
    })
}

/// Names what the run was and what came of it, for grouping. Part of a transaction.
fn describe(store: &Store, run: &Run, args: &Args) -> anyhow::Result<()> {
    if let Some(procs) = run.procs {
        param(store, run.run, "procs", &procs.to_string())?;
    }
    let policy: Option<gmp_policy::Policy> = run.policy.as_deref().and_then(|p| p.parse().ok());
    if let Some(policy) = policy {
        for knob in gmp_policy::KNOBS {
            let value = (knob.get)(&policy);
            param(store, run.run, &format!("policy.{}", knob.name), &value)?;
        }
    }
    for (key, value) in &args.tag {
        param(store, run.run, &format!("tag.{key}"), value)?;
    }
    for (name, value, unit) in [
        ("duration", run.duration_ns.map(|d| d as f64 / 1e9), "s"),
        ("events", Some(run.events as f64), "events"),
    ] {
        RunMetric {
            run: run.run,
            name: name.into(),
            value,
            unit: Some(unit.into()),
        }
        .insert(store)?;
    }
    Ok(())
}

fn param(store: &Store, run: u32, name: &str, value: &str) -> anyhow::Result<()> {
    let unit = (name == "procs").then(|| "Ps".to_owned());
    Ok(RunParam {
        run,
        name: name.to_owned(),
        value: Value::Text(value.to_owned()),
        unit,
    }
    .insert(store)?)
}

/// Takes back what `begin` wrote, and the file if no run is in it then. Why there is nothing to keep is told elsewhere, so a failure
/// is worth a word and no more.
fn forget(store: &Store, run: Option<u32>, args: &Args) {
    let forgotten = store.transaction(|| -> anyhow::Result<()> {
        for table in ["run", "run_param", "ingest_cursor"] {
            let delete = format!("DELETE FROM {table} WHERE run = ?");
            store.db().execute(&delete, [run]).map_err(store.sql())?;
        }
        // Inside the transaction: a recorder that waits for it is refused by SQLite then, instead of writing into a file without a name.
        if Run::list(store)?.is_empty() {
            std::fs::remove_file(&args.output)?;
        }
        Ok(())
    });
    if let Err(e) = forgotten {
        eprintln!(
            "gmp-record: warning: cannot take the run back from {}: {e:#}",
            args.output.display()
        );
    }
}

fn progress(args: &Args) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if args.quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    let style =
        ProgressStyle::with_template("{spinner} {human_pos} events into the database ({per_sec})");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_of(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}
