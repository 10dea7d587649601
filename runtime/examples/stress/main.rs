//! Runs random programs on the runtime until one of them goes wrong or the time is over.
//!
//! `stress --minutes 60` runs programs of random seeds; `stress --seed N --programs 1` runs one again. Programs run in processes of 25 each,
//! because a runtime that has ended keeps its memory. One that takes too long is dumped, with its seed and what every G, M and P does.
//! Exits with 0 if all was well, 1 if something was wrong, 2 on wrong usage, 3 on a hang.

mod programs;

use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use gmp_runtime::{Tally, inspect};
use programs::{Random, Setup};

/// Programs for each process.
const BATCH: u64 = 25;
/// How long one may take, unless said otherwise.
const PATIENCE_S: u64 = 120;

const USAGE: &str = "usage: stress [--seed N] [--programs N | --minutes N] [--procs N] [--patience SECONDS] [--quiet]

  --seed N      the first program's seed; default: from the clock
  --programs N  how many programs; default 100
  --minutes N   for how long instead, in processes of their own
  --procs N     the most Ps of a program; default 6
  --patience N  seconds after which a program counts as hanging; default 120
  --quiet       says nothing as long as all is well";

struct Args {
    seed: u64,
    programs: u64,
    minutes: Option<u64>,
    procs: usize,
    patience: Duration,
    quiet: bool,
}

impl Args {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Args> {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut parsed = Args {
            seed: clock.map_or(1, |d| d.as_nanos() as u64),
            programs: 100,
            minutes: None,
            procs: 6,
            patience: Duration::from_secs(PATIENCE_S),
            quiet: false,
        };
        while let Some(name) = args.next() {
            if name == "--quiet" {
                parsed.quiet = true;
                continue;
            }
            let value: u64 = args.next()?.parse().ok()?;
            match name.as_str() {
                "--seed" => parsed.seed = value,
                "--programs" => parsed.programs = value,
                "--minutes" => parsed.minutes = Some(value),
                "--procs" => parsed.procs = usize::try_from(value).ok()?.clamp(1, 4_096),
                "--patience" => parsed.patience = Duration::from_secs(value),
                _ => return None,
            }
        }
        Some(parsed)
    }
}

fn main() -> ExitCode {
    let Some(args) = Args::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match args.minutes {
        Some(minutes) => for_minutes(&args, minutes),
        None => here(&args),
    }
}

/// Runs the programs in this process, one after the other.
fn here(args: &Args) -> ExitCode {
    watch(args.patience);
    let mut sums = vec![0; Tally::ALL.len()];
    for i in 0..args.programs {
        let setup = Setup::of(args.seed.wrapping_add(i), args.procs);
        begin(&setup);
        match programs::run(&setup) {
            Ok(stats) => {
                for (sum, (_, n)) in sums.iter_mut().zip(stats.iter()) {
                    *sum += n;
                }
            }
            Err(what) => {
                eprintln!("stress: {what}\nstress: {}", again(&setup));
                eprint!("{}", inspect::dump());
                return ExitCode::FAILURE;
            }
        }
    }
    if !args.quiet {
        let counts = Tally::ALL.iter().zip(sums);
        let line = counts.fold(String::new(), |s, (t, n)| s + &format!(" {}={n}", t.name()));
        println!(
            "stress: {} programs from seed {}:{line}",
            args.programs, args.seed
        );
    }
    ExitCode::SUCCESS
}

/// Runs batches in processes of their own until the time is over.
fn for_minutes(args: &Args, minutes: u64) -> ExitCode {
    let until = Instant::now() + Duration::from_secs(60 * minutes);
    let mut random = Random::new(args.seed);
    let mut programs = 0;
    while Instant::now() < until {
        let seed = random.next();
        let status = std::env::current_exe().and_then(|exe| {
            Command::new(exe)
                .args([
                    "--seed",
                    &seed.to_string(),
                    "--programs",
                    &BATCH.to_string(),
                ])
                .args(["--procs", &args.procs.to_string()])
                .args(["--patience", &args.patience.as_secs().to_string()])
                .args(args.quiet.then_some("--quiet"))
                .status()
        });
        match status {
            Ok(status) if status.success() => programs += BATCH,
            Ok(status) => {
                eprintln!(
                    "stress: after {programs} programs, the batch from seed {seed} ended with {status}"
                );
                return ExitCode::from(status.code().map_or(1, |c| c.clamp(1, 255) as u8));
            }
            Err(e) => {
                eprintln!("stress: cannot run itself: {e}");
                return ExitCode::from(2);
            }
        }
    }
    println!(
        "stress: {programs} programs in {minutes} minutes, seeds drawn from {}, all as they must be",
        args.seed
    );
    ExitCode::SUCCESS
}

/// The program that runs, and since when.
static NOW: Mutex<Option<(Setup, Instant)>> = Mutex::new(None);

fn begin(setup: &Setup) {
    if let Ok(mut now) = NOW.lock() {
        *now = Some((setup.clone(), Instant::now()));
    }
}

fn again(setup: &Setup) -> String {
    format!(
        "again with --seed {} --programs 1 ({} of at most {} Ps, policy '{}')",
        setup.seed, setup.procs, setup.procs_max, setup.policy
    )
}

/// A thread that dumps and ends a program that takes too long.
fn watch(patience: Duration) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = NOW.lock().map_or(None, |now| now.clone());
            if let Some((setup, since)) = now
                && since.elapsed() > patience
            {
                eprintln!(
                    "stress: it hangs: {:?}\nstress: {}",
                    since.elapsed(),
                    again(&setup)
                );
                eprint!("{}", inspect::dump());
                std::process::exit(3);
            }
        }
    });
}
