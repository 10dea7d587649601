//! The command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, ValueEnum};
use gmp_trace::event::Kind;
use gmp_trace::ids::{GId, PId};

use crate::select::{Selection, Window};
use crate::time;

const EXAMPLES: &str = "\
Examples:
  gmp-analyze trace.db                                  the summary
  gmp-analyze trace.db --list                           runs and reports
  gmp-analyze trace.db --report html -o report.html
  gmp-analyze trace.db --report chrome,perfetto,flamegraph -o out/
  gmp-analyze trace.db --report events --kind steal,handoff --window 10ms..20ms
  gmp-analyze trace.db --report events --around G17@12.5ms
  gmp-analyze trace.db --report check && echo sound

Exit codes:
  0 done; 1 `check` found a violation; 2 error";

/// Says what happened in a trace of the GMP runtime.
#[derive(Debug, Parser)]
#[command(name = "gmp-analyze", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// The database that gmp-record made
    #[arg(value_name = "DB", required_unless_present = "generate")]
    pub db: Option<PathBuf>,

    /// What to make; several separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub report: Vec<ReportKind>,

    /// Where to: a file for one report, a folder for several; `-` is standard output [default: standard output for text, else a name after the kind].
    /// A trace too large for viewers becomes numbered files (x-1.json, x-2.json); a new one takes the place of all files of an earlier one
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// Print JSON instead of text
    #[arg(long)]
    pub json: bool,

    /// Which run: a number, a label, or last [default: the only or last one]
    #[arg(long, value_name = "RUN")]
    pub run: Option<String>,

    /// Only this part of the time, for example 12ms..15ms; as with all filters, a check proves the whole run and lists what lies in it
    #[arg(long, value_name = "FROM..TO")]
    pub window: Option<Window>,

    /// Only this G
    #[arg(long, value_name = "G", value_parser = g_id)]
    pub g: Option<GId>,

    /// Only this P
    #[arg(long, value_name = "P", value_parser = p_id)]
    pub p: Option<PId>,

    /// Only events of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    pub kind: Vec<Kind>,

    /// Only what this G did within 1 ms of a time, for example G17@12.5ms
    #[arg(long, value_name = "G@TIME", value_parser = around, conflicts_with_all = ["g", "window"])]
    pub around: Option<(GId, i64)>,

    /// List the runs of the database and the kinds of reports
    #[arg(long, conflicts_with_all = ["report", "run", "window", "g", "p", "kind", "around", "intervals"])]
    pub list: bool,

    /// Write the interval tables g_interval, p_interval, m_interval, queue_length and g_summary of the run into the database
    #[arg(long)]
    pub intervals: bool,

    /// Build indexes on the events, which queries by G, kind or time want
    #[arg(long)]
    pub index: bool,

    /// Write where the analyzer's own time went, as a Chrome trace
    #[arg(long, value_name = "FILE", hide = true)]
    pub profile: Option<PathBuf>,

    /// Print shell completions or the man page, and do nothing else
    #[arg(long, value_name = "WHAT")]
    pub generate: Option<Generate>,
}

/// A kind of report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportKind {
    /// What happened, on one screen
    Summary,
    /// The trace in sentences, one a line
    Events,
    /// Whether the trace is sound: legal states, one M per P, rows equal to the runtime's own counters
    Check,
    /// Times per G, P, M and spawn site; scheduling latency
    Stats,
    /// One offline file with charts and a zoomable timeline
    Html,
    /// JSON for the Perfetto UI, speedscope and chrome://tracing
    Chrome,
    /// The protobuf form for the Perfetto UI
    Perfetto,
    /// On-CPU and off-CPU time by spawn site, as SVG and folded text
    Flamegraph,
}

impl ReportKind {
    /// Whether it is read by programs, and has no place for words about itself that everybody sees.
    pub fn is_data(self) -> bool {
        matches!(
            self,
            ReportKind::Events | ReportKind::Chrome | ReportKind::Perfetto | ReportKind::Flamegraph
        )
    }

    /// Whether it can be JSON instead of text.
    pub fn has_json(self) -> bool {
        matches!(
            self,
            ReportKind::Summary | ReportKind::Events | ReportKind::Check | ReportKind::Stats
        )
    }
}

/// What can be generated from the command line's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "names of shells")]
pub enum Generate {
    Bash,
    Zsh,
    Fish,
    Man,
}

impl Args {
    /// What of the run is wanted.
    pub fn selection(&self) -> Selection {
        let mut selection = Selection {
            window: self.window.unwrap_or(Window::ALL),
            g: self.g,
            p: self.p,
            kinds: self.kind.clone(),
        };
        if let Some((g, at)) = self.around {
            selection.g = Some(g);
            selection.window = Window {
                from: at.saturating_sub(1_000_000),
                to: at.saturating_add(1_000_000),
            };
        }
        selection
    }
}

fn g_id(text: &str) -> Result<GId, String> {
    let number = text.strip_prefix(['G', 'g']).unwrap_or(text);
    match number.parse() {
        Ok(n) if n > 0 => Ok(GId(n)),
        _ => Err(format!("{text} is no G; write it like G17")),
    }
}

fn p_id(text: &str) -> Result<PId, String> {
    let number = text.strip_prefix(['P', 'p']).unwrap_or(text);
    number
        .parse()
        .map(PId)
        .map_err(|_| format!("{text} is no P; write it like P0"))
}

fn kind(text: &str) -> Result<Kind, String> {
    Kind::from_name(text).ok_or_else(|| {
        let names: Vec<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        format!("{text} is no kind of event; there are {}", names.join(", "))
    })
}

fn around(text: &str) -> Result<(GId, i64), String> {
    let (g, at) = text
        .split_once('@')
        .ok_or_else(|| format!("{text} is not like G17@12.5ms"))?;
    Ok((g_id(g)?, time::parse(at)?))
}

/// Prints completions or the man page.
///
/// # Errors
/// When standard output is closed.
pub fn generate(what: Generate) -> anyhow::Result<()> {
    use clap_complete::Shell;
    let mut command = Args::command();
    let out = &mut std::io::stdout();
    let shell = match what {
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
        Generate::Man => {
            return clap_mangen::Man::new(command)
                .render(out)
                .context("cannot write the man page");
        }
    };
    clap_complete::generate(shell, &mut command, "gmp-analyze", out);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_moment_of_a_g_is_a_selection() {
        let args =
            Args::try_parse_from(["gmp-analyze", "t.db", "--around", "G17@12.5ms"]).expect("valid");
        let selection = args.selection();
        assert_eq!(selection.g, Some(GId(17)));
        assert_eq!(
            selection.window,
            Window {
                from: 11_500_000,
                to: 13_500_000
            }
        );
        let long_ago = ["gmp-analyze", "t.db", "--around", "G17@-10000000000s"];
        let window = Args::try_parse_from(long_ago)
            .expect("valid")
            .selection()
            .window;
        assert!(window.from < window.to);
    }

    #[test]
    fn mistakes_are_told_with_what_would_be_right() {
        let error = |args: &[&str]| {
            let args = ["gmp-analyze", "t.db"].iter().chain(args).copied();
            Args::try_parse_from(args)
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default()
        };
        assert!(error(&["--kind", "stael"]).contains("steal"));
        assert!(error(&["--window", "12"]).contains("12ms..15ms"));
        assert!(error(&["--report", "pdf"]).contains("stats"));
    }
}
