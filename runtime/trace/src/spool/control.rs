//! What can be told from a process's control file without reading its events.

use std::path::Path;

use super::layout::{CONTROL_MAGIC, SEGMENT, control};

/// The number of the process that writes to the spool in `dir`, if it lives and has not said that it is done.
pub fn living_writer(dir: &Path) -> Option<u32> {
    let word = words(dir)?;
    if word(control::STATE)? == 2 {
        return None;
    }
    let pid = u32::try_from(word(control::PID)?).ok()?;
    is_alive(pid).then_some(pid)
}

/// Whether the process came so far that it could record: before that its spool holds nothing, and never will if the process has ended.
pub fn has_begun(dir: &Path) -> bool {
    words(dir).is_some()
}

/// Whether it is time to make room in the spool in `dir`: half of what it may take is in use, or a writer waits.
pub fn wants_room(dir: &Path) -> bool {
    let wants = || {
        let word = words(dir)?;
        let used = word(control::SEGMENTS)?.checked_mul(SEGMENT as u64)?;
        Some(word(control::WAITING)? > 0 || (used > 0 && used >= word(control::LIMIT)? / 2))
    };
    wants().unwrap_or(false)
}

/// The words of a control file, by their index; nothing if it is none.
fn words(dir: &Path) -> Option<impl Fn(usize) -> Option<u64>> {
    let bytes = std::fs::read(dir.join("control")).ok()?;
    let word = move |index: usize| {
        let bytes = bytes.get(index * 8..index * 8 + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    (word(control::MAGIC)? == CONTROL_MAGIC).then_some(word)
}

/// Whether a process still does anything: a zombie does not.
pub fn is_alive(pid: u32) -> bool {
    start_of(pid).is_some()
}

/// When the process started, in the kernel's ticks since the boot; `None` if it is gone, or a zombie: one that nobody has waited for
/// yet writes nothing any more.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state follows the last one. The start is the 22nd field, the state the third.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::writer::{Spool, SpoolOptions};

    #[test]
    fn a_writer_lives_until_it_finishes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        assert_eq!(living_writer(spool.dir()), Some(std::process::id()));
        spool.finish();
        assert_eq!(living_writer(spool.dir()), None);
        assert_eq!(living_writer(dir.path()), None);
    }

    #[test]
    fn a_spool_has_begun_when_its_first_word_is_there() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        assert!(!has_begun(dir.path()));
        std::fs::write(dir.path().join("control"), [0; 64]).expect("writable");
        assert!(!has_begun(dir.path()));
        let spool = Spool::create(dir.path(), &SpoolOptions::default()).expect("a spool");
        assert!(has_begun(spool.dir()));
        spool.finish();
    }

    #[test]
    fn a_process_has_a_start_until_it_is_gone() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("it starts");
        assert!(start_of(child.id()).is_some());
        assert_eq!(start_of(child.id()), start_of(child.id()));
        child.kill().expect("it runs");
        // Gone as soon as it is a zombie, which takes a moment.
        while start_of(child.id()).is_some() {
            std::thread::yield_now();
        }
        child.wait().expect("a child");
        assert_eq!(start_of(child.id()), None);
    }
}
