//! The readings of the clocks, kept in the spool as they are taken, so that they survive a recorder that is killed.
//!
//! One line each, as [`Snapshot`] prints itself; a torn last line is no reading.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use gmp_store::run::Run;
use gmp_trace::clock::{Calibration, Snapshot};

/// How long a clock is looked at to tell its rate: readings are good to about 100 ns.
const RATE_OVER: Duration = Duration::from_millis(200);

/// The file with the readings.
#[derive(Debug)]
pub struct Clocks(File);

impl Clocks {
    /// Begins the file in a new spool with a first reading, without which the others are worth nothing.
    pub fn create(dir: &Path, first: &Snapshot) -> anyhow::Result<Clocks> {
        let path = dir.join("clocks");
        let create = || {
            let mut file = File::options().append(true).create(true).open(&path)?;
            file.write_all(line(first).as_bytes())?;
            Ok::<_, std::io::Error>(Clocks(file))
        };
        create().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Keeps a reading. One that cannot be kept is not worth ending a recording for: those before it serve as well.
    pub fn keep(&mut self, s: &Snapshot) {
        let _ = self.0.write_all(line(s).as_bytes());
    }
}

fn line(s: &Snapshot) -> String {
    format!("{s}\n")
}

/// The readings in a spool: at least two, or an error.
pub fn read(dir: &Path, same_boot: bool) -> anyhow::Result<Vec<Snapshot>> {
    let path = dir.join("clocks");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // One damaged reading is not worth the others.
    let text = String::from_utf8_lossy(&bytes);
    let mut clocks: Vec<Snapshot> = text.split_inclusive('\n').filter_map(parse).collect();
    let Some(first) = clocks.first().copied() else {
        anyhow::bail!("{} holds no reading", path.display());
    };
    if clocks.len() == 1 {
        let now = Snapshot::take();
        clocks.push(if same_boot {
            now
        } else {
            extrapolate(&first, &now)
        });
    }
    Ok(clocks)
}

/// What the readings of a run may have been that are gone: at the rate that the clock has now. Without another boot in between they
/// are good to about a millionth of the time since; else it is assumed that ticks and `CLOCK_MONOTONIC` began together.
pub fn guess(run: &Run, same_boot: bool) -> Vec<Snapshot> {
    let now = Snapshot::take();
    std::thread::sleep(RATE_OVER);
    let rate = Calibration::between(&now, &Snapshot::take());
    let ticks = |ns: u64| (ns as f64 * rate.hz() / 1e9) as u64;
    let monotonic_ns = run.started_monotonic_ns as u64;
    let since = now.monotonic_ns.saturating_sub(monotonic_ns);
    let begun = if same_boot {
        now.ticks.saturating_sub(ticks(since))
    } else {
        ticks(monotonic_ns)
    };
    let first = Snapshot {
        ticks: begun,
        monotonic_ns,
        monotonic_raw_ns: monotonic_ns,
        boottime_ns: run.started_boottime_ns as u64,
        realtime_ns: run.started_realtime_ns as u64,
        uncertainty_ticks: if same_boot {
            ticks(since) / 1_000_000 + 1
        } else {
            begun
        },
    };
    let second = if same_boot {
        now
    } else {
        extrapolate(&first, &now)
    };
    vec![first, second]
}

fn parse(line: &str) -> Option<Snapshot> {
    line.strip_suffix('\n')?.parse().ok()
}

/// A second reading for a boot that is over, at the rate that the clock has now.
fn extrapolate(first: &Snapshot, now: &Snapshot) -> Snapshot {
    std::thread::sleep(RATE_OVER);
    let rate = Calibration::between(now, &Snapshot::take());
    let add = |ns: u64| ns.saturating_add(rate.interval_ns);
    Snapshot {
        ticks: first.ticks.saturating_add(rate.interval_ticks),
        monotonic_ns: add(first.monotonic_ns),
        monotonic_raw_ns: add(first.monotonic_raw_ns),
        boottime_ns: add(first.boottime_ns),
        realtime_ns: add(first.realtime_ns),
        uncertainty_ticks: first.uncertainty_ticks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_survive_damaged_and_torn_lines() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let taken: Vec<Snapshot> = (0..3).map(|_| Snapshot::take()).collect();
        let mut clocks = Clocks::create(dir.path(), &taken[0]).expect("a file");
        taken[1..].iter().for_each(|s| clocks.keep(s));
        clocks
            .0
            .write_all(b"1 2 3 \xff 5 6\n12 34 5")
            .expect("writable");
        assert_eq!(read(dir.path(), true).ok(), Some(taken));
    }

    #[test]
    fn lost_readings_are_guessed_from_the_start_of_the_run() {
        let start = Snapshot::take();
        let run = Run {
            started_monotonic_ns: start.monotonic_ns as i64,
            ..Run::default()
        };
        let guessed = guess(&run, true);
        assert_eq!(guessed[0].monotonic_ns, start.monotonic_ns);
        let off = guessed[0].ticks.abs_diff(start.ticks);
        let hz = Calibration::between(&guessed[0], &guessed[1]).hz();
        assert!(off as f64 / hz < 0.01, "{off} ticks of {hz} a second");
        let elsewhere = guess(&run, false);
        assert!(elsewhere[0].ticks < elsewhere[1].ticks);
    }

    #[test]
    fn one_reading_is_enough_to_tell_the_rate() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = Snapshot::take();
        Clocks::create(dir.path(), &first).expect("a file");
        for same_boot in [true, false] {
            let read = read(dir.path(), same_boot).expect("two readings");
            assert!(
                read.len() == 2
                    && read[1].ticks > first.ticks
                    && read[1].monotonic_ns > first.monotonic_ns
            );
        }
    }
}
