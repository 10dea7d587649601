//! Where reports go: standard output, a file, or files in a folder.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::place::{Part, Place};
use crate::cli::ReportKind;

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
        if let Some(path) = path.filter(|p| folder && !p.is_dir()) {
            // Without a slash at its end, which asks for a folder.
            if path.components().as_path().exists() {
                anyhow::bail!(
                    "{} is no folder, which -o must be here: choose another",
                    path.display()
                );
            }
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
            return self.file(name, write);
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
    /// file, a device or a pipe, is written to as it is (`place.rs`).
    ///
    /// # Errors
    /// When it cannot be written, or is a database.
    pub fn file(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let path = self.path(name);
        let context = || format!("cannot write {}", path.display());
        let (opened, part) = match Place::of(&path)? {
            Place::Stream(stream) => (stream, None),
            Place::File(file) => {
                let (opened, part) = Part::of(&file).with_context(context)?;
                (opened, Some((part, file)))
            }
        };
        let mut out = BufWriter::with_capacity(1 << 18, opened);
        write(&mut out).with_context(context)?;
        out.flush().with_context(context)?;
        if let Some((part, file)) = part {
            part.become_file(&file).with_context(context)?;
            self.tell(&path);
        }
        Ok(())
    }

    /// Says on a terminal that a file was written.
    pub fn tell(&self, path: &Path) {
        if std::io::stderr().is_terminal() {
            eprintln!("gmp-analyze: wrote {}", path.display());
        }
    }
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
        // Links to devices, so that a mistake here would replace a link.
        for (device, has_room) in [("/dev/null", true), ("/dev/full", false)] {
            std::fs::remove_file(&link).expect("removed");
            std::os::unix::fs::symlink(device, &link).expect("a link");
            assert_eq!(write(&link).is_ok(), has_room, "{device}");
            assert!(link.is_symlink());
        }
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
