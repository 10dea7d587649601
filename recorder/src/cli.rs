//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;
use clap::{CommandFactory, Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  gmp-record ./workload                      record into trace.db
  gmp-record -o p4.db --procs 4 -- ./workload --size 100
  gmp-record --policy steal=one --tag host=lab7 ./workload
  gmp-record --policy help                   what a policy can vary
  gmp-record --recover -o trace.db           finish what a killed gmp-record left
  gmp-record --recover --spool DIR           into trace.db what GMP_SPOOL=DIR ./workload left
  gmp-record --generate man >gmp-record.1    the man page; bash, zsh, fish for completions

Exit codes:
  of the program; 128 + n when signal n killed it; 125 recording failed or bad usage;
  126 the program cannot be run; 127 it was not found";

/// Runs a program of the GMP runtime and keeps everything it did in one SQLite file.
#[derive(Debug, Parser)]
#[command(name = "gmp-record", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Args {
    /// The database; one that exists gains a run
    #[arg(short, long, value_name = "FILE", default_value = "trace.db")]
    pub output: PathBuf,

    /// Replace FILE if it is something else than a trace database
    #[arg(long)]
    pub force: bool,

    /// A name for the run
    #[arg(long, value_name = "NAME", value_parser = label)]
    pub label: Option<String>,

    /// A fact about the run, to group by later; repeatable
    #[arg(long, value_name = "KEY=VALUE", value_parser = tag)]
    pub tag: Vec<(String, String)>,

    /// The number of Ps, at most 4096; wins over the program's own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(gmp_policy::MAX_PROCS)))]
    pub procs: Option<u32>,

    /// The scheduler's decisions, for example steal=one,runnext=off; `help` lists them
    #[arg(long, value_name = "POLICY")]
    pub policy: Option<String>,

    /// Perf counters to read: auto, none, or a comma list of names
    #[arg(long, value_name = "auto|none|LIST", default_value = "auto", value_parser = counters)]
    pub counters: String,

    /// Read the counters around a random sample of run intervals, or at every switch
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub counters_every: Every,

    /// Where the events lie until they are in the database [default: memory, or beside FILE]
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,

    /// The most that the spool of each process may take, for example 2GiB; from half of it on, events go
    /// into FILE while the program runs [default: half of the free space]
    #[arg(long, value_name = "SIZE")]
    pub spool_limit: Option<bytesize::ByteSize>,

    /// What the program's threads do when the spool is full all the same
    #[arg(long, value_name = "WHAT", default_value = "block")]
    pub on_full: OnFull,

    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Print a summary as one JSON line, the last of standard output
    #[arg(long)]
    pub json: bool,

    /// Finish the recordings that a killed gmp-record left in FILE; with --spool, add to FILE what a program left in DIR
    /// that ran with GMP_SPOOL=DIR and without gmp-record
    #[arg(long, conflicts_with_all = ["program", "label", "procs", "policy"])]
    pub recover: bool,

    /// Print completions for a shell, or the man page
    #[arg(long, value_name = "WHAT")]
    pub generate: Option<Generate>,

    /// The program and its arguments
    #[arg(
        value_name = "PROGRAM",
        trailing_var_arg = true,
        required_unless_present_any = ["recover", "generate", "policy"]
    )]
    pub program: Vec<OsString>,
}

/// When counters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Every {
    /// A random sample, so that the run is slowed by at most 3 %
    Auto,
    /// Every switch: exact, and slow where a reading costs a system call
    Switch,
}

/// What becomes of events that do not fit the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnFull {
    /// Their threads wait for room, and the time is recorded: nothing is lost, or the exit code is 125
    Block,
    /// They are lost and counted, and no thread waits
    Drop,
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

/// A name that `gmp-analyze --run` can tell from its other values.
fn label(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "last" || text.parse::<u64>().is_ok() {
        return Err(
            "must be a name: `--run` takes numbers and `last` for runs by their number".into(),
        );
    }
    Ok(text.to_owned())
}

/// Counters that the program's runtime knows.
fn counters(text: &str) -> Result<String, String> {
    gmp_trace::counter::parse(text).map(|_| text.to_owned())
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".into()),
    }
}

/// Completions or the man page.
///
/// # Errors
/// When the man page cannot be rendered.
pub fn generate(what: Generate) -> anyhow::Result<String> {
    use clap_complete::Shell;
    let mut command = Args::command();
    let mut out = Vec::new();
    let shell = match what {
        Generate::Bash => Shell::Bash,
        Generate::Zsh => Shell::Zsh,
        Generate::Fish => Shell::Fish,
        Generate::Man => {
            clap_mangen::Man::new(command)
                .render(&mut out)
                .context("cannot make the man page")?;
            return Ok(String::from_utf8(out)?);
        }
    };
    clap_complete::generate(shell, &mut command, "gmp-record", &mut out);
    Ok(String::from_utf8(out)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_completions_and_man_page_name_every_option() {
        let mut texts = vec![Args::command().render_long_help().to_string()];
        for what in Generate::value_variants() {
            // The man page writes its hyphens in another way.
            texts.push(generate(*what).expect("a text").replace("\\-", "-"));
        }
        for option in Args::command().get_arguments() {
            let Some(name) = option.get_long() else {
                continue;
            };
            for text in &texts {
                assert!(text.contains(name), "--{name} is not in {text}");
            }
        }
        assert!(texts[0].contains("--generate"));
    }

    #[test]
    fn what_follows_the_program_is_the_programs() {
        let args = Args::try_parse_from(["gmp-record", "-o", "x.db", "./prog", "-o", "--json"])
            .expect("a command");
        assert_eq!(args.output, PathBuf::from("x.db"));
        assert!(!args.json);
        assert_eq!(args.program, ["./prog", "-o", "--json"]);
        let args = Args::try_parse_from(["gmp-record", "--", "-odd-name", "x"]).expect("a command");
        assert_eq!(args.program, ["-odd-name", "x"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_the_program_starts() {
        for words in [
            &["--bogus", "x"][..],
            &["--counters", "cycles,cakes", "x"],
            &["--label", "last", "x"],
            &["--label", "7", "x"],
            &["--tag", "colour", "x"],
            &["--procs", "0", "x"],
            &["--procs", "4097", "x"],
        ] {
            let args = [&["gmp-record"], words].concat();
            assert!(Args::try_parse_from(args).is_err(), "{words:?}");
        }
    }
}
