//! The readings of the clocks, kept in the spool as they are taken, so that they survive a recorder that is killed.
//!
//! One line each, as [`Snapshot`] prints itself; a torn last line is no reading.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use gmp_trace::clock::{Calibration, Snapshot};

/// The file with the readings.
#[derive(Debug)]
pub struct Clocks(File);

impl Clocks {
    /// Begins the file in a new spool.
    pub fn create(dir: &Path) -> anyhow::Result<Clocks> {
        let path = dir.join("clocks");
        File::options()
            .append(true)
            .create(true)
            .open(&path)
            .map(Clocks)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Keeps a reading. One that cannot be kept is not worth ending a recording for: those before it serve as well.
    pub fn keep(&mut self, s: &Snapshot) {
        let line = format!("{s}\n");
        let _ = self.0.write_all(line.as_bytes());
    }
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

fn parse(line: &str) -> Option<Snapshot> {
    line.strip_suffix('\n')?.parse().ok()
}

/// A second reading for a boot that is over, at the rate that the clock has now.
fn extrapolate(first: &Snapshot, now: &Snapshot) -> Snapshot {
    std::thread::sleep(std::time::Duration::from_millis(200));
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
        let mut clocks = Clocks::create(dir.path()).expect("a file");
        let taken: Vec<Snapshot> = (0..3).map(|_| Snapshot::take()).collect();
        taken.iter().for_each(|s| clocks.keep(s));
        clocks
            .0
            .write_all(b"1 2 3 \xff 5 6\n12 34 5")
            .expect("writable");
        assert_eq!(read(dir.path(), true).ok(), Some(taken));
    }

    #[test]
    fn one_reading_is_enough_to_tell_the_rate() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = Snapshot::take();
        Clocks::create(dir.path()).expect("a file").keep(&first);
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
