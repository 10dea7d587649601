//! What an output path leads to, and how that is written: a file appears whole or not at all, anything else is written to as it is.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempPath;

use crate::interrupted::{self, Cleaned};

/// How an SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// What SQLite puts behind the name of a database for the files that it keeps beside it.
const SIDE_FILES: [&[u8]; 3] = [b"-journal", b"-wal", b"-shm"];

/// Links that are followed one after another; the kernel follows as many.
const MOST_LINKS: usize = 40;

/// What lies at the end of an output path.
#[derive(Debug)]
pub(super) enum Place {
    /// A regular file, or nothing yet: what is written becomes it.
    File(PathBuf),
    /// A device, a pipe, or standard output: written to as it is.
    Stream(File),
}

impl Place {
    /// Where a path leads. A link leads to what it names, there or not; `-` is standard output.
    ///
    /// # Errors
    /// When it is a folder or a database, or cannot be opened.
    pub fn of(path: &Path) -> anyhow::Result<Place> {
        let context = || format!("cannot write {}", path.display());
        if path == Path::new("-") {
            return Ok(Place::Stream(descriptor(&io::stdout()).context(
                "cannot write to standard output: it does not seem to be open",
            )?));
        }
        let end = end(path).with_context(context)?;
        // Opened anew, a file that is standard output would be written over from its beginning.
        match descriptor_name(&end) {
            Some("1") => {
                return Ok(Place::Stream(
                    descriptor(&io::stdout()).with_context(context)?,
                ));
            }
            Some("2") => {
                return Ok(Place::Stream(
                    descriptor(&io::stderr()).with_context(context)?,
                ));
            }
            _ => {}
        }
        let file = std::fs::canonicalize(&end).unwrap_or_else(|_| end.clone());
        match std::fs::metadata(&end) {
            Ok(meta) if meta.is_dir() => {
                anyhow::bail!("cannot write {}: it is a folder", path.display())
            }
            Ok(meta) if !meta.is_file() => {
                let opened = File::options().write(true).open(&end);
                return Ok(Place::Stream(opened.with_context(context)?));
            }
            _ => {}
        }
        refuse_database(&file)?;
        Ok(Place::File(file))
    }
}

/// Opens what is written little by little while the program runs, and may be left half-written.
///
/// # Errors
/// When it cannot be opened, or is a database.
pub fn open(path: &Path) -> anyhow::Result<File> {
    match Place::of(path)? {
        Place::Stream(stream) => Ok(stream),
        Place::File(file) => {
            File::create(file).with_context(|| format!("cannot write {}", path.display()))
        }
    }
}

/// An open descriptor once more.
fn descriptor(of: &impl AsFd) -> io::Result<File> {
    of.as_fd().try_clone_to_owned().map(File::from)
}

/// Follows the links at the end of a path, until there is none or one of an open descriptor (`/dev/stdout` leads to one), which names what
/// need not be in any folder.
fn end(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        if descriptor_name(&path).is_some() {
            return Ok(path);
        }
        match std::fs::read_link(&path) {
            Ok(target) => path = folder(&path).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links lead from one to another"))
}

/// The number of the open descriptor that a path of `/proc` names.
fn descriptor_name(path: &Path) -> Option<&str> {
    let own = std::fs::canonicalize("/proc/self/fd").ok()?;
    let of = std::fs::canonicalize(folder(path)).ok()?;
    (of == own).then(|| path.file_name()?.to_str()).flatten()
}

/// The folder of a file.
fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A trace is not to be replaced by what is made from it, nor any other database by mistake, nor what SQLite keeps beside one: a journal there
/// is taken for what a killed writer left, and undoes things.
fn refuse_database(path: &Path) -> anyhow::Result<()> {
    if is_database(path) {
        anyhow::bail!(
            "{} is a database, and is not overwritten: choose another -o",
            path.display()
        );
    }
    let name = path.as_os_str().as_bytes();
    let of = SIDE_FILES.iter().find_map(|end| name.strip_suffix(*end));
    if let Some(of) = of.map(OsStr::from_bytes).filter(|of| is_database(of)) {
        anyhow::bail!(
            "{} is where SQLite keeps what belongs to the database {}: choose another -o",
            path.display(),
            of.display()
        );
    }
    Ok(())
}

fn is_database(path: impl AsRef<Path>) -> bool {
    let mut head = [0; SQLITE.len()];
    // What is no regular file may keep a reader waiting.
    std::fs::metadata(&path).is_ok_and(|m| m.is_file())
        && File::open(path)
            .and_then(|mut f| f.read_exact(&mut head))
            .is_ok()
        && head == *SQLITE
}

/// A file under a temporary name, in the folder in which it is to appear. It is removed when this is dropped, or when a signal ends the program.
#[derive(Debug)]
pub(super) struct Part {
    path: TempPath,
    _cleaned: Cleaned,
}

impl Part {
    /// Makes one for a file; nobody else has its name.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn of(file: &Path) -> io::Result<(File, Part)> {
        // The error of `tempfile` names the temporary file, which says nothing to a user, and not the cause.
        let mut cause = None;
        let made = tempfile::Builder::new().make_in(folder(file), |path| {
            let opened = File::options().write(true).create_new(true).open(path);
            opened.inspect_err(|e| cause = e.raw_os_error())
        });
        // In the same folder, so that the last step is a rename.
        let (opened, path) = made
            .map_err(|e| cause.map_or(e, io::Error::from_raw_os_error))?
            .into_parts();
        let part = Part {
            _cleaned: interrupted::clean(&path),
            path,
        };
        Ok((opened, part))
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// When there is a folder of that name, for example.
    pub fn become_file(self, file: &Path) -> io::Result<()> {
        self.path.persist(file).map_err(|e| e.error)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// What a path leads to, as a file.
    fn file(path: &Path) -> Option<PathBuf> {
        match Place::of(path) {
            Ok(Place::File(file)) => Some(file),
            _ => None,
        }
    }

    #[test]
    fn links_lead_to_what_they_name_there_or_not() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let dir = std::fs::canonicalize(dir.path()).expect("a folder");
        std::fs::create_dir(dir.join("deep")).expect("a folder");
        symlink("deep/link", dir.join("link")).expect("a link");
        symlink("../there", dir.join("deep/link")).expect("a link");
        // Nothing there yet: what is written appears where the link says.
        let found = file(&dir.join("link")).expect("a file to be");
        assert_eq!(found, dir.join("deep/../there"));
        std::fs::write(dir.join("there"), "old").expect("writable");
        assert_eq!(file(&dir.join("link")), Some(dir.join("there")));
        symlink("round", dir.join("round")).expect("a link");
        let error = Place::of(&dir.join("round")).expect_err("refused");
        assert!(format!("{error:#}").contains("too many links"), "{error:#}");
    }

    #[test]
    fn devices_and_descriptors_are_written_as_they_are() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        symlink("/dev/null", dir.path().join("null")).expect("a link");
        let link = dir.path().join("null");
        for path in [
            Path::new("-"),
            Path::new("/dev/null"),
            Path::new("/dev/stdout"),
            Path::new("/dev/fd/2"),
            &link,
        ] {
            let place = Place::of(path).expect("open");
            assert!(matches!(place, Place::Stream(_)), "{path:?}: {place:?}");
        }
    }

    #[test]
    fn what_belongs_to_a_database_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(dir.path().join("t.db"), b"SQLite format 3\0 and more").expect("writable");
        symlink("t.db-wal", dir.path().join("link")).expect("a link");
        for name in ["t.db", "t.db-journal", "t.db-wal", "t.db-shm", "link"] {
            let error = Place::of(&dir.path().join(name)).expect_err("refused");
            assert!(error.to_string().contains("database"), "{name}: {error}");
        }
        // Where there is no database, a name is just a name.
        assert!(file(&dir.path().join("notes-wal")).is_some());
    }

    #[test]
    fn what_cannot_be_written_is_said_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let error = Place::of(dir.path()).expect_err("refused").to_string();
        assert!(error.ends_with("it is a folder"), "{error}");
        let error = Part::of(&dir.path().join("none/x.json")).expect_err("no folder");
        assert_eq!(error.to_string(), "No such file or directory (os error 2)");
    }
}
