//! `--report flamegraph`: where time went on and off the Ps, by the chain of spawn sites, as folded text and as SVG.
//!
//! A stack is the chain of places where the G and its ancestors were spawned, the outermost first; the last frame says what the time was:
//! running, runnable, in a system call, or waiting and for what. Values are microseconds. `oncpu` holds the running time, `offcpu` all other.

use std::collections::BTreeMap;
use std::io::Write;

use gmp_store::EventRow;
use gmp_trace::event::Event;
use gmp_trace::ids::{GId, SiteId};
use inferno::flamegraph::{self, Options};
use rustc_hash::FxHashMap;

use super::summary::doubts;
use super::{Output, Subject};
use crate::model::{GInterval, GState, Sink};
use crate::names::Names;
use crate::pass;
use crate::select::Clip;

/// Ancestors that are shown.
const DEPTH: usize = 24;

/// Time by stack, ns.
#[derive(Debug, Default)]
pub struct Folded {
    names: Names,
    /// The chain of sites of each G that lives, as text.
    chains: FxHashMap<GId, String>,
    on: BTreeMap<String, i64>,
    off: BTreeMap<String, i64>,
}

impl Sink for Folded {
    fn event(&mut self, row: &EventRow) {
        if let Event::Spawn { g, site, .. } = row.event {
            let parent = self.chains.get(&row.by).cloned().unwrap_or_default();
            let chain = self.chain(&parent, site);
            self.chains.insert(g, chain);
        }
    }

    fn g(&mut self, i: &GInterval) {
        let chain = self.chains.get(&i.g).map_or("?", String::as_str);
        let took = i.to - i.from;
        let (of, leaf) = match i.state {
            GState::Running => (&mut self.on, String::new()),
            GState::Runnable(cause) => (&mut self.off, format!(";runnable ({})", cause.word())),
            GState::Syscall => (&mut self.off, ";system call".to_owned()),
            GState::Waiting(reason, object) if object.0 != 0 => {
                let object = self.names.object(object);
                // The object's number would make a frame of each.
                let made = object.split_once(" made at ").map_or("", |(_, at)| at);
                (&mut self.off, format!(";waiting ({reason});made at {made}"))
            }
            GState::Waiting(reason, _) => (&mut self.off, format!(";waiting ({reason})")),
            // Neither on a CPU nor off it, as far as anybody knows.
            GState::Unknown => (&mut self.off, String::new()),
        };
        if i.state != GState::Unknown {
            *of.entry(format!("{chain}{leaf}")).or_default() += took;
        }
        if i.last {
            self.chains.remove(&i.g);
        }
    }
}

impl Folded {
    /// What comes next is of the process with these names.
    pub fn names(&mut self, names: Names) {
        self.names = names;
        self.chains.clear();
    }

    fn chain(&self, parent: &str, site: SiteId) -> String {
        let site = self.names.site(site);
        // A G that spawns the like of itself, at any depth, is one frame.
        let last = parent.rsplit(';').next().unwrap_or_default();
        if parent.is_empty() {
            site.to_owned()
        } else if last == site || parent.matches(';').count() + 1 >= DEPTH {
            parent.to_owned()
        } else {
            format!("{parent};{site}")
        }
    }

    /// The lines `stack value` of a graph, in microseconds; what rounds to nothing is left out.
    fn lines(of: &BTreeMap<String, i64>) -> Vec<String> {
        of.iter()
            .map(|(stack, ns)| (stack, (ns + 500) / 1_000))
            .filter(|(_, us)| *us > 0)
            .map(|(stack, us)| format!("{stack} {us}"))
            .collect()
    }

    /// The lines of the time on Ps.
    pub fn on_cpu(&self) -> Vec<String> {
        Folded::lines(&self.on)
    }

    /// The lines of the time off Ps.
    pub fn off_cpu(&self) -> Vec<String> {
        Folded::lines(&self.off)
    }
}

/// Collects the stacks of a run's processes.
///
/// # Errors
/// When the database cannot be read.
pub fn fold(subject: &Subject<'_>) -> anyhow::Result<Folded> {
    let mut folded = Folded::default();
    for process in subject.processes {
        folded.names(Names::of(subject.store, subject.run.run, process.process)?);
        // Spawns before the window tell the chains of those within it.
        let mut clip = SpawnsToo(Clip::new(subject.selection.clone(), &mut folded));
        pass::pass(subject.store, subject.run, process, &mut clip)?;
    }
    Ok(folded)
}

/// Passes spawns on even when they are not selected.
struct SpawnsToo<'a>(Clip<&'a mut Folded>);

impl Sink for SpawnsToo<'_> {
    fn event(&mut self, row: &EventRow) {
        self.0.sink_mut().event(row);
    }
    fn g(&mut self, interval: &GInterval) {
        self.0.g(interval);
    }
}

/// Draws folded lines, with what must be known of them under the title.
///
/// # Errors
/// When the graph cannot be written.
pub fn draw(
    lines: &[String],
    title: &str,
    known: &[String],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut options = Options::default();
    options.title = title.to_owned();
    options.subtitle = (!known.is_empty()).then(|| known.join("; "));
    options.count_name = "µs".into();
    options.no_javascript = false;
    if lines.is_empty() {
        let known: String = known.iter().map(|k| format!("; {k}")).collect();
        write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" height=\"40\"><text x=\"10\" y=\"25\">{title}: no time at all{known}</text></svg>"
        )?;
        return Ok(());
    }
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), out)?;
    Ok(())
}

/// Writes the four files.
///
/// # Errors
/// When the database cannot be read or a file not written.
pub fn make(subject: &Subject<'_>, output: &Output) -> anyhow::Result<()> {
    let folded = fold(subject)?;
    let mut known = doubts(subject.run);
    known.extend(subject.selection.words().map(|w| format!("only {w}")));
    let graphs = [
        ("oncpu", "On-CPU time by spawn site", folded.on_cpu()),
        (
            "offcpu",
            "Off-CPU time by spawn site and reason",
            folded.off_cpu(),
        ),
    ];
    for (name, title, lines) in graphs {
        output.file(&format!("{name}.folded"), |out| {
            lines.iter().try_for_each(|l| writeln!(out, "{l}"))?;
            Ok(())
        })?;
        output.file(&format!("{name}.svg"), |out| {
            draw(&lines, title, &known, out)
        })?;
    }
    Ok(())
}
