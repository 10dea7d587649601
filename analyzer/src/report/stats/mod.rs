//! `--report stats`: the times of each G, P, M and spawn site; scheduling latency; what the scheduler did, counted.
//!
//! One pass gathers it (`collect.rs`); it is printed as text (`text.rs`) or as JSON (`json.rs`). The summary and the page show parts of the same.

mod collect;
mod json;
mod latency;
mod text;

use gmp_store::entity::Process;
use serde_json::Value;

use super::summary::{head, json_head};
use super::{Output, Subject};
use crate::frame::{self, SiteTimes};
use crate::names::Names;
use crate::pass::Passed;

pub use collect::Stats;
pub use json::latency as latency_json;
pub use latency::{Latency, PERCENTILES};

/// Gs, Ms and sites that are told of one by one.
const SHOWN: usize = 20;

/// A process of a run, and all that is needed to tell of it.
#[derive(Debug)]
pub struct Part<'a> {
    /// The process.
    pub process: &'a Process,
    /// What one pass gathered.
    pub stats: Stats,
    /// How the pass went.
    pub passed: Passed,
    /// What its numbers stand for.
    pub names: Names,
    /// The times of its Gs by spawn site.
    pub sites: Vec<SiteTimes>,
}

impl<'a> Part<'a> {
    /// The statistics of a process, as far as it is selected.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn of(subject: &Subject<'a>, process: &'a Process) -> anyhow::Result<Part<'a>> {
        let (stats, passed) = collect::collect(subject, process)?;
        let sites = frame::by_site(&frame::gs(&stats.gs)?)?;
        Ok(Part {
            process,
            stats,
            passed,
            names: Names::of(subject.store, subject.run.run, process.process)?,
            sites,
        })
    }

    /// Those of all processes.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn all(subject: &Subject<'a>) -> anyhow::Result<Vec<Part<'a>>> {
        let processes = subject.processes.iter();
        processes.map(|p| Part::of(subject, p)).collect()
    }
}

/// Prints the statistics.
///
/// # Errors
/// When the database cannot be read or the output not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let parts = Part::all(subject)?;
    if subject.json {
        let processes = parts.iter().map(|part| {
            let mut value = json::json(part);
            for (_, names) in part.stats.left_out(subject.run) {
                names.iter().for_each(|name| value[*name] = Value::Null);
            }
            value
        });
        let value = json_head(subject, processes.collect());
        return output.text("stats.json", |out| Ok(writeln!(out, "{value}")?));
    }
    output.text("stats.txt", |out| {
        head(subject.run, out)?;
        writeln!(out)?;
        for part in &parts {
            if parts.len() > 1 {
                writeln!(out, "process {}\n", part.process.process)?;
            }
            if let Some(words) = subject.selection.words() {
                writeln!(out, "only {words}")?;
                let left_out = part.stats.left_out(subject.run);
                let left_out: Vec<_> = left_out.iter().map(|(words, _)| *words).collect();
                if !left_out.is_empty() {
                    writeln!(
                        out,
                        "left out, as they are not of this part alone: {}",
                        left_out.join(", ")
                    )?;
                }
                writeln!(out)?;
            }
            text::text(part, out)?;
        }
        Ok(())
    })
}
