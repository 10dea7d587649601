//! What can be told from a process's control file without reading its events.

use std::path::Path;

use super::layout::{CONTROL_MAGIC, control};

/// The number of the process that writes to the spool in `dir`, if it lives and has not said that it is done.
pub fn living_writer(dir: &Path) -> Option<u32> {
    let bytes = std::fs::read(dir.join("control")).ok()?;
    let word = |index: usize| -> Option<u64> {
        let bytes = bytes.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    if word(control::MAGIC)? != CONTROL_MAGIC || word(control::STATE)? == 2 {
        return None;
    }
    let pid = u32::try_from(word(control::PID)?).ok()?;
    is_alive(pid).then_some(pid)
}

/// Whether the process exists and is no zombie: one that nobody has waited for yet writes nothing any more.
fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    // The name in parentheses may hold anything; the state follows the last one.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim_start().chars().next());
    !matches!(state, Some('Z' | 'X') | None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::writer::{Spool, SpoolOptions};

    #[test]
    fn a_writer_lives_until_it_finishes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions { limit: u64::MAX }).expect("a spool");
        assert_eq!(living_writer(spool.dir()), Some(std::process::id()));
        spool.finish();
        assert_eq!(living_writer(spool.dir()), None);
        assert_eq!(living_writer(dir.path()), None);
    }
}
