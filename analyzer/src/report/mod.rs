//! The reports: which run, which process, which sinks, where to.

pub mod check;
pub mod counters;
pub mod events;
pub mod export;
pub mod flamegraph;
pub mod hogs;
pub mod html;
pub mod intervals;
mod output;
mod place;
pub mod stats;
pub mod summary;

use std::path::Path;

use anyhow::Context;
use gmp_store::Store;
use gmp_store::entity::Process;
use gmp_store::run::Run;

use crate::cli::{Args, ReportKind};
use crate::pass;
use crate::select::Selection;
use crate::words::count;

pub use output::Output;
pub use place::open;

/// What a report is made from.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The database.
    pub store: &'a Store,
    /// The run.
    pub run: &'a Run,
    /// Its processes.
    pub processes: &'a [Process],
    /// Which part of it.
    pub selection: &'a Selection,
    /// Whether to print JSON.
    pub json: bool,
}

/// Does what the command line asks for; the exit code.
///
/// # Errors
/// What went wrong, for the user.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    if let Some(what) = args.generate {
        crate::cli::generate(what)?;
        return Ok(0);
    }
    let path = args.db.as_deref().unwrap_or(Path::new("trace.db"));
    if args.index {
        intervals::index(path)?;
    }
    let store = Store::open(path)?;
    if args.list {
        return summary::list(&store, args.json).map(|()| 0);
    }
    let run = choose(&store, args)?;
    if run.ingest != "done" {
        anyhow::bail!(
            "run {} of {} is not complete: it is being recorded, or gmp-record was killed; \
             `gmp-record --recover -o {}` finishes it",
            run.run,
            path.display(),
            path.display()
        );
    }
    // A table, an event or a slice is taken for what happened: what is missing is said beside it.
    if args.intervals || args.report.iter().any(|k| k.is_data()) {
        for doubt in summary::doubts(&run) {
            eprintln!("gmp-analyze: warning: run {}: {doubt}", run.run);
        }
    }
    if args.intervals {
        intervals::write(path, &run)?;
        let others = Run::list(&store)?.len() - 1;
        if others > 0 {
            eprintln!(
                "gmp-analyze: wrote the interval tables of run {}; the file has {} besides: --run names another",
                run.run,
                count(others, "run")
            );
        }
    }
    if (args.index || args.intervals) && args.report.is_empty() {
        return Ok(0);
    }
    let processes = pass::processes(&store, &run)?;
    let selection = args.selection();
    selection.check(&store, &run, &processes)?;
    if args.json
        && let Some(kind) = args.report.iter().find(|k| !k.has_json())
    {
        anyhow::bail!(
            "--json goes with summary, stats, events and check, not with {}",
            format!("{kind:?}").to_lowercase()
        );
    }
    let subject = Subject {
        store: &store,
        run: &run,
        processes: &processes,
        selection: &selection,
        json: args.json,
    };
    let kinds = if args.report.is_empty() {
        &[ReportKind::Summary][..]
    } else {
        &args.report
    };
    let output = Output::new(args.output.as_deref(), kinds)?;
    let mut code = 0;
    for kind in kinds {
        let _span = tracing::info_span!("report", kind = ?kind).entered();
        let name = format!("{kind:?}").to_lowercase();
        let made =
            make(*kind, &subject, &output).with_context(|| format!("{name} of run {}", run.run))?;
        code = code.max(made);
    }
    Ok(code)
}

/// The run that is meant; says which one it took when there was a choice.
fn choose(store: &Store, args: &Args) -> anyhow::Result<Run> {
    if let Some(wanted) = &args.run {
        return Ok(Run::find(store, wanted)?);
    }
    let mut runs = Run::list(store)?;
    let n = runs.len();
    let run = runs
        .pop()
        .with_context(|| format!("{} holds no run", store.path().display()))?;
    if n > 1 {
        eprintln!(
            "gmp-analyze: run {} ({}), the last of {n}; --run takes another, --list shows them",
            run.run,
            run.name()
        );
    }
    Ok(run)
}

fn make(kind: ReportKind, subject: &Subject<'_>, output: &Output) -> anyhow::Result<u8> {
    match kind {
        ReportKind::Summary => summary::make(subject, output)?,
        ReportKind::Events => events::make(subject, output)?,
        ReportKind::Check => return check::make(subject, output),
        ReportKind::Stats => stats::make(subject, output)?,
        ReportKind::Html => html::make(subject, output)?,
        ReportKind::Chrome => export::chrome(subject, output)?,
        ReportKind::Perfetto => export::perfetto(subject, output)?,
        ReportKind::Flamegraph => flamegraph::make(subject, output)?,
    }
    Ok(0)
}
