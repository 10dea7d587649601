//! Where reports go: standard output, a file, or files in a folder. A file appears whole or not at all.

use std::fs::{File, Permissions};
use std::io::{BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::cli::ReportKind;
use crate::interrupted;

/// How an SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// Where the reports of one call go.
#[derive(Debug)]
pub struct Output {
    path: Option<PathBuf>,
    folder: bool,
}

impl Output {
    /// As `-o` says: a file for one kind, a folder for several or for a kind of several files.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(path: Option<&Path>, kinds: &[ReportKind]) -> anyhow::Result<Output> {
        // A flamegraph is several files.
        let flamegraph = kinds.contains(&ReportKind::Flamegraph);
        let several = kinds.len() > 1 || flamegraph;
        if let Some(path) = path.filter(|p| several && !p.is_dir()) {
            let several = if flamegraph {
                "a flamegraph is"
            } else {
                "several reports are"
            };
            if path == Path::new("-") || path.extension().is_some() {
                anyhow::bail!(
                    "{several} several files: -o takes a folder, not {}",
                    path.display()
                );
            }
        }
        let folder = path.is_some_and(|p| {
            several || p.is_dir() || p.as_os_str().to_string_lossy().ends_with('/')
        });
        if let Some(path) = path.filter(|_| folder) {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot create the folder {}", path.display()))?;
        }
        Ok(Output {
            path: path.map(Path::to_owned),
            folder,
        })
    }

    /// The path for a file that is `name` by default.
    pub fn path(&self, name: &str) -> PathBuf {
        match &self.path {
            Some(path) if self.folder => path.join(name),
            Some(path) => path.clone(),
            None => PathBuf::from(name),
        }
    }

    /// Writes text: to standard output unless `-o` says otherwise.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn text(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.path.is_some() && !self.is_stdout() {
            return self.file(name, write).map(drop);
        }
        let mut out =
            BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(std::io::stdout()));
        write(&mut out)?;
        out.flush()?;
        Ok(())
    }

    /// Whether `-o -` asks for standard output.
    fn is_stdout(&self) -> bool {
        self.path.as_deref() == Some(Path::new("-"))
    }

    /// Writes a file under another name first, so that a failure leaves nothing half-written; says where on a terminal. What is no regular
    /// file, a device or a pipe, is written to as it is. A link leads to the file that it names.
    ///
    /// # Errors
    /// When it cannot be written, or is a database.
    pub fn file(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        if self.is_stdout() {
            let mut out = BufWriter::with_capacity(1 << 18, std::io::stdout());
            write(&mut out)?;
            out.flush()?;
            return Ok(PathBuf::from("-"));
        }
        let path = self.path(name);
        let context = || format!("cannot write {}", path.display());
        let target = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if std::fs::metadata(&target).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
            let device = File::options().write(true).open(&target);
            let mut out = BufWriter::with_capacity(1 << 18, device.with_context(context)?);
            write(&mut out).with_context(context)?;
            out.flush().with_context(context)?;
            return Ok(path);
        }
        refuse_database(&target)?;
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // In the same folder, so that the last step is a rename; readable by all whom the umask lets.
        let part = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(|e| std::io::Error::from(e.kind()))
            .with_context(context)?;
        let _cleaned = interrupted::clean(part.path());
        let mut out = BufWriter::with_capacity(1 << 18, part);
        write(&mut out).with_context(context)?;
        let part = out
            .into_inner()
            .map_err(|e| e.into_error())
            .with_context(context)?;
        part.persist(&target)
            .map_err(|e| e.error)
            .with_context(context)?;
        self.tell(&path);
        Ok(path)
    }

    /// Says on a terminal that a file was written.
    pub fn tell(&self, path: &Path) {
        if std::io::stderr().is_terminal() {
            eprintln!("gmp-analyze: wrote {}", path.display());
        }
    }
}

/// A trace is not to be replaced by what is made from it, nor any other database by mistake.
pub(super) fn refuse_database(path: &Path) -> anyhow::Result<()> {
    let mut head = [0; SQLITE.len()];
    let is_database = File::open(path)
        .and_then(|mut f| f.read_exact(&mut head))
        .is_ok()
        && head == *SQLITE;
    if is_database {
        anyhow::bail!(
            "{} is a database, and is not overwritten: choose another -o",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_no_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("x.txt");
        let output = Output::new(Some(&path), &[ReportKind::Stats]).expect("an output");
        let failed = output.file("stats.txt", |out| {
            out.write_all(b"half")?;
            anyhow::bail!("no more")
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).expect("readable").count(), 0);
        output
            .file("stats.txt", |out| Ok(out.write_all(b"all")?))
            .expect("written");
        assert_eq!(std::fs::read(&path).expect("readable"), b"all");
    }

    #[test]
    fn a_database_is_not_overwritten_and_a_link_is_followed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let (db, link, target) = (
            dir.path().join("t.db"),
            dir.path().join("link"),
            dir.path().join("target"),
        );
        std::fs::write(&db, b"SQLite format 3\0 and more").expect("writable");
        let write = |path: &Path| {
            let output = Output::new(Some(path), &[ReportKind::Html]).expect("an output");
            output.file("report.html", |out| Ok(out.write_all(b"all")?))
        };
        let refused = write(&db).expect_err("refused").to_string();
        assert!(refused.contains("is a database"), "{refused}");
        std::fs::write(&target, "old").expect("writable");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        write(&link).expect("written");
        assert!(link.is_symlink());
        assert_eq!(std::fs::read(&target).expect("readable"), b"all");
        assert!(write(Path::new("/dev/null")).is_ok());
        assert!(write(Path::new("/dev/full")).is_err());
    }

    #[test]
    fn several_kinds_go_into_a_folder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("out");
        let kinds = [ReportKind::Stats, ReportKind::Check];
        let output = Output::new(Some(&path), &kinds).expect("an output");
        assert_eq!(output.path("stats.txt"), path.join("stats.txt"));
        let file = dir.path().join("flame.svg");
        let refused = Output::new(Some(&file), &[ReportKind::Flamegraph]).expect_err("refused");
        assert!(refused.to_string().contains("-o takes a folder"));
    }
}
