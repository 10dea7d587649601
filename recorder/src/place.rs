//! Where the spool goes: memory if it has room, else beside the database.
//!
//! The name is made from the database's path, so that the spool is found again from it, and from the recorder's process, so that two
//! recorders never share one. The database's `ingest_cursor` names it too.

use std::collections::hash_map::DefaultHasher;
use std::ffi::CString;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gmp_trace::spool::layout::SEGMENT;

/// Room that memory must have before a spool goes there.
const ROOM: u64 = 256 << 20;

/// What a spool takes beside its events: names, places in the source, counters.
const BESIDE: u64 = 1 << 20;

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
        "gmp-spool-{:016x}-{}",
        hash(output),
        std::process::id()
    ));
    // What a program does may be private: only its user can read it.
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .with_context(|| format!("cannot create the spool {}", dir.display()))?;
    let dir = dir.canonicalize().unwrap_or(dir);
    match room(free(&dir).unwrap_or(u64::MAX), limit) {
        Ok(limit) => Ok(Place { dir, limit }),
        Err(why) => {
            // It is empty, and whoever reads the message has more to do than to remove it.
            let _ = std::fs::remove_dir(&dir);
            anyhow::bail!("{why} (the spool would be in {})", parent.display())
        }
    }
}

/// The limit of a spool: what was asked for, or half of the free space. It must hold one segment at least, the step by which a spool grows:
/// with less, not one event could be kept.
fn room(free: u64, asked: Option<u64>) -> Result<u64, String> {
    let least = SEGMENT as u64;
    let needed = least + BESIDE;
    let size = bytesize::ByteSize::b;
    match asked {
        Some(asked) if asked < least => Err(format!(
            "--spool-limit {} is too little: a spool grows by {}, and its threads could keep nothing",
            size(asked),
            size(least)
        )),
        _ if free < needed => Err(format!(
            "no room for a spool: {} are free and {} are needed; --spool names another folder",
            size(free),
            size(needed)
        )),
        Some(asked) => Ok(asked.min(free - BESIDE)),
        None => Ok((free / 2).max(least)),
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

/// The folders of the processes in a spool, in the order in which they began.
pub fn processes(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = std::fs::read_dir(dir)
        .with_context(|| format!("cannot read the spool {}", dir.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("cannot read the spool {}", dir.display()))?
            .path();
        // `<pid>-<boot time in ns>`; a control file says that the runtime came as far as to record.
        let started = path
            .file_name()
            .and_then(|n| n.to_str()?.split_once('-')?.1.parse::<u64>().ok());
        if let Some(started) = started.filter(|_| path.join("control").exists()) {
            found.push((started, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_has_room_for_a_segment_or_is_refused() {
        let (mib, segment) = (1 << 20, SEGMENT as u64);
        assert_eq!(room(100 * mib, None), Ok(50 * mib));
        assert_eq!(room(segment + mib, None), Ok(segment));
        assert_eq!(room(100 * mib, Some(segment)), Ok(segment));
        assert_eq!(room(10 * mib, Some(100 * mib)), Ok(9 * mib));
        assert!(room(100 * mib, Some(segment - 1)).is_err_and(|e| e.contains("--spool-limit 4")));
        assert!(room(mib, None).is_err_and(|e| e.contains("--spool names another")));
    }
}
