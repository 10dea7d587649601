//! Where the spool goes: memory if it has room, else beside the database.
//!
//! The name is made from the database's path, so that the spool is found again from it, and from the recorder's process, so that two
//! recorders never share one. The database's `ingest_cursor` names it too.

use std::collections::hash_map::DefaultHasher;
use std::ffi::CString;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gmp_trace::spool::layout::{SEGMENT, TABLE};

/// Room that memory must have before a spool goes there.
const ROOM: u64 = 256 << 20;

/// What a spool takes beside its events: the table of segments, and 1 MiB for the other words that it shares with the recorder, names, places
/// in the source, counters, readings of the clocks.
const BESIDE: u64 = TABLE as u64 + (1 << 20);

/// The least that a spool takes: one segment, the step by which it grows, and what is beside it. With less not one event could be kept.
const LEAST: u64 = SEGMENT as u64 + BESIDE;

/// How the folders that this makes begin: no other is ever removed.
const NAME: &str = "gmp-spool-";

/// The folder of a recording's spool.
#[derive(Debug)]
pub struct Place {
    /// The folder.
    pub dir: PathBuf,
    /// The most bytes it may take.
    pub limit: u64,
}

/// Makes the folder.
pub fn choose(output: &Path, asked: Option<&Path>, limit: Option<u64>) -> anyhow::Result<Place> {
    let memory = Path::new("/dev/shm");
    let beside = match output.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let parent = match asked {
        Some(dir) => dir.to_owned(),
        None if free(memory).is_some_and(|room| room >= ROOM) => memory.to_owned(),
        None => beside,
    };
    let dir = parent.join(format!(
        "{NAME}{:016x}-{}",
        hash(output),
        std::process::id()
    ));
    // What a program does may be private: only its user can read it.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("cannot create the spool {}", dir.display()))?;
    let dir = dir.canonicalize().unwrap_or(dir);
    let limit =
        room(free(&dir).unwrap_or(u64::MAX), limit).and_then(|limit| try_out(&dir).map(|()| limit));
    match limit {
        Ok(limit) => Ok(Place { dir, limit }),
        Err(why) => {
            // It is empty, and whoever reads the message has more to do than to remove it.
            let _ = std::fs::remove_dir(&dir);
            anyhow::bail!("{why} (the spool would be in {})", parent.display())
        }
    }
}

/// Makes sure that the least can really be written: a quota, for example, is not in what the file system says is free. The program would
/// find it out too late, when there is nobody to tell.
fn try_out(dir: &Path) -> Result<(), String> {
    let path = dir.join("try");
    let written = File::create_new(&path)
        .and_then(|mut file| std::io::copy(&mut std::io::repeat(0).take(LEAST), &mut file));
    let removed = std::fs::remove_file(&path);
    written.map(drop).and(removed).map_err(|e| {
        format!(
            "no room for a spool: {} are needed and cannot be written: {e}; --spool names another folder",
            bytesize::ByteSize::b(LEAST)
        )
    })
}

/// The limit of a spool, which its segments keep to: what was asked for, or half of the free space; never so much that there is no room for
/// what is beside them, and at least one segment.
fn room(free: u64, asked: Option<u64>) -> Result<u64, String> {
    let least = SEGMENT as u64;
    let size = bytesize::ByteSize::b;
    match asked {
        Some(asked) if asked < least => Err(format!(
            "--spool-limit {} is too little: a spool grows by {}, and its threads could keep nothing",
            size(asked),
            size(least)
        )),
        _ if free < LEAST => Err(format!(
            "no room for a spool: {} are free and {} are needed; --spool names another folder",
            size(free),
            size(LEAST)
        )),
        Some(asked) => Ok(asked.min(free - BESIDE)),
        None => Ok((free / 2).clamp(least, free - BESIDE)),
    }
}

fn hash(output: &Path) -> u64 {
    let absolute = std::path::absolute(output).unwrap_or_else(|_| output.to_owned());
    let mut hasher = DefaultHasher::new();
    absolute.hash(&mut hasher);
    hasher.finish()
}

/// The free bytes of the file system that a folder is on.
fn free(dir: &Path) -> Option<u64> {
    let path = CString::new(dir.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zeros is a value of this plain struct.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path is a C string and the struct is ours.
    let rc = unsafe { libc::statvfs(path.as_ptr(), &raw mut stat) };
    (rc == 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The folders of the processes in a spool, in the order in which they began; none if the spool is gone.
pub fn processes(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => {
            return Err(e).with_context(|| format!("cannot read the spool {}", dir.display()));
        }
    };
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the spool {}", dir.display()))?
            .path();
        if let Some((_, started)) = identity(&path) {
            found.push((started, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The number of a process and when its runtime started, `CLOCK_BOOTTIME` in ns: what the name of its folder says.
pub fn identity(process: &Path) -> Option<(u32, u64)> {
    let (pid, started) = process.file_name()?.to_str()?.split_once('-')?;
    Some((pid.parse().ok()?, started.parse().ok()?))
}

/// The folder of a process in a spool: the inverse of [`identity`].
pub fn process(dir: &Path, pid: u32, started: u64) -> PathBuf {
    dir.join(format!("{pid}-{started}"))
}

/// Removes what [`choose`] made. If it cannot be removed that is worth a word, and no more.
pub fn remove(dir: &Path) {
    let is_ours = |name: &std::ffi::OsStr| name.as_bytes().starts_with(NAME.as_bytes());
    if !dir.file_name().is_some_and(is_ours) {
        return;
    }
    if let Err(e) = std::fs::remove_dir_all(dir)
        && e.kind() != ErrorKind::NotFound
    {
        eprintln!(
            "gmp-record: warning: cannot remove the spool {}: {e}",
            dir.display()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_has_room_for_a_segment_or_is_refused() {
        let (mib, segment) = (1 << 20, SEGMENT as u64);
        assert_eq!(room(100 * mib, None), Ok(50 * mib));
        assert_eq!(room(LEAST, None), Ok(segment));
        assert_eq!(room(LEAST + 1, None), Ok(segment));
        assert_eq!(room(100 * mib, Some(segment)), Ok(segment));
        assert_eq!(room(10 * mib, Some(100 * mib)), Ok(10 * mib - BESIDE));
        assert!(room(100 * mib, Some(segment - 1)).is_err_and(|e| e.contains("--spool-limit 4")));
        for asked in [None, Some(segment), Some(100 * mib)] {
            let refused = room(LEAST - 1, asked);
            assert!(refused.is_err_and(|e| e.contains("--spool names another")));
        }
    }

    #[test]
    fn only_folders_of_this_are_removed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = choose(&dir.path().join("t.db"), Some(dir.path()), None).expect("room");
        assert_eq!(std::fs::read_dir(&place.dir).expect("readable").count(), 0);
        remove(&place.dir);
        remove(dir.path());
        assert!(!place.dir.exists() && dir.path().exists());
    }

    #[test]
    fn a_folder_of_a_process_says_which_it_is() {
        assert_eq!(
            identity(&process(Path::new("spool"), 12, 345)),
            Some((12, 345))
        );
        for other in ["spool/clocks", "spool/gmp-12", "spool/12-", "spool/scratch"] {
            assert_eq!(identity(Path::new(other)), None, "{other}");
        }
    }
}
