//! Where reports go: standard output, a file, or files in a folder. A file appears whole or not at all.

use std::fs::Permissions;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

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
        let several = kinds.len() > 1 || kinds.contains(&ReportKind::Flamegraph);
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
        if self.path.is_some() {
            return self.file(name, write).map(drop);
        }
        let mut out =
            BufWriter::with_capacity(1 << 16, anstream::AutoStream::auto(std::io::stdout()));
        write(&mut out)?;
        out.flush()?;
        Ok(())
    }

    /// Writes a file under another name first, so that a failure leaves nothing half-written; says where on a terminal.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(
        &self,
        name: &str,
        write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        let context = || format!("cannot write {}", path.display());
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // In the same folder, so that the last step is a rename; readable by all whom the umask lets.
        let part = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .with_context(context)?;
        let mut out = BufWriter::with_capacity(1 << 18, part);
        write(&mut out).with_context(context)?;
        let part = out
            .into_inner()
            .map_err(|e| e.into_error())
            .with_context(context)?;
        part.persist(&path)
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
    fn several_kinds_go_into_a_folder() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("out");
        let kinds = [ReportKind::Stats, ReportKind::Check];
        let output = Output::new(Some(&path), &kinds).expect("an output");
        assert_eq!(output.path("stats.txt"), path.join("stats.txt"));
    }
}
